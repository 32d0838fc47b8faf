"""Whether the energy of CSI is spread as if two of its axes were exchanged.

No file says which of two axes of the same length holds the antennas; the channel does. With z the product of the
conjugate of each value and its next neighbour along an axis, summed over a sample and divided by its energy,

- along subcarriers z is exp(-j 2 pi Delta_f tau) on average over the paths. Delays are short against 1 / Delta_f, and
  synchronisation gives them the same sign and size for all users: z is near one point for all samples.
- along antennas z is exp(j 2 pi u), u the direction in turns per antenna: each user has its own.
- along time z is exp(j 2 pi nu T), and of Doppler shifts nu both signs are met.

The mean of z over all samples, the common coherence, is therefore large along subcarriers and small along antennas.
Thresholds are ours: the tests hold them against known channels.
"""

import numpy as np

# Common coherence by which the antennas must exceed another axis before that is worth a word.
MARGIN = 0.25
# Common coherence of an axis that is as smooth as one of subcarriers, or of time, at the least.
SMOOTH = 0.6
# Share of samples whose phase turns in one direction: of delays, and of Doppler shifts at the most.
ONE_SIDED, TWO_SIDED = 0.95, 0.8
# Fewer samples tell nothing of all users.
FEWEST = 30


def exchanged_axes(csi: np.ndarray) -> str | None:
    """One sentence that names two axes which are as likely exchanged; None where nothing looks like it.

    Args:
        csi: complex (sample, time, antenna, subcarrier), some samples of many users, none of them zero throughout.
    """
    if len(csi) < FEWEST:
        return None
    turns = {name: _turns(csi, axis) for axis, name in enumerate(("time", "antenna", "subcarrier"), 1)}
    common = {name: abs(values.mean()) for name, values in turns.items() if values is not None}
    if "antenna" in common and common["antenna"] > SMOOTH:
        for other in ("subcarrier", "time"):
            if other in common and common["antenna"] > common[other] + MARGIN:
                return _sentence(
                    "antenna",
                    other,
                    f"neighbours agree along the axis antenna ({common['antenna']:.2f} of 1 over all samples) and not "
                    f"along the axis {other} ({common[other]:.2f})",
                )
    time, subcarrier = turns["time"], turns["subcarrier"]
    if time is None or subcarrier is None:
        return None
    sides = _one_side(time), _one_side(subcarrier)
    if sides[0] >= ONE_SIDED and sides[1] <= TWO_SIDED:
        return _sentence(
            "time",
            "subcarrier",
            f"along the axis time {100 * sides[0]:.0f} % of the samples turn in one direction, as delays do, along the "
            f"axis subcarrier {100 * sides[1]:.0f} %, as Doppler shifts do",
        )
    return None


def _sentence(first: str, second: str, why: str) -> str:
    return f"the axes {first} and {second} may be exchanged: {why}; see axes, and the picture of the import"


def _turns(csi: np.ndarray, axis: int) -> np.ndarray | None:
    """z of each sample, magnitude at most 1; None along an axis of one element."""
    if csi.shape[axis] < 2:
        return None
    scale = np.abs(csi).max(axis=(1, 2, 3), keepdims=True).astype(np.float64)
    before, after = (np.moveaxis(csi / scale, axis, 1)[:, part] for part in (slice(None, -1), slice(1, None)))
    energy = (np.square(np.abs(part)).sum((1, 2, 3)) for part in (before, after))
    norm = np.sqrt(np.prod(list(energy), axis=0))
    return (before.conj() * after).sum((1, 2, 3)) / np.maximum(norm, np.finfo(float).tiny)


def _one_side(turns: np.ndarray) -> float:
    """Share of the samples whose phase has the sign of most."""
    share = float(np.mean(turns.imag < 0))
    return max(share, 1 - share)
