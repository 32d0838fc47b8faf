"""LWM-Temporal as one plain ONNX file: the graph answers what the predictor answers, whatever its options."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deployment.answers import assert_same_in_every_sample, assert_silence_says_nothing_to_others
from tests.deployment.drawn import channel, let_all_weights_count
from tests.deployment.graphs import evaluate
from tests.networks.lwm_temporal.example import predictor
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.errors import InputError
from wavefoundry.networks.lwm_temporal import serving
from wavefoundry.networks.lwm_temporal.corridor import Windows, candidates
from wavefoundry.networks.lwm_temporal.model import LEARNED_POSITIONS, LWMTemporalPredictor, angles_of_heads
from wavefoundry.networks.lwm_temporal.routing import Routing
from wavefoundry.networks.lwm_temporal.serving_grid import kept, rotary_positions, visible

TOLERANCE = 1e-4
QUESTIONS = ("time", "frequency", "both")
OFFSETS = [-4, -3, -2, -1, 1, 2, 3]
# Of the delay bins, then of the architecture; each value of each option is somewhere.
PREDICTORS = {
    "default": (0.5, {"reference": "rotation", "topk_per_head": False, "routing_topk_max": 9, "depth": 2}),
    "per_head": (
        1.0,
        {"class_token": True, "reference": "phase_and_scale", "corridor": "wide", "routing_topk_min": 3, "depth": 2},
    ),
    "unrouted": (
        0.5,
        {"routing_topk_enable": False, "class_token": True, "reference": "none", "max_seq_len": 200}
        | {"patch_size": [2, 4]},
    ),
    "learned": (0.3, {"class_token": True, "positions": "learned", "reference": "phase", "patch_size": [1, 1]}),
    # Without routing: heads that know one axis only see equal keys, between which rounding decides.
    "magnitudes": (
        0.7,
        {"phase_mode": "magnitude_phase", "reference": "rotation", "embed_dim": 4, "patch_size": [3, 1]}
        | {"routing_topk_enable": False},
    ),
    "turned": (0.5, {"reference": "rotation", "routing_topk_max": 9}),
    "fills_in": (0.5, {"phase_mode": "magnitude_phase", "reference": "phase", "positions": "learned"}),
}
# Of linear prediction, where there is a start.
STARTS = {"default": {"time": 2, "frequency": 3}, "unrouted": {"time": 1, "frequency": 4}}
MADE: dict[str, tuple[LWMTemporalPredictor, ServedPredictor, Path]] = {}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(predictor, what is served of it, its file) by name, made at the first call."""

    def get(name):
        if name not in MADE:
            fraction, architecture = PREDICTORS[name]
            prediction = {"linear_start": STARTS.get(name), "inference_only": name == "fills_in"}
            model = drawn(fraction, prediction, **architecture)
            folder = tmp_path_factory.mktemp(name) / "new"
            serving.export(model, folder)
            assert [file.name for file in folder.iterdir()] == ["predictor.onnx"]
            MADE[name] = model, ServedPredictor(folder), folder / "predictor.onnx"
        return MADE[name]

    yield get
    MADE.clear()


def drawn(fraction: float, prediction=None, **architecture) -> LWMTemporalPredictor:
    """With weights drawn so that all count."""
    architecture = {"temporal_offsets": OFFSETS, "depth": 1, "embed_dim": 24} | architecture
    prediction = {"temporal_offsets": OFFSETS} | (prediction or {})
    model = predictor(delay_fraction=fraction, architecture=architecture, prediction=prediction).eval()
    let_all_weights_count(model)
    return model


def expected(model, known, wanted):
    return model.predict(torch.from_numpy(known), *wanted).numpy()


@pytest.mark.parametrize("name", PREDICTORS)
@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 9), st.integers(1, 24)),
    question=st.sampled_from(QUESTIONS),
    beyond=st.tuples(st.integers(1, 5), st.integers(1, 12)),
    level=st.sampled_from([1e-6, 1.0, 1e4]),
)
def test_the_graph_answers_what_the_predictor_answers_and_refuses_what_it_refuses(
    exported, name, shape, question, beyond, level
):
    model, served, _ = exported(name)
    wanted = beyond[0] * (question != "frequency"), beyond[1] * (question != "time")
    known = np.complex64(level) * channel(*shape, seed=sum(shape))
    try:
        answer = expected(model, known, wanted)
    except InputError:
        with pytest.raises(ValueError, match=": the predictor takes ") as error:
            served.predict(known, *wanted)
        assert "\n" not in str(error.value)
    else:
        assert_same_in_every_sample(served.predict(known, *wanted), answer, TOLERANCE)


@pytest.mark.parametrize("name", PREDICTORS)
@settings(max_examples=15)
@given(
    slots=st.tuples(st.integers(1, 6), st.integers(0, 5)),
    places=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 99),
    share=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
)
def test_grids_that_fit_are_answered_alike(exported, name, slots, places, seed, share):
    """Sizes that a patch divides, of which chance alone would find few."""
    model, served, _ = exported(name)
    (height, width), (rows, columns) = model.architecture.patch_size, places
    band = next(size for size in range(2, 99) if model.kept_bins(size) >= 3 and model.kept_bins(size) % width == 0)
    band *= columns if model.kept_bins(columns * band) % width == 0 else 1
    known = channel(2, slots[0], 3 * height * rows, max(1, round(share * band)), seed=seed)
    wanted = slots[1], band - known.shape[3]
    if any(wanted):
        assert_same_in_every_sample(served.predict(known, *wanted), expected(model, known, wanted), TOLERANCE)


