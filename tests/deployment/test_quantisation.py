"""INT8 is close to single precision on channels like those of its calibration, and says where it is of no use."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.networks.csi_alm_light.example import light
from tests.networks.lwm_temporal.example import predictor as lwm_temporal
from tests.networks.recurrent.example import recurrent
from tests.networks.sequences.example import paths
from tests.networks.spectral_predictor.example import spectral_predictor
from tests.networks.wifo.example import plainly_drawn, wifo
from wavefoundry.deployment import method_export
from wavefoundry.deployment.plain_predictor import write_plain
from wavefoundry.deployment.quantisation import graph_of_network, linear_layers, quantise, why_not
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError
from wavefoundry.evaluation.methods import methods
from wavefoundry.networks.family import serving_module

# Relative norm of the difference to single precision: 8 bits of the inputs of each layer and 7 of its weights.
CLOSE = 0.05
NETWORKS = {
    "wifo": lambda: plainly_drawn(wifo()),
    "lwm_temporal": lambda: lwm_temporal(delay_fraction=0.5, architecture={"embed_dim": 24}),
    "csi_alm_light": light,
}
WANTED = (2, 0)


def channels(samples: int = 12, seed: int = 0) -> np.ndarray:
    """Noisy channels of two paths each, (batch, time, antenna, subcarrier)."""
    generator = np.random.default_rng(seed)
    clean = np.roll(paths(40, 6, 4, 8).numpy(), seed, axis=0)[:samples]
    noise = generator.normal(scale=0.05, size=(2, *clean.shape))
    return (clean + noise[0] + 1j * noise[1]).astype(np.complex64)


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """Folders of (single precision, INT8) by name, made at the first call."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            model = NETWORKS[name]().eval()
            # Drawn so that all weights count: some begin as zeros.
            with torch.no_grad():
                for weights in model.parameters():
                    weights.add_(0.1 * torch.randn(weights.shape))
            serving_module(name).export(model, folder / "fp32")
            quantise(folder / "fp32", [(channels(), WANTED)], folder / "int8")
            made[name] = folder / "fp32", folder / "int8"
        return made[name]

    return get


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("name", NETWORKS)
def test_other_channels_like_those_of_the_calibration_are_continued_alike(forms, name):
    single, eight = (ServedPredictor(folder) for folder in forms(name))
    known = channels(seed=20)
    found = eight.predict(known, *WANTED)
    assert 0 < distance(found, single.predict(known, *WANTED)) <= CLOSE
    # Ranges are fixed: a sample is answered alike alone, and at any scale.
    assert distance(eight.predict(known[3:4], *WANTED), found[3:4]) <= 1e-5
    assert distance(eight.predict(1e3 * known, *WANTED) / 1e3, found) <= CLOSE


@pytest.mark.parametrize("name", NETWORKS)
def test_linear_layers_have_weights_of_eight_bits_and_all_else_is_as_it_was(forms, name):
    single, eight = (graph_of_network(onnx.load(folder / "predictor.onnx")) for folder in forms(name))
    assert why_not(forms(name)[0]) is None
    matrices = [weights for weights in eight.initializer if weights.data_type == TensorProto.INT8 and weights.dims]
    layers = len([weights for weights in matrices if len(weights.dims) == 2])
    assert layers == len(linear_layers(single)) and not linear_layers(eight)
    values = [numpy_helper.to_array(weights) for weights in matrices if len(weights.dims) == 2]
    assert all(np.abs(weights.astype(int)).max() in (63, 64) for weights in values)
    products = ("MatMul", "Gemm")
    assert sum(node.op_type in products for node in eight.node) == sum(node.op_type in products for node in single.node)
    assert [value.name for value in eight.input] == [value.name for value in single.input]
    assert [file.name for file in forms(name)[1].iterdir()] == ["predictor.onnx"]


