"""Complex values and bins of CSI in a graph, as wavefoundry/networks/spectral_predictor/model.py defines them.

All is double precision. Real and imaginary parts are values of their own: in one array with them every product would
copy four slices. Bins are the last axes, so that what differs from bin to bin is computed in long rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wavefoundry.deployment.graph_writer import DOUBLE, INT64, Term, Writer
from wavefoundry.networks.spectral_predictor.model import NEIGHBOURS

TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Complex:
    """Complex values of any shape."""

    real: Term
    imaginary: Term

    @classmethod
    def of(cls, pairs: Term, axis: int = -1) -> Complex:
        """Of values that have both parts along an axis, which goes."""
        axes = pairs.writer.shape(axis)
        return cls(*(pairs.cut(axis, part, part + 1).op("Squeeze", axes) for part in (0, 1)))

    def pairs(self, axis: int = -1) -> Term:
        """Both parts along a new axis."""
        axes = self.real.writer.shape(axis)
        return self.real.writer.joined(axis, *(part.op("Unsqueeze", axes) for part in (self.real, self.imaginary)))

    def each(self, change: Callable[[Term], Term]) -> Complex:
        """Both parts, changed alike."""
        return Complex(change(self.real), change(self.imaginary))

    def scaled(self, factor: Term) -> Complex:
        return Complex(self.real * factor, self.imaginary * factor)

    def summed(self, axis: int) -> Complex:
        """The sum over an axis, which stays."""
        return self.each(lambda part: part.reduced("ReduceSum", axis))

    def __add__(self, other: Complex) -> Complex:
        return Complex(self.real + other.real, self.imaginary + other.imaginary)

    def __sub__(self, other: Complex) -> Complex:
        return Complex(self.real - other.real, self.imaginary - other.imaginary)

    def __mul__(self, other: Complex) -> Complex:
        return Complex(
            self.real * other.real - self.imaginary * other.imaginary,
            self.real * other.imaginary + self.imaginary * other.real,
        )

    def conjugate(self) -> Complex:
        return Complex(self.real, -self.imaginary)

    def power(self) -> Term:
        return self.real * self.real + self.imaginary * self.imaginary


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


def unitary(pairs: Term, axis: int, inverse: bool = False) -> Term:
    """The unitary DFT of pairs along an axis, or its inverse."""
    root = pairs.size(axis).cast(DOUBLE).op("Sqrt")
    found = transformed(pairs, axis, inverse)
    return found * root if inverse else found / root


def transformed(pairs: Term, axis: int, inverse: bool = False, length: Term | None = None) -> Term:
    """The DFT along an axis, or its inverse, which divides by the length.

    Args:
        pairs: (..., 2), real and imaginary part last.
        axis: not the last one.
        inverse: which of both.
        length: so many values, with zeros behind, (1,); None: as many as there are.
    """
    writer = pairs.writer
    size = None if length is None else writer.op("Squeeze", length, dtype=INT64)
    return writer.op("DFT", pairs, size, writer.constant(axis, INT64), dtype=pairs.dtype, inverse=int(inverse))


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
    writer = values.writer
    places = chosen.op("Unsqueeze", writer.shape(0)).op("Expand", writer.shape(values.size(0), 1, 1))
    return values.op("GatherElements", places, axis=2)


def limited(values: Complex, limit: Term) -> Complex:
    """Complex values (step, sample, bin) with magnitudes cut at `limit` (1, sample, bin)."""
    factor = (limit / values.power().op("Sqrt").op("Max", TINY)).op("Min", 1.0)
    return values.scaled(factor)


def waves(writer: Writer, steps: Term, lines: int) -> tuple[Term, Term]:
    """Cosines and sines (step, line) of lines at frequencies 0, 1 / lines, ... cycles per step."""
    turns = writer.constant(2 * math.pi / lines * np.arange(lines), DOUBLE)
    angles = writer.range(steps).cast(DOUBLE).reshape(-1, 1) * turns
    return angles.op("Cos"), angles.op("Sin")
