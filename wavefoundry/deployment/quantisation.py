"""The INT8 form of a served network: its linear layers compute with integers of eight bits.

Static quantisation by ONNX Runtime: weights have one scale for each output of a layer, inputs of layers the range that
they have on calibration channels. All else stays in single precision: products of two activations in attention,
softmax, normalisation. Of their eight bits weights use seven: processors without VNNI instructions add products in
pairs of sixteen bits, which more would overflow, and what is lost shall not depend on where a network runs.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx

from wavefoundry.deployment.graph_writer import NETWORK
from wavefoundry.deployment.served_folder import GRAPH, PLAIN
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError

LINEAR = ("MatMul", "Gemm")
RECURRENT = ("GRU", "LSTM", "RNN", "Loop", "Scan")

Channels = Iterable[tuple[np.ndarray, tuple[int, int]]]
Inputs = Mapping[str, np.ndarray]


def why_not(served: Path) -> str | None:
    """Why a served folder has no INT8 form; None if it has one."""
    file = graph_file(served)
    if file is None:
        return "it is served without an ONNX graph"
    graph = graph_of_network(onnx.load(file))
    recurrent = sorted({node.op_type for node in graph.node if node.name.startswith(NETWORK)} & set(RECURRENT))
    if recurrent:
        return f"its network is recurrent ({', '.join(recurrent)}), and errors of rounding would add up over the slots"
    if not linear_layers(graph):
        return "its network has no linear layers with fixed weights"
    return None


def graph_file(served: Path) -> Path | None:
    """The ONNX file of a served folder; None if it has none."""
    return next((served / name for name in (PLAIN, GRAPH) if (served / name).exists()), None)


def graph_of_network(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph that holds the network: the body of the loop in which it reads its own answers, or else the whole."""
    loop = loop_around_network(model)
    return model.graph if loop is None else loop.attribute[0].g


def loop_around_network(model: onnx.ModelProto) -> onnx.NodeProto | None:
    loops = (node for node in model.graph.node if node.op_type == "Loop" and not node.name.startswith(NETWORK))
    return next(loops, None)


def linear_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The products of an activation with a matrix of fixed weights, of the network alone."""
    fixed = {weights.name for weights in graph.initializer if len(weights.dims) == 2}
    layers = (node for node in graph.node if node.op_type in LINEAR and node.input[1] in fixed)
    return [node for node in layers if node.name.startswith(NETWORK)]


def quantise(served: Path, channels: Channels, folder: Path) -> None:
    """Write the INT8 form of a served network into `folder`, which is made.

    Args:
        served: the folder of its form in single precision, of which `why_not` says nothing.
        channels: to calibrate on, as `ServedPredictor.predict` takes them: known blocks, complex (batch, time, antenna,
            subcarrier), each with the slots and subcarriers that are asked for.
        folder: of the INT8 form.

    Raises:
        InputError: there are no channels.
    """
    file = graph_file(served)
    assert file is not None  # or `why_not` says so
    inputs = graph_inputs(served, channels)
    if not inputs:
        raise InputError(
            "the calibration set of an INT8 form is empty; allowed: at least one channel of the training split"
        )
    folder.mkdir(parents=True)
    for other in served.iterdir():
        if other.name != file.name:
            shutil.copy(other, folder)
    model = onnx.load(file)
    graph = graph_of_network(model)
    if loop_around_network(model) is not None:
        inputs = list(inputs_of_turns(model, inputs))
    eight = quantised(
        onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version), inputs
    )
    graph.CopyFrom(eight.graph)
    del model.opset_import[:]
    model.opset_import.extend(eight.opset_import)
    onnx.save(model, folder / file.name)


def quantised(model: onnx.ModelProto, inputs: Iterable[Inputs]) -> onnx.ModelProto:
    """A model whose network's linear layers compute with integers, calibrated on inputs."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as work:
        given, prepared, eight = (Path(work, name) for name in ("given.onnx", "prepared.onnx", "eight.onnx"))
        onnx.save(model, given)
        # Weights that are turned round become weights, and what is computed from constants constant.
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            eight,
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
        return onnx.load(eight)


def graph_inputs(served: Path, channels: Channels) -> list[Inputs]:
    """What the graph of a served network is given when it continues channels."""
    seen: list[Inputs] = []
    predictor = ServedPredictor(served, watch=seen.append)
    for known, wanted in channels:
        predictor.predict(known, *wanted)
    return seen


def inputs_of_turns(model: onnx.ModelProto, inputs: Iterable[Inputs]) -> Iterator[Inputs]:
    """What the body of the loop around a network is given, turn by turn, when the model is given its inputs."""
    import onnxruntime

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    loop = loop_around_network(watched)
    assert loop is not None
    body = loop.attribute[0].g
    turn, goes_on, state = (value.name for value in body.input)
    body.node.append(onnx.helper.make_node("Identity", [state], ["state_seen"]))
    body.output.append(onnx.helper.make_empty_tensor_value_info("state_seen"))
    loop.output.append("states_seen")
    watched.graph.output.append(onnx.helper.make_tensor_value_info("states_seen", onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    for given in inputs:
        for seen in session.run(["states_seen"], dict(given))[0]:
            yield {turn: np.array(0, np.int64), goes_on: np.array(True), state: seen}


class CalibrationInputs:
    """Inputs of a graph as ONNX Runtime asks for them: one after the other, then None."""

    def __init__(self, inputs: Iterable[Inputs]):
        self._rest = iter(inputs)

    def __iter__(self):
        return self._rest

    def get_next(self) -> Inputs | None:
        return next(self._rest, None)
