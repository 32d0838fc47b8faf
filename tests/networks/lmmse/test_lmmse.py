"""LMMSE prediction against closed forms, and what it promises of any input."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.special import j0
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from tests.deployment.answers import assert_same_in_every_sample, assert_silence_says_nothing_to_others
from tests.networks.facts import facts
from tests.networks.lmmse.example import InMemory, lmmse, options, smooth
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError
from wavefoundry.networks.lmmse.model import build, train
from wavefoundry.networks.lmmse.options import Options
from wavefoundry.networks.lmmse.serving import export
from wavefoundry.training.session import TrainingSession

DOPPLER = 0.05  # cycles per slot
NOISE = 0.01


def jakes(slots: int) -> np.ndarray:
    """Covariance of slots in a rich scattering environment."""
    return j0(2 * np.pi * DOPPLER * (np.arange(slots)[:, None] - np.arange(slots)))


def rayleigh(samples: int, slots: int, seed: int) -> torch.Tensor:
    """Complex64 (sample, time, 4 antennas, 8 subcarriers), Jakes' process in time, white otherwise."""
    generator = np.random.default_rng(seed)
    shape = (samples, slots, 4, 8)
    white = (generator.normal(size=shape) + 1j * generator.normal(size=shape)) / np.sqrt(2)
    values, vectors = np.linalg.eigh(jakes(slots))
    csi = np.einsum("ts,bsnk->btnk", vectors * np.sqrt(np.maximum(values, 0)), white)
    return torch.from_numpy(csi.astype(np.complex64))


@pytest.mark.parametrize("covariance", ["kronecker", "per_bin"])
def test_on_jakes_spectrum_it_is_the_closed_form(covariance):
    model = build(Options(covariance=covariance, angles=4, slots=12, subcarriers=8, snr_db=20.0), 1.0)
    model.learn(InMemory([rayleigh(1500, 12, seed=0)]), 0)
    learnt = torch.view_as_complex(model.time).numpy()
    np.testing.assert_allclose(learnt, np.broadcast_to(jakes(12), learnt.shape), atol=0.03)

    csi = rayleigh(400, 12, seed=1).numpy()
    generator = np.random.default_rng(2)
    noise = generator.normal(size=csi.shape) + 1j * generator.normal(size=csi.shape)
    known = (csi + np.sqrt(NOISE / 2) * noise)[:, :8].astype(np.complex64)
    true = jakes(12)
    weights = true[8:, :8] @ np.linalg.inv(true[:8, :8] + NOISE * np.eye(8))
    expected = np.einsum("ts,bsnk->btnk", weights, known)
    error = (true[8:, 8:] - weights @ true[:8, 8:]).trace() / 4
    found = model.predict(torch.from_numpy(known), 4, 0).numpy()
    assert np.square(np.abs(found - expected)).mean() < 0.1 * error
    assert np.square(np.abs(found - csi[:, 8:])).mean() == pytest.approx(error, rel=0.1)


def test_in_both_it_is_the_estimate_from_the_whole_covariance():
    """The eigenvectors of the two factors save the inversion of the large matrix, and change nothing."""
    model = lmmse()
    arrays, known = model.arrays(), smooth(1, 4, 4, 6, seed=5).numpy().astype(np.complex128)
    power = arrays["power"][[0, 1, 1, 0]]
    scale = np.square(np.abs(known)).mean() ** 0.5 / (1 + NOISE) ** 0.5
    angles, predicted = np.fft.fft(known / scale, axis=2, norm="ortho"), np.zeros((1, 3, 4, 2), complex)
    for bin_, strength in enumerate(power / power.mean()):
        time, frequency = arrays["time"][0], arrays["frequency"][0]
        inside = strength * np.kron(time[:4, :4], frequency[:6, :6]) + NOISE * np.eye(24)
        across = strength * np.kron(time[4:7, :4], frequency[6:8, :6])
        predicted[0, :, bin_] = (across @ np.linalg.solve(inside, angles[0, :, bin_].reshape(-1))).reshape(3, 2)
    expected = scale * np.fft.ifft(predicted, axis=2, norm="ortho")
    found = model.predict(torch.from_numpy(known.astype(np.complex64)), 3, 2).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_samples_of_any_power_and_size_are_pooled():
    small, large = smooth(20, 8, 4, 16, seed=1), smooth(10, 4, 8, 12, seed=2)
    one, other = build(options(), 1.0), build(options(), 1.0)
    history = one.learn(InMemory([small, large]), 0)
    other.learn(InMemory([1e-5 * small, 1e3 * large]), 0)
    for name, found in one.arrays().items():
        np.testing.assert_allclose(found, other.arrays()[name], rtol=1e-3, atol=1e-5)
    assert [row["epoch"] for row in history] == [1] and 0 < history[0]["loss"] < 0.1


