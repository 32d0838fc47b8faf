"""Prony's method on channels whose continuation is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.predictors.example import nmse, on_grid_paths, paths
from wavefoundry.evaluation.methods import methods
from wavefoundry.predictors.prony import Options, Predictor, bounded, recursion


def prony(order: int, regularisation: float = 1e-12) -> Predictor:
    return Predictor(Options(order=order, regularisation=regularisation))


@settings(max_examples=20)
@given(st.integers(0, 99), st.sampled_from([(8, 0), (0, 8), (8, 8)]))
def test_sums_of_rotating_paths_are_continued_exactly(seed, wanted):
    """Two paths in the same bins, with Doppler shifts and delays apart: order 2 is enough, without noise."""
    generator = np.random.default_rng(seed)
    first = generator.uniform(-0.4, 0.4, 2)
    parameters = [(first[0], 0.25, first[1]), (first[0] + 0.2, 0.25, first[1] + 0.2)]
    csi = paths(16, 4, 16, parameters)
    predicted = prony(2).predict(csi[:, :8, :, :8], *wanted)
    target = csi[:, 8:] if wanted[0] else csi[:, :8]
    assert nmse(predicted, target[..., 8:] if wanted[1] else target[..., :8]) < 1e-8


def test_an_order_that_is_too_small_is_not_exact():
    csi = paths(16, 4, 8, [(0.1, 0.25, 0.0), (-0.2, 0.25, 0.0)])
    assert nmse(prony(1).predict(csi[:, :8], 8, 0), csi[:, 8:]) > 0.1
    assert nmse(prony(2).predict(csi[:, :8], 8, 0), csi[:, 8:]) < 1e-12


def test_noisy_predictions_do_not_grow():
    """Of the published method errors grow without bound on some noisy samples."""
    generator = np.random.default_rng(0)
    csi = paths(64, 8, 16, generator.uniform(-0.5, 0.5, (20, 3)))
    noise = generator.normal(size=csi.shape) + 1j * generator.normal(size=csi.shape)
    known = (csi + 0.3 * noise)[:, :8]
    published = recursion(known.transpose(0, 2, 3, 1)[..., None, :], 3, 1e-12)
    assert max(np.abs(np.roots([1, *-row[::-1]])).max() for row in published.reshape(-1, 3)) > 1.5
    for row in bounded(published).reshape(-1, 3):
        assert np.abs(np.roots([1, *-row[::-1]])).max() < 1 + 1e-6
    assert nmse(prony(3).predict(known, 56, 0), csi[:, 8:]) < 10


def test_the_penalty_shrinks_what_is_mostly_noise():
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(1, 8, 8, 16)) + 1j * generator.normal(size=(1, 8, 8, 16))
    sizes = [np.abs(prony(3, penalty).predict(noise, 8, 0)).mean() for penalty in (1e-12, 0.1, 1.0, 10.0)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.1


def test_the_recursion_does_not_depend_on_the_scale():
    generator = np.random.default_rng(0)
    series = generator.normal(size=(3, 2, 12)) + 1j * generator.normal(size=(3, 2, 12))
    np.testing.assert_allclose(recursion(1e-6 * series, 3, 0.1), recursion(series, 3, 0.1))


@pytest.mark.parametrize("wanted", [(2, 0), (0, 2), (2, 2)])
def test_a_complex_factor_goes_through_and_silence_stays_silent(wanted):
    known = on_grid_paths()[:, :8].astype(np.complex64)
    predictor, factor = prony(2, 0.01), 1e-3j - 2e-3
    expected = factor * predictor.predict(known, *wanted)
    np.testing.assert_allclose(predictor.predict((factor * known).astype(np.complex64), *wanted), expected, atol=1e-7)
    silent = predictor.predict(np.zeros_like(known), *wanted)
    assert silent.dtype == np.complex64 and not silent.any()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ((1, 0), "3 slots are known; order 3 needs at least 4"),
        ((0, 1), "2 subcarriers are known; order 3 needs at least 4"),
    ],
)
def test_what_cannot_be_answered_is_one_clear_error(wanted, message):
    with pytest.raises(ValueError, match=message) as error:
        prony(3).predict(np.ones((1, 3, 2, 2), np.complex64), *wanted)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["order", "regularisation"])
def test_a_faulty_or_missing_option_is_named(key):
    good = {"order": 2, "regularisation": 0.1}
    for options in (good | {key: 0}, {other: value for other, value in good.items() if other != key}):
        with pytest.raises(ValidationError, match=f"(?m)^{key}"):
            methods()["prony"](**options)
