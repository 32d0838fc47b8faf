"""Around every plain graph: scale, silence, refusals, metadata; and the expressions that graphs are written in."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.deployment.graphs import evaluate
from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import BOOL, FLOAT
from wavefoundry.deployment.plain_predictor import Limit, asked, rms_scale, write_plain
from wavefoundry.deployment.served_predictor import ServedPredictor

LIMITS = [Limit("time", 2, 6), Limit("subcarrier", 1, multiple=3), Limit("antenna", 2, 2)]


def mirrored(writer, known, slots, subcarriers):
    """Stands for a network: what is known, with its mirror image beyond it, divided by the largest of all samples."""
    box = known / known.op("Abs").reduced("ReduceMax", 0, 1, 2, 3, 4).op("Max", 1e-30)
    for axis in (1, 3):
        box = writer.joined(axis, box, reversed_along(writer, box, axis))
    return asked(writer, box, known, slots, subcarriers)


def reversed_along(writer, box, axis):
    size = box.size(axis)
    return box.take(writer.range(size).op("Mul", -1) + (size - 1), axis=axis)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "new"
    write_plain(mirrored, LIMITS, folder)
    return folder / "predictor.onnx"


@pytest.fixture(scope="module")
def run(file):
    """The file with onnxruntime alone."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(file, options)

    def ask(csi, slots, subcarriers):
        asked = {"slots": np.array(slots, np.int64), "subcarriers": np.array(subcarriers, np.int64)}
        return session.run(None, {"csi": csi.astype(np.float32)} | asked)[0]

    return ask


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 2)).astype(np.float32)


def test_it_is_a_valid_model_of_one_file_that_says_what_it_takes(file):
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in file.parent.iterdir()] == ["predictor.onnx"]
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert {value.name for value in (*model.graph.input, *model.graph.output)} == set(told) - {"limits"}
    assert all(value.doc_string == told[value.name] for value in model.graph.input)
    assert "the predictor takes known subcarriers: from 1, multiples of 3" in json.loads(told["limits"])


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(1, 3)),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    scale=st.sampled_from([1e-30, 1e-6, 1.0, 1e4, 1e30]),
)
def test_what_is_asked_for_comes_back_in_the_scale_of_the_network(run, sizes, share, scale):
    batch, slots, bands = sizes
    csi = scale * noise(batch, slots, 2, 3 * bands, seed=sum(sizes))
    wanted = [round(part * size) for part, size in zip(share, (slots, 3 * bands), strict=True)]
    wanted = wanted if any(wanted) else [1, 0]
    found = run(csi, *wanted)
    expected = csi.astype(np.float64)
    for axis, size in ((1, wanted[0]), (3, wanted[1])):
        expected = np.flip(expected, axis).take(range(size), axis) if size else expected
    # The network divides by its largest value, which is that of the input in a unit of a power of two.
    ratio = found / expected
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio.flat[0], ratio.shape), rtol=1e-5)
    assert 0.4 <= ratio.flat[0] * np.abs(csi).max() / 2.0 ** np.floor(np.log2(np.abs(csi).max())) <= 2.1


def test_silence_is_continued_by_silence_and_the_network_does_not_see_it(run):
    csi = noise(4, 3, 2, 3)
    csi[1:3] = 0
    found = run(csi, 2, 0)
    assert not found[1:3].any()
    np.testing.assert_array_equal(found[[0, 3]], run(csi[[0, 3]], 2, 0))
    silent = run(np.zeros_like(csi), 2, 3)
    assert silent.shape == (4, 2, 2, 3, 2) and not silent.any()


