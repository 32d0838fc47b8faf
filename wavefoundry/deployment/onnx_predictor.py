"""A predictor without torch: the network as an ONNX graph, all around it in numpy.

This file travels alone with a registered model, so it imports nothing but numpy and onnxruntime. The folder that
`wavefoundry.deployment.export` writes holds `network.onnx`, which depends on numbers of tokens alone, and
`settings.json`; patches, positions, windows and the angle-delay transform depend on the shape of the CSI and are
computed here, by the definitions in wavefoundry/models and wavefoundry/csi. Errors are ValueErrors of one line.
"""

import json
import math
from pathlib import Path

import numpy as np

AXES = ("time", "frequency")
# Scores of dense attention that one run of the graph may hold: 128 MiB of them.
LARGEST_SCORES = 2**25


class OnnxPredictor:
    """Continues CSI in time or frequency, as `predict` of the network that was exported does."""

    def __init__(self, folder: Path):
        """
        Args:
            folder: written by `export`.

        Raises:
            ValueError: settings of a network that this file does not know.
        """
        import onnxruntime

        settings = json.loads(Path(folder, "settings.json").read_text())
        if settings["network"] not in NETWORKS:
            raise ValueError(f"settings.json: network is {settings['network']!r}, known: {', '.join(NETWORKS)}")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            Path(folder, "network.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._network = NETWORKS[settings["network"]](settings, lambda **inputs: session.run(None, inputs)[0])

    def predict(self, known: np.ndarray, axis: str, horizon: int) -> np.ndarray:
        """
        Args:
            known: the known slots or the known subcarriers, any size along every axis, in one of three layouts:
                complex (batch, time, antenna, subcarrier);
                real (batch, 2, time, antenna, subcarrier), channel 0 real parts and channel 1 imaginary parts;
                real (batch, time, antenna, subcarrier, 2), real and imaginary part last.
            axis: "time" for the next slots, "frequency" for the next subcarriers.
            horizon: how many.

        Returns:
            In the layout of `known`, single precision: (batch, horizon, antenna, subcarrier) or
            (batch, time, antenna, horizon) with two channels or parts where `known` has them.

        Raises:
            ValueError: no such layout, values that are not finite, a size that the network cannot take, an unknown
                axis, or a horizon below 1.
        """
        csi, pack = read_layout(known)
        if axis not in AXES:
            raise ValueError(f"axis is {axis!r}, allowed: {', '.join(AXES)}")
        if horizon < 1:
            raise ValueError(f"horizon is {horizon}, it must be at least 1")
        return pack(self._network.predict(csi, axis, int(horizon)))


def read_layout(known: np.ndarray):
    """Complex64 CSI (batch, time, antenna, subcarrier) of any of the layouts, and the way back.

    Raises:
        ValueError: it has none of the layouts or two of them, is empty, or holds values that are not finite.
    """
    allowed = (
        "allowed: complex (batch, time, antenna, subcarrier), real (batch, 2, time, antenna, subcarrier) or real "
        "(batch, time, antenna, subcarrier, 2)"
    )
    try:
        known = np.asarray(known)
        if known.dtype == object:
            known = known.astype(np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"csi is no array of numbers; {allowed}") from None
    if known.dtype.kind not in "cfiu":
        raise ValueError(f"csi has dtype {known.dtype}; {allowed}")
    found = f"csi is {'complex' if known.dtype.kind == 'c' else 'real'} of shape {known.shape}"
    if not known.size:
        raise ValueError(f"{found}, it holds no values; {allowed}")
    if not np.isfinite(known).all():
        raise ValueError(f"{found} and has values that are not finite")
    if known.dtype.kind == "c":
        if known.ndim != 4:
            raise ValueError(f"{found}; {allowed}")
        return known.astype(np.complex64), lambda csi: csi
    channels = [axis for axis in (1, 4) if known.ndim == 5 and known.shape[axis] == 2]
    if not channels:
        raise ValueError(f"{found}; {allowed}")
    if len(channels) > 1:
        raise ValueError(f"{found}: both axis 1 and axis 4 have size 2; pass it as complex")
    real, imaginary = np.moveaxis(known.astype(np.float32), channels[0], 0)
    return real + 1j * imaginary, lambda csi: np.stack([csi.real, csi.imag], axis=channels[0])


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


class WiFo:
    """Around the graph of wavefoundry/models/wifo.py."""

    def __init__(self, settings: dict, run):
        self._patch, self._width, self._run = settings["patch_size"], settings["hidden_size"], run
        self._position_widths = settings["position_widths"]

    def predict(self, known: np.ndarray, axis: str, horizon: int) -> np.ndarray:
        grid = self._grid(known.shape[1:])
        dimension = 0 if axis == "time" else 2
        seen = grid[dimension]
        grid[dimension] += -(-horizon // self._patch[dimension])
        positions = self._positions(grid)
        visible, hidden = np.split(np.arange(math.prod(grid)).reshape(grid), [seen], axis=dimension)
        patches = self._patches(known)
        scale = rms_scale(patches)
        found = self._run(
            values=to_parts(patches / scale),
            visible_positions=positions[visible.ravel()],
            hidden_positions=positions[hidden.ravel()],
        )
        grid[dimension] -= seen
        box = self._assemble(scale * from_parts(found), grid)
        return box[:, :horizon] if axis == "time" else box[..., :horizon]

    def _grid(self, shape) -> list[int]:
        """Patches along (time, antenna, subcarrier)."""
        for axis, size, patch in zip(("time", "antenna", "subcarrier"), shape, self._patch, strict=True):
            if size < patch or size % patch:
                raise ValueError(f"csi has {size} entries along {axis}; the network needs a multiple of {patch}")
        return [size // patch for size, patch in zip(shape, self._patch, strict=True)]

    def _patches(self, csi: np.ndarray) -> np.ndarray:
        (t, n, k), (pt, pn, pk) = self._grid(csi.shape[1:]), self._patch
        boxes = csi.reshape(-1, t, pt, n, pn, k, pk).transpose(0, 1, 3, 5, 2, 4, 6)
        return boxes.reshape(-1, t * n * k, pt * pn * pk)

    def _assemble(self, patches: np.ndarray, grid: list[int]) -> np.ndarray:
        (t, n, k), (pt, pn, pk) = grid, self._patch
        boxes = patches.reshape(-1, t, n, k, pt, pn, pk).transpose(0, 1, 4, 2, 5, 3, 6)
        return boxes.reshape(-1, t * pt, n * pn, k * pk)

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


class LWMTemporal:
    """Around the graph of wavefoundry/models/lwm_temporal.py; a uniform linear array.

    The graph attends densely under a mask of the same windows, which is the same as the sparse attention.
    """

    def __init__(self, settings: dict, run):
        self._settings, self._run = settings, run

    def predict(self, known: np.ndarray, axis: str, horizon: int) -> np.ndarray:
        settings = self._settings
        slots, subcarriers = known.shape[1], known.shape[3]
        scale = rms_scale(known)
        padding = [(0, 0)] * 4
        padding[1 if axis == "time" else 3] = (0, horizon)
        subcarriers += horizon if axis == "frequency" else 0
        kept = max(1, round(subcarriers * settings["keep_percentage"]))
        angles = np.fft.fft(np.pad(known / scale, padding), axis=2, norm="ortho")
        maps = np.fft.ifft(angles, axis=3, norm="ortho")[..., :kept].astype(np.complex64)

        grid = self._grid(maps.shape[1:])
        future = np.arange(grid[0]) >= slots
        hidden = np.repeat(future, grid[1] * grid[2])
        tokens = self._split(maps, grid)
        change = self._reconstruct(np.where(hidden[:, None], np.float32(0), tokens), hidden, grid)
        if settings["residual"]:
            last = np.where(future[:, None, None], maps[:, slots - 1, None], maps)
            predicted = self._split(last, grid) + change
        else:
            predicted = np.where(hidden[:, None], change, tokens)
        frequencies = np.fft.fft(self._join(predicted, grid), n=subcarriers, axis=3, norm="ortho")
        csi = (np.fft.ifft(frequencies, axis=2, norm="ortho") * scale).astype(np.complex64)
        return csi[:, -horizon:] if axis == "time" else csi[..., -horizon:]

    def _grid(self, shape) -> tuple[int, int, int]:
        """Tokens along (time, angle, delay)."""
        settings = self._settings
        for axis, size, step in zip(("angle", "delay"), shape[1:], settings["patch_size"], strict=True):
            if size % step:
                raise ValueError(f"csi has {size} {axis} bins; the network needs a multiple of {step}")
        grid = shape[0], shape[1] // settings["patch_size"][0], shape[2] // settings["patch_size"][1]
        if math.prod(grid) > settings["max_seq_len"]:
            raise ValueError(f"csi makes {math.prod(grid)} tokens, the network takes {settings['max_seq_len']} at most")
        if settings["learned_positions"] and max(grid) > settings["learned_positions"]:
            raise ValueError(
                f"csi makes a grid of {grid} tokens, the network knows {settings['learned_positions']} along an axis"
            )
        return grid

    def _split(self, maps: np.ndarray, grid) -> np.ndarray:
        """complex (batch, time, angle, delay) -> real (batch, token, feature)."""
        (t, h, w), (ph, pw) = grid, self._settings["patch_size"]
        patches = maps.reshape(-1, t, h, ph, w, pw).transpose(0, 1, 2, 4, 3, 5)
        return to_parts(patches.reshape(-1, t * h * w, ph * pw))

    def _join(self, tokens: np.ndarray, grid) -> np.ndarray:
        (t, h, w), (ph, pw) = grid, self._settings["patch_size"]
        patches = from_parts(tokens).reshape(-1, t, h, w, ph, pw).transpose(0, 1, 2, 4, 3, 5)
        return patches.reshape(-1, t, h * ph, w * pw)

    def _reconstruct(self, tokens: np.ndarray, hidden: np.ndarray, grid) -> np.ndarray:
        """What the network makes of tokens (batch, token, feature), the hidden ones zero."""
        floor, front = np.float32(self._settings["energy_floor"]), int(self._settings["class_token"])
        energy = np.square(tokens).mean(axis=-1)
        mean = energy.sum(axis=1, keepdims=True) / max(1, int((~hidden).sum()))
        log_energy = np.pad(np.log(energy / mean + floor), ((0, 0), (front, 0)))
        amplitude = self._amplitude(energy, hidden, mean, grid)
        read = self._to_phase_mode(tokens / amplitude)
        features = np.concatenate([read, np.log(np.square(amplitude) / mean[..., None])], axis=-1)
        shared = self._tables(grid)
        rows = max(1, LARGEST_SCORES // (self._settings["num_heads"] * (front + tokens.shape[1]) ** 2))
        parts = [
            self._run(features=features[start : start + rows], log_energy=log_energy[start : start + rows], **shared)
            for start in range(0, len(tokens), rows)
        ]
        return self._from_phase_mode(np.concatenate(parts)) * amplitude

    def _amplitude(self, energy, hidden, mean, grid) -> np.ndarray:
        """RMS (batch, token, 1) of each angle-delay position over its visible frames."""
        visible = (~hidden).reshape(grid[0], -1)
        total = energy.reshape(len(energy), grid[0], -1).sum(axis=1) + np.float32(self._settings["energy_floor"]) * mean
        power = np.where(visible.any(axis=0), total / np.maximum(visible.sum(axis=0), 1).astype(np.float32), mean)
        return np.tile(np.sqrt(power), grid[0])[..., None]

    def _to_phase_mode(self, tokens: np.ndarray) -> np.ndarray:
        if self._settings["phase_mode"] == "real_imaginary":
            return tokens
        real, imaginary = np.split(tokens, 2, axis=-1)
        return np.concatenate([np.hypot(real, imaginary), np.arctan2(imaginary, real)], axis=-1)

    def _from_phase_mode(self, features: np.ndarray) -> np.ndarray:
        if self._settings["phase_mode"] == "real_imaginary":
            return features
        magnitude, phase = np.split(features, 2, axis=-1)
        return np.concatenate([magnitude * np.cos(phase), magnitude * np.sin(phase)], axis=-1)

    def _tables(self, grid) -> dict[str, np.ndarray]:
        """What the graph needs to know of the grid: positions, windows, and how many keys each query attends to."""
        settings, front = self._settings, int(self._settings["class_token"])
        positions = np.stack(np.unravel_index(np.arange(math.prod(grid)), grid), axis=-1)
        sees = self._sees(positions, grid)
        candidates = np.pad(sees, (front, 0))
        always = np.zeros_like(candidates)
        always[:front] = always[:, :front] = True
        if settings["learned_positions"]:
            tables = {"positions": positions}
        else:
            tables = {"angles": np.pad(self._angles(positions, grid), ((front, 0), (0, 0)))}
        if settings["routing"] is None:
            return tables | {"visible": candidates | always}
        wanted = np.ceil(candidates.sum(axis=1).astype(np.float32) * np.float32(settings["routing"]["fraction"]))
        count = np.clip(wanted.astype(np.int64), 1, settings["routing"]["maximum"])
        return tables | {"candidates": candidates, "always": always, "count": count}

    def _sees(self, positions: np.ndarray, grid) -> np.ndarray:
        """(token, token): whether a query may see a key."""
        settings = self._settings
        offset, turn, shift = (axis[None, :] - axis[:, None] for axis in positions.T)
        turn = np.minimum(np.abs(turn), grid[1] - np.abs(turn))
        shift = np.abs(shift)
        seen = np.zeros(offset.shape, bool)
        for step, (radius_h, radius_w) in zip((0, *settings["temporal_offsets"]), settings["radii"], strict=True):
            seen |= (offset == step) & (turn <= radius_h) & (shift <= radius_w)
        return seen

    def _angles(self, positions: np.ndarray, grid) -> np.ndarray:
        """Rotation (token, pair) of each token and feature pair."""
        pairs = np.arange(self._settings["embed_dim"] // 2)
        axes, order = pairs % 3, pairs // 3
        geometric = 100.0 ** (-order / math.ceil(len(pairs) / 3))
        frequency = np.where(axes == 1, 2 * math.pi * (order + 1) / grid[1], geometric)
        return (positions[:, axes] * frequency).astype(np.float32)


NETWORKS = {"wifo": WiFo, "lwm_temporal_predictor": LWMTemporal}
