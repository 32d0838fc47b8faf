"""Complex values in a graph, which ONNX does not have, and their Fourier transforms.

Real and imaginary parts are values of their own: in one array with them every product would copy four slices. The
transforms of ONNX take pairs, (..., 2), with the real and the imaginary part last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from wavefoundry.deployment.graph_writer import INT64, Term, Writer


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

    @classmethod
    def constant(cls, writer: Writer, values: np.ndarray, dtype: ir.DataType) -> Complex:
        """Complex numbers that a graph holds, their parts of this type."""
        return cls(*(writer.constant(part, dtype) for part in (values.real, values.imag)))

    @classmethod
    def joined(cls, axis: int, *values: Complex) -> Complex:
        """Values one after the other along an axis."""
        writer = values[0].real.writer
        parts = ([each.real for each in values], [each.imaginary for each in values])
        return cls(*(writer.joined(axis, *part) for part in parts))

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

    def product(self, other: Complex) -> Complex:
        """The matrix product over the last two axes."""
        one, other_parts = (self.real, self.imaginary), (other.real, other.imaginary)
        products = [[mine.op("MatMul", theirs) for theirs in other_parts] for mine in one]
        return Complex(products[0][0] - products[1][1], products[0][1] + products[1][0])

    def conjugate(self) -> Complex:
        return Complex(self.real, -self.imaginary)

    def power(self) -> Term:
        return self.real * self.real + self.imaginary * self.imaginary

    def angle(self) -> Term:
        """The phase [rad], for which ONNX has no operator; 0 where the value is 0.

        Twice the arc tangent of y / (r + x) of a value x + j y of magnitude r, or of (r - x) / y, which is the same:
        left of the imaginary axis r + x would lose digits, right of it r - x.
        """
        length = self.power().op("Sqrt")
        right = self.real >= 0
        beside = self.imaginary / (length + self.real).op("Max", float(np.finfo(np.float32).tiny))
        behind = (length - self.real) / self.imaginary
        return self.real.writer.where(right, beside, behind).op("Atan") * 2.0


def unitary(pairs: Term, axis: int, inverse: bool = False) -> Term:
    """The unitary DFT of pairs along an axis, or its inverse."""
    root = pairs.size(axis).cast(pairs.dtype).op("Sqrt")
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
