"""A network of single antenna ports without torch: the network as an ONNX graph, all around it in numpy.

This file travels with a registered model, so it imports numpy alone. What it does is defined in
wavefoundry/networks/sequences/sequence_network.py. Errors are ValueErrors of one line.
"""

import numpy as np

# In one pass: a batch of wide bands from large arrays is thousands of sequences.
SEQUENCES_AT_ONCE = 1024


def around_graph(settings: dict, run) -> "Continuation":
    """The predictor around the graph that `export` of the family has written; `run` takes its inputs by name."""
    return Continuation(settings, run)


class Continuation:
    """What `SequenceNetwork.predict` does."""

    def __init__(self, settings: dict, run):
        self._settings, self._run = settings, run

    def predict(self, known: np.ndarray, slots: int, subcarriers: int) -> np.ndarray:
        past, horizon, width = (self._settings[name] for name in ("known_slots", "horizon", "subcarriers"))
        self._require(known.shape[1], known.shape[3], slots, subcarriers)
        batch, _, antennas, _ = known.shape
        # (batch, antenna, time, subcarrier) -> (sequence, time, subcarrier of one band)
        series = known[:, -past:].transpose(0, 2, 1, 3).reshape(batch, antennas, past, -1, width)
        series = series.transpose(0, 1, 3, 2, 4).reshape(-1, past, width)
        found: list[np.ndarray] = []
        for _ in range(-(-slots // horizon)):
            found.append(self._continued(series[:, -past:]))
            series = np.concatenate([series, found[-1]], axis=1)
        answer = np.concatenate(found, axis=1)[:, :slots].reshape(batch, antennas, -1, slots, width)
        return answer.transpose(0, 3, 1, 2, 4).reshape(batch, slots, antennas, -1)

    def _require(self, known_slots: int, known_subcarriers: int, slots: int, subcarriers: int) -> None:
        past, horizon, width = (self._settings[name] for name in ("known_slots", "horizon", "subcarriers"))
        same = self._settings["band"] == "same"
        if known_slots < past:
            raise ValueError(f"csi has {known_slots} slots; the network needs {past}")
        if not slots:
            raise ValueError("slots is 0; the network predicts slots after the known ones")
        if same and (subcarriers or known_subcarriers % width):
            raise ValueError(
                f"csi has {known_subcarriers} subcarriers and {subcarriers} above them are asked for; the network "
                f"needs a multiple of {width}, and answers for the same ones"
            )
        if not same and (known_subcarriers != width or subcarriers != width or slots > horizon):
            raise ValueError(
                f"csi has {known_subcarriers} subcarriers, and {slots} slots of {subcarriers} above them are asked "
                f"for; the network needs {width}, and answers for at most {horizon} slots of the {width} above"
            )

    def _continued(self, rows: np.ndarray) -> np.ndarray:
        """Complex (sequence, known slot, subcarrier) -> (sequence, horizon, subcarrier)."""
        turn = _turn(rows) if self._settings["reference"] == "phase" else np.complex64(1)
        turned = rows * np.conj(turn)
        features = np.stack([turned.real, turned.imag], axis=-1).reshape(*rows.shape[:2], -1)
        axes = (1, 2) if self._settings["statistics"] == "sequence" else (0, 1, 2)
        mean = features.mean(axes, keepdims=True)
        deviation = np.sqrt(np.square(features - mean).mean(axes, keepdims=True))
        normalised = ((features - mean) / np.maximum(deviation, np.finfo(np.float32).tiny)).astype(np.float32)
        parts = (normalised[first : first + SEQUENCES_AT_ONCE] for first in range(0, len(rows), SEQUENCES_AT_ONCE))
        found = np.concatenate([self._run(features=part) for part in parts]) * deviation + mean
        return (found[..., 0::2] + 1j * found[..., 1::2]) * turn


def _turn(rows: np.ndarray) -> np.ndarray:
    """(sequence, 1, 1): phase of the strongest delay tap of the last slot; 1 where it is silent."""
    taps = np.fft.ifft(rows[:, -1], axis=-1)
    strongest = np.take_along_axis(taps, np.abs(taps).argmax(1)[:, None], axis=1)
    magnitude = np.abs(strongest)
    turn = np.where(magnitude > 0, strongest / np.maximum(magnitude, 1e-30), 1)
    return turn[:, :, None].astype(np.complex64)
