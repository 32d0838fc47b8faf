"""A spectral predictor without torch: its estimators as an ONNX graph, all around it in numpy.

This file travels with a registered model, so it imports numpy alone. Bins, autoregression, features and linear
prediction are computed here, by the definitions in wavefoundry/networks/spectral_predictor/model.py. Errors are
ValueErrors of one line.
"""

import math
from functools import cache

import numpy as np

# Name of an axis, its dimension in CSI (batch, time, antenna, subcarrier).
AXES = {"time": 1, "frequency": 3}
TINY = float(np.finfo(np.float32).tiny)


def around_graph(settings: dict, run) -> "SpectralPredictor":
    """The predictor around the graph that `export` of the family has written; `run` takes its inputs by name."""
    return SpectralPredictor(settings, run)


class SpectralPredictor:
    """Around the graph of wavefoundry/networks/spectral_predictor/model.py."""

    def __init__(self, settings: dict, run):
        self._settings, self._run = settings, run

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        return self.predict_with_error(known, slots, subcarriers)[0]

    def predict_with_error(self, known: np.ndarray, slots: int, subcarriers: int) -> tuple[np.ndarray, np.ndarray]:
        steps = {"time": slots, "frequency": subcarriers}
        for name, dimension in AXES.items():
            if steps[name] and known.shape[dimension] < self._settings["fewest_known"]:
                raise ValueError(
                    f"csi has {known.shape[dimension]} known entry along {name}; the network needs "
                    f"{self._settings['fewest_known']}"
                )
        scale = rms_scale(known)
        box = known.astype(np.complex128) / scale
        error = np.zeros((len(box), slots or 1, subcarriers or 1))
        first = self._settings["first"]
        for name in (first, "frequency" if first == "time" else "time"):
            if steps[name]:
                beyond, expected = self._beyond(to_bins(box, name), steps[name], name)
                error = error + (expected[:, :, None] if name == "time" else expected[:, None])
                box = np.concatenate([box, from_bins(beyond, name)], axis=AXES[name])
        box = box[:, known.shape[1] :] if slots else box
        box = box[..., known.shape[3] :] if subcarriers else box
        factor = self._settings["error_factors"]["both" if slots and subcarriers else "time" if slots else "frequency"]
        error = np.broadcast_to(factor * error * scale[:, 0] ** 2, (len(box), box.shape[1], box.shape[3]))
        return (box * scale).astype(np.complex64), error.astype(np.float32)

    def _beyond(self, series: np.ndarray, horizon: int, axis: str) -> tuple[np.ndarray, np.ndarray]:
        """Continue all bins: (batch, row, column, horizon), and the error to be expected of an entry of CSI, (batch,
        horizon)."""
        batch, rows, columns, seen = series.shape
        count = max(1, round(self._settings["share"] * rows * columns))
        chosen = np.argpartition(-energy(series).reshape(batch, -1), count - 1, axis=1)[:, :count]
        filters, residual = self._lattice(series, self._settings["orders"][axis])
        beyond = extrapolate(series, filters[0], horizon).reshape(batch, -1, horizon)
        own, filters = pick(series, chosen), [pick(each, chosen) for each in filters]

        features = self._features(series, chosen, filters[0], residual).astype(np.float32)
        estimate = self._run(
            features=features.reshape(-1, features.shape[-1]), axis=np.array([list(AXES).index(axis)], dtype=np.int64)
        ).reshape(batch, count, -1)
        estimate = estimate.astype(np.float64)
        lines = self._settings["frequencies"]
        terms = len(self._settings["others_error"][axis])
        spectrum, noise, error = estimate[..., :lines], estimate[..., lines], estimate[..., -terms:]
        levels, slopes = np.split(estimate[..., lines + 1 : -terms], 2, axis=-1)
        by_spectrum = linear(own, softmax(spectrum), self._settings["noise_floor"] + np.exp(noise), horizon)
        own_power = power(own).mean(-1)[..., None]
        limit = 3 * np.sqrt(own_power)
        by_filters = [
            limited(pick(beyond.reshape(batch, rows, columns, horizon), chosen), limit),
            limited(extrapolate(own, filters[1], horizon), limit),
        ]
        ahead = self._ahead(horizon, seen)[:, None]
        weights = softmax(levels[..., None, :] + slopes[..., None, :] * ahead)
        found = (weights * np.stack([by_spectrum, *by_filters], axis=-1)).sum(-1)
        np.put_along_axis(beyond, chosen[..., None], found, axis=1)

        weak = power(series).mean(-1).reshape(batch, -1)
        np.put_along_axis(weak, chosen, 0.0, axis=1)
        others = np.array(self._settings["others_error"][axis])
        expected = (own_power * self._relative_error(error, horizon, seen)).sum(1)
        expected += weak.sum(1)[:, None] * self._relative_error(others, horizon, seen)
        return beyond.reshape(batch, rows, columns, horizon), expected / (rows * columns)

    def _ahead(self, horizon: int, seen: int) -> np.ndarray:
        return np.minimum(np.arange(1, horizon + 1) / seen, self._settings["farthest"])

    def _relative_error(self, terms: np.ndarray, horizon: int, seen: int) -> np.ndarray:
        ahead = self._ahead(horizon, seen)
        basis = np.stack([np.ones(horizon), ahead - 0.5, np.log(ahead) + 1])
        return np.exp(np.clip(terms @ basis, *self._settings["error_limits"]))

    def _features(self, series: np.ndarray, chosen: np.ndarray, filters: np.ndarray, residual: np.ndarray):
        """What the estimator reads of the chosen bins: (batch, chosen bin, feature)."""
        settings, (_, rows, columns, seen) = self._settings, series.shape
        unit, quiet, lines = settings["log_unit"], settings["quiet"], settings["frequencies"]
        lags = np.fft.ifft(power(np.fft.fft(series, n=2 * seen)))[..., :seen] / seen
        of_bins = lags[..., 0].real
        of_sample = np.maximum(of_bins.mean(axis=(1, 2)), TINY)[:, None]
        own, around = pick(lags, chosen), pick(self._pooled(lags), chosen)
        periodograms = [self._periodogram(each, lines // 2) for each in (own, around, lags.mean(axis=(1, 2))[:, None])]
        periodograms[2] = np.broadcast_to(periodograms[2], periodograms[0].shape)

        response = np.fft.fft(filters * settings["damping"] ** np.arange(filters.shape[-1]), n=lines)
        shape = 1 / np.maximum(power(response), 1e-8)
        autoregression = unit * np.log(shape / shape.sum(-1, keepdims=True) + quiet)

        own_power, around_power = own[..., 0].real, around[..., 0].real
        # The lower of two middle ones, as torch has it.
        middle = np.sort(of_bins.reshape(len(series), -1), axis=1)[:, (rows * columns - 1) // 2, None]
        middle = np.broadcast_to(middle, own_power.shape)
        level, level_around, level_middle = (
            unit * np.log(each / of_sample + quiet) for each in (own_power, around_power, middle)
        )
        scalars = [level, level_around, level_middle, level - level_middle]
        for left, whole in ((residual[..., None], own_power), (self._pooled(residual[..., None]), around_power)):
            rest = pick(left, chosen)[..., 0] / np.maximum(whole, TINY)
            scalars.append(unit * np.log(np.clip(rest, 1e-4, 1e2)))
        sizes = [math.log(seen) - 2, 4 / seen, 0.2 * math.log(rows * columns) - 1]
        scalars += [np.full(level.shape, size) for size in sizes]
        return np.concatenate([autoregression, *periodograms, np.stack(scalars, axis=-1)], axis=-1)

    def _periodogram(self, lags: np.ndarray, lines: int) -> np.ndarray:
        seen, least = lags.shape[-1], self._settings["quiet_line"]
        cosines, sines = waves(lines, seen)
        weight = np.where(np.arange(seen) > 0, 2.0, 1.0)[:, None]
        values = lags.real @ (weight * cosines.T) + lags.imag @ (weight * sines.T)
        relative = values / seen / np.maximum(lags[..., :1].real, TINY)
        return self._settings["log_unit"] * np.log(np.maximum(relative + least, least))

    def _lattice(self, series: np.ndarray, orders: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
        """Prediction error filters of every bin, and the mean power of the error of the longest one."""
        forward = backward = series
        filters = {0: np.ones_like(series[..., :1])}
        longest = min(max(orders), series.shape[-1] - 1)
        for order in range(1, longest + 1):
            forward, backward = forward[..., 1:], backward[..., :-1]
            total = self._pooled((energy(forward) + energy(backward))[..., None])
            cross = self._pooled(np.einsum("...t,...t->...", forward, backward.conj())[..., None])
            gain = -2 * cross / np.maximum(total, TINY)
            longer = np.concatenate([filters[order - 1], np.zeros_like(gain)], axis=-1)
            filters[order] = longer + gain * longer[..., ::-1].conj()
            forward, backward = forward + gain * backward, backward + gain.conj() * forward
        return [filters[min(order, longest)] for order in orders], energy(forward) / forward.shape[-1]

    def _pooled(self, values: np.ndarray) -> np.ndarray:
        """Weighted mean over the 3 x 3 bins around each; rows and columns are circles."""
        batch, rows, columns = values.shape[:3]
        weights = tuple(self._settings["neighbours"])
        values = circle(weights, rows) @ values.reshape(batch, rows, -1)
        return circle(weights, columns) @ values.reshape(batch, rows, columns, -1)


@cache
def waves(lines: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines (line, step) of lines at frequencies 0, 1 / lines, ... cycles per step."""
    angles = 2 * math.pi / lines * np.arange(lines)[:, None] * np.arange(steps)
    return np.cos(angles), np.sin(angles)


@cache
def circle(weights: tuple[float, float, float], size: int) -> np.ndarray:
    """Matrix (size, size) of the weights of the bin before, the bin itself and the bin after on a circle of bins."""
    kernel = np.zeros(size)
    for weight, turn in zip(weights, (1, 0, -1), strict=True):
        kernel[turn % size] += weight
    index = np.arange(size)
    return kernel[(index[:, None] - index) % size]


def linear(series: np.ndarray, spectrum: np.ndarray, noise: np.ndarray, horizon: int) -> np.ndarray:
    """Linear minimum mean square error prediction of series (..., step) under a spectrum and white noise."""
    seen, lines = series.shape[-1], spectrum.shape[-1]
    cosines, sines = waves(lines, seen + horizon)
    covariance = spectrum @ cosines + 1j * (spectrum @ sines)
    covariance = np.concatenate([covariance[..., seen - 1 : 0 : -1].conj(), covariance], axis=-1)
    before, after = np.arange(seen), np.arange(seen, seen + horizon)
    among = covariance[..., before[:, None] - before + seen - 1] + noise[..., None, None] * np.eye(seen)
    across = covariance[..., after[:, None] - before + seen - 1]
    return (across @ np.linalg.solve(among, series[..., None]))[..., 0]


def extrapolate(series: np.ndarray, filters: np.ndarray, horizon: int) -> np.ndarray:
    """Continue series (..., step) by prediction error filters (..., order + 1): (..., horizon)."""
    order = filters.shape[-1] - 1
    values = np.zeros((*series.shape[:-1], order + horizon), dtype=series.dtype)
    values[..., :order] = series[..., series.shape[-1] - order :]
    weights = -filters[..., :0:-1]
    for step in range(horizon):
        values[..., order + step] = np.einsum("...o,...o->...", values[..., step : order + step], weights)
    return values[..., order:]


def to_bins(csi: np.ndarray, axis: str) -> np.ndarray:
    """(batch, time, antenna, subcarrier) to the series of angle-delay or of angle-Doppler bins."""
    angles = np.fft.fft(csi, axis=2, norm="ortho")
    if axis == "time":
        return np.ascontiguousarray(np.fft.ifft(angles, axis=3, norm="ortho").transpose(0, 2, 3, 1))
    return np.ascontiguousarray(np.fft.fft(angles, axis=1, norm="ortho").transpose(0, 2, 1, 3))


def from_bins(series: np.ndarray, axis: str) -> np.ndarray:
    """Inverse of `to_bins`."""
    if axis == "time":
        angles = np.fft.fft(series.transpose(0, 3, 1, 2), axis=3, norm="ortho")
    else:
        angles = np.fft.ifft(series.transpose(0, 2, 1, 3), axis=1, norm="ortho")
    return np.fft.ifft(angles, axis=2, norm="ortho")


def pick(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(batch, row, column, value) and (batch, chosen bin) -> (batch, chosen bin, value)."""
    return np.take_along_axis(values.reshape(len(values), -1, values.shape[-1]), chosen[..., None], axis=1)


def power(values: np.ndarray) -> np.ndarray:
    return np.square(values.real) + np.square(values.imag)


def energy(series: np.ndarray) -> np.ndarray:
    """Sum of |.|^2 over the last axis."""
    return np.einsum("...t,...t->...", series, series.conj()).real


def limited(values: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Complex values with magnitudes cut at `limit`."""
    return values * np.minimum(limit / np.maximum(np.abs(values), TINY), 1)


def softmax(values: np.ndarray) -> np.ndarray:
    shares = np.exp(values - values.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def rms_scale(csi: np.ndarray) -> np.ndarray:
    """Root mean square of each sample (sample, 1, ..., 1), kept away from zero."""
    squares = np.square(np.abs(csi)).mean(axis=tuple(range(1, csi.ndim)), keepdims=True)
    return np.maximum(np.sqrt(squares), TINY).astype(np.float64)
