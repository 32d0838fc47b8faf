"""Linear prediction of every bin by Burg's method, with its sums pooled over the bins around.

A path between two bins leaks into both, and turns in both alike: the bins around one are further realisations of nearly
the same process, of which a short known block has few. The pooling is ours. Source of the method: J. P. Burg, "Maximum
Entropy Spectral Analysis", PhD thesis, Stanford University, 1975.
What is registered is the graph that wavefoundry/deployment/predictors/pooled_autoregression.py writes of it.
"""

import numpy as np
from pydantic import BaseModel, Field

# How much a bin beside counts, along either axis of bins, against the bin itself.
BESIDE = 0.5


class Options(BaseModel):
    time_order: int = Field(ge=1, description="past slots in the linear predictor")
    frequency_order: int = Field(ge=1, description="past subcarriers in the linear predictor")


class Predictor:
    """Autoregression of angle-delay bins along slots, and of angle-Doppler bins along subcarriers.

    Both at once are one after the other, in both orders: the mean of the two, which err in part differently, is better
    than either. Where fewer entries are known than an order needs, the order is as large as they allow.
    Reflection coefficients have magnitudes of at most 1, so that no prediction grows without bound.
    """

    def __init__(self, options: Options):
        self._time_order, self._frequency_order = options.time_order, options.frequency_order

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """See `wavefoundry.evaluation.methods.NumpyPredictor`."""
        if not subcarriers:
            return self._in_time(known, slots)
        beyond = self._in_frequency(known, subcarriers)
        if not slots:
            return beyond
        band = self._in_time(np.concatenate([known, beyond], axis=3), slots)[..., known.shape[3] :]
        future = np.concatenate([known, self._in_time(known, slots)], axis=1)
        return (band + self._in_frequency(future, subcarriers)[:, known.shape[1] :]) / 2

    def _in_time(self, known: np.ndarray, slots: int) -> np.ndarray:
        bins = np.fft.ifft(np.fft.fft(known, axis=2, norm="ortho"), axis=3, norm="ortho")
        future = extrapolate(bins.transpose(0, 2, 3, 1), self._time_order, slots).transpose(0, 3, 1, 2)
        return np.fft.ifft(np.fft.fft(future, axis=3, norm="ortho"), axis=2, norm="ortho").astype(known.dtype)

    def _in_frequency(self, known: np.ndarray, subcarriers: int) -> np.ndarray:
        bins = np.fft.fft(np.fft.fft(known, axis=2, norm="ortho"), axis=1, norm="ortho")
        beyond = extrapolate(bins.transpose(0, 2, 1, 3), self._frequency_order, subcarriers).transpose(0, 2, 1, 3)
        return np.fft.ifft(np.fft.ifft(beyond, axis=1, norm="ortho"), axis=2, norm="ortho").astype(known.dtype)


def extrapolate(series: np.ndarray, order: int, horizon: int) -> np.ndarray:
    """Continue series (batch, row, column, step): (batch, row, column, horizon)."""
    order = min(order, series.shape[-1] - 1)
    values = series.astype(np.complex128)
    weights = -filters(values, order)[..., :0:-1]
    for _ in range(horizon):
        following = (values[..., values.shape[-1] - order :] * weights).sum(axis=-1, keepdims=True)
        values = np.concatenate([values, following if order else values[..., -1:]], axis=-1)
    return values[..., series.shape[-1] :]


def filters(series: np.ndarray, order: int) -> np.ndarray:
    """Prediction error filters of every bin: complex (batch, row, column, order + 1), the first coefficient 1."""
    forward = backward = series
    coefficients = np.ones_like(series[..., :1])
    for _ in range(order):
        forward, backward = forward[..., 1:], backward[..., :-1]
        power = pooled((np.abs(forward) ** 2 + np.abs(backward) ** 2).sum(axis=-1, keepdims=True))
        cross = pooled((forward * backward.conj()).sum(axis=-1, keepdims=True))
        reflection = -2 * cross / np.maximum(power, np.finfo(power.dtype).tiny)
        longer = np.concatenate([coefficients, np.zeros_like(reflection)], axis=-1)
        coefficients = longer + reflection * longer[..., ::-1].conj()
        forward, backward = forward + reflection * backward, backward + reflection.conj() * forward
    return coefficients


def pooled(sums: np.ndarray) -> np.ndarray:
    """Sums (batch, row, column, 1) with those of the bins around; rows and columns are circles."""
    for axis in (1, 2):
        sums = sums + BESIDE * (np.roll(sums, 1, axis) + np.roll(sums, -1, axis))
    return sums
