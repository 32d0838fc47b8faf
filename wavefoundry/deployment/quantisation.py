"""The INT8 form of a served network: its linear layers compute with integers of eight bits.

Static quantisation by ONNX Runtime: weights have one scale for each output of a layer, inputs of layers the range that
they have on calibration channels. All else stays in single precision: products of two activations in attention,
softmax, normalisation. Of their eight bits weights use seven: processors without VNNI instructions add products in
pairs of sixteen bits, which more would overflow, and what is lost shall not depend on where a network runs.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx

from wavefoundry.deployment.graph_writer import NETWORK
from wavefoundry.deployment.served_folder import PLAIN
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError

LINEAR = ("MatMul", "Gemm")
RECURRENT = ("GRU", "LSTM", "RNN", "Loop", "Scan")

Channels = Iterable[tuple[np.ndarray, tuple[int, int]]]
Inputs = Mapping[str, np.ndarray]


def why_not(served: Path) -> str | None:
    """Why a served folder has no INT8 form; None if it has one."""
    file = served / PLAIN
    if not file.exists():
        return "it is served without an ONNX graph"
    graph = graph_of_network(onnx.load(file))
    recurrent = sorted({node.op_type for node in graph.node if of_network(node)} & set(RECURRENT))
    if recurrent:
        return f"its network is recurrent ({', '.join(recurrent)}), and errors of rounding would add up over the slots"
    if not linear_layers(graph):
        return "its network has no linear layers with fixed weights"
    return None


def of_network(node: onnx.NodeProto) -> bool:
    return node.name.startswith(NETWORK)


def graph_of_network(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph that holds the network: the body of the loop around it, if there is one, or else the whole."""
    loop = loop_around_network(model)
    return model.graph if loop is None else loop.attribute[0].g


def loop_around_network(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """That in whose turns the network is asked, about its own answers or about parts of the samples."""
    loops = (node for node in model.graph.node if node.op_type == "Loop" and not of_network(node))
    return next((loop for loop in loops if any(map(of_network, loop.attribute[0].g.node))), None)


def linear_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The products of an activation with a matrix of fixed weights, of the network alone."""
    fixed = {weights.name for weights in graph.initializer if len(weights.dims) == 2}
    layers = (node for node in graph.node if node.op_type in LINEAR and node.input[1] in fixed)
    return [node for node in layers if of_network(node)]


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
    inputs = graph_inputs(served, channels)
    if not inputs:
        raise InputError(
            "the calibration set of an INT8 form is empty; allowed: at least one channel of the training split"
        )
    folder.mkdir(parents=True)
    model = onnx.load(served / PLAIN)
    if loop_around_network(model) is None:
        eight = quantised(model, inputs)
    else:
        eight = onnx.ModelProto()
        eight.CopyFrom(model)
        graph, body = graph_of_network(eight), body_alone(model)
        given = len(graph.input)
        body = quantised(body, inputs_of_turns(model, body, inputs))
        graph.CopyFrom(body.graph)
        # What is from around the loop is no input of its body.
        del graph.input[given:]
        del eight.opset_import[:]
        eight.opset_import.extend(body.opset_import)
    onnx.save(eight, folder / PLAIN)


def body_alone(model: onnx.ModelProto) -> onnx.ModelProto:
    """The body of the loop around the network as a model, whose last inputs are values from around the loop."""
    graph = onnx.GraphProto()
    graph.CopyFrom(graph_of_network(model))
    around = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*around.input, *around.value_info)}
    graph.input.extend(
        onnx.helper.make_tensor_value_info(name, types[name], None) for name in sorted(used(graph) - defined(graph))
    )
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def used(graph: onnx.GraphProto) -> set[str]:
    """Names of the values that nodes of a graph take, also within their own graphs."""
    names = {name for node in graph.node for name in node.input if name}
    inner = (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g"))
    return names.union(*(used(each) - defined(each) for each in inner))


def defined(graph: onnx.GraphProto) -> set[str]:
    """Names of the values that a graph itself has."""
    values = (*graph.input, *graph.initializer)
    return {value.name for value in values} | {name for node in graph.node for name in node.output}


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


def inputs_of_turns(
    model: onnx.ModelProto, body: onnx.ModelProto, inputs: Iterable[Inputs]
) -> Iterator[dict[str, np.ndarray]]:
    """What the body of the loop around a network is given, turn by turn, when the model is given its inputs.

    Args:
        model: of the loop.
        body: as `body_alone` gives it.
        inputs: of the model.
    """
    loop = loop_around_network(model)
    assert loop is not None
    turn, goes_on, *rest = (value.name for value in body.graph.input)
    state = rest[: len(loop.input) - 2]
    outside = rest[len(state) :]
    before = onnx.ModelProto()
    before.CopyFrom(model)
    del before.graph.node[list(model.graph.node).index(loop) :], before.graph.output[:]
    wanted = [loop.input[0], *loop.input[2:], *outside]
    before.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(wanted))
    leading, turning = session_of(before), session_of(body)
    after = [value.name for value in body.graph.output[1 : 1 + len(state)]]
    for given in inputs:
        turns, *values = leading.run(wanted, dict(given))
        seen = dict(zip(rest, values, strict=True))
        for number in range(int(turns)):
            asked = {turn: np.array(number, np.int64), goes_on: np.array(True)} | seen
            yield asked
            seen |= zip(state, turning.run(after, asked), strict=True)


def session_of(model: onnx.ModelProto):
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


class CalibrationInputs:
    """Inputs of a graph as ONNX Runtime asks for them: one after the other, then None."""

    def __init__(self, inputs: Iterable[Inputs]):
        self._rest = iter(inputs)

    def __iter__(self):
        return self._rest

    def get_next(self) -> Inputs | None:
        return next(self._rest, None)
