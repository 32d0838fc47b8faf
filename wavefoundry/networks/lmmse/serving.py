"""An LMMSE predictor as a registered predictor."""

import json
import shutil
from pathlib import Path

import numpy as np

from wavefoundry.networks.lmmse import served
from wavefoundry.networks.lmmse.model import LMMSE


def export(model: LMMSE, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "covariances.npz", allow_pickle=False, **model.arrays())
    (folder / "settings.json").write_text(json.dumps({"snr_db": model.options.snr_db}) + "\n")
    shutil.copy(served.__file__, folder / "code.py")
