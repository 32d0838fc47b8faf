"""An LMMSE predictor as a registered predictor."""

from pathlib import Path

from wavefoundry.deployment.served_folder import write_served
from wavefoundry.networks.lmmse import served
from wavefoundry.networks.lmmse.model import LMMSE


def export(model: LMMSE, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    write_served(Path(served.__file__), {"snr_db": model.options.snr_db}, folder, **model.arrays())
