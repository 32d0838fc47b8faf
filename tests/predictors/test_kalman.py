"""The Kalman filter on processes whose best prediction is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.predictors.example import on_grid_paths, paths
from wavefoundry.evaluation.methods import methods
from wavefoundry.predictors import autoregression
from wavefoundry.predictors.kalman import Options, Predictor, burg, extrapolate

COEFFICIENTS = np.array([1.6 * np.exp(0.3j), -0.8 * np.exp(0.6j)])  # x[n] = c_0 x[n - 1] + c_1 x[n - 2] + innovation


def kalman(order: int, snr_db: float = 20.0, compensation: float = 0.0) -> Predictor:
    return Predictor(Options(order=order, snr_db=snr_db, compensation=compensation))


def process(series: int, steps: int, seed: int) -> np.ndarray:
    """Complex (series, step) of the autoregressive process, with innovations of unit power, long after its start."""
    generator = np.random.default_rng(seed)
    values = [np.zeros(series, complex)] * 2
    for _ in range(200 + steps):
        innovation = (generator.normal(size=series) + 1j * generator.normal(size=series)) / np.sqrt(2)
        values.append(COEFFICIENTS[0] * values[-1] + COEFFICIENTS[1] * values[-2] + innovation)
    return np.stack(values[-steps:], axis=-1)


def steady_state_error(noise: float) -> float:
    """Error of the best prediction of the next value, by iterating Riccati's equation."""
    step = np.array([COEFFICIENTS, [1, 0]])
    covariance = np.eye(2, dtype=complex)
    for _ in range(2000):
        gain = covariance[:, :1] / (covariance[0, 0] + noise)
        covariance = step @ (covariance - gain @ covariance[:1]) @ step.conj().T + np.diag([1, 0])
    return covariance[0, 0].real


def test_on_an_autoregressive_process_it_reaches_the_error_of_the_steady_state():
    values = process(1, 20001, seed=0)
    noise = 0.01 * np.square(np.abs(values)).mean()
    generator = np.random.default_rng(1)
    seen = values + np.sqrt(noise / 2) * (
        generator.normal(size=values.shape) + 1j * generator.normal(size=values.shape)
    )
    # Coefficients from all of the series; errors from windows that are long enough for the steady state.
    windows = np.lib.stride_tricks.sliding_window_view(seen[0, :-1], 200)[::40]
    following = values[0, 200::40][: len(windows)]
    predicted = extrapolate(windows[None], 1, 2, np.array([noise]), compensation=1.0)[0, :, 0]
    error = np.square(np.abs(predicted - following)).mean()
    assert 0.9 < error / steady_state_error(noise) < 1.1


def test_under_noise_it_beats_plain_autoregression():
    snr_db, slots = 10.0, 200
    values = process(64, slots + 2, seed=2).reshape(64, 1, 1, -1).transpose(0, 3, 1, 2)
    generator = np.random.default_rng(3)
    power = np.square(np.abs(values)).mean(axis=(1, 2, 3), keepdims=True) * 10 ** (-snr_db / 10)
    noise = generator.normal(size=values.shape) + 1j * generator.normal(size=values.shape)
    known = (values + np.sqrt(power / 2) * noise)[:, :slots]

    def error(predictor) -> float:
        return np.square(np.abs(predictor.predict(known, 2, 0) - values[:, slots:])).mean()

    plain = autoregression.Predictor(autoregression.Options(order=2))
    assert error(kalman(2, snr_db, compensation=1.0)) < 0.85 * error(plain)


@given(st.integers(0, 999), st.integers(1, 4))
def test_the_fit_is_that_of_the_autoregression_with_its_own_autocovariance(seed, order):
    generator = np.random.default_rng(seed)
    series = generator.normal(size=(3, 2, 12)) + 1j * generator.normal(size=(3, 2, 12))
    coefficients, autocovariance, error = burg(series, order)
    np.testing.assert_allclose(coefficients, autoregression.burg(series, order))
    # The normal equations of the process: the error is not correlated with the past.
    for lag in range(order + 1):
        past = [autocovariance[:, lag - i] if lag >= i else autocovariance[:, i - lag].conj() for i in range(order + 1)]
        expected = error if lag == 0 else 0
        np.testing.assert_allclose((coefficients * np.stack(past, axis=-1)).sum(-1), expected, atol=1e-10)


@given(
    path=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    order=st.integers(1, 3),
    wanted=st.sampled_from([(6, 0), (0, 9), (6, 9), (1, 1)]),
)
def test_with_little_noise_one_path_is_continued(path, order, wanted):
    slots, subcarriers = wanted
    csi = paths(8 + slots, 4, 10 + subcarriers, [path])
    predicted = kalman(order, 120.0).predict(csi[:, :8, :, :10], slots, subcarriers)
    target = csi[:, 8:] if slots else csi
    assert np.abs(predicted - (target[..., 10:] if subcarriers else target)).max() < 1e-3


@pytest.mark.parametrize("wanted", [(2, 0), (0, 2), (2, 2)])
def test_a_complex_factor_goes_through_and_silence_stays_silent(wanted):
    known = on_grid_paths()[:, :8].astype(np.complex64)
    predictor, factor = kalman(2), 1e-3j - 2e-3
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
    with pytest.raises(ValueError, match=message):
        kalman(3).predict(np.ones((1, 3, 2, 2), np.complex64), *wanted)


@pytest.mark.parametrize("key", ["order", "snr_db", "compensation"])
def test_a_faulty_or_missing_option_is_named(key):
    good = {"order": 2, "snr_db": 20.0, "compensation": 0.5}
    for options in (good | {key: None}, {other: value for other, value in good.items() if other != key}):
        with pytest.raises(ValidationError, match=f"(?m)^{key}"):
            methods()["kalman"](**options)


@pytest.mark.parametrize("wanted", [(2, 0), (0, 3), (2, 3)])
def test_taps_without_any_power_stay_finite_when_noise_is_taken_out(wanted):
    """A constant channel has a single tap: of the others, there is less than the noise that is taken out."""
    constant = np.full((1, 6, 4, 8), 1 - 2j, np.complex64)
    found = Predictor(Options(order=3, snr_db=15.0, compensation=0.5)).predict(constant, *wanted)
    np.testing.assert_allclose(found, np.full_like(found, 1 - 2j), rtol=0.05)
