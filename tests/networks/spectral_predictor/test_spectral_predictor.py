import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from tests.networks.facts import facts
from tests.networks.spectral_predictor.example import gaussian_channels, options, spectral_predictor
from wavefoundry.csi.bins import AXES, from_bins, to_bins
from wavefoundry.csi.linear_prediction import extrapolate, lattice
from wavefoundry.csi.noise import add_noise
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError
from wavefoundry.networks.spectral_predictor.chosen_bins import strongest
from wavefoundry.networks.spectral_predictor.model import SpectralPredictor, every_second_slot
from wavefoundry.networks.spectral_predictor.serving import export
from wavefoundry.predictors import autoregression

QUESTIONS = {"time": (3, 0), "frequency": (0, 3), "both": (2, 5)}
sizes = st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(1, 5), st.integers(2, 9))
questions = st.sampled_from(sorted(QUESTIONS.values()))
some_of_seven = st.lists(st.booleans(), min_size=7, max_size=7)


def noise(*shape, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(**changes) -> SpectralPredictor:
    """With weights drawn so that all of them count."""
    model = spectral_predictor(**changes).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.2 * torch.randn(weights.shape, generator=seeded(1)))
    model.error_factors.copy_(torch.tensor([0.5, 2.0, 3.0]))
    return model


MODEL = drawn()


def path(slots: int, antennas: int, subcarriers: int, doppler: float = 0.083, delay: float = 0.11) -> torch.Tensor:
    """A single path (1, slot, antenna, subcarrier); Doppler frequency [cycles per slot], delay [cycles per carrier]."""
    axes = (doppler, torch.arange(slots)), (0.21, torch.arange(antennas)), (-delay, torch.arange(subcarriers))
    time, space, frequency = (torch.polar(torch.ones(len(n)), 2 * torch.pi * turn * n) for turn, n in axes)
    return (time[:, None, None] * space[:, None] * frequency)[None]


@settings(max_examples=40, deadline=None)
@given(sizes=sizes, question=questions, level=st.floats(-19, 19), angle=st.floats(0, 6.28), seed=st.integers(0, 99))
def test_a_complex_factor_of_the_input_is_one_of_the_prediction(sizes, question, level, angle, seed):
    known = noise(*sizes, seed=seed)
    factor = 10**level * np.exp(1j * angle)
    expected, found = factor * MODEL.predict(known, *question), MODEL.predict(factor * known, *question)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@settings(max_examples=25, deadline=None)
