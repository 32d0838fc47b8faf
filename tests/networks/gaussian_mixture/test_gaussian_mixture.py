"""Mixtures of Gaussians against their oracle, and what they promise of any input."""

import itertools

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModel

import wavefoundry.networks.auto_classes  # noqa: F401 - registers the architectures
from tests.deployment.answers import assert_same_in_every_sample, assert_silence_says_nothing_to_others
from tests.networks.facts import facts
from tests.networks.gaussian_mixture.example import gaussian_mixture, options, trained
from tests.networks.lmmse.example import smooth
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError
from wavefoundry.networks.gaussian_mixture.em import fit
from wavefoundry.networks.gaussian_mixture.model import build
from wavefoundry.networks.gaussian_mixture.posterior import Posterior
from wavefoundry.networks.gaussian_mixture.serving import export

LENGTH, KNOWN, NOISE = 8, 5, 0.01
WEIGHTS = np.array([0.5, 0.3, 0.2])


def true_covariances() -> np.ndarray:
    """Three narrow Doppler spectra, complex (3, LENGTH, LENGTH), of unit power."""
    difference = np.arange(LENGTH)[:, None] - np.arange(LENGTH)
    spread = np.sinc(0.08 * difference)
    return np.stack([spread * np.exp(2j * np.pi * centre * difference) for centre in (-0.25, 0.0, 0.2)])


def drawn(count: int, seed: int) -> np.ndarray:
    """Complex (series, LENGTH) of the mixture of these."""
    generator = np.random.default_rng(seed)
    kinds = generator.choice(3, count, p=WEIGHTS)
    values, vectors = np.linalg.eigh(true_covariances())
    roots = vectors * np.sqrt(np.maximum(values, 0))[:, None]
    white = (generator.normal(size=(count, LENGTH)) + 1j * generator.normal(size=(count, LENGTH))) / np.sqrt(2)
    return np.einsum("nij,nj->ni", roots[kinds], white)


def fitted(groups, iterations=25, components=3, seed=0):
    perplexities = []
    groups = [torch.from_numpy(group.astype(np.complex64)) for group in groups]
    generator = torch.Generator().manual_seed(seed)
    found = fit(groups, LENGTH, components, iterations, 1e-4, generator, perplexities.append)
    return *found, perplexities


def oracle(known: np.ndarray) -> np.ndarray:
    """The posterior mean of all that follows, by the true parameters, component by component."""
    means, likelihoods = [], []
    for weight, covariance in zip(WEIGHTS, true_covariances(), strict=True):
        seen = covariance[:KNOWN, :KNOWN] + NOISE * np.eye(KNOWN)
        solved = np.linalg.solve(seen, known.T)
        means.append((covariance[KNOWN:, :KNOWN] @ solved).T)
        fits = (known.T.conj() * solved).sum(0).real
        likelihoods.append(np.log(weight) - fits - np.linalg.slogdet(seen)[1])
    shares = np.exp(likelihoods - np.max(likelihoods, axis=0))
    return (np.stack(means) * (shares / shares.sum(0))[..., None]).sum(0)


def test_fitted_to_data_of_a_mixture_it_is_as_good_as_the_true_parameters():
    # More components than there are spectra: started at random, three can miss one.
    weights, covariances, _ = fitted([drawn(8000, seed=0)], components=8)
    series = drawn(4000, seed=1)
    generator = np.random.default_rng(2)
    noise = generator.normal(size=(4000, KNOWN)) + 1j * generator.normal(size=(4000, KNOWN))
    known = series[:, :KNOWN] + np.sqrt(NOISE / 2) * noise
    posterior = Posterior(weights.numpy(), covariances.numpy(), KNOWN, LENGTH - KNOWN)
    found = posterior.mean_of_scaled(known, np.full(4000, NOISE))
    best = oracle(known)
    exact = Posterior(WEIGHTS, true_covariances(), KNOWN, LENGTH - KNOWN).mean_of_scaled(known, np.full(4000, NOISE))
    np.testing.assert_allclose(exact, best, atol=1e-6)  # of single precision
    errors = [np.square(np.abs(mean - series[:, KNOWN:])).mean() for mean in (found, best)]
    assert 10 * np.log10(errors[0] / errors[1]) < 0.1
    # A single Gaussian cannot tell the spectra apart.
    single = Posterior(np.ones(1), (WEIGHTS[:, None, None] * true_covariances()).sum(0)[None], KNOWN, LENGTH - KNOWN)
    alone = single.mean_of_scaled(known, np.full(4000, NOISE))
    assert np.square(np.abs(alone - series[:, KNOWN:])).mean() > 2 * errors[0]


