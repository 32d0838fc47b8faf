"""How far the energy of CSI is spread over delay and over direction.

The spread is the circular standard deviation sqrt(-2 ln R) / (2 pi), in turns from one neighbour to the next. R is the
magnitude of the sum of conj(h) h' over all pairs of neighbours h, h' along the axis, divided by their energy: the
length of the mean of exp(j 2 pi x) over the energy at x turns. For small spreads it is the RMS of x, weighted by
energy; no window is needed, and it does not matter where the first path arrives. Noise widens it.
"""

import numpy as np

# Of values that do not agree at all.
SMALLEST = 1e-12


def delay_spread(csi: np.ndarray, subcarrier_spacing: float) -> np.ndarray:
    """RMS delay spread of each sample [s]; csi: complex (sample, time, antenna, subcarrier), spacing in Hz."""
    return _spread(csi, -1) / subcarrier_spacing


def direction_spread(csi: np.ndarray, array_shape: tuple[int, int, int]) -> np.ndarray | None:
    """RMS spread of each sample over direction, in turns of the phase per antenna.

    Args:
        csi: complex (sample, time, antenna, subcarrier).
        array_shape: (polarisations, rows, columns) of the antennas.

    Returns:
        along the rows of the array, along its columns where each row has one antenna; None of a single antenna.
    """
    if max(array_shape[1:]) < 2:
        return None
    return _spread(csi.reshape(*csi.shape[:2], *array_shape, csi.shape[-1]), 4 if array_shape[2] > 1 else 3)


def _spread(csi: np.ndarray, axis: int) -> np.ndarray:
    others = tuple(range(1, csi.ndim))
    scale = np.abs(csi).max(axis=others, keepdims=True).astype(np.float64)
    values = np.moveaxis(csi / np.where(scale > 0, scale, 1), axis, 1)
    before, after = values[:, :-1], values[:, 1:]
    energy = np.sqrt(np.square(np.abs(before)).sum(others) * np.square(np.abs(after)).sum(others))
    agreement = np.abs((before.conj() * after).sum(others)) / np.where(energy > 0, energy, 1)
    return np.sqrt(-2 * np.log(np.clip(agreement, SMALLEST, 1))) / (2 * np.pi)
