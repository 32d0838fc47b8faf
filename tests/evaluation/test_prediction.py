"""The score: noise on the known part only, at the SNR asked for."""

import pytest
import torch

from wavefoundry.csi.noise import add_noise
from wavefoundry.errors import InputError
from wavefoundry.evaluation.method_predictor import MethodPredictor
from wavefoundry.evaluation.methods import methods
from wavefoundry.evaluation.metrics import nmse
from wavefoundry.evaluation.options import Blocks
from wavefoundry.evaluation.prediction import Question, predict_in_batches, score

# Shares of (slots, subcarriers) that are known and asked for.
SHARES = {
    "time": ((0.5, 1.0), (0.5, 0.0)),
    "frequency": ((1.0, 0.5), (0.0, 0.5)),
    "both": ((0.5, 0.5), (0.5, 0.5)),
}


def question(name: str, snr_db: float, noise_seed: int) -> Question:
    known, wanted = (dict(zip(("slots", "subcarriers"), part, strict=True)) for part in SHARES[name])
    return Question(Blocks.model_validate({"known": known, "wanted": wanted}), snr_db, noise_seed)


def sample_and_hold() -> MethodPredictor:
    return MethodPredictor("sample_and_hold", methods()["sample_and_hold"]())


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
    found = score(sample_and_hold(), constant, question("time", 20.0, 0), 16, 10.0)
    assert found.nmse.mean().item() == pytest.approx(0.01, rel=0.05)
    assert found.ratio_of_sums == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("name", SHARES)
def test_score_does_not_depend_on_the_batch_size_and_repeats(name):
    asked = question(name, 10.0, 3)
    some, others = (score(sample_and_hold(), csi(), asked, size, 10.0) for size in (64, 7))
    assert torch.equal(some.nmse, others.nmse) and torch.equal(some.rate, others.rate)


def test_the_predictor_never_sees_the_target():
    class Recorder(MethodPredictor):
        def predict(self, known, slots, subcarriers):
            self.shape, self.known, self.wanted = known.shape, known, (slots, subcarriers)
            return super().predict(known, slots, subcarriers)

    for name, shape, wanted in [
        ("time", (64, 4, 8, 16), (4, 0)),
        ("frequency", (64, 8, 8, 8), (0, 8)),
        ("both", (64, 4, 8, 8), (4, 8)),
    ]:
        recorder = Recorder("sample_and_hold", methods()["sample_and_hold"]())
        score(recorder, csi(), question(name, 20.0, 0), 64, 10.0)
        assert recorder.shape == shape and recorder.wanted == wanted
        # Other values where the answer is, the same question.
        seen, changed = recorder.known, csi()
        changed[:, shape[1] :], changed[..., shape[3] :] = 7, 7
        score(recorder, changed, question(name, 20.0, 0), 64, 10.0)
        assert torch.equal(recorder.known, seen)


@pytest.mark.parametrize("name", SHARES)
def test_what_is_asked_for_is_the_clean_block_right_beyond_the_known_one(name):
    clean = csi(4)
    known, target, (slots, subcarriers) = question(name, 300.0, 0).split(clean)
    times = slice(known.shape[1], known.shape[1] + slots) if slots else slice(known.shape[1])
    bands = slice(known.shape[3], known.shape[3] + subcarriers) if subcarriers else slice(known.shape[3])
    assert torch.equal(target, clean[:, times, :, bands])
    assert torch.allclose(known, clean[:, : known.shape[1], :, : known.shape[3]])
    found, expected = predict_in_batches(sample_and_hold(), known, (slots, subcarriers), 3)
    assert found.shape == target.shape and expected is None


def test_steps_are_those_beyond_the_known_slots_and_there_are_none_where_no_slot_is_asked_for():
    clean = csi(5)
    steps = {name: score(sample_and_hold(), clean, question(name, 20.0, 0), 64, 10.0).by_step for name in SHARES}
    assert {name: tuple(found.shape) for name, found in steps.items()} == {
        "time": (5, 4),
        "frequency": (5, 0),
        "both": (5, 4),
    }


def test_nmse_by_hand():
    target = torch.tensor([[3.0 + 4.0j, 0.0], [1.0, 1.0]])
    predicted = torch.tensor([[3.0 + 4.0j, 5.0], [0.0, 0.0]])
    assert nmse(predicted, target).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", SHARES)
def test_silent_is_who_has_nothing_where_it_is_asked_for(name):
    clean, asked = csi(3), question(name, 20.0, 0)
    (slots, band), (more_slots, more_band) = asked.blocks.sizes(8, 16)
    # The second has nothing in what is known, the third nothing in what is wanted.
    clean[1, :slots, :, :band] = 0
    clean[2, slots if more_slots else 0 :, :, band if more_band else 0 :] = 0
    assert asked.silent(clean).tolist() == [False, False, True]
    with pytest.raises(InputError, match="sample 2 is zero throughout"):
        score(sample_and_hold(), clean, asked, 64, 10.0)
    found = score(sample_and_hold(), clean[:2], asked, 64, 10.0)
    # Who knows nothing answers nothing, and is wrong by all there is.
    assert found.nmse.isfinite().all() and found.nmse[1].item() == 1.0


def test_single_silent_slots_are_told_and_the_sample_keeps_its_nmse():
    clean = csi(3)
    clean[1, 5] = 0
    found = score(sample_and_hold(), clean, question("time", 20.0, 0), 64, 10.0)
    assert found.silent_steps.nonzero().tolist() == [[1, 1]] and found.by_step[~found.silent_steps].isfinite().all()
    assert found.nmse.isfinite().all()
    assert score(sample_and_hold(), clean, question("frequency", 20.0, 0), 64, 10.0).silent_steps.shape == (3, 0)