@given(sizes=sizes, question=questions, seed=st.integers(0, 99))
def test_a_prediction_does_not_depend_on_who_else_is_in_the_batch(sizes, question, seed):
    known = noise(*sizes, seed=seed) * torch.logspace(-3, 3, sizes[0])[:, None, None, None]
    together = MODEL.predict(known, *question)
    for index in range(sizes[0]):
        alone = MODEL.predict(known[index, None], *question)[0]
        assert (together[index] - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_time_and_frequency_at_once_are_the_mean_of_both_orders():
    known = noise(2, 6, 4, 8)
    band = torch.cat([known, MODEL.predict(known, 0, 5)], dim=3)
    future = torch.cat([known, MODEL.predict(known, 3, 0)], dim=1)
    orders = MODEL.predict(band, 3, 0)[..., 8:], MODEL.predict(future, 0, 5)[:, 6:]
    torch.testing.assert_close(MODEL.predict(known, 3, 5), sum(orders) / 2, rtol=0, atol=1e-4)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_silence_is_continued_by_silence(question):
    known = noise(2, 6, 4, 8)
    known[1] = 0
    alone = MODEL.predict(known[:1], *question)
    predicted = MODEL.predict(known, *question)
    assert torch.equal(predicted[1], torch.zeros_like(predicted[1]))
    torch.testing.assert_close(predicted[:1], alone)


def test_a_silent_bin_is_continued_by_silence():
    series = to_bins(noise(1, 6, 4, 8).to(torch.complex128), "time")
    series[:, 1, 2] = 0
    model = drawn(architecture={"share": 1.0})
    found, _ = model._beyond(model._bins(series, "time"), 3, "time")
    assert not found[:, 1, 2].any() and found[:, 1, 3].all()


@pytest.mark.parametrize("question", [(1, 0), (12, 0), (0, 1), (0, 12), (1, 1), (12, 12)])
@pytest.mark.parametrize("size", [(3, 4, 8), (2, 1, 2), (7, 1, 5), (5, 6, 33)])
def test_any_size_and_any_horizon(size, question):
    predicted = MODEL.predict(noise(2, *size), *question)
    slots, subcarriers = (asked or known for asked, known in zip(question, (size[0], size[2]), strict=True))
    assert predicted.shape == (2, slots, size[1], subcarriers) and predicted.dtype == torch.complex64
    assert predicted.isfinite().all()


def test_a_single_subcarrier_of_a_single_antenna_is_continued_in_time_only():
    known = noise(2, 3, 1, 1)
    assert MODEL.predict(known, 12, 0).isfinite().all()
    with pytest.raises(InputError, match="1 known entry along frequency; 2 are needed"):
        MODEL.predict(known, 0, 2)
    with pytest.raises(InputError, match="1 known entry along time; 2 are needed"):
        MODEL.predict(known[:, :1], 1, 0)
    with pytest.raises(InputError, match="slots is 0 and subcarriers is 0"):
        MODEL.predict(known, 0, 0)
    with pytest.raises(InputError, match="too small"):
        spectral_predictor()(noise(2, 2, 4, 2), seeded())


def test_options_say_what_is_too_small():
    assert "one slot" in options().why_not(facts(slots=1))
    assert "2 slots and 2 subcarriers" in options().why_not(facts(slots=2, subcarriers=2))
    assert options().why_not(facts(slots=2, subcarriers=3)) is None
    assert options().why_not(facts(array=(1, 2, 4))) is None
    assert "1 of its slots is known" in options().why_not_predict(facts(), (1, 16), (4, 0))
    assert "1 of its subcarriers is known" in options().why_not_predict(facts(), (8, 1), (0, 4))
    assert options().why_not_predict(facts(), (2, 1), (4, 0)) is None
    for changes, told in (
        ({"architecture": {"frequencies": 33}}, "frequencies 33 is odd"),
        ({"architecture": {"share": 0.0}}, "share"),
        ({"architecture": {"orders": {"time": [3]}}}, "orders.time"),
        ({"snr_db": [30.0, 10.0]}, "smallest, largest"),
    ):
        with pytest.raises(ValidationError, match=told):
            options(**changes)


@pytest.mark.parametrize("axis", AXES)
def test_bins_keep_the_power_and_have_an_inverse(axis):
    csi = noise(2, 3, 4, 5)
    series = to_bins(csi, axis)
    torch.testing.assert_close(from_bins(series, axis), csi)
    torch.testing.assert_close(series.abs().square().sum(), csi.abs().square().sum())


def test_the_lattice_is_that_of_the_classical_predictor_where_nothing_is_pooled():
    """All bins alike: the mean over neighbours is each of them."""
    series = noise(1, 1, 1, 9).expand(1, 4, 5, 9).to(torch.complex128)
    filters, _ = lattice(series, [3, 20])
    np.testing.assert_allclose(filters[0][0, 0, 0], autoregression.burg(series[0, 0, 0, None].numpy(), 3), atol=1e-12)
    assert filters[1].shape[-1] == 9


def test_a_fresh_network_continues_a_single_path():
    csi = path(16, 8, 16)
    predicted = spectral_predictor().eval().predict(csi[:, :8], 8, 0)
    assert (predicted - csi[:, 8:]).abs().square().mean() < 0.02
    predicted = spectral_predictor().eval().predict(csi[..., :8], 0, 8)
    assert (predicted - csi[..., 8:]).abs().square().mean() < 0.02


def test_autoregression_does_not_grow():
    series = noise(3, 4, 5, 6).to(torch.complex128)
    far = extrapolate(series, lattice(series, [4])[0][0], 300)
    assert far.abs().max() < 10 * series.abs().max()


def fitted(steps: int = 120) -> tuple[SpectralPredictor, list[float]]:
    model = spectral_predictor(draws={"time": 1.0, "usual": 1.0, "crop": 0.0}, snr_db=[10.0, 10.0])
    csi = path(12, 4, 8, 0.05) + 0.8 * path(12, 4, 8, -0.08, 0.3)
    optimiser, losses = torch.optim.AdamW(model.parameters(), 5e-3), []
    for step in range(steps):
        loss = model(csi.expand(8, -1, -1, -1), seeded(step))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return model, losses


def test_it_learns_and_repeats_to_the_bit():
    (model, losses), (again, _) = fitted(), fitted()
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), again.parameters(), strict=True))


