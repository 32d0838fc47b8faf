"""How a number of bits is spent on Gaussian components, and the least error that any code of so many bits leaves."""

from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri

MOST_BITS = 8  # of a real number
LLOYD_STEPS = 400


@cache
def lloyd_max(bits: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The best quantiser of a Gaussian number of unit variance with 2^bits levels.

    Source: S. P. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 28(2), 1982; J.
    Max, "Quantizing for minimum distortion", IRE Transactions on Information Theory 6(1), 1960.

    Returns:
        thresholds (2^bits - 1,) and levels (2^bits,), ascending, and the mean square error.
    """
    count = 2**bits
    # As dense as is best for many levels (Panter and Dite): like the cube root of the density.
    levels = np.sqrt(3) * ndtri((np.arange(count) + 0.5) / count)
    for _ in range(LLOYD_STEPS):
        levels = _means(_thresholds(levels))
    thresholds = _thresholds(levels)
    weights = np.diff(ndtr(np.concatenate([[-np.inf], thresholds, [np.inf]])))
    # With levels that are means of their cells the error is what the levels do not explain.
    return thresholds, levels, float(1 - (weights * _means(thresholds) ** 2).sum())


def _thresholds(levels: np.ndarray) -> np.ndarray:
    return (levels[1:] + levels[:-1]) / 2


def _means(thresholds: np.ndarray) -> np.ndarray:
    """Of a Gaussian number, given the cell that it lies in."""
    edges = np.concatenate([[-np.inf], thresholds, [np.inf]])
    density = np.exp(-np.square(edges) / 2) / np.sqrt(2 * np.pi)
    return -np.diff(density) / np.diff(ndtr(edges))


def allocate(variances: np.ndarray, bits: int) -> np.ndarray:
    """Bits for each real number, at most `bits` together, so that the error of Lloyd-Max quantisers is least.

    This is reverse water-filling in whole bits: one after the other, each goes where it takes away most. As the gains
    of a number fall from bit to bit, the largest of all gains together are those of its first bits.

    Args:
        variances: (number,).
        bits: how many there are; more than 8 for each number are not spent.

    Returns:
        int64 (number,), 0 to 8.
    """
    errors = np.array([1.0, *(lloyd_max(count)[2] for count in range(1, MOST_BITS + 1))])
    gains = np.multiply.outer(variances, -np.diff(errors))
    best = np.argsort(-gains, axis=None, kind="stable")[:bits]
    return np.bincount(best // MOST_BITS, minlength=len(variances))


def reverse_water_filling(variances: np.ndarray, bits: float) -> float:
    """Least mean square error, summed over components, of complex Gaussian components of these variances.

    Components above the water level are described down to it, those below not at all: the sum of log2(variance / level)
    over the former is the number of bits (T. M. Cover and J. A. Thomas, "Elements of Information Theory", 10.3.3).
    """
    ordered = np.sort(variances[variances > 0])[::-1].astype(np.float64)
    if not len(ordered):
        return 0.0
    logs = np.cumsum(np.log2(ordered))
    counts = np.arange(1, len(ordered) + 1)
    # The level if the strongest so many were described; it must lie above the next and below the last of them.
    levels = (logs - bits) / counts
    valid = levels <= np.log2(ordered)
    count = int(counts[valid].max())
    return float(count * 2 ** levels[count - 1] + ordered[count:].sum())
