"""Linear prediction of taps on channels whose continuation is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.predictors.example import nmse, on_grid_paths, paths
from wavefoundry.evaluation.methods import methods
from wavefoundry.predictors.autoregression import Options, Predictor, burg


def autoregression(order: int) -> Predictor:
    return Predictor(Options(order=order))


@settings(max_examples=20)
@given(st.integers(0, 99))
def test_continues_exponentials_in_time(seed):
    csi = on_grid_paths(seed=seed)
    predicted = autoregression(2).predict(csi[:, :8], 8, 0)
    assert nmse(predicted, csi[:, 8:]) < 1e-4


def test_continues_exponentials_in_frequency():
    csi = on_grid_paths(subcarriers=24)
    predicted = autoregression(2).predict(csi[..., :12], 0, 12)
    assert nmse(predicted, csi[..., 12:]) < 1e-4


@given(st.integers(0, 999), st.integers(1, 5))
def test_burg_filters_are_stable(seed, order):
    generator = np.random.default_rng(seed)
    series = generator.normal(size=(3, 2, 12)) + 1j * generator.normal(size=(3, 2, 12))
    for coefficients in burg(series, order):
        assert np.abs(np.roots(coefficients)).max() <= 1 + 1e-9


@given(
    path=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    order=st.integers(1, 4),
    wanted=st.sampled_from([(6, 0), (0, 9), (6, 9), (1, 1)]),
    precision=st.sampled_from([np.complex64, np.complex128]),
)
def test_one_path_is_continued_exactly_in_time_in_frequency_and_in_both(path, order, wanted, precision):
    slots, subcarriers = wanted
    csi = paths(8 + slots, 4, 10 + subcarriers, [path])
    predicted = autoregression(order).predict(csi[:, :8, :, :10].astype(precision), slots, subcarriers)
    target = csi[:, 8:] if slots else csi
    target = target[..., 10:] if subcarriers else target
    assert predicted.shape == target.shape and predicted.dtype == precision
    assert np.abs(predicted - target).max() < 1e-4


def test_both_at_once_are_one_after_the_other():
    generator = np.random.default_rng(0)
    known = generator.normal(size=(2, 8, 4, 10)) + 1j * generator.normal(size=(2, 8, 4, 10))
    predictor = autoregression(3)
    future = predictor.predict(known, 5, 0)
    longer = np.concatenate([known, future], axis=1)
    np.testing.assert_allclose(predictor.predict(known, 5, 6), predictor.predict(longer, 0, 6)[:, 8:])


@given(seed=st.integers(0, 999), order=st.integers(1, 6), wanted=st.sampled_from([(64, 0), (0, 64), (64, 64)]))
@settings(max_examples=30)
def test_no_prediction_grows_without_bound(seed, order, wanted):
    generator = np.random.default_rng(seed)
    known = generator.normal(size=(1, 8, 2, 8)) + 1j * generator.normal(size=(1, 8, 2, 8))
    predicted = autoregression(order).predict(known, *wanted)
    assert np.abs(predicted).max() < 100 * np.abs(known).max()


@pytest.mark.parametrize("wanted", [(2, 0), (0, 2), (2, 2)])
def test_silence_is_continued_by_silence(wanted):
    silence = np.zeros((1, 4, 2, 4), np.complex64)
    assert not autoregression(2).predict(silence, *wanted).any()


def test_an_order_beyond_half_of_the_known_steps_is_that_half():
    csi = on_grid_paths(steps=5)
    assert np.array_equal(autoregression(9).predict(csi, 3, 0), autoregression(2).predict(csi, 3, 0))


@pytest.mark.parametrize("options", [{"order": 0}, {"order": "3"}, {"order": 2.5}, {}, {"ordre": 3, "order": 3}])
def test_a_faulty_order_is_refused_and_named(options):
    with pytest.raises(ValidationError, match=r"(?m)^ordr?e?"):
        methods()["autoregression"](**options)
