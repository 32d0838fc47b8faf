"""A predictor with mixtures of Gaussians as a registered predictor."""

from pathlib import Path

from wavefoundry.deployment.served_folder import write_served
from wavefoundry.networks.gaussian_mixture import served
from wavefoundry.networks.gaussian_mixture.model import GaussianMixture


def export(model: GaussianMixture, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    write_served(Path(served.__file__), {"snr_db": model.options.snr_db}, folder, **model.arrays())