def fitting_band(model, wanted):
    """Known subcarriers of which a patch divides the delay bins that are kept."""
    width = model.architecture.patch_size[1]
    return next(size for size in range(8, 99) if model.kept_bins(size + wanted[1]) % width == 0)


@pytest.mark.parametrize("name", ["default", "learned"])
def test_it_is_a_valid_model(exported, name):
    onnx.checker.check_model(onnx.load(exported(name)[2]), full_check=True)


@pytest.mark.parametrize("name", ["default", "per_head", "magnitudes"])
@pytest.mark.parametrize("wanted", [(3, 0), (0, 6), (3, 6)])
def test_a_sample_alone_is_answered_like_in_a_batch(exported, name, wanted):
    model, served, _ = exported(name)
    known = channel(3, 4, 6, fitting_band(model, wanted)) * np.float32([1e-3, 1, 1e3])[:, None, None, None]
    together = served.predict(known, *wanted)
    for index in range(3):
        assert_same_in_every_sample(served.predict(known[index, None], *wanted), together[index, None], 1e-5)


@pytest.mark.parametrize("started", [False, True])
def test_large_batches_go_through_the_network_in_parts_that_say_the_same(monkeypatch, tmp_path, started):
    """All parts, the last of which is filled up with its last sample, and the scores that they hold."""
    start = {"linear_start": {"time": 2, "frequency": 3}} if started else {}
    model = drawn(0.5, start, reference="rotation", topk_per_head=False)
    content = serving.Served.of(model)
    known = channel(7, 4, 4, 8)
    tokens = 7 * 2 * 4  # of the largest question
    for samples in (0.5, 2, 3, 7):
        monkeypatch.setattr(serving, "LARGEST_SCORES", int(samples * model.architecture.num_heads * tokens**2))
        serving.write(content, tmp_path / str(samples))
        in_parts = ServedPredictor(tmp_path / str(samples))
        for wanted in ((3, 0), (0, 4), (3, 8)):
            assert_same_in_every_sample(in_parts.predict(known, *wanted), expected(model, known, wanted), TOLERANCE)


@pytest.mark.parametrize("name", PREDICTORS)
@pytest.mark.parametrize("wanted", [(3, 0), (0, 6), (3, 6)])
def test_silence_says_nothing_to_others(exported, name, wanted):
    model, served, _ = exported(name)
    assert_silence_says_nothing_to_others(served, channel(3, 4, 6, fitting_band(model, wanted)), wanted)


@pytest.mark.parametrize(
    ("name", "shape", "wanted", "message"),
    [
        ("unrouted", (1, 2, 3, 8), (1, 0), "the predictor takes antennas: from 1, multiples of 2"),
        (
            "unrouted",
            (1, 2, 4, 8),
            (0, 4),
            "the predictor takes subcarriers, known and asked for together, of which it keeps a multiple of 4 delay "
            "bins: a share of 0.5, rounded, at least 1",
        ),
        (
            "unrouted",
            (1, 50, 8, 8),
            (1, 0),
            "the predictor takes grids of at most 200 tokens, known and asked for together: a token is 2 angles by 4 "
            "kept delay bins of one slot",
        ),
        ("default", (1, 2, 2, 4), (1, 0), "the predictor takes grids of at least 2 tokens along angle or along delay"),
        ("learned", (1, 2, LEARNED_POSITIONS + 1, 2), (1, 0), "the predictor takes grids of at most 512 tokens along"),
        ("learned", (1, LEARNED_POSITIONS, 2, 2), (1, 0), "the predictor takes grids of at most 512 tokens along"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_by_name(exported, name, shape, wanted, message):
    model, served, file = exported(name)
    with pytest.raises(InputError):
        expected(model, channel(*shape), wanted)
    with pytest.raises(ValueError, match=message) as error:
        served.predict(channel(*shape), *wanted)
    assert "\n" not in str(error.value)
    told = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert any(message in limit for limit in json.loads(told["limits"]))


GRIDS = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))


def on_grid(write, grid):
    """What a function of the sizes of a grid gives."""
    return evaluate(
        lambda _, *sizes: write(sizes), **{f"axis_{axis}": np.array([size]) for axis, size in enumerate(grid)}
    )


@settings(max_examples=40)
@given(
    grid=GRIDS,
    offsets=st.sets(st.integers(-4, 4).filter(bool)),
    widths=st.tuples(*[st.integers(0, 3)] * 4),
    corridor=st.sampled_from(["published", "wide"]),
    share=st.sampled_from([0.2, 0.5, 1.0]),
)
def test_windows_and_numbers_of_winners_are_those_of_the_predictor(grid, offsets, widths, corridor, share):
    same_frame, others, *drift = widths
    windows = Windows(same_frame, tuple(offsets), others, *drift, corridor)
    sees, routing = candidates(grid, windows), Routing(share, 2, 9, True)
    np.testing.assert_array_equal(on_grid(lambda sizes: visible(windows, sizes), grid), sees.numpy())
    count = on_grid(lambda sizes: kept(routing, visible(windows, sizes)), grid)
    candidate_count = sees.sum(dim=1)
    np.testing.assert_array_equal(np.minimum(count, candidate_count), routing.kept(candidate_count))


@settings(max_examples=20)
@given(grid=GRIDS, width=st.sampled_from([(4, 2), (12, 2), (24, 4), (64, 4)]))
def test_rotary_positions_are_those_of_the_predictor(grid, width):
    model = drawn(1.0, embed_dim=width[0], num_heads=width[1])
    found = on_grid(lambda sizes: rotary_positions(model.architecture, sizes), grid)
    np.testing.assert_allclose(found, angles_of_heads(grid, model.architecture, torch.device("cpu")), rtol=1e-5)
