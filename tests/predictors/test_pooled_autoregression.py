"""Autoregression pooled over bins on channels whose continuation is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.predictors.example import nmse, on_grid_paths, paths
from wavefoundry.predictors import autoregression
from wavefoundry.predictors.pooled_autoregression import Options, Predictor, filters, pooled


def predictor(time_order=5, frequency_order=12) -> Predictor:
    return Predictor(Options(time_order=time_order, frequency_order=frequency_order))


@settings(max_examples=20)
@given(st.floats(-0.4, 0.4), st.floats(-0.5, 0.5), st.floats(0.0, 0.9), st.sampled_from([(8, 0), (0, 8), (8, 8)]))
def test_a_single_path_is_continued_exactly_wherever_it_lies(doppler, angle, delay, wanted):
    """Between the bins it leaks into all of them, and turns in all alike."""
    csi = paths(16, 8, 16, [(doppler, angle, delay)])
    predicted = predictor(1, 1).predict(csi[:, :8, :, :8], *wanted)
    target = csi[:, 8:] if wanted[0] else csi[:, :8]
    assert nmse(predicted, target[..., 8:] if wanted[1] else target[..., :8]) < 1e-12


def test_a_path_between_bins_in_noise_is_continued_better_than_bin_by_bin():
    generator = np.random.default_rng(0)
    errors = []
    for _ in range(20):
        csi = paths(16, 8, 16, [generator.uniform(-0.2, 0.2, 3)])
        noise = generator.normal(size=csi.shape) + 1j * generator.normal(size=csi.shape)
        known = (csi + 0.3 / np.sqrt(2) * noise)[:, :8]
        alone = autoregression.Predictor(autoregression.Options(order=3))
        errors.append([nmse(each.predict(known, 8, 0), csi[:, 8:]) for each in (predictor(3), alone)])
    pooled_error, alone_error = np.mean(errors, axis=0)
    assert pooled_error < 0.9 * alone_error, (pooled_error, alone_error)


def test_pooling_by_hand_and_on_a_circle():
    sums = np.zeros((1, 4, 5, 1))
    sums[0, 0, 0] = 4.0
    found = pooled(sums)[0, ..., 0]
    assert found[0, 0] == 4 and found[0, 1] == found[0, -1] == found[1, 0] == found[-1, 0] == 2
    assert found[1, 1] == found[-1, -1] == 1 and found[2].sum() == found[:, 2].sum() == 0


@given(st.integers(0, 99))
@settings(max_examples=20)
def test_no_prediction_grows_without_bound(seed):
    generator = np.random.default_rng(seed)
    series = generator.normal(size=(1, 3, 4, 9)) + 1j * generator.normal(size=(1, 3, 4, 9))
    for row in filters(series, 5).reshape(-1, 6):
        assert np.abs(np.roots(row)).max() < 1 + 1e-9


@pytest.mark.parametrize("wanted", [(3, 0), (0, 5), (3, 5)])
def test_a_complex_factor_goes_through_silence_stays_and_a_single_entry_is_held(wanted):
    known = on_grid_paths()[:, :6] + 0.1
    factor = 2e-4j - 1e-4
    np.testing.assert_allclose(
        predictor().predict(factor * known, *wanted), factor * predictor().predict(known, *wanted), rtol=1e-9
    )
    assert not predictor().predict(np.zeros_like(known), *wanted).any()
    one = np.full((1, 1, 2, 1), 1 + 2j)
    expected = np.full((1, wanted[0] or 1, 2, wanted[1] or 1), 1 + 2j)
    np.testing.assert_allclose(predictor().predict(one, *wanted), expected)


def test_time_and_frequency_at_once_are_the_mean_of_both_orders():
    draw = np.random.default_rng(0).standard_normal
    known = (draw((2, 8, 4, 16)) + 1j * draw((2, 8, 4, 16))).astype(np.complex64)
    predictor = Predictor(Options(time_order=2, frequency_order=3))
    band = np.concatenate([known, predictor.predict(known, 0, 5)], axis=3)
    future = np.concatenate([known, predictor.predict(known, 3, 0)], axis=1)
    orders = predictor.predict(band, 3, 0)[..., 16:], predictor.predict(future, 0, 5)[:, 8:]
    found = predictor.predict(known, 3, 5)
    assert found.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(found, sum(orders) / 2, rtol=0, atol=1e-5)
