"""Decompositions of leading blocks that a graph holds."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import DOUBLE, INT64, Writer
from wavefoundry.deployment.leading_blocks import LeadingBlocks

MOST = 5


def hermitian(count: int) -> np.ndarray:
    """Complex (count, 6, 6), positive semidefinite, of rank 4."""
    generator = np.random.default_rng(0)
    roots = generator.normal(size=(count, 6, 4)) + 1j * generator.normal(size=(count, 6, 4))
    return roots @ roots.conj().swapaxes(1, 2)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_each_block_is_what_its_eigenvalues_and_orthogonal_eigenvectors_make(count, size):
    matrices = hermitian(count)
    writer = Writer("test")
    values, vectors = LeadingBlocks.of(writer, matrices, MOST, DOUBLE).block(writer.input("size", INT64, [1]))
    adjoint = vectors.conjugate().each(lambda part: part.transpose(0, 2, 1))
    scaled = vectors.scaled(values.op("Unsqueeze", writer.shape(1)))
    made = {"block": scaled.product(adjoint), "unit": adjoint.product(vectors)}
    model = writer.model({name: product.pairs() for name, product in made.items()} | {"values": values})
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    block, unit, eigenvalues = session.run(None, {"size": np.array([size])})
    found = block[..., 0] + 1j * block[..., 1]
    np.testing.assert_allclose(found, matrices[:, :size, :size], atol=1e-12 * np.abs(matrices).max())
    np.testing.assert_allclose(unit[..., 0] + 1j * unit[..., 1], np.broadcast_to(np.eye(size), found.shape), atol=1e-12)
    assert eigenvalues.min() >= 0


def test_complex_matrix_products():
    generator = np.random.default_rng(1)
    first, second = (generator.normal(size=(2, *shape, 2)) for shape in ((3, 4), (4, 5)))
    writer = Writer("test")
    terms = [writer.input(name, DOUBLE, value.shape) for name, value in (("a", first), ("b", second))]
    product = Complex.of(terms[0]).product(Complex.of(terms[1])).pairs()
    session = onnxruntime.InferenceSession(ir.to_proto(writer.model({"found": product})).SerializeToString())
    (found,) = session.run(None, {"a": first, "b": second})
    expected = (first[..., 0] + 1j * first[..., 1]) @ (second[..., 0] + 1j * second[..., 1])
    np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], expected)
