"""python -m stages.convert NAME FILE: published weights become the network of an entry of params.yaml.

NAME is an entry of `pretrain`, `teach` or `distill` whose family has a module `published`, with the sizes of the
published network as its options and one seed. FILE is a checkpoint as its authors publish it. Written is the model
folder that the entry's training would write, all of it or nothing; a network that is there already is left as it is.
"""

import argparse
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from stages import params
from stages.paths import model_folder
from stages.stage import clear_errors
from wavefoundry.errors import InputError
from wavefoundry.networks.family import families


def convert(name: str, checkpoint: Path) -> Path:
    """Write the model folder of an entry from a checkpoint.

    Args:
        name: of the entry.
        checkpoint: a file of torch.save, from which tensors alone are read.

    Returns:
        the folder.

    Raises:
        InputError: there is no such entry, it cannot take published weights, it has a network already, or the
            checkpoint's tensors are not those that it needs.
        StorageError: the checkpoint cannot be read, or the folder cannot be written.
    """
    model = params.read().model(name)
    module = f"wavefoundry.networks.{model.family}.published"
    if find_spec(module) is None:
        able = [family for family in families() if find_spec(f"wavefoundry.networks.{family}.published")]
        raise InputError(
            f"{name}: published weights of the family {model.family} cannot be read, of: {', '.join(able)}"
        )
    if len(model.seeds) != 1:
        raise InputError(f"{name}: seeds are {list(model.seeds)}; published weights are one network: give one seed")
    folder = model_folder(name, model.seeds[0])
    if folder.exists():
        raise InputError(f"{folder}: there is a network already; remove it first, or choose another entry")

    from storage.models.checkpoint import read_checkpoint
    from storage.models.model_folder import save_model

    weights = read_checkpoint(checkpoint)
    try:
        network = import_module(module).from_published(weights, model.options)
    except InputError as error:
        raise InputError(f"{checkpoint}: {error}") from error
    save_model(network, folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.convert", description=__doc__)
    parser.add_argument("name", help="entry of params.yaml")
    parser.add_argument("checkpoint", type=Path, help="file of torch.save")
    arguments = parser.parse_args()
    with clear_errors():
        print(f"{convert(arguments.name, arguments.checkpoint)}: written")


if __name__ == "__main__":
    main()
