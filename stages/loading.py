"""What evaluations read: splits of the stores, and the predictors of an entry."""

from pathlib import Path
from typing import TYPE_CHECKING

from stages.paths import csi_store, model_folder
from stages.pretrained import load_language_model as load_language_model  # for who loads what an entry consists of

if TYPE_CHECKING:
    import torch

    from stages.params import Params
    from wavefoundry.networks.capabilities import Predictor


def load_split(dataset: str, split: str) -> "torch.Tensor":
    """Complex64 CSI (sample, time, antenna, subcarrier) of one split of a data set."""
    import torch

    from storage.stores.csi_store import open_store, read_array, split_indices

    path = csi_store(dataset)
    store = open_store(path, "csi")
    return torch.from_numpy(read_array(path, store, "csi")[split_indices(store, split)])


def predictor_folders(parameters: "Params", group: str, name: str) -> list[Path]:
    """The model folders of an entry, one a seed; none of a method, which is not trained.

    Raises:
        InputError: there is no such entry.
    """
    if group == "predictors":
        parameters.method_options(name)
        return []
    return [model_folder(name, seed) for seed in parameters.model(name, [group]).seeds]


def load_predictors(parameters: "Params", group: str, name: str) -> dict[int | None, "Predictor"]:
    """The predictors of an entry by seed; a method has the seed None. Networks that do not predict are left out."""
    from wavefoundry.networks.capabilities import Predictor

    if group == "predictors":
        from wavefoundry.evaluation.method_predictor import MethodPredictor

        return {None: MethodPredictor(*parameters.method_options(name))}
    loaded = {seed: load_network(parameters, name, model_folder(name, seed)) for seed in parameters.models[name].seeds}
    return {seed: network for seed, network in loaded.items() if isinstance(network, Predictor)}


def load_network(parameters: "Params", name: str, folder: Path):
    """A network of an entry, in evaluation mode on the CPU.

    Raises:
        StorageError: the folder is no model folder of ours, or it is damaged.
    """
    from storage.models.model_folder import load_model
    from wavefoundry.networks.config import register

    register(parameters.models[name].family)
    return load_model(folder)
