"""The ONNX form predicts what the network predicts, at every size, in numpy; and says what it cannot take."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.deployment.export import LWMTemporalGraph, export, lwm_temporal_settings
from wavefoundry.deployment.onnx_predictor import LWMTemporal, OnnxPredictor, read_layout
from wavefoundry.errors import InputError
from wavefoundry.networks.lwm_temporal.model import LWMTemporalPredictor, LWMTemporalPredictorConfig
from wavefoundry.networks.wifo.model import WiFo, WiFoConfig

TOLERANCE = 1e-4
LWM = {"patch_size": [2, 2], "embed_dim": 24, "num_heads": 2, "keep_percentage": 0.5}
CONFIGURATIONS = {
    "wifo": WiFoConfig(hidden_size=24, encoder_depth=1, decoder_depth=1, heads=2, patch_size=[2, 4, 2]),
    "routed": LWMTemporalPredictorConfig(
        **LWM, depth=2, temporal_offsets=[-1, -2, -3], topk_per_head=False, routing_topk_max=9
    ),
    "options": LWMTemporalPredictorConfig(
        **LWM,
        depth=1,
        class_token=True,
        positions="learned",
        phase_mode="magnitude_phase",
        residual=False,
        topk_per_head=True,
    ),
    "unrouted": LWMTemporalPredictorConfig(
        **LWM, routing_topk_enable=False, class_token=True, max_seq_len=200, depth=1
    ),
}


# Exporting takes seconds: the others run the graph before its export, in torch, with the same numpy around it.
EXPORTED = ("wifo", "routed")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(network, its form in numpy) of a configuration, made at the first call; weights drawn so that all count."""
    made = {}

    def get(name):
        if name not in made:
            torch.manual_seed(0)
            config = CONFIGURATIONS[name]
            network = (WiFo if name == "wifo" else LWMTemporalPredictor)(config).eval()
            with torch.no_grad():
                for weights in network.parameters():
                    weights.add_(0.2 * torch.randn(weights.shape))
            made[name] = network, in_numpy(name, network, tmp_path_factory)
        return made[name]

    return get


def in_numpy(name, network, tmp_path_factory):
    if name in EXPORTED:
        folder = tmp_path_factory.mktemp(name)
        export(network, folder)
        return OnnxPredictor(folder)
    graph = LWMTemporalGraph(network).eval()

    def run(**inputs):
        with torch.no_grad():
            return graph(**{key: torch.from_numpy(value) for key, value in inputs.items()}).numpy()

    predictor = OnnxPredictor.__new__(OnnxPredictor)
    predictor._network = LWMTemporal(json.loads(json.dumps(lwm_temporal_settings(network))), run)
    return predictor


def channel(*shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


def assert_same(found, expected):
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= TOLERANCE * np.linalg.norm(expected)


@pytest.mark.parametrize("name", CONFIGURATIONS)
@settings(max_examples=12)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 4)),
    axis=st.sampled_from(["time", "frequency"]),
    horizon=st.integers(1, 2),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
)
def test_same_as_the_network_at_every_size(exported, name, sizes, axis, horizon, scale):
    network, predictor = exported(name)
    batch, slots, antennas, subcarriers = sizes
    # Half of the delay bins are kept, in patches of two: subcarriers, known and predicted, in steps of four.
    horizon = 4 * horizon if name != "wifo" and axis == "frequency" else horizon
    known = scale * channel(batch, 2 * slots, 4 * antennas, 4 * subcarriers, seed=sum(sizes))
    expected = network.predict(torch.from_numpy(known), axis, horizon).numpy()
    assert_same(predictor.predict(known, axis, horizon), expected)


def test_large_batches_in_parts_give_the_same(exported, monkeypatch):
    network, predictor = exported("routed")
    known = channel(5, 4, 8, 8)
    expected = network.predict(torch.from_numpy(known), "time", 3).numpy()
    monkeypatch.setitem(type(predictor._network)._reconstruct.__globals__, "LARGEST_SCORES", 1)
    assert_same(predictor.predict(known, "time", 3), expected)


def test_layouts_are_the_same_channel(exported):
    _, predictor = exported("wifo")
    known = channel(2, 4, 4, 6)
    expected = predictor.predict(known, "frequency", 3)
    assert expected.dtype == np.complex64
    two = predictor.predict(np.stack([known.real, known.imag], axis=1), "frequency", 3)
    last = predictor.predict(np.stack([known.real, known.imag], axis=-1).astype(np.float64), "frequency", 3)
    listed = predictor.predict(np.array(np.stack([known.real, known.imag], axis=-1).tolist(), object), "frequency", 3)
    assert two.dtype == last.dtype == np.float32
    np.testing.assert_allclose(two[:, 0] + 1j * two[:, 1], expected, rtol=1e-5, atol=1e-6)
    for parts in (last, listed):
        np.testing.assert_allclose(parts[..., 0] + 1j * parts[..., 1], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (np.zeros((4, 4, 8), np.complex64), r"csi is complex of shape \(4, 4, 8\); allowed: complex \(batch, time"),
        (np.ones((1, 2, 4, 4, 8), np.complex64), r"complex of shape \(1, 2, 4, 4, 8\)"),
        (np.ones((1, 4, 4, 8), np.float32), r"real of shape \(1, 4, 4, 8\); allowed"),
        (np.ones((1, 3, 4, 4, 8), np.float32), r"real of shape \(1, 3, 4, 4, 8\)"),
        (np.ones((1, 2, 4, 4, 2), np.float32), "both axis 1 and axis 4 have size 2; pass it as complex"),
        (np.zeros((0, 2, 4, 4, 8), np.float32), "it holds no values"),
        (np.full((1, 4, 4, 8), np.nan, np.complex64), "values that are not finite"),
        (np.array([[1.0], [1.0, 2.0]], dtype=object), "no array of numbers"),
        (np.array(["a"]), "csi has dtype <U1"),
    ],
)
def test_wrong_layout_is_one_clear_error(known, message):
    with pytest.raises(ValueError, match=message) as error:
        read_layout(known)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "shape", "axis", "horizon", "message"),
    [
        ("wifo", (1, 3, 4, 8), "time", 1, "csi has 3 entries along time; the network needs a multiple of 2"),
        ("wifo", (1, 2, 6, 8), "time", 1, "csi has 6 entries along antenna; the network needs a multiple of 4"),
        ("wifo", (1, 2, 4, 8), "space", 1, "axis is 'space', allowed: time, frequency"),
        ("wifo", (1, 2, 4, 8), "time", 0, "horizon is 0, it must be at least 1"),
        ("unrouted", (1, 2, 3, 8), "time", 1, "csi has 3 angle bins; the network needs a multiple of 2"),
        ("unrouted", (1, 2, 4, 8), "frequency", 2, "csi has 5 delay bins; the network needs a multiple of 2"),
        ("unrouted", (1, 60, 4, 8), "time", 1, "csi makes 244 tokens, the network takes 200 at most"),
    ],
)
def test_size_that_does_not_fit_is_one_clear_error(exported, name, shape, axis, horizon, message):
    with pytest.raises(ValueError, match=message):
        exported(name)[1].predict(channel(*shape), axis, horizon)


def test_unknown_networks_are_refused(tmp_path):
    with pytest.raises(InputError, match="Linear has no ONNX form, allowed: WiFo, LWMTemporalPredictor"):
        export(torch.nn.Linear(1, 1), tmp_path)
    (tmp_path / "settings.json").write_text('{"network": "llm"}')
    with pytest.raises(ValueError, match=r"network is 'llm', known: wifo, lwm_temporal_predictor"):
        OnnxPredictor(tmp_path)
