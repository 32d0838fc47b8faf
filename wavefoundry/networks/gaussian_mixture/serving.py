"""A predictor with mixtures of Gaussians as a registered predictor."""

import json
import shutil
from pathlib import Path

import numpy as np

from wavefoundry.networks.gaussian_mixture import served
from wavefoundry.networks.gaussian_mixture.model import GaussianMixture


def export(model: GaussianMixture, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "mixtures.npz", allow_pickle=False, **model.arrays())
    (folder / "settings.json").write_text(json.dumps({"snr_db": model.options.snr_db}) + "\n")
    shutil.copy(served.__file__, folder / "code.py")
