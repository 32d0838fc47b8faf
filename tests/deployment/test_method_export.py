"""Predictors without training as plain ONNX files: the graph answers what the method answers in numpy."""

import json
import pkgutil

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wavefoundry.deployment.predictors
from tests.deployment.answers import assert_same_in_every_sample
from tests.predictors.example import OPTIONS
from wavefoundry.deployment.method_export import export
from wavefoundry.deployment.served_predictor import ServedPredictor
from wavefoundry.evaluation.methods import make, methods

# Of transforms in single precision, which those in numpy are.
TOLERANCE = 1e-5
GRAPHS = ("sample_and_hold", "reciprocity", "autoregression", "pooled_autoregression", "kalman")
QUESTIONS = ((1, 0), (5, 0), (0, 1), (0, 9), (3, 2), (2, 7))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(in numpy, folder of what is served, what is served) by name, made at the first call."""
    made = {}

    def get(name):
        if name not in made:
            options, folder = methods()[name](**OPTIONS[name]), tmp_path_factory.mktemp(name) / "new"
            export(name, options, folder)
            made[name] = make(name, options), folder, ServedPredictor(folder)
        return made[name]

    return get


def channel(*shape, seed=0):
    """Some paths in noise."""
    generator = np.random.default_rng(seed)
    doppler, angle, delay, phase = generator.random((4, shape[0], 3, 1, 1, 1))
    turns = 0.3 * (doppler - 0.5) * np.arange(shape[1])[:, None, None] + angle * np.arange(shape[2])[:, None]
    csi = np.exp(2j * np.pi * (turns - 0.3 * delay * np.arange(shape[3]) + phase)).sum(1)
    return (csi + 0.1 * generator.normal(size=shape) + 0.1j * generator.normal(size=shape)).astype(np.complex64)


def test_those_that_can_be_written_as_graphs_are_found_by_name_and_the_others_stay_numpy(exported):
    modules = pkgutil.iter_modules(wavefoundry.deployment.predictors.__path__)
    assert {module.name for module in modules} == set(GRAPHS) and OPTIONS.keys() == methods().keys()
    for name in OPTIONS:
        files = {file.name for file in exported(name)[1].iterdir()}
        assert files == ({"predictor.onnx"} if name in GRAPHS else {"code.py", "settings.json"})


@pytest.mark.parametrize("name", GRAPHS)
@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(4, 9), st.integers(1, 5), st.integers(4, 9)),
    question=st.sampled_from(QUESTIONS),
    seed=st.integers(0, 99),
)
def test_the_graph_answers_what_the_method_answers(exported, name, sizes, question, seed):
    method, _, served = exported(name)
    known = channel(*sizes, seed=seed)
    assert_same_in_every_sample(served.predict(known, *question), method.predict(known, *question), TOLERANCE)


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "kalman"])
@pytest.mark.parametrize("size", [(1, 3, 1), (2, 1, 2), (1, 2, 6), (3, 1, 2)])
@pytest.mark.parametrize("question", QUESTIONS)
def test_blocks_that_are_shorter_than_an_order_are_continued_alike(exported, name, size, question):
    method, _, served = exported(name)
    known = channel(2, *size)
    expected = method.predict(known, *question)
    np.testing.assert_allclose(served.predict(known, *question), expected, atol=TOLERANCE * np.abs(known).max())


@pytest.mark.parametrize("name", ["autoregression", "pooled_autoregression"])
@given(antennas=st.integers(1, 4), entries=st.integers(1, 6), horizon=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_single_slot_and_a_single_subcarrier_are_held_in_both_forms(exported, name, antennas, entries, horizon, seed):
    method, _, served = exported(name)
    slot, subcarrier = channel(2, 1, antennas, entries, seed=seed), channel(2, entries, antennas, 1, seed=seed)
    for predictor in (method, served):
        for known, question, axis in ((slot, (horizon, 0), 1), (subcarrier, (0, horizon), 3)):
            np.testing.assert_allclose(
                predictor.predict(known, *question), known.repeat(horizon, axis), atol=TOLERANCE * np.abs(known).max()
            )


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_bins_without_any_power_are_continued_by_zeros(exported, name, question):
    """A channel that is constant over antennas, slots and subcarriers is a single bin."""
    method, _, served = exported(name)
    known = np.full((2, 6, 4, 8), 1 - 2j, np.complex64)
    known[1] *= 1e-3
    assert_same_in_every_sample(served.predict(known, *question), method.predict(known, *question), TOLERANCE)


@pytest.mark.parametrize("name", GRAPHS)
def test_silence_changes_nothing_for_others(exported, name):
    _, _, served = exported(name)
    known = channel(4, 5, 3, 6)
    known[1:3] = 0
    for question in QUESTIONS:
        found = served.predict(known, *question)
        assert not found[1:3].any()
        np.testing.assert_array_equal(found[[0, 3]], served.predict(known[[0, 3]], *question))


def test_too_few_entries_for_a_filter_are_refused_by_name_where_they_are_to_be_continued(exported):
    _, folder, served = exported("kalman")
    told = {entry.key: entry.value for entry in onnx.load(folder / "predictor.onnx").metadata_props}
    for axis, shape, question in (("time", (1, 3, 2, 5), (2, 0)), ("frequency", (1, 5, 2, 3), (0, 2))):
        message = f"to continue {axis}, the filter takes at least 4 known entries along it"
        assert message in json.loads(told["limits"])
        for asked in (question, (2, 2)):
            with pytest.raises(ValueError, match=message):
                served.predict(channel(*shape), *asked)
        assert np.isfinite(served.predict(channel(*shape), *question[::-1])).all()
