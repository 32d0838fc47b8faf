"""The folder that `wavefoundry.deployment.served_predictor` loads."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# A predictor that is one plain ONNX file; the folder holds nothing else.
PLAIN = "predictor.onnx"
# The network of a folder that has one; its other files are the code around it and the settings of that code.
GRAPH = "network.onnx"


def mebibytes(folder: Path) -> float:
    """The size of all files of a folder [MiB]."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def write_served(code: Path, settings: Mapping[str, Any], folder: Path, **arrays: np.ndarray) -> None:
    """Write `settings.json`, `code.py` and, if there are any, `arrays.npz` into `folder`, which is made.

    Args:
        code: a Python file; see `wavefoundry.deployment.served_predictor` for what it defines.
        settings: what the code needs to know.
        folder: of the export.
        arrays: what the code needs besides.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if arrays:
        np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)
    (folder / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")
    shutil.copy(code, folder / "code.py")
