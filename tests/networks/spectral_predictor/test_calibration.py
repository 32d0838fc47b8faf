"""What is expected of an error is as much, in the mean, as the error that is made."""

import pytest
import torch

from tests.networks.lmmse.example import InMemory
from tests.networks.spectral_predictor.example import gaussian_channels, options, spectral_predictor
from wavefoundry.csi.noise import add_noise
from wavefoundry.networks.spectral_predictor.calibration import KINDS, error_factors, kind_of
from wavefoundry.networks.spectral_predictor.model import train
from wavefoundry.training.one_pass import batches
from wavefoundry.training.session import TrainingSession

QUESTIONS = {"time": (6, 0), "frequency": (0, 4), "both": (6, 4)}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def white(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=seeded())


class TooSure:
    """Knows nothing of white channels, and so errs by their power; expects a known part of that."""

    def __init__(self, expected: dict[str, float]):
        self.expected = expected

    def predict(self, known, slots, subcarriers):
        return known.new_zeros(len(known), slots or known.shape[1], known.shape[2], subcarriers or known.shape[3])

    def predict_with_error(self, known, slots, subcarriers):
        found = self.predict(known, slots, subcarriers)
        return found, torch.full_like(found[:, :, 0].real, self.expected[kind_of(slots, subcarriers)])


@pytest.mark.parametrize(("level", "known_share"), [(1e-19, 0.5), (1.0, 0.3), (1e19, 0.8)])
def test_the_factor_is_the_one_by_which_a_predictor_is_too_sure(level, known_share):
    factors = {"time": 3.0, "frequency": 0.7, "both": 12.0}
    predictor = TooSure({kind: 1 / factor for kind, factor in factors.items()})
    # One sample is silent, and says nothing.
    parts = [level * white(300, 8, 4, 16), level * white(200, 7, 2, 10), torch.zeros(1, 8, 4, 16).to(torch.complex64)]
    found = error_factors(predictor, parts, known_share, (10.0, 30.0), seeded())
    assert found == pytest.approx({kind: factor * 500 / 501 for kind, factor in factors.items()}, rel=0.02)


def test_a_kind_of_question_for_which_samples_are_too_small_is_left_as_it_was():
    predictor = TooSure(dict.fromkeys(KINDS, 0.5))
    found = error_factors(predictor, [white(400, 1, 4, 16)], 0.5, (10.0, 30.0), seeded())
    assert found["time"] == found["both"] == 1 and found["frequency"] == pytest.approx(2, rel=0.05)


def test_a_calibrated_network_expects_the_mean_error_of_gaussian_channels_that_it_has_not_seen():
    """A fresh network, which is off by far before."""
    model = spectral_predictor(snr_db=[10.0, 30.0]).eval()
    model.calibrate(gaussian_channels(1500, 0).split(500), seeded())
    csi = gaussian_channels(1500, 1)
    snr_db = 10 + 20 * torch.rand(len(csi), generator=seeded(2))
    for kind, (slots, subcarriers) in QUESTIONS.items():
        known = add_noise(csi[:, : 12 - slots, :, : 8 - subcarriers], snr_db, seeded(3))
        found, expected = model.predict_with_error(known, slots, subcarriers)
        measured = (found - csi[:, -slots:, :, -subcarriers:]).abs().square().mean()
        assert expected.mean().item() == pytest.approx(measured.item(), rel=0.1), kind
        uncalibrated = expected.mean() / model.error_factors[KINDS.index(kind)]
        assert abs(uncalibrated / measured - 1) > 0.2, kind


def test_a_training_ends_with_the_calibration_on_the_validation_split(tmp_path):
    validation = InMemory([gaussian_channels(40, 1)])
    session = TrainingSession(
        dataset=InMemory([gaussian_channels(40, 0)]),
        validation=lambda: validation,
        delay_fraction=1.0,
        seed=5,
        checkpoints=tmp_path,
        on_epoch=None,
        take_champion=lambda network: None,
        language_model=NotImplemented,
    )
    model = train(options(snr_db=[10.0, 30.0]), session).model
    found = model.error_factors.clone()
    assert (found != 1).all() and (found > 0).all()
    model.error_factors.fill_(1.0)
    again = error_factors(model, batches(validation, 5), 0.5, (10.0, 30.0), seeded(5))
    assert found.tolist() == pytest.approx([again[kind] for kind in KINDS])
