"""A small predictor with mixtures of Gaussians."""

from tests.networks.lmmse.example import InMemory, smooth
from wavefoundry.networks.gaussian_mixture.model import GaussianMixture, train
from wavefoundry.networks.gaussian_mixture.options import Options
from wavefoundry.training.session import Trained, TrainingSession

SMALL = Options.model_validate(
    {
        "time": {"length": 8, "components": 3, "series": 400, "iterations": 4},
        "frequency": {"length": 16, "components": 2, "series": 400, "iterations": 3},
        "floor": 1e-3,
        "snr_db": 20.0,
    }
)


def options(**changes) -> Options:
    """Options with some values replaced, mapping by mapping."""
    return SMALL.changed(changes)


def trained(tmp_path, seed: int = 0, parts=None, on_epoch=None, **changes) -> Trained:
    """A training on smooth channels, or on the given ones (sample, time, antenna, subcarrier)."""
    session = TrainingSession(
        dataset=InMemory(parts or [smooth(20, 8, 4, 16)]),
        validation=NotImplemented,
        delay_fraction=1.0,
        seed=seed,
        checkpoints=tmp_path,
        on_epoch=on_epoch,
        take_champion=lambda network: None,
        language_model=NotImplemented,
    )
    return train(options(**changes), session)


def gaussian_mixture(tmp_path, **changes) -> GaussianMixture:
    """A trained predictor."""
    return trained(tmp_path, **changes).model
