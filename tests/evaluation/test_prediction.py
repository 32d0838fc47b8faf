"""The score: noise on the known part only, at the SNR asked for."""

import pytest
import torch

from wavefoundry.csi.noise import add_noise
from wavefoundry.evaluation.claims import check_claims
from wavefoundry.evaluation.classical import SampleAndHold
from wavefoundry.evaluation.prediction import Task, score


def csi(samples=64, slots=8):
    return torch.randn(samples, slots, 8, 16, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_noise_has_the_power_asked_for(snr_db):
    clean = csi() * torch.logspace(-6, 3, 64)[:, None, None, None]
    noise = add_noise(clean, snr_db, torch.Generator().manual_seed(1)) - clean
    ratio = clean.abs().square().mean((1, 2, 3)) / noise.abs().square().mean((1, 2, 3))
    assert torch.allclose(10 * ratio.log10(), torch.tensor(snr_db), atol=0.6)


def test_holding_a_constant_channel_scores_the_noise_itself():
    constant = csi(slots=1).expand(-1, 8, -1, -1).contiguous()
    errors = score(SampleAndHold(), constant, Task("time", 0.5, 20.0, 0), 16)
    assert errors.mean().item() == pytest.approx(0.01, rel=0.05)


def test_score_does_not_depend_on_the_batch_size_and_repeats():
    task = Task("frequency", 0.5, 10.0, 3)
    assert torch.equal(score(SampleAndHold(), csi(), task, 64), score(SampleAndHold(), csi(), task, 7))


def test_the_predictor_never_sees_the_target():
    class Recorder(SampleAndHold):
        def predict(self, known, axis, horizon):
            self.shape = known.shape
            return super().predict(known, axis, horizon)

    for axis, shape in [("time", (64, 4, 8, 16)), ("frequency", (64, 8, 8, 8))]:
        recorder = Recorder()
        score(recorder, csi(), Task(axis, 0.5, 20.0, 0), 64)
        assert recorder.shape == shape


def test_claims_follow_the_numbers():
    summary = {
        "sample_and_hold": {"time_nmse_db": -1.0, "frequency_nmse_db": 3.0},
        "wifo": {"time_nmse_db": -5.0, "frequency_nmse_db": -4.0},
        "tiny_wifo": {"time_nmse_db": -4.0, "time_nmse_db_spread": 0.3, "frequency_nmse_db": -3.0},
        "tiny_wifo_no_kd": {"time_nmse_db": -3.9, "time_nmse_db_spread": 0.1, "frequency_nmse_db": -2.0},
    }
    parameters = {"sample_and_hold": 0, "wifo": 100, "tiny_wifo": 25, "tiny_wifo_no_kd": 25}
    verdicts = [claim.holds for claim in check_claims(summary, parameters)]
    # Three models beat sample-and-hold; the teacher is not kept; in time the gain is within the spread.
    assert verdicts == [True, True, True, False, False, True]