@pytest.mark.parametrize("components", [1, 3, 7])
def test_the_likelihood_never_falls_with_series_of_several_lengths(components):
    _, covariances, perplexities = fitted([drawn(600, 0)[:, :5], drawn(300, 1)], 15, components)
    assert all(after <= before * (1 + 1e-5) for before, after in itertools.pairwise(perplexities))
    assert perplexities[-1] < perplexities[0]
    assert torch.linalg.eigvalsh(covariances).min() > 0.99e-4


def test_steps_that_some_series_lack_are_learnt_from_the_others():
    _, whole, _ = fitted([drawn(4000, 0)], components=1)
    _, partly, _ = fitted([drawn(4000, 1)[:, :6], drawn(4000, 2)], components=1)
    assert (whole - partly).abs().max() < 0.1


def test_the_same_seed_gives_the_same_mixture_and_rows_are_told_as_they_come(tmp_path):
    told = []
    first = trained(tmp_path, on_epoch=lambda row, step: told.append((step, row)))
    assert [step for step, _ in told] == [1, 2, 3, 4, 5, 6, 7] and [row for _, row in told] == first.history
    assert [(row["stage"], row["epoch"]) for row in first.history][3:5] == [("time", 4), ("frequency", 1)]
    again, other = trained(tmp_path).model, trained(tmp_path, seed=1).model
    for name, values in first.model.arrays().items():
        assert np.array_equal(values, again.arrays()[name])
    assert not np.array_equal(first.model.arrays()["time_covariances"], other.arrays()["time_covariances"])


def test_smooth_channels_are_predicted(tmp_path):
    model = gaussian_mixture(tmp_path, parts=[smooth(300, 8, 4, 16)], time={"series": 3000, "components": 8})
    csi = smooth(50, 8, 4, 16, seed=1)
    error = model.predict(csi[:, :4], 4, 0) - csi[:, 4:]
    held = csi[:, 3:4] - csi[:, 4:]
    assert error.abs().square().mean() < 0.25 * held.abs().square().mean()


@pytest.mark.parametrize("wanted", [(2, 0), (0, 4), (2, 4)])
def test_a_complex_factor_goes_through_and_silence_stays_silent(tmp_path, wanted):
    model, known, factor = gaussian_mixture(tmp_path), smooth(3, 4, 4, 8), 2e-4j - 1e-4
    expected = factor * model.predict(known, *wanted)
    torch.testing.assert_close(model.predict(factor * known, *wanted), expected, rtol=1e-3, atol=1e-8)
    assert not model.predict(torch.zeros_like(known), *wanted).any()
    together = model.predict(torch.cat([known, 1e3 * known[:1]]), *wanted)
    alone = torch.cat([model.predict(known[i : i + 1], *wanted) for i in range(3)])
    assert torch.equal(alone, together[:3])


