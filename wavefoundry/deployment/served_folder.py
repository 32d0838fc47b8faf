"""The folder that `wavefoundry.deployment.served_predictor` loads."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# A predictor that is one plain ONNX file; the folder holds nothing else.
PLAIN = "predictor.onnx"


def mebibytes(folder: Path) -> float:
    """The size of all files of a folder [MiB]."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def write_served(code: Path, settings: Mapping[str, Any], folder: Path) -> None:
    """Write `settings.json` and `code.py` into `folder`, which is made.

    Args:
        code: a Python file; see `wavefoundry.deployment.served_predictor` for what it defines.
        settings: what the code needs to know.
        folder: of the export.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")
    shutil.copy(code, folder / "code.py")
