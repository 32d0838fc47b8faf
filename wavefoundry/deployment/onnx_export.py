"""A network as an ONNX graph."""

import io
import logging
import warnings
from contextlib import redirect_stdout
from typing import Any

import onnx_ir as ir
import torch
from torch import nn

from wavefoundry.deployment.graph_writer import NETWORK, OPSET


def network_of(graph: nn.Module, inputs: dict[str, torch.Tensor], sizes: dict[str, dict[int, Any]]) -> ir.Model:
    """A network as an ONNX graph.

    Args:
        graph: called with `inputs` by name; one output.
        inputs: an example.
        sizes: which dimensions of each input are free, as `torch.export.Dim`.

    Returns:
        with nodes whose names begin with NETWORK.
    """
    # The exporter tells its progress, which packages it could also serve, and what later versions may change.
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        # Given a module, the exporter would fall back to a trace of the example's sizes without a word.
        program = torch.export.export(graph.eval(), (), kwargs=inputs, dynamic_shapes=sizes, strict=False)
        exported = torch.onnx.export(
            program, (), kwargs=inputs, input_names=list(inputs), output_names=["found"],
            dynamic_shapes=sizes, dynamo=True, opset_version=OPSET, verbose=False,
        )  # fmt: skip
    assert exported is not None  # by this exporter
    for node in exported.model.graph.all_nodes():
        node.name = NETWORK + (node.name or node.op_type)
    return exported.model
