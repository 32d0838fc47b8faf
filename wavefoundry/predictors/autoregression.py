"""Linear prediction of every tap of a channel from its own past, fitted on the known part of the same sample.

Source: J. P. Burg, "Maximum Entropy Spectral Analysis", PhD thesis, Stanford University, 1975.
What is registered is the graph that wavefoundry/deployment/predictors/autoregression.py writes of it.
"""

import numpy as np
from pydantic import BaseModel, Field


class Options(BaseModel):
    order: int = Field(ge=1, description="past slots (or subcarriers) in the linear predictor")


class Predictor:
    """Autoregression by Burg's method.

    A tap is an angle-delay bin for prediction in time, and an angle bin (all slots together) for prediction in
    frequency. Both at once are one after the other: the future of the known band is predicted, then its other band with
    the coefficients of the known slots and that future. Forward and backward prediction errors are minimised by
    reflection coefficients of magnitude at most 1, so that no prediction grows without bound. A single known entry
    says nothing of how it turns: it is held.
    """

    def __init__(self, options: Options):
        self._order = options.order

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """See `wavefoundry.evaluation.methods.NumpyPredictor`."""
        wanted = slice(known.shape[1] if slots else 0, None)
        if slots:
            known = np.concatenate([known, self._in_time(known, slots)], axis=1)
        return self._in_frequency(known, subcarriers)[:, wanted] if subcarriers else known[:, wanted]

    def _in_time(self, known: np.ndarray, slots: int) -> np.ndarray:
        bins = np.fft.ifft(np.fft.fft(known, axis=2, norm="ortho"), axis=3, norm="ortho")
        future = self._extrapolate(bins.transpose(0, 2, 3, 1)[..., None, :], slots)[..., 0, :].transpose(0, 3, 1, 2)
        return np.fft.ifft(np.fft.fft(future, axis=3, norm="ortho"), axis=2, norm="ortho").astype(known.dtype)

    def _in_frequency(self, known: np.ndarray, subcarriers: int) -> np.ndarray:
        bins = np.fft.fft(known, axis=2, norm="ortho").transpose(0, 2, 1, 3)
        beyond = self._extrapolate(bins, subcarriers).transpose(0, 2, 1, 3)
        return np.fft.ifft(beyond, axis=2, norm="ortho").astype(known.dtype)

    def _extrapolate(self, series: np.ndarray, horizon: int) -> np.ndarray:
        """Continue series (..., realisation, step) by `horizon` steps; realisations share their coefficients."""
        order = min(self._order, series.shape[-1] // 2)
        values = series.astype(np.complex128)
        weights = -burg(values, order)[..., None, :0:-1]
        for _ in range(horizon):
            following = (values[..., values.shape[-1] - order :] * weights).sum(axis=-1, keepdims=True)
            values = np.concatenate([values, following if order else values[..., -1:]], axis=-1)
        return values[..., series.shape[-1] :]


def burg(series: np.ndarray, order: int) -> np.ndarray:
    """Coefficients of the prediction error filter by Burg's method.

    Args:
        series: complex (..., realisation, step); realisations of one process.
        order: number of past steps.

    Returns:
        complex (..., order + 1), the first is 1: sum over i of a_i x[n - i] is the prediction error. All zeros of the
        filter lie within the unit circle.
    """
    forward = backward = series
    coefficients = np.ones((*series.shape[:-2], 1), dtype=series.dtype)
    for _ in range(order):
        forward, backward = forward[..., 1:], backward[..., :-1]
        power = (np.abs(forward) ** 2 + np.abs(backward) ** 2).sum(axis=(-2, -1))
        cross = (forward * backward.conj()).sum(axis=(-2, -1))
        reflection = -2 * cross / np.maximum(power, np.finfo(power.dtype).tiny)
        longer = np.concatenate([coefficients, np.zeros_like(coefficients[..., :1])], axis=-1)
        coefficients = longer + reflection[..., None] * longer[..., ::-1].conj()
        gain = reflection[..., None, None]
        forward, backward = forward + gain * backward, backward + gain.conj() * forward
    return coefficients
