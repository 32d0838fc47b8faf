"""Checkpoints of other projects, files of torch.save: their tensors, and nothing else of them.

torch's own reader of tensors alone (`weights_only`) refuses every other object in a pickle before it is made.
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.errors import StorageError

if TYPE_CHECKING:
    import torch

# Under which name the weights lie in a checkpoint that holds more than them.
WRAPPERS = ("model", "state_dict", "model_state_dict")
# What torch.nn.DataParallel and Lightning put before every name.
PREFIXES = ("module.", "model.")


def read_checkpoint(path: Path) -> "dict[str, torch.Tensor]":
    """The weights in a file of torch.save by name, on the CPU.

    Weights that lie under one of WRAPPERS are taken from there, and one of PREFIXES before every name is left out.

    Raises:
        StorageError: there is no such file, it is no checkpoint, it is damaged, it holds other objects than tensors,
            numbers, texts and collections of them, or no mapping of names to tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise StorageError(f"{path}: no such file")
    content = _load(path)
    for name in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    _require_tensors(path, content)
    weights = dict(content)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def _load(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    # A file of any bytes: the reasons are as many as the readers inside.
    except Exception as error:
        # What torch says further is how to load it all the same.
        if foreign := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise StorageError(
                f"{path}: holds {foreign[1]}, which is no tensor; only tensors, numbers, texts and collections of them "
                "are loaded from a pickle"
            ) from error
        raise StorageError(f"{path}: is no checkpoint of torch.save, or it is damaged") from error


def _require_tensors(path: Path, content: Any) -> None:
    import torch

    if not isinstance(content, Mapping) or not content:
        found = (
            "an empty mapping" if isinstance(content, Mapping) else f"an object of the type {type(content).__name__}"
        )
        raise StorageError(f"{path}: holds {found}; a mapping of names to tensors is needed")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise StorageError(
                f"{path}: {name!r} is an object of the type {type(value).__name__}; a mapping of names to tensors is "
                f"needed, alone or under one of the names {', '.join(WRAPPERS)}"
            )