def test_a_step_says_which_axis_it_learns_and_leaves_the_other_alone():
    model = spectral_predictor()
    seen = set()
    for seed in range(12):
        model.zero_grad()
        losses = model(noise(3, 6, 4, 6), seeded(seed))
        losses["loss"].backward()
        (name,) = losses.keys() - {"loss"}
        seen.add(name)
        for axis, estimator in model.estimators.items():
            assert any(p.grad is not None for p in estimator.parameters()) == (name == f"{axis}_loss")
    assert seen == {"time_loss", "frequency_loss"}


def test_every_second_slot_of_a_path_is_one_that_turns_twice_as_fast():
    torch.testing.assert_close(every_second_slot(path(10, 3, 4)), path(5, 3, 4, doppler=2 * 0.083))


def test_of_few_slots_all_are_seen():
    few = noise(1, 4, 2, 4)
    assert every_second_slot(few) is few


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> ServedPredictor:
    folder = tmp_path_factory.mktemp("served") / "new"
    export(MODEL, folder)
    assert [file.name for file in folder.iterdir()] == ["predictor.onnx"]
    return ServedPredictor(folder)


@settings(max_examples=25, deadline=None)
@given(sizes=sizes, question=questions, seed=st.integers(0, 99), level=st.sampled_from([1e-12, 1.0, 1e6]))
def test_what_is_served_gives_the_same_answers(served, sizes, question, seed, level):
    known = level * noise(*sizes, seed=seed)
    answers = served.predict_with_error(known.numpy(), *question)
    for expected, found in zip(MODEL.predict_with_error(known, *question), answers, strict=True):
        assert found.shape == expected.shape
        assert np.abs(found - expected.numpy()).max() <= 1e-4 * np.abs(expected.numpy()).max()
    assert np.array_equal(served.predict(known.numpy(), *question), answers[0])


@settings(max_examples=25, deadline=None)
@given(length=st.integers(3, 9), question=questions, late=some_of_seven, early=some_of_seven)
def test_slots_that_are_lost_are_put_in_where_it_is_served_too(served, length, question, late, early):
    """Two slots in a row arrive: otherwise zeros stay, and the angle-Doppler bins of one slot are equally strong."""
    known = noise(3, length, 3, 4)
    known[1, 2:][torch.tensor(late[: length - 2])] = 0
    known[2, :-2][torch.tensor(early[: length - 2])] = 0
    answers = served.predict_with_error(known.numpy(), *question)
    for expected, found in zip(MODEL.predict_with_error(known, *question), answers, strict=True):
        assert np.abs(found - expected.numpy()).max() <= 1e-4 * np.abs(expected.numpy()).max()


