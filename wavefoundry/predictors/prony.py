"""Prony's method on every angle-delay bin of a channel, made calm on noisy samples.

Source: H. Yin, H. Wang, Y. Liu, D. Gesbert, "Addressing the Curse of Mobility in Massive MIMO with Prony-Based
Angular-Delay Domain Channel Predictions", IEEE Journal on Selected Areas in Communications 38(12), 2020,
arXiv:1912.11330.
This file travels with a registered model, so it imports numpy and pydantic alone.
"""

import numpy as np
from pydantic import BaseModel, Field


class Options(BaseModel):
    order: int = Field(ge=1, description="past slots (or subcarriers) in the linear predictor; the paths of a bin")
    regularisation: float = Field(
        gt=0, description="penalty on the predictor's coefficients, as a share of the energy of what it is fitted on"
    )

    def why_not_predict(self, known: tuple[int, int], wanted: tuple[int, int]) -> str | None:
        """See `wavefoundry.evaluation.methods.why_not_predict`."""
        for axis, size, asked in zip(("slots", "subcarriers"), known, wanted, strict=True):
            if asked and size <= self.order:
                return f"{size} {axis} are known; order {self.order} needs at least {self.order + 1}"
        return None


class Predictor:
    """Linear prediction by least squares with Tikhonov's penalty, from the known part of the same sample.

    The published method transforms the channel to angles and delays, where a bin holds few paths, and finds for each
    bin the linear recursion that its series over time obeys. A sum of p rotating paths obeys one of order p, so the
    prediction is exact without noise. The published least squares have no penalty, and on noisy samples some recursions
    then grow without bound: their errors exceed the channel by orders of magnitude. Here the squared coefficients are
    penalised relative to the energy of the bin, which shrinks the predictions of bins that hold mostly noise. Roots of
    the recursion outside the unit circle, which would let it grow, are moved onto it, for no path grows from slot to
    slot. Neither changes the prediction of paths without noise, but for the size of the penalty.

    In frequency the vector form of the same paper is used: an angle bin has one recursion along the subcarriers, which
    all its slots share. Both at once are one after the other, time first.
    """

    def __init__(self, options: Options):
        self._options, self._order = options, options.order
        self._regularisation = options.regularisation

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        """See `wavefoundry.evaluation.methods.NumpyPredictor`.

        Raises:
            ValueError: fewer slots (or subcarriers) are known than a recursion needs, which is one more than its order.
        """
        if reason := self._options.why_not_predict((known.shape[1], known.shape[3]), (slots, subcarriers)):
            raise ValueError(reason)
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
        """Continue series (..., realisation, step) by `horizon` steps; realisations share their recursion."""
        values = series.astype(np.complex128)
        weights = bounded(recursion(values, self._order, self._regularisation))[..., None, :]
        for _ in range(horizon):
            following = (values[..., -self._order :] * weights).sum(axis=-1, keepdims=True)
            values = np.concatenate([values, following], axis=-1)
        return values[..., series.shape[-1] :]


def recursion(series: np.ndarray, order: int, regularisation: float) -> np.ndarray:
    """Coefficients c of the linear recursion x[n] = sum over i of c_i x[n - order + i], by penalised least squares.

    Minimises sum |x[n] - prediction|^2 + regularisation * E * sum |c_i|^2, where E is the mean energy of the columns
    that are regressed on, so that the result does not depend on the scale of the series.

    Args:
        series: complex (..., realisation, step), more steps than the order; realisations obey one recursion.
        order: number of past steps.
        regularisation: above 0.

    Returns:
        complex (..., order), that of the oldest step first; 0 of a silent series.
    """
    windows = np.lib.stride_tricks.sliding_window_view(series, order + 1, axis=-1)
    windows = windows.reshape(*series.shape[:-2], -1, order + 1)
    past, following = windows[..., :-1], windows[..., -1:]
    adjoint = past.conj().swapaxes(-1, -2)
    gram = adjoint @ past
    energy = np.trace(gram, axis1=-2, axis2=-1).real / order
    penalty = np.maximum(regularisation * energy, np.finfo(energy.dtype).tiny)
    return np.linalg.solve(gram + penalty[..., None, None] * np.eye(order), adjoint @ following)[..., 0]


def bounded(coefficients: np.ndarray) -> np.ndarray:
    """Coefficients (..., order) as of `recursion`, with the roots outside the unit circle moved onto it."""
    order = coefficients.shape[-1]
    companion = np.zeros((*coefficients.shape, order), dtype=coefficients.dtype)
    companion[..., 0, :] = coefficients[..., ::-1]
    companion[..., np.arange(1, order), np.arange(order - 1)] = 1
    roots = np.linalg.eigvals(companion)
    roots = roots / np.maximum(np.abs(roots), 1)
    polynomial = np.ones((*coefficients.shape[:-1], 1), dtype=coefficients.dtype)
    for root in np.moveaxis(roots, -1, 0):
        longer = np.concatenate([polynomial, np.zeros_like(polynomial[..., :1])], axis=-1)
        longer[..., 1:] -= root[..., None] * polynomial
        polynomial = longer
    return -polynomial[..., :0:-1]
