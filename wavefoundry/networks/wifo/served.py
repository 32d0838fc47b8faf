"""WiFo without torch: the network as an ONNX graph, all around it in numpy.

This file travels with a registered model, so it imports numpy alone. The graph depends on numbers of tokens only;
patches and positions depend on the shape of the CSI and are computed here, by the definitions in
wavefoundry/networks/wifo/model.py and patches.py. Errors are ValueErrors of one line.
"""

import math

import numpy as np


def around_graph(settings: dict, run) -> "WiFo":
    """The predictor around the graph that `export` of the family has written; `run` takes its inputs by name."""
    return WiFo(settings, run)


class WiFo:
    """Around the graph of wavefoundry/networks/wifo/model.py."""

    def __init__(self, settings: dict, run):
        self._patch, self._width, self._run = settings["patch_size"], settings["hidden_size"], run
        self._position_widths, self._position_rule = settings["position_widths"], settings["position_rule"]

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        # Padding in front, so that what is asked for begins with a patch; along the antennas behind.
        time, antenna, subcarrier = (-size % step for size, step in zip(known.shape[1:], self._patch, strict=True))
        padded = np.pad(known, [(0, 0), (time, 0), (0, antenna), (subcarrier, 0)])
        seen = [size // step for size, step in zip(padded.shape[1:], self._patch, strict=True)]
        grid = [seen[0] - (-slots // self._patch[0]), seen[1], seen[2] - (-subcarriers // self._patch[2])]
        positions = self._positions(grid)
        leads = np.zeros(grid, dtype=bool)
        leads[: seen[0], :, : seen[2]] = True
        visible, hidden = np.flatnonzero(leads), np.flatnonzero(~leads)
        patches = self._patches(padded, seen)
        # The root mean square of what is known, not of its padding.
        scale = rms_scale(patches) * np.float32(math.sqrt(padded[0].size / known[0].size))
        found = self._run(
            values=to_parts(patches / scale),
            encoder_positions=positions[self._encoder_at(visible, grid, slots, subcarriers)],
            visible_positions=positions[visible],
            hidden_positions=positions[hidden],
        )
        everything = np.zeros((len(known), math.prod(grid), math.prod(self._patch)), dtype=np.complex64)
        everything[:, hidden] = scale * from_parts(found)
        box = self._assemble(everything, grid)[:, time:, : known.shape[2], subcarrier:]
        box = box[:, known.shape[1] :][:, :slots] if slots else box
        return box[..., known.shape[3] :][..., :subcarriers] if subcarriers else box

    def _patches(self, csi: np.ndarray, grid: list[int]) -> np.ndarray:
        (t, n, k), (pt, pn, pk) = grid, self._patch
        boxes = csi.reshape(-1, t, pt, n, pn, k, pk).transpose(0, 1, 3, 5, 2, 4, 6)
        return boxes.reshape(-1, t * n * k, pt * pn * pk)

    def _assemble(self, patches: np.ndarray, grid: list[int]) -> np.ndarray:
        (t, n, k), (pt, pn, pk) = grid, self._patch
        boxes = patches.reshape(-1, t, n, k, pt, pn, pk).transpose(0, 1, 4, 2, 5, 3, 6)
        return boxes.reshape(-1, t * pt, n * pn, k * pk)

    def _encoder_at(self, visible: np.ndarray, grid: list[int], slots: int, subcarriers: int) -> np.ndarray:
        """Positions (visible token) that the encoder sees."""
        if self._position_rule == "own" or (slots and subcarriers):
            return visible
        return visible // (grid[1] * grid[2]) if slots else visible % grid[2]

    def _positions(self, grid: list[int]) -> np.ndarray:
        """Sine-cosine encoding (token, width)."""
        axes = []
        for dimension, part in enumerate(self._position_widths):
            frequencies = 10000 ** (-2 * np.arange(part // 2) / max(part, 1))
            angles = np.arange(grid[dimension])[:, None] * frequencies
            shape = [1, 1, 1, part]
            shape[dimension] = grid[dimension]
            encoding = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).reshape(shape)
            axes.append(np.broadcast_to(encoding, (*grid, part)))
        return np.concatenate(axes, axis=-1).reshape(-1, self._width).astype(np.float32)


def rms_scale(csi: np.ndarray) -> np.ndarray:
    """Root mean square of each sample (sample, 1, ..., 1), kept away from zero."""
    power = np.square(np.abs(csi)).mean(axis=tuple(range(1, csi.ndim)), keepdims=True)
    return np.maximum(np.sqrt(power), np.finfo(np.float32).tiny)


def to_parts(values: np.ndarray) -> np.ndarray:
    """complex (..., n) -> float32 (..., 2 n), real parts first."""
    return np.concatenate([values.real, values.imag], axis=-1).astype(np.float32)


def from_parts(values: np.ndarray) -> np.ndarray:
    """Inverse of `to_parts`."""
    real, imaginary = np.split(values, 2, axis=-1)
    return real + 1j * imaginary