def test_a_long_gap_is_served_like_it_is_computed(served):
    known = path(32, 4, 8, 0.011) + 0.7 * path(32, 4, 8, -0.017, 0.3) + 1e-3 * noise(1, 32, 4, 8)
    known[:, 4:28] = 0
    expected = MODEL.predict(known, 3, 0).numpy()
    assert np.abs(served.predict(known.numpy(), 3, 0) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("question", QUESTIONS.values())
def test_silence_is_served_as_silence_that_errs_nowhere(served, question):
    known = noise(3, 6, 4, 8).numpy()
    known[1] = 0
    found, error = served.predict_with_error(known, *question)
    assert not found[1].any() and not error[1].any()
    for part, alone in zip((found, error), served.predict_with_error(known[[0, 2]], *question), strict=True):
        np.testing.assert_array_equal(part[[0, 2]], alone)
    assert not served.predict(np.zeros_like(known), *question).any()


def test_a_single_known_entry_is_refused_where_it_is_to_be_continued(served):
    for shape, axis, question in (((1, 1, 4, 8), "time", (2, 0)), ((1, 4, 4, 1), "frequency", (0, 2))):
        with pytest.raises(ValueError, match=f"to continue {axis}, the predictor takes at least 2 known entries"):
            served.predict(noise(*shape).numpy(), *question)
        assert np.isfinite(served.predict(noise(*shape).numpy(), *question[::-1])).all()


@settings(max_examples=25, deadline=None)
@given(sizes=sizes, question=questions, level=st.floats(-15, 15), seed=st.integers(0, 99))
def test_the_expected_error_grows_with_the_power_alone_and_is_one_of_each_entry(sizes, question, level, seed):
    known = noise(*sizes, seed=seed)
    predicted, error = MODEL.predict_with_error(known, *question)
    assert torch.equal(predicted, MODEL.predict(known, *question))
    assert error.shape == predicted.shape[:2] + predicted.shape[3:] and (error > 0).all()
    _, louder = MODEL.predict_with_error(10**level * 1j * known, *question)
    torch.testing.assert_close(louder, 10 ** (2 * level) * error, rtol=1e-3, atol=0)
    known[0] = 0
    assert not MODEL.predict_with_error(known, *question)[1][0].any()


def test_the_expected_error_is_the_mean_error_of_gaussian_channels_that_were_not_learnt_from():
    model = spectral_predictor(draws={"time": 1.0, "usual": 1.0, "crop": 0.0, "bins": 32}, snr_db=[10.0, 10.0])
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 300)
    for step in range(300):
        optimiser.zero_grad()
        model(gaussian_channels(64, step), seeded(step))["loss"].backward()
        optimiser.step()
        schedule.step()
    csi = gaussian_channels(4000, 10_000)
    known = add_noise(csi[:, :6], 10.0, seeded())
    predicted, expected = model.eval().predict_with_error(known, 6, 0)
    error = (predicted - csi[:, 6:]).abs().square().mean(2)
    assert expected.mean().item() == pytest.approx(error.mean().item(), rel=0.1)
    for step in range(6):
        assert expected[:, step].mean().item() == pytest.approx(error[:, step].mean().item(), rel=0.25)
    # It tells samples apart: of the half of which it expects less, the errors are less.
    relative = error.mean((1, 2)) / csi[:, 6:].abs().square().mean((1, 2, 3))
    expected_relative = expected.mean((1, 2)) / known.abs().square().mean((1, 2, 3))
    low = expected_relative < expected_relative.median()
    assert relative[low].median() < 0.8 * relative[~low].median()


def test_the_expected_error_does_not_change_what_is_predicted():
    """Its weights are the only ones that its loss reaches."""
    model = spectral_predictor()
    series = to_bins(noise(3, 6, 4, 6).to(torch.complex64), "time")
    bins, chosen = model._bins(series, "time"), strongest(series, 8)
    model._continue(bins, chosen, 2, "time").expected_error.sum().backward()
    reached = {name for name, weights in model.named_parameters() if weights.grad is not None and weights.grad.any()}
    assert reached == {"estimators.time.error"}


def test_a_saved_model_is_loaded_by_auto_class_and_predicts_the_same(tmp_path):
    MODEL.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, SpectralPredictor) and again.config.settings == MODEL.config.settings
    known = noise(1, 6, 4, 8)
    for question in QUESTIONS.values():
        for found, expected in zip(
            again.predict_with_error(known, *question), MODEL.predict_with_error(known, *question), strict=True
        ):
            assert torch.equal(found, expected)