def test_what_is_saved_and_what_is_served_are_the_model(tmp_path):
    model = gaussian_mixture(tmp_path)
    model.save_pretrained(tmp_path / "saved")
    again = AutoModel.from_pretrained(tmp_path / "saved")
    export(again, tmp_path / "served")
    served = ServedPredictor(tmp_path / "served")
    for slots, subcarriers, antennas in ((2, 0, 4), (0, 4, 8), (4, 8, 3)):
        known = smooth(2, 4, antennas, 8, seed=3)
        expected = model.predict(known, slots, subcarriers)
        np.testing.assert_allclose(served.predict(known.numpy(), slots, subcarriers), expected.numpy(), atol=1e-4)
        assert torch.equal(again.predict(known, slots, subcarriers), expected)


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The model, and what is served of it: one plain ONNX file."""
    model, folder = gaussian_mixture(tmp_path_factory.mktemp("training")), tmp_path_factory.mktemp("mixture") / "new"
    export(model, folder)
    assert [file.name for file in folder.iterdir()] == ["predictor.onnx"]
    return model, ServedPredictor(folder)


@pytest.mark.parametrize("wanted", [(1, 0), (3, 0), (0, 1), (0, 7), (3, 5), (1, 9)])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 4, 4, 7), (3, 5, 3, 2), (2, 2, 8, 5)])
def test_the_graph_answers_what_the_model_answers(forms, shape, wanted):
    """For series of every length up to that of the mixture, among them such as are unlike all that was learnt from."""
    model, served = forms
    noise = torch.randn(shape, dtype=torch.cfloat, generator=torch.Generator().manual_seed(0))
    known = smooth(*shape, seed=4) + 0.05 * noise
    known[-1] = known[-1] + noise[-1]
    expected, found = model.predict(known, *wanted).numpy(), served.predict(known.numpy(), *wanted)
    assert_same_in_every_sample(found, expected, 1e-4)


@pytest.mark.parametrize("wanted", [(2, 0), (0, 4), (2, 4)])
def test_silence_is_served_as_silence_and_says_nothing_to_others(forms, wanted):
    assert_silence_says_nothing_to_others(forms[1], smooth(3, 4, 4, 8).numpy(), wanted)


@pytest.mark.parametrize(("shape", "wanted", "axis"), [((1, 5, 2, 8), (4, 0), "time"), ((1, 9, 2, 8), (1, 3), "time"),
                                                       ((1, 9, 2, 8), (0, 9), "frequency")])  # fmt: skip
def test_longer_series_than_the_mixture_knows_are_refused_by_name(forms, shape, wanted, axis):
    most = {"time": "8 slots", "frequency": "16 subcarriers"}[axis]
    with pytest.raises(ValueError, match=f"the mixture of {axis} takes at most {most}, known and asked for together"):
        forms[1].predict(smooth(*shape).numpy(), *wanted)
    # Along an axis that is not continued any number may be known.
    assert np.isfinite(forms[1].predict(smooth(1, 9, 2, 8).numpy(), 0, 8)).all()


def test_what_is_unlike_all_that_was_learnt_from_is_not_blown_up(tmp_path):
    model, turns = gaussian_mixture(tmp_path), 0.45 * torch.arange(8)[:, None, None]
    fast = torch.polar(torch.ones(8, 4, 8), (2 * torch.pi * turns).expand(8, 4, 8))[None]
    assert model.predict(fast[:, :4], 4, 0).abs().max() < 0.1


def test_longer_and_shorter_and_silent_samples_are_learnt_from(tmp_path):
    parts = [
        smooth(6, 8, 4, 16),
        smooth(6, 12, 2, 24),
        smooth(6, 4, 4, 8),
        torch.zeros(3, 8, 4, 16, dtype=torch.cfloat),
    ]
    model = gaussian_mixture(tmp_path, parts=parts)
    assert model.predict(smooth(2, 4, 4, 8), 4, 8).isfinite().all()


def test_what_it_cannot_take_is_one_clear_error(tmp_path):
    model, known = build(options(), 1.0), smooth(1, 4, 4, 8)
    for arguments, message in (((0, 0), "slots is 0"), ((5, 0), "9 slots are known and wanted"),
                               ((1, 9), "17 subcarriers are known and wanted")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            model.predict(known, *arguments)
    with pytest.raises(InputError, match="not finite"):
        model.predict(known * float("nan"), 1, 0)
    with pytest.raises(InputError, match="length is 9 slots, but no sample has more than 8"):
        trained(tmp_path, time={"length": 9})
    with pytest.raises(InputError, match="no sample with any power"):
        trained(tmp_path, parts=[torch.zeros(3, 8, 4, 16, dtype=torch.cfloat)])


def test_options_know_what_is_answered():
    assert "one slot" in options().why_not(facts(slots=1))
    assert options().why_not_predict(facts(slots=20), (12, 8), (0, 8)) is None
    assert "9 slots" in options().why_not_predict(facts(slots=9), (5, 8), (4, 0))
    assert "17 subcarriers" in options().why_not_predict(facts(subcarriers=17), (4, 9), (0, 8))
    for changes in ({"floor": 0.0}, {"time": {"length": 1}}, {"time": {"components": 0}}, {"frequency": {"series": 0}}):
        with pytest.raises(ValidationError):
            options(**changes)
