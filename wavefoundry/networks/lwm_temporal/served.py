"""LWM-Temporal without torch: the network as an ONNX graph, all around it in numpy.

This file travels with a registered model, so it imports numpy alone. The graph depends on numbers of tokens only;
patches, positions, windows and the angle-delay transform depend on the shape of the CSI and are computed here, by the
definitions in wavefoundry/networks/lwm_temporal and wavefoundry/csi. Errors are ValueErrors of one line.
"""

import math

import numpy as np

# Scores of dense attention that one run of the graph may hold: 128 MiB of them.
LARGEST_SCORES = 2**25


def around_graph(settings: dict, run) -> "LWMTemporal":
    """The predictor around the graph that `export` of the family has written; `run` takes its inputs by name."""
    return LWMTemporal(settings, run)


class LWMTemporal:
    """Around the graph of wavefoundry/networks/lwm_temporal/model.py; a uniform linear array.

    The graph attends densely under a mask of the same windows, which is the same as the sparse attention.
    """

    def __init__(self, settings: dict, run):
        self._settings, self._run = settings, run

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        settings, seen = self._settings, known.shape[1]
        scale = rms_scale(known)
        band = known.shape[3] + subcarriers
        kept = max(1, round(band * settings["delay_fraction"]))
        turns = settings["reference"] == "rotation"
        if turns and subcarriers:
            bins = np.fft.fft2(known / scale, axes=(1, 2), norm="ortho")
            more = np.fft.ifft2(continued(bins, subcarriers), axes=(1, 2), norm="ortho")
            whole = np.concatenate([known / scale, more], axis=3)
        else:
            whole = np.pad(known / scale, [(0, 0), (0, 0), (0, 0), (0, subcarriers)])
        angles = np.fft.fft(whole, axis=2, norm="ortho")
        everything = np.fft.ifft(angles, axis=3, norm="ortho").astype(np.complex64)
        maps, later = everything[..., :kept], everything[..., kept:]
        # A band is completed first, in the known frames.
        for asked, missing in ((subcarriers, 0), (slots, slots)):
            if asked:
                maps = self._fill_in(maps, missing)
        if turns:
            following = np.moveaxis(continued(np.moveaxis(later, 1, -1), slots), -1, 1)
            maps = np.concatenate([maps, np.concatenate([later, following], axis=1)], axis=3)
        frequencies = np.fft.fft(maps, n=band, axis=3, norm="ortho")
        csi = (np.fft.ifft(frequencies, axis=2, norm="ortho") * scale).astype(np.complex64)
        csi = csi[:, seen:] if slots else csi
        return csi[..., known.shape[3] :] if subcarriers else csi

    def _fill_in(self, known: np.ndarray, slots: int) -> np.ndarray:
        """Maps (batch, time, angle, delay) of the known frames and as many after them as are asked for."""
        maps, seen = np.pad(known, [(0, 0), (0, slots), (0, 0), (0, 0)]), known.shape[1]
        grid = self._grid(maps.shape[1:])
        future = np.arange(grid[0]) >= seen
        hidden = np.repeat(future, grid[1] * grid[2])
        tokens = self._split(maps, grid)
        change, factor = self._reconstruct(np.where(hidden[:, None], np.float32(0), tokens), hidden, grid)
        if self._settings["predicts_changes"]:
            held = to_parts(self._held(from_parts(tokens), factor, grid, seen - 1))
            held = np.where(hidden[:, None], held, tokens)
            return self._join(held + change, grid).astype(np.complex64)
        return self._join(np.where(hidden[:, None], change, tokens), grid).astype(np.complex64)

    def _held(self, tokens: np.ndarray, factor: np.ndarray, grid, last: int) -> np.ndarray:
        """A frame of tokens complex (batch, token, bin) in all frames, turned as the factors are."""
        bins, factor = (part.reshape(len(part), grid[0], -1, part.shape[-1]) for part in (tokens, factor))
        return (bins[:, last, None] / factor[:, last, None] * factor).reshape(tokens.shape)

    def _grid(self, shape) -> tuple[int, int, int]:
        """Tokens along (time, angle, delay)."""
        settings = self._settings
        for axis, size, step in zip(("angle", "delay"), shape[1:], settings["patch_size"], strict=True):
            if size % step:
                raise ValueError(f"csi has {size} {axis} bins; the network needs a multiple of {step}")
        grid = shape[0], shape[1] // settings["patch_size"][0], shape[2] // settings["patch_size"][1]
        if math.prod(grid) > settings["max_seq_len"]:
            most = settings["max_seq_len"]
            raise ValueError(f"csi makes {math.prod(grid)} tokens, the predictor takes {most} at most")
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

    def _reconstruct(self, tokens: np.ndarray, hidden: np.ndarray, grid) -> tuple[np.ndarray, np.ndarray]:
        """What the network makes of tokens (batch, token, feature), the hidden ones zero, and the bins' factors."""
        floor, front = np.float32(self._settings["energy_floor"]), int(self._settings["class_token"])
        energy = np.square(tokens).mean(axis=-1)
        mean = energy.sum(axis=1, keepdims=True) / max(1, int((~hidden).sum()))
        mean = np.maximum(mean, np.float32(self._settings["least_energy"]))
        log_energy = np.pad(np.log(energy / mean + floor), ((0, 0), (front, 0)))
        factor = self._reference(from_parts(tokens), hidden, mean, grid)
        read = self._to_phase_mode(to_parts(from_parts(tokens) / factor))
        strength = np.square(np.abs(factor)) / mean[..., None]
        strength = strength if self._settings["strength_of_every_bin"] else strength[..., :1]
        features = np.concatenate([read, np.log(strength)], axis=-1)
        shared = self._tables(grid)
        rows = max(1, LARGEST_SCORES // (self._settings["num_heads"] * (front + tokens.shape[1]) ** 2))
        parts = [
            self._run(features=features[start : start + rows], log_energy=log_energy[start : start + rows], **shared)
            for start in range(0, len(tokens), rows)
        ]
        return to_parts(from_parts(self._from_phase_mode(np.concatenate(parts))) * factor), factor

    def _reference(self, tokens, hidden, mean, grid) -> np.ndarray:
        """Factor (batch, token, bin) of every bin, from tokens complex (batch, token, bin)."""
        mode = self._settings["reference"] if hidden.any() else "none"
        floor = np.float32(self._settings["energy_floor"])
        bins, visible = tokens.reshape(len(tokens), grid[0], -1, tokens.shape[-1]), (~hidden).reshape(grid[0], -1)
        seen, count = visible.any(axis=0)[:, None], np.maximum(visible.sum(axis=0), 1).astype(np.float32)[:, None]
        energy, mean = np.square(np.abs(bins)).sum(axis=1) / 2, mean[..., None]
        if not (self._settings["strength_of_every_bin"] and hidden.any()):
            energy = np.broadcast_to(energy.mean(axis=-1, keepdims=True), energy.shape)
        factor = np.sqrt(np.where(seen, (energy + floor * mean) / count, mean)).astype(np.complex64)
        if mode != "none":
            last = grid[0] - 1 - visible[::-1].argmax(axis=0)
            value = np.take_along_axis(bins, last[None, None, :, None], axis=1)[:, 0]
            length = np.abs(value)
            factor = factor * np.where(length == 0, np.complex64(1), value / np.where(length == 0, 1, length))
        factor = np.repeat(factor[:, None], grid[0], axis=1)
        if mode == "rotation":
            shift = np.angle((bins[:, 1:] * bins[:, :-1].conj()).sum(axis=1))
            ahead = (np.arange(grid[0])[:, None] - last).astype(np.float32)[..., None]
            factor = factor * np.exp(1j * ahead * shift[:, None]).astype(np.complex64)
        return factor.reshape(tokens.shape)

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
        count = np.clip(wanted.astype(np.int64), settings["routing"]["minimum"], settings["routing"]["maximum"])
        return tables | {"candidates": candidates, "always": always, "count": count}

    def _sees(self, positions: np.ndarray, grid) -> np.ndarray:
        """(token, token): whether a query may see a key."""
        settings = self._settings
        offset, turn, shift = (axis[None, :] - axis[:, None] for axis in positions.T)
        turn, shift = np.abs(turn), np.abs(shift)
        turn = np.minimum(turn, grid[1] - turn) if settings["wraps"] else turn
        seen = np.zeros(offset.shape, bool)
        for step, (radius_h, radius_w) in zip((0, *settings["temporal_offsets"]), settings["radii"], strict=True):
            seen |= (offset == step) & (turn <= radius_h) & (shift <= radius_w)
        return seen

    def _angles(self, positions: np.ndarray, grid) -> np.ndarray:
        """Rotation (token, pair) of each token and feature pair, the same for every head that has room for all axes."""
        count, heads = self._settings["embed_dim"] // 2, self._settings["num_heads"]
        alike = heads if count >= len(grid) * heads else 1
        pairs = np.arange(count // alike)
        axes, order = pairs % 3, pairs // 3
        geometric = 100.0 ** (-order / math.ceil(len(pairs) / 3))
        frequency = np.where(axes == 1, 2 * math.pi * (order + 1) / grid[1], geometric)
        return np.tile(positions[:, axes] * frequency, alike).astype(np.float32)


def continued(series: np.ndarray, steps: int) -> np.ndarray:
    """Linear prediction of first order: complex (..., entry) -> (..., steps); see `rotation.continued`."""
    before, after = series[..., :-1], series[..., 1:]
    cross = (after * before.conj()).sum(axis=-1, keepdims=True)
    power = (np.square(np.abs(after)) + np.square(np.abs(before))).sum(axis=-1, keepdims=True) / 2
    coefficient = cross / np.maximum(power, np.finfo(np.float32).tiny)
    ahead = np.arange(1, steps + 1)
    return series[..., -1:] * (np.abs(coefficient) ** ahead * np.exp(1j * np.angle(coefficient) * ahead))


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
