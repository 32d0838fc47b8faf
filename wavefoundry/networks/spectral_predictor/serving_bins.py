"""Bins of CSI in a graph, as wavefoundry/networks/spectral_predictor/bins.py defines them, in double precision.

They are the last axes, so that what differs from bin to bin is computed in long rows.
"""

import math

import numpy as np

from wavefoundry.deployment.complex_values import Complex, unitary
from wavefoundry.deployment.graph_writer import DOUBLE, Term, Writer
from wavefoundry.networks.spectral_predictor.bins import NEIGHBOURS

TINY = float(np.finfo(np.float32).tiny)


def to_bins(csi: Term, axis: str) -> Complex:
    """(sample, time, antenna, subcarrier, 2) to the series of bins (step, sample, row, column)."""
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


def circles(series: Complex) -> tuple[Term, Term]:
    """By which the bins of a series are pooled along rows and along columns: (row, row) and (column, column)."""
    writer = series.real.writer
    return circle(writer, series.real.size(2)), circle(writer, series.real.size(3))


def circle(writer: Writer, size: Term) -> Term:
    """Weights (bin, bin) of the bin before, the bin itself and the bin after on a circle of bins."""
    index = writer.range(size)
    turns = (index.reshape(-1, 1) - index + size) % size
    weights = writer.constant([0.0], DOUBLE)
    for weight, turn in zip(NEIGHBOURS, (1, 0, -1), strict=True):
        at = turns.equals((size + turn) % size)
        weights = weights + writer.where(at, weight, writer.constant(0.0, DOUBLE))
    return weights


def pooled(values: Term, around: tuple[Term, Term]) -> Term:
    """Weighted mean over the 3 x 3 bins around each of (value, sample, row, column), by `circles` (symmetric)."""
    rows, columns = around
    return rows.op("MatMul", values.op("MatMul", columns))


def all_bins(values: Term) -> Term:
    """(value, sample, row, column) -> (value, sample, bin)."""
    return values.reshape(0, 0, -1)


def pick(values: Term, chosen: Term) -> Term:
    """(value, sample, bin) and (sample, chosen bin) -> (value, sample, chosen bin)."""
    return values.op("GatherElements", places(chosen, values.size(0)), axis=2)


def put(values: Term, chosen: Term, found: Term) -> Term:
    """(value, sample, bin) with what was found, (value, sample, chosen bin), in its place."""
    return values.op("ScatterElements", places(chosen, values.size(0)), found, axis=2)


def places(chosen: Term, size: Term) -> Term:
    """(sample, chosen bin) -> (size, sample, chosen bin), the same for every value."""
    return chosen.op("Unsqueeze", chosen.writer.shape(0)).op("Expand", chosen.writer.shape(size, 1, 1))


def limited(values: Complex, limit: Term) -> Complex:
    """Complex values (step, sample, bin) with magnitudes cut at `limit` (1, sample, bin)."""
    factor = (limit / values.power().op("Sqrt").op("Max", TINY)).op("Min", 1.0)
    return values.scaled(factor)


def waves(writer: Writer, steps: Term, lines: int) -> tuple[Term, Term]:
    """Cosines and sines (step, line) of lines at frequencies 0, 1 / lines, ... cycles per step."""
    turns = writer.constant(2 * math.pi / lines * np.arange(lines), DOUBLE)
    angles = writer.range(steps).cast(DOUBLE).reshape(-1, 1) * turns
    return angles.op("Cos"), angles.op("Sin")