def one_layer(folder, weights: np.ndarray) -> None:
    """A served folder whose network is one linear layer over the antennas, of the real parts of one slot."""
    sizes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["row", None]) for name in ("values", "found")]
    product = helper.make_node("MatMul", ["values", "weights"], ["found"], name="network/layer")
    graph = helper.make_graph([product], "one", sizes[:1], sizes[1:], [numpy_helper.from_array(weights, "weights")])
    network = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))

    def answer(writer, known, slots, subcarriers):
        found = writer.network(network, values=known.cut(4, 0, 1).reshape(0, -1)).reshape(0, 1, -1, 1, 1)
        return writer.joined(4, found, found * 0.0)

    write_plain(answer, [], folder)


def test_error_of_one_layer_is_that_of_rounding_its_inputs_and_weights(tmp_path):
    """An oracle: inputs are rounded to 255 steps of their range, weights to 63 steps on either side of 0."""
    generator = np.random.default_rng(1)
    weights = (generator.normal(size=(16, 5)) * [1, 10, 100, 0.1, 1e-3]).astype(np.float32)
    one_layer(tmp_path / "fp32", weights)
    known = generator.uniform(-1, 3, size=(200, 1, 16, 1)).astype(np.complex64)
    quantise(tmp_path / "fp32", [(known, (1, 0))], tmp_path / "int8")
    found = ServedPredictor(tmp_path / "int8").predict(known, 1, 0)[:, 0, :, 0].real
    values = known[:, 0, :, 0].real
    input_step, weight_step = np.ptp(values) / 255, np.abs(weights).max(0) / 63
    most = (
        np.abs(weights).sum(0) * input_step / 2
        + (np.abs(values).sum(1, keepdims=True) + 8 * input_step) * weight_step / 2
    )
    error = np.abs(found - values @ weights)
    assert (error <= 1.01 * most).all()
    # Each output has a scale of its own: small weights are not rounded by the steps of large ones.
    assert (np.sqrt(np.square(error).mean(0)) <= 0.03 * np.sqrt(np.square(values @ weights).mean(0))).all()


def test_products_stay_exact_without_instructions_for_eight_bits(tmp_path):
    """The largest inputs and weights add up to less than 16 bits hold."""
    weights = np.full((2, 1), 1.0, np.float32)
    one_layer(tmp_path / "fp32", weights)
    known = np.ones((4, 1, 2, 1), np.complex64)
    quantise(tmp_path / "fp32", [(known, (1, 0))], tmp_path / "int8")
    stored = [
        numpy_helper.to_array(tensor).astype(int)
        for tensor in onnx.load(tmp_path / "int8/predictor.onnx").graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 2
    ]
    assert 2 * 255 * max(np.abs(values).max() for values in stored) <= 2**15
    np.testing.assert_allclose(ServedPredictor(tmp_path / "int8").predict(known, 1, 0).real, 2, rtol=0.02)


@pytest.mark.parametrize(
    ("family", "network", "reason"),
    [
        ("recurrent", recurrent, "its network is recurrent"),
        ("spectral_predictor", spectral_predictor, "its network has no linear layers with fixed weights"),
    ],
)
def test_what_cannot_be_quantised_says_so_in_one_line(tmp_path, family, network, reason):
    serving_module(family).export(network().eval(), tmp_path / "fp32")
    assert why_not(tmp_path / "fp32").startswith(reason) and "\n" not in why_not(tmp_path / "fp32")


def test_a_method_has_no_int8_form(tmp_path):
    method_export.export("prony", methods()["prony"](order=3, regularisation=0.1), tmp_path / "numpy")
    assert why_not(tmp_path / "numpy") == "it is served without an ONNX graph"
    method_export.export("autoregression", methods()["autoregression"](order=3), tmp_path / "graph")
    assert why_not(tmp_path / "graph") == "its network has no linear layers with fixed weights"


def test_an_empty_calibration_set_is_refused_before_anything_is_written(tmp_path):
    one_layer(tmp_path / "fp32", np.ones((2, 2), np.float32))
    with pytest.raises(
        InputError, match="the calibration set of an INT8 form is empty; allowed: at least one"
    ) as error:
        quantise(tmp_path / "fp32", [], tmp_path / "int8")
    assert "\n" not in str(error.value) and not (tmp_path / "int8").exists()