@pytest.mark.parametrize(
    ("shape", "wanted", "message"),
    [
        ((1, 1, 2, 3), (1, 0), "the predictor takes known slots: from 2 to 6"),
        ((1, 7, 2, 3), (1, 0), "the predictor takes known slots: from 2 to 6"),
        ((1, 2, 3, 3), (1, 0), "the predictor takes antennas: exactly 2"),
        ((1, 2, 2, 4), (1, 0), "the predictor takes known subcarriers: from 1, multiples of 3"),
        ((1, 2, 2, 3), (-1, 2), "the predictor takes slots that are asked for: from 0"),
        ((1, 2, 2, 3), (0, 0), "nothing is asked for"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(run, file, shape, wanted, message):
    csi = noise(*shape)
    with pytest.raises(Exception, match="refused: ") as error:
        run(csi, *wanted)
    assert "Name:'refused: " in str(error.value) and message in str(error.value)
    with pytest.raises(ValueError, match=message if min(wanted) >= 0 and any(wanted) else "slots") as line:
        ServedPredictor(file.parent).predict(csi.view(np.complex64)[..., 0], *wanted)
    assert "\n" not in str(line.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(run, value):
    csi = noise(2, 2, 2, 3)
    csi[1, 0, 0, 0, 1] = value
    with pytest.raises(Exception, match="refused: csi needs values that are finite"):
        run(csi, 1, 0)


@pytest.mark.parametrize("conjugate", [False, True])
def test_complex_products(conjugate):
    first, second = noise(3, 4), noise(3, 1, seed=1)
    values = [part.view(np.complex64)[..., 0] for part in (first, second)]

    def write(_, a, b):
        factor = Complex.of(b)
        return (Complex.of(a) * (factor.conjugate() if conjugate else factor)).pairs()

    found = evaluate(write, a=first, b=second)
    expected = values[0] * (values[1].conj() if conjugate else values[1])
    np.testing.assert_allclose(found.view(np.complex64)[..., 0], expected, rtol=1e-4, atol=1e-5)


def test_phases_of_complex_values_in_every_direction():
    turns = np.linspace(-np.pi, np.pi, 999).astype(np.float32)
    values = np.stack([np.cos(turns), np.sin(turns)], axis=-1) * np.array([[[1e-3]], [[1.0]], [[1e3]]], np.float32)
    values = np.concatenate([values.reshape(-1, 2), [[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]]]).astype(np.float32)
    found = evaluate(lambda _, pairs: Complex.of(pairs).angle(), pairs=values)
    np.testing.assert_allclose(found, np.arctan2(values[:, 1], values[:, 0]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("level", [1e-30, 1.0, 1e30])
def test_root_mean_square_at_any_level(level):
    csi = np.float32(level) * noise(2, 3, 2, 3)
    found = evaluate(lambda writer, known: rms_scale(known), known=csi)
    power = np.square(csi.astype(np.float64)).sum(-1).mean((1, 2, 3))
    np.testing.assert_allclose(found.ravel(), np.sqrt(power), rtol=1e-6)


def test_a_loop_hands_on_its_state_and_collects_what_each_turn_finds():
    def write(writer, state, turns):
        offset = state.reduced("ReduceSum", 0)

        def step(body, turn, state):
            return [state * 2.0], [state + offset.within(body) + turn.cast(FLOAT)]

        (last,), (found,) = writer.loop(turns, [state], step)
        return writer.joined(0, found, last.op("Unsqueeze", writer.shape(0)))

    state = np.array([1.0, 3.0], np.float32)
    found = evaluate(write, state=state, turns=np.array([4]))
    np.testing.assert_array_equal(found, [*(2**turn * state + 4 + turn for turn in range(4)), 16 * state])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_branch_computes_what_the_condition_says_and_nothing_else(sign):
    def write(writer, values):
        positive = values.reduced("ReduceSum", 0) > 0

        def then(body):
            return [values.within(body).op("Sqrt"), body.constant([7.0])]

        def otherwise(body):
            body.refuse_unless(positive.within(body).op("Not", dtype=BOOL), "it is only computed where this holds")
            return [values, body.constant([8.0])]

        return writer.joined(0, *writer.branch(positive, then, otherwise))

    found = evaluate(write, values=sign * np.array([4.0, 9.0], np.float32))
    np.testing.assert_array_equal(found, [2.0, 3.0, 7.0] if sign > 0 else [-4.0, -9.0, 8.0])


def test_the_largest_of_an_axis_and_where_they_are():
    def write(writer, values, count):
        found, at = values.largest(count, axis=1)
        return writer.joined(1, found, at.cast(FLOAT))

    values = np.array([[3.0, 9.0, 1.0, 5.0], [4.0, 2.0, 8.0, 6.0]], np.float32)
    found = evaluate(write, values=values, count=np.array([2]))
    np.testing.assert_array_equal(found, [[9.0, 5.0, 1.0, 3.0], [8.0, 6.0, 2.0, 3.0]])
