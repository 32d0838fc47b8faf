"""The INT8 form of a served network: its linear layers compute with integers of eight bits.

Static quantisation by ONNX Runtime: weights have one scale for each output of a layer, inputs of layers the range that
they have on calibration channels. All else stays in single precision: products of two activations in attention,
softmax, normalisation. Of their eight bits weights use seven: processors without VNNI instructions add products in
pairs of sixteen bits, which more would overflow, and what is lost shall not depend on where a network runs.
"""

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx

from wavefoundry.deployment.served_folder import GRAPH
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError

LINEAR = ("MatMul", "Gemm")
RECURRENT = ("GRU", "LSTM", "RNN", "Loop", "Scan")


def why_not(served: Path) -> str | None:
    """Why a served folder has no INT8 form; None if it has one."""
    if not (served / GRAPH).exists():
        return "it is served without an ONNX graph"
    graph = onnx.load(served / GRAPH).graph
    recurrent = sorted({node.op_type for node in graph.node} & set(RECURRENT))
    if recurrent:
        return f"its network is recurrent ({', '.join(recurrent)}), and errors of rounding would add up over the slots"
    if not linear_layers(graph):
        return "its network has no linear layers with fixed weights"
    return None


def linear_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The products of an activation with a matrix of fixed weights."""
    fixed = {weights.name for weights in graph.initializer if len(weights.dims) == 2}
    return [node for node in graph.node if node.op_type in LINEAR and node.input[1] in fixed]


def quantise(served: Path, channels: Iterable[tuple[np.ndarray, tuple[int, int]]], folder: Path) -> None:
    """Write the INT8 form of a served network into `folder`, which is made.

    Args:
        served: the folder of its form in single precision, of which `why_not` says nothing.
        channels: to calibrate on, as `ServedPredictor.predict` takes them: known blocks, complex (batch, time, antenna,
            subcarrier), each with the slots and subcarriers that are asked for.
        folder: of the INT8 form.

    Raises:
        InputError: there are no channels.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    inputs = graph_inputs(served, channels)
    if not inputs:
        raise InputError(
            "the calibration set of an INT8 form is empty; allowed: at least one channel of the training split"
        )
    folder.mkdir(parents=True)
    for file in served.iterdir():
        if file.name != GRAPH:
            shutil.copy(file, folder)
    with tempfile.TemporaryDirectory() as work:
        prepared = Path(work, GRAPH)
        # Weights that are turned round become weights, and what is computed from constants constant.
        quant_pre_process(served / GRAPH, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            folder / GRAPH,
            CalibrationInputs(inputs),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=[node.name for node in linear_layers(onnx.load(prepared).graph)],
            op_types_to_quantize=list(LINEAR),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # The sum of products stays in single precision for what follows.
            extra_options={"OpTypesToExcludeOutputQuantization": list(LINEAR)},
        )


def graph_inputs(
    served: Path, channels: Iterable[tuple[np.ndarray, tuple[int, int]]]
) -> list[Mapping[str, np.ndarray]]:
    """What the graph of a served network is given when it continues channels."""
    seen: list[Mapping[str, np.ndarray]] = []
    predictor = ServedPredictor(served, watch=seen.append)
    for known, wanted in channels:
        predictor.predict(known, *wanted)
    return seen


class CalibrationInputs:
    """Inputs of a graph as ONNX Runtime asks for them: one after the other, then None."""

    def __init__(self, inputs: Iterable[Mapping[str, np.ndarray]]):
        self._rest = iter(inputs)

    def __iter__(self):
        return self._rest

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self._rest, None)
