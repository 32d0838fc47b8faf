"""Kalman filter on the autoregression of every tap of a channel, which takes the noise of the known part into account.

Source: R. E. Kalman, "A New Approach to Linear Filtering and Prediction Problems", Journal of Basic Engineering 82(1),
1960; the autoregression is that of J. P. Burg, "Maximum Entropy Spectral Analysis", PhD thesis, Stanford University,
1975. For channels: C. Komninakis et al., "Multi-Input Multi-Output Fading Channel Tracking and Equalization Using
Kalman Estimation", IEEE Transactions on Signal Processing 50(5), 2002.
What is registered is the graph that wavefoundry/deployment/predictors/kalman.py writes of it.
"""

import numpy as np
from pydantic import BaseModel, Field


class Options(BaseModel):
    order: int = Field(ge=1, description="past slots (or subcarriers) in the state of a tap")
    snr_db: float = Field(description="assumed SNR of the known block [dB]")
    compensation: float = Field(
        ge=0, le=1, description="share of the assumed noise that is taken out of the fit of the coefficients"
    )

    def why_not_predict(self, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        """See `wavefoundry.evaluation.methods.why_not_predict`."""
        for axis, size, asked in zip(("slots", "subcarriers"), known, wanted, strict=True):
            if asked and size <= self.order:
                return f"{size} {axis} are known; order {self.order} needs at least {self.order + 1}"
        return None


# Of what is seen of a tap at least this share is taken for signal when noise is taken out of the fit.
LEAST_SIGNAL = 0.01


class Predictor:
    """The last few steps of a tap are the state, and what is known of the tap is the state with noise.

    A tap is an angle-delay bin for prediction in time, and an angle bin (all slots together) for prediction in
    frequency. Its coefficients are fitted by Burg's method on the known part of the same sample. The noise has the same
    power in all taps, which follows from the power of the known block and the assumed SNR: where a tap is weaker than
    that, the filter hardly believes what it sees. The filter starts from the covariance that belongs to the
    coefficients.

    Noise makes a process look less predictable than it is. It can be taken out of the products that Burg's method
    averages, which pays on long series; on a dozen known steps the estimates become wilder than the bias was.

    Both at once are one after the other, time first.
    """

    def __init__(self, options: Options):
        self._options, self._order = options, options.order
        self._noise_to_signal = 10 ** (-options.snr_db / 10)
        self._compensation = options.compensation

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """See `wavefoundry.evaluation.methods.NumpyPredictor`.

        Raises:
            ValueError: fewer slots (or subcarriers) are known than Burg's method needs, one more than the order.
        """
        if reason := self._options.why_not_predict((known.shape[1], known.shape[3]), (slots, subcarriers)):
            raise ValueError(reason)
        wanted = slice(known.shape[1] if slots else 0, None)
        power = np.square(np.abs(known.astype(np.complex128))).mean(axis=(1, 2, 3))
        noise = power * self._noise_to_signal / (1 + self._noise_to_signal)
        if slots:
            known = np.concatenate([known, self._in_time(known, slots, noise)], axis=1)
        return self._in_frequency(known, subcarriers, noise)[:, wanted] if subcarriers else known[:, wanted]

    def _in_time(self, known: np.ndarray, slots: int, noise: np.ndarray) -> np.ndarray:
        bins = np.fft.ifft(np.fft.fft(known, axis=2, norm="ortho"), axis=3, norm="ortho")
        series = bins.transpose(0, 2, 3, 1)[..., None, :]
        future = self._extrapolate(series, slots, noise[:, None, None])[..., 0, :].transpose(0, 3, 1, 2)
        return np.fft.ifft(np.fft.fft(future, axis=3, norm="ortho"), axis=2, norm="ortho").astype(known.dtype)

    def _in_frequency(self, known: np.ndarray, subcarriers: int, noise: np.ndarray) -> np.ndarray:
        bins = np.fft.fft(known, axis=2, norm="ortho").transpose(0, 2, 1, 3)
        beyond = self._extrapolate(bins, subcarriers, noise[:, None]).transpose(0, 2, 1, 3)
        return np.fft.ifft(beyond, axis=2, norm="ortho").astype(known.dtype)

    def _extrapolate(self, series: np.ndarray, horizon: int, noise: np.ndarray) -> np.ndarray:
        return extrapolate(series, horizon, self._order, noise, self._compensation)


def extrapolate(
    series: np.ndarray, horizon: int, order: int, noise: np.ndarray, compensation: float = 0.0
) -> np.ndarray:
    """Continue noisy series by the filter's prediction.

    Args:
        series: complex (..., realisation, step), more steps than the order; realisations share their coefficients.
        horizon: steps to predict.
        order: of the autoregression.
        noise: variance of the noise in each entry, broadcastable to (...).
        compensation: share of the noise that is taken out of the fit.

    Returns:
        complex (..., realisation, horizon).
    """
    values = series.astype(np.complex128)
    coefficients, autocovariance, innovation = burg(values, order, compensation * noise)
    step = np.zeros((*values.shape[:-2], order, order), dtype=np.complex128)
    step[..., 0, :] = -coefficients[..., 1:]
    step[..., np.arange(1, order), np.arange(order - 1)] = 1
    # State: the newest value first, so that entries i and j are j - i steps apart.
    apart = np.arange(order) - np.arange(order)[:, None]
    covariance = autocovariance[..., np.abs(apart)]
    covariance = np.where(apart < 0, covariance.conj(), covariance)
    state = np.zeros((*values.shape[:-1], order), dtype=np.complex128)
    smallest = np.finfo(np.float64).tiny
    for known in range(values.shape[-1]):
        if known:
            state = state @ step.swapaxes(-1, -2)
            covariance = step @ covariance @ step.conj().swapaxes(-1, -2)
            covariance[..., 0, 0] += innovation
        gain = covariance[..., 0] / np.maximum(covariance[..., 0, 0].real + noise, smallest)[..., None]
        state = state + gain[..., None, :] * (values[..., known] - state[..., 0])[..., None]
        covariance = covariance - gain[..., None] * covariance[..., :1, :]
        # Rounding would make it less and less Hermitian, and the filter of a long series diverge.
        covariance = (covariance + covariance.conj().swapaxes(-1, -2)) / 2
    following = []
    for _ in range(horizon):
        state = state @ step.swapaxes(-1, -2)
        following.append(state[..., 0])
    return np.stack(following, axis=-1)


def burg(series: np.ndarray, order: int, noise: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Autoregression by Burg's method, which is always stable.

    Args:
        series: complex (..., realisation, step), more steps than the order; realisations of one process.
        order: number of past steps.
        noise: variance of white noise that is taken out, broadcastable to (...).

    Returns:
        The prediction error filter, complex (..., order + 1), the first is 1: sum over i of a_i x[n - i] is the error;
        the autocovariance E x[n] x[n - m]* of that process for m = 0 ... order, complex (..., order + 1); and the power
        of the error, real (...).
    """
    forward = backward = series
    coefficients = np.ones((*series.shape[:-2], 1), dtype=series.dtype)
    error = np.square(np.abs(series)).mean(axis=(-2, -1))
    error = np.maximum(error - noise, LEAST_SIGNAL * error)
    autocovariance = error[..., None].astype(series.dtype)
    for _ in range(order):
        forward, backward = forward[..., 1:], backward[..., :-1]
        power = (np.abs(forward) ** 2 + np.abs(backward) ** 2).sum(axis=(-2, -1))
        cross = (forward * backward.conj()).sum(axis=(-2, -1))
        # What the noise adds: the filters of both errors see it, in part at the same steps.
        seen = noise * forward.shape[-1] * forward.shape[-2]
        cross = cross - seen * (coefficients[..., 1:] * coefficients[..., :0:-1]).sum(axis=-1)
        less = power - 2 * seen * np.square(np.abs(coefficients)).sum(axis=-1)
        # Of single precision: by that of double precision, what the noise adds to a silent tap would overflow.
        reflection = -2 * cross / np.maximum(np.maximum(less, LEAST_SIGNAL * power), np.finfo(np.float32).tiny)
        reflection = reflection / np.maximum(np.abs(reflection), 1)
        past = (coefficients[..., 1:] * autocovariance[..., :0:-1]).sum(axis=-1)
        next_one = -reflection * error - past
        autocovariance = np.concatenate([autocovariance, next_one[..., None]], axis=-1)
        error = error * np.maximum(1 - np.abs(reflection) ** 2, 0)
        longer = np.concatenate([coefficients, np.zeros_like(coefficients[..., :1])], axis=-1)
        coefficients = longer + reflection[..., None] * longer[..., ::-1].conj()
        gain = reflection[..., None, None]
        forward, backward = forward + gain * backward, backward + gain.conj() * forward
    return coefficients, autocovariance, error
