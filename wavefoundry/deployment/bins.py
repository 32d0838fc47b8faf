"""Bins of CSI in a graph, in double precision.

They are the last axes, so that what differs from bin to bin is computed in long rows.
"""

import numpy as np

from wavefoundry.deployment.complex_values import Complex, unitary
from wavefoundry.deployment.graph_writer import DOUBLE, Term, Writer

# Least power by which anything is divided.
TINY = float(np.finfo(np.float32).tiny)


def to_bins(csi: Term, axis: str) -> Complex:
    """(sample, time, antenna, subcarrier, 2) to the series of bins (step, sample, row, column).

    In time these are angle-delay bins over the slots, in frequency angle-Doppler bins over the subcarriers. The angles
    are a plain DFT over the antennas.
    """
    angles = unitary(csi, 2)
    if axis == "time":
        return Complex.of(unitary(angles, 3, inverse=True).transpose(1, 0, 2, 3, 4))
    return Complex.of(unitary(angles, 1).transpose(3, 0, 2, 1, 4))


def from_bins(series: Complex, axis: str) -> Term:
    """Inverse of `to_bins`."""
    pairs = series.pairs()
    if axis == "time":
        angles = unitary(pairs.transpose(1, 0, 2, 3, 4), 3)
    else:
        angles = unitary(pairs.transpose(1, 3, 2, 0, 4), 1, inverse=True)
    return unitary(angles, 2, inverse=True)


def angle_bins(box: Term) -> Complex:
    """(sample, time, antenna, subcarrier, 2) to series over subcarriers (subcarrier, sample, angle, time)."""
    return Complex.of(unitary(box, 2).transpose(3, 0, 2, 1, 4))


def from_angle_bins(series: Complex) -> Term:
    """Inverse of `angle_bins`."""
    return unitary(series.pairs().transpose(1, 3, 2, 0, 4), 2, inverse=True)


def circles(series: Complex, neighbours: tuple[float, float, float]) -> tuple[Term, Term]:
    """By which the bins of a series are pooled along rows and along columns: (row, row) and (column, column).

    Args:
        series: of bins (step, sample, row, column).
        neighbours: weights of the bin before, the bin itself and the bin after, the first equal to the last.
    """
    writer = series.real.writer
    return circle(writer, series.real.size(2), neighbours), circle(writer, series.real.size(3), neighbours)


def circle(writer: Writer, size: Term, neighbours: tuple[float, float, float]) -> Term:
    """Weights (bin, bin) of the bin before, the bin itself and the bin after on a circle of bins."""
    index = writer.range(size)
    turns = (index.reshape(-1, 1) - index + size) % size
    weights = writer.constant([0.0], DOUBLE)
    for weight, turn in zip(neighbours, (1, 0, -1), strict=True):
        at = turns.equals((size + turn) % size)
        weights = weights + writer.where(at, weight, writer.constant(0.0, DOUBLE))
    return weights


def pooled(values: Term, around: tuple[Term, Term]) -> Term:
    """Weighted sum over the 3 x 3 bins around each of (value, sample, row, column), by `circles` (symmetric)."""
    rows, columns = around
    return rows.op("MatMul", values.op("MatMul", columns))


def all_bins(values: Term) -> Term:
    """(value, sample, row, column) -> (value, sample, bin)."""
    return values.reshape(0, 0, -1)