@pytest.mark.parametrize("wanted", [(2, 0), (0, 4), (2, 4)])
def test_a_complex_factor_goes_through_and_silence_stays_silent(wanted):
    model, known, factor = lmmse(covariance="per_bin"), smooth(3, 4, 4, 8), 2e-4j - 1e-4
    expected = factor * model.predict(known, *wanted)
    torch.testing.assert_close(model.predict(factor * known, *wanted), expected, rtol=1e-4, atol=1e-8)
    assert not model.predict(torch.zeros_like(known), *wanted).any()
    alone = torch.cat([model.predict(known[i : i + 1], *wanted) for i in range(3)])
    torch.testing.assert_close(alone, model.predict(known, *wanted))


@pytest.mark.parametrize("covariance", ["kronecker", "per_bin"])
def test_what_is_served_is_the_model(covariance, tmp_path):
    model = lmmse(covariance=covariance)
    model.save_pretrained(tmp_path / "saved")
    export(AutoModel.from_pretrained(tmp_path / "saved"), tmp_path / "served")
    served = ServedPredictor(tmp_path / "served")
    for slots, subcarriers, antennas in ((2, 0, 4), (0, 4, 8), (4, 8, 3)):
        known = smooth(2, 4, antennas, 8, seed=3)
        expected = model.predict(known, slots, subcarriers).numpy()
        np.testing.assert_allclose(served.predict(known.numpy(), slots, subcarriers), expected, atol=1e-4)


@pytest.fixture(scope="module", params=["kronecker", "per_bin"])
def forms(request, tmp_path_factory):
    """The model, and what is served of it: one plain ONNX file."""
    model, folder = lmmse(covariance=request.param, angles=4), tmp_path_factory.mktemp("served") / "new"
    export(model, folder)
    assert [file.name for file in folder.iterdir()] == ["predictor.onnx"]
    return model, ServedPredictor(folder)


@pytest.mark.parametrize("wanted", [(1, 0), (3, 0), (0, 1), (0, 7), (3, 5), (1, 9)])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 4, 4, 7), (3, 5, 3, 2), (2, 2, 9, 5)])
def test_the_graph_answers_what_the_model_answers(forms, shape, wanted):
    model, served = forms
    known = smooth(*shape, seed=4) * torch.logspace(-3, 3, shape[0])[:, None, None, None]
    expected, found = model.predict(known, *wanted).numpy(), served.predict(known.numpy(), *wanted)
    assert_same_in_every_sample(found, expected, 1e-6)


@pytest.mark.parametrize("wanted", [(2, 0), (0, 4), (2, 4)])
def test_silence_is_served_as_silence_and_says_nothing_to_others(forms, wanted):
    assert_silence_says_nothing_to_others(forms[1], smooth(3, 4, 4, 8).numpy(), wanted)


@pytest.mark.parametrize(("shape", "wanted", "axis"), [((1, 5, 2, 8), (4, 0), "time"), ((1, 9, 2, 8), (0, 1), "time"),
                                                       ((1, 2, 2, 8), (0, 9), "frequency")])  # fmt: skip
def test_more_than_covariances_were_learnt_for_is_refused_by_name(forms, shape, wanted, axis):
    most = {"time": "8 slots", "frequency": "16 subcarriers"}[axis]
    message = f"the covariance of {axis} takes at most {most}, known and asked for together"
    with pytest.raises(ValueError, match=message):
        forms[1].predict(smooth(*shape).numpy(), *wanted)


def test_training_gives_one_row_and_reports_it(tmp_path):
    rows = []
    session = TrainingSession(
        dataset=InMemory([smooth(8, 8, 4, 16)]),
        validation=NotImplemented,
        delay_fraction=1.0,
        seed=0,
        checkpoints=tmp_path,
        on_epoch=lambda row, step: rows.append((row, step)),
        take_champion=lambda network: None,
        language_model=NotImplemented,
    )
    trained = train(options(), session)
    assert rows == [(trained.history[0], 1)] and not trained.model.training


def test_what_it_cannot_take_is_one_clear_error():
    model, known = lmmse(), smooth(1, 4, 4, 8)
    for arguments, message in (((0, 0), "slots is 0"), ((5, 0), "9 slots are known and wanted"),
                               ((1, 9), "17 subcarriers are known and wanted")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            model.predict(known, *arguments)
    with pytest.raises(InputError, match="not finite"):
        model.predict(known * float("nan"), 1, 0)
    for chosen, message in ((options(slots=9), "slots is 9, but no sample has more than 8"),
                            (options(subcarriers=17), "subcarriers is 17"),
                            (options(angles=5), "angles is 5")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            build(chosen, 1.0).learn(InMemory([smooth(2, 8, 4, 16)]), 0)


def test_options_know_what_is_answered():
    assert "one slot" in options().why_not(facts(slots=1))
    assert options().why_not_predict(facts(), (4, 8), (4, 8)) is None
    assert "9 slots" in options().why_not_predict(facts(slots=9), (5, 8), (4, 8))
    with pytest.raises(ValidationError, match="covariance"):
        options(covariance="both")
