"""Model folders: config.json and model.safetensors, written and read through transformers' base classes.

A third file, SHA256SUMS, holds the digests of both: a byte that is not what it was is seen, and `sha256sum -c` reads it
too. Nothing in a model folder is ever unpickled or executed.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from storage.digests import digest, sha256
from storage.errors import StorageError, first_line
from storage.replacement import replacing

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
DIGESTS = "SHA256SUMS"
SHOWN = 4  # names of tensors in a message


def save_model(model, folder: Path) -> None:
    """Write `model` (a transformers PreTrainedModel) as `folder`, all of it or nothing; an older folder is replaced.

    A network with a method `borrowed`, which names tensors of its own and what they are called in the weights of the
    folder that its property `lender` gives with the md5 of these weights, is written without them.
    """
    borrowed = _borrowed(model)
    weights = {name: weight for name, weight in model.state_dict().items() if name not in borrowed}
    # One file whatever the size: a shard limit would only add an index to check.
    with replacing(Path(folder)) as partial, _quiet():
        model.save_pretrained(partial, state_dict=weights, max_shard_size="1TB")
        (partial / DIGESTS).write_text("".join(f"{sha256(partial / name)}  {name}\n" for name in (CONFIG, WEIGHTS)))


def load_model(folder: Path):
    """The model of a folder, in evaluation mode on the CPU.

    The caller has registered the architecture with transformers (wavefoundry.networks.config).

    Raises:
        StorageError: a file is missing, damaged or a pickle, or not the one that was written; the architecture is not
            one of ours, or its numbers make no network; tensors are missing, unknown or of another shape.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    folder = Path(folder)
    _check_files(folder)
    architecture = _check_architecture(folder)
    try:
        # Built as a fresh network is; what that draws, it draws for itself.
        with _quiet(), torch.random.fork_rng(devices=[]):
            model = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    # What a network says to numbers in config.json that make none is its own business.
    except Exception as error:
        raise StorageError(f"{folder}: cannot be loaded as {architecture}: {first_line(error)}") from error
    borrowed, own, weights = _borrowed(model), model.state_dict(), load_file(folder / WEIGHTS)
    found = {
        "missing": own.keys() - weights.keys() - borrowed.keys(),
        "unexpected": weights.keys() - own.keys(),
        "mismatched": {name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape},
    }
    faults = [f"{fault} tensors: {_some(sorted(names))}" for fault, names in found.items() if names]
    if faults:
        raise StorageError(
            f"{folder / WEIGHTS} does not hold the weights of the {architecture} in {CONFIG}: {'; '.join(faults)}"
        )
    # Last, for what is said above of a damaged file helps more than that it is another one.
    _check_digests(folder)
    model.load_state_dict(weights, strict=False)
    if borrowed:
        _borrow(model, borrowed, folder)
    return model.eval()


def load_weights(folder: Path) -> "dict[str, torch.Tensor]":
    """The tensors of a folder by name, for a network that is there already.

    Raises:
        StorageError: a file is missing or damaged, or not the one that was written.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    _check_files(folder)
    _check_digests(folder)
    return load_file(folder / WEIGHTS)


def _check_digests(folder: Path) -> None:
    if not (folder / DIGESTS).is_file():
        raise StorageError(
            f"{folder}: {DIGESTS} is missing; a model folder has {CONFIG}, {WEIGHTS} and their digests, without which "
            "damage would not be seen: train the model anew"
        )
    try:
        lines = (folder / DIGESTS).read_text().splitlines()
    except UnicodeDecodeError:
        lines = []
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in (CONFIG, WEIGHTS):
        if not re.fullmatch("[0-9a-f]{64}", expected.get(name, "")):
            raise StorageError(f"{folder / DIGESTS}: damaged, it holds no digest of {name}")
        if (found := sha256(folder / name)) != expected[name]:
            raise StorageError(
                f"{folder / name} is damaged or was changed: its sha256 is {found}, {DIGESTS} says {expected[name]}"
            )


def _borrowed(model) -> dict[str, str]:
    """Names of the tensors of a network that lie in another folder, and their names there."""
    return model.borrowed() if hasattr(model, "borrowed") else {}


def _borrow(model, borrowed: dict[str, str], folder: Path) -> None:
    """Fill in the tensors that a model folder refers to."""
    import torch
    from safetensors import safe_open

    lender, expected = model.lender
    path = Path(lender) / WEIGHTS
    if not path.is_file():
        raise StorageError(f"{folder / CONFIG}: the network builds on the weights {path}, and there is no such file")
    if (found := digest(path)) != expected:
        raise StorageError(
            f"{folder / CONFIG}: it builds on other weights than those in {path}: md5 {expected}, found {found}"
        )
    own = model.state_dict(keep_vars=True)
    with safe_open(path, framework="pt") as weights, torch.no_grad():
        for name, theirs in borrowed.items():
            own[name].copy_(weights.get_tensor(theirs))


def _check_files(folder: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if not folder.is_dir():
        raise StorageError(f"{folder}: no such model folder")
    if not (folder / WEIGHTS).exists():
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in folder.glob(pattern))
        if pickles:
            raise StorageError(f"{folder}: {pickles[0]} is a pickle and is not loaded; {WEIGHTS} is needed")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise StorageError(f"{folder}: {name} is missing; a model folder has {CONFIG} and {WEIGHTS}")
    try:
        with safe_open(folder / WEIGHTS, framework="pt"):
            pass
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"{folder / WEIGHTS} is no safetensors file, or it was cut short: {first_line(error)}"
        ) from error


def _check_architecture(folder: Path) -> str:
    """The architecture that config.json names, which must be one of those registered with transformers by us."""
    from transformers import CONFIG_MAPPING

    try:
        found = json.loads((folder / CONFIG).read_text())["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{folder / CONFIG}: no model configuration: {first_line(error)}") from error
    # What was registered, without the hundreds of networks that transformers brings along.
    ours = CONFIG_MAPPING._extra_content
    if found not in ours:
        allowed = ", ".join(sorted(ours)) or "none, for no architecture is registered"
        raise StorageError(f"{folder / CONFIG}: architecture {found!r}, allowed: {allowed}")
    return found


def _some(names: list[str]) -> str:
    """The first few names, and how many there are."""
    return ", ".join(names) if len(names) <= SHOWN else f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and reports of transformers, which say for milliseconds of work what the errors say anyway."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
