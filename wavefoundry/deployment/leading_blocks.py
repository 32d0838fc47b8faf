"""Eigenvalues and eigenvectors of the leading blocks of Hermitian matrices in a graph, which ONNX cannot compute.

How many slots or subcarriers are known is free, and with it the block of a covariance that belongs to them. So all
blocks are decomposed when the graph is written, and it holds them one after the other: in size k^3 / 3 complex numbers
a matrix, for blocks of up to k rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import Term, Writer


@dataclass(frozen=True)
class LeadingBlocks:
    """Decompositions of the leading blocks of 1, 2, ... rows of Hermitian, positive semidefinite matrices.

    matrices: how many there are.
    values: of all blocks one after the other, of each block (matrix, entry), flat.
    vectors: likewise, of each block (matrix, row, entry).
    """

    matrices: int
    values: Term
    vectors: Complex

    @classmethod
    def of(cls, writer: Writer, matrices: np.ndarray, most: int, dtype: ir.DataType) -> LeadingBlocks:
        """
        Args:
            writer: of the graph.
            matrices: complex (matrix, row, column); the decomposition is one in double precision.
            most: rows of the largest block.
            dtype: in which the graph holds the results.
        """
        blocks = [np.linalg.eigh(matrices[:, :size, :size].astype(np.complex128)) for size in range(1, most + 1)]
        # Rounding makes an eigenvalue of zero negative.
        values = np.concatenate([np.maximum(block.eigenvalues, 0).ravel() for block in blocks])
        vectors = np.concatenate([block.eigenvectors.ravel() for block in blocks])
        return cls(len(matrices), writer.constant(values, dtype), Complex.constant(writer, vectors, dtype))

    def within(self, writer: Writer) -> LeadingBlocks:
        """See `Term.within`."""
        return LeadingBlocks(
            self.matrices, self.values.within(writer), self.vectors.each(lambda each: each.within(writer))
        )

    def block(self, size: Term) -> tuple[Term, Complex]:
        """Eigenvalues (matrix, entry), and eigenvectors (matrix, row, entry), of the blocks of so many rows, (1,)."""
        before = (size - 1) * size / 2, (size - 1) * size * (size * 2 - 1) / 6
        values_at, vectors_at = (number * self.matrices for number in before)
        values = self.values.cut(0, values_at, values_at + size * self.matrices)
        end = vectors_at + size * size * self.matrices
        vectors = self.vectors.each(lambda part: part.cut(0, vectors_at, end).reshape(self.matrices, size, size))
        return values.reshape(self.matrices, size), vectors
