"""Expressions of graphs, evaluated."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnxruntime

from wavefoundry.deployment.graph_writer import BOOL, DOUBLE, FLOAT, INT64, Term, Writer

KINDS = {np.dtype(kind.numpy()): kind for kind in (FLOAT, DOUBLE, INT64, BOOL)}


def evaluate(write: Callable[..., Term], **inputs: np.ndarray) -> np.ndarray:
    """What expressions of inputs give: `write` takes a writer and the inputs as terms, in their order."""
    writer = Writer("test")
    terms = [writer.input(name, KINDS[value.dtype], value.shape) for name, value in inputs.items()]
    model = ir.to_proto(writer.model({"found": write(writer, *terms)}))
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)[0]
