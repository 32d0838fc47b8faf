"""What is served predicts what was trained, for every question and size, in numpy; and says what it cannot take."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deployment.drawn import channel, let_all_weights_count
from tests.networks.lwm_temporal.example import predictor as lwm_temporal
from tests.networks.wifo.example import wifo
from wavefoundry.deployment import method_export, served_predictor
from wavefoundry.deployment.served_predictor import ServedPredictor, read_layout
from wavefoundry.evaluation.method_predictor import MethodPredictor
from wavefoundry.evaluation.methods import methods
from wavefoundry.networks.family import serving_module

TOLERANCE = 1e-4
CODE = Path(served_predictor.__file__)
FOLDERS = {}  # of what is exported
QUESTIONS = ("time", "frequency", "both")


SMALL_WIFO = {"hidden_size": 24, "encoder_depth": 1, "decoder_depth": 1, "heads": 2, "patch_size": [2, 4, 2]}
MIXING = {"orders": {"time": 2, "frequency": 3}, "hidden_size": 5, "first_share": 0.3, "own_weight": 1.0}
NETWORKS = {
    "wifo": lambda: wifo(architecture=SMALL_WIFO),
    "wifo_published": lambda: wifo(architecture=SMALL_WIFO | {"position_rule": "published"}),
    "wifo_mixed": lambda: wifo(architecture=SMALL_WIFO | {"linear_prediction": MIXING}),
    # With half of the delay bins, in patches of two.
    "lwm_temporal": lambda: lwm_temporal(
        delay_fraction=0.5,
        architecture={"reference": "rotation"},
        prediction={"linear_start": {"time": 2, "frequency": 3}},
    ),
}
METHODS = {
    "sample_and_hold": {},
    "reciprocity": {},
    "autoregression": {"order": 3},
    "pooled_autoregression": {"time_order": 2, "frequency_order": 3},
    "prony": {"order": 1, "regularisation": 0.1},
    "kalman": {"order": 1, "snr_db": 20.0, "compensation": 0.5},
}
FAMILIES = {"wifo": "wifo", "wifo_published": "wifo", "wifo_mixed": "wifo", "lwm_temporal": "lwm_temporal"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(predictor in torch, what is served of it) by name, made at the first call; weights drawn so that all count."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = method(name) if name in METHODS else network(name)
        return made[name]

    def method(name):
        options, folder = methods()[name](**METHODS[name]), tmp_path_factory.mktemp(name) / "new"
        FOLDERS[name] = folder
        method_export.export(name, options, folder)
        return MethodPredictor(name, options), ServedPredictor(folder)

    def network(name):
        model = NETWORKS[name]().eval()
        let_all_weights_count(model)
        folder = FOLDERS[name] = tmp_path_factory.mktemp(name) / "new"
        serving_module(FAMILIES[name]).export(model, folder)
        return model, ServedPredictor(folder)

    return get


def assert_same(found, expected):
    assert found.shape == expected.shape
    found, expected = found.astype(np.complex128), expected.astype(np.complex128)
    assert np.linalg.norm(found - expected) <= TOLERANCE * np.linalg.norm(expected)


@pytest.mark.parametrize("name", [*NETWORKS, *METHODS])
@settings(max_examples=18)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 4)),
    question=st.sampled_from(QUESTIONS),
    beyond=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
)
def test_same_as_in_torch_for_every_question_and_size(exported, name, sizes, question, beyond, scale):
    predictor, served = exported(name)
    batch, slots, antennas, subcarriers = sizes
    # LWM-Temporal keeps half of the delay bins, in patches of two: subcarriers, known and not, in steps of four.
    step = 4 if name == "lwm_temporal" else 1
    wanted = beyond[0] * (question != "frequency"), step * beyond[1] * (question != "time")
    # WiFo takes any size, where its patch of (2, 4, 2) divides it and where not.
    units = (1, 3, 1) if name == "wifo" else (2, 4, 4)
    shape = tuple(unit * size for unit, size in zip(units, (slots, antennas, subcarriers), strict=True))
    known = (scale * channel(batch, *shape, seed=sum(sizes))).astype(np.complex64)
    expected = predictor.predict(torch.from_numpy(known), *wanted).numpy()
    found = served.predict(known, *wanted)
    assert found.dtype == np.complex64 and np.isfinite(found).all()
    assert found.shape == (batch, wanted[0] or shape[0], shape[1], wanted[1] or shape[2])
    assert_same(found, expected)


@pytest.mark.parametrize("name", [*NETWORKS, *METHODS])
def test_an_amplitude_of_the_input_is_one_of_the_prediction(exported, name):
    """In torch and as served, though the power of such a channel is beyond single precision."""
    predictor, served = exported(name)
    known = channel(2, 4, 4, 8)
    for wanted in ((3, 0), (0, 4), (3, 4)):
        expected = served.predict(known, *wanted)
        for level in (1e-19, 1e19):
            csi = np.float32(level) * known
            assert_same(served.predict(csi, *wanted), level * expected)
            assert_same(predictor.predict(torch.from_numpy(csi), *wanted).numpy(), level * expected)


@pytest.mark.parametrize("name", [*NETWORKS, *METHODS])
def test_silence_is_continued_by_silence_and_says_nothing_to_others(exported, name):
    _, served = exported(name)
    known = channel(4, 4, 4, 8)
    known[1:3] = 0
    for wanted in ((3, 0), (0, 4), (3, 4)):
        found = served.predict(known, *wanted)
        assert found[[0, 3]].any() and not found[1:3].any()
        np.testing.assert_array_equal(found[[0, 3]], served.predict(known[[0, 3]], *wanted))
        silent = served.predict(np.zeros((1, 2, 4, 4, 8)), *wanted)
        assert silent.shape == (1, 2, *found.shape[1:]) and not silent.any()


@pytest.mark.parametrize("name", ["wifo", "sample_and_hold"])
def test_who_expects_no_error_of_itself_refuses_in_a_line(exported, name):
    with pytest.raises(ValueError, match="does not say how large its errors are to be expected; ask by predict"):
        exported(name)[1].predict_with_error(channel(1, 4, 4, 8), 2, 0)


def test_layouts_are_the_same_channel(exported):
    _, predictor = exported("wifo")
    known = channel(2, 4, 4, 6)
    for wanted in ((0, 3), (1, 3)):
        expected = predictor.predict(known, *wanted)
        assert expected.dtype == np.complex64
        parts = np.stack([known.real, known.imag], axis=-1)
        two = predictor.predict(np.stack([known.real, known.imag], axis=1), *wanted)
        last = predictor.predict(parts.astype(np.float64), *wanted)
        listed = predictor.predict(np.array(parts.tolist(), object), *wanted)
        assert two.dtype == last.dtype == np.float32
        np.testing.assert_allclose(two[:, 0] + 1j * two[:, 1], expected, rtol=1e-5, atol=1e-6)
        for parts in (last, listed):
            np.testing.assert_allclose(parts[..., 0] + 1j * parts[..., 1], expected, rtol=1e-5, atol=1e-6)


def nested(depth):
    """A list in a list in a list ..."""
    content = [1.0]
    for _ in range(depth):
        content = [content]
    return content


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
        (np.full((1, 2, 4, 4, 8), 1e300), "values that are not finite"),
        (np.full((1, 4, 4, 8), 1e300 + 1j), "values that are not finite"),
        (np.array([[[[[10**400, 1]]]]], dtype=object), "no array of numbers"),
        (nested(70), "no array of numbers"),
        (nested(900), "no array of numbers"),
        (nested(100_000), "no array of numbers"),
    ],
)
def test_wrong_layout_is_one_clear_error(known, message):
    with pytest.raises(ValueError, match=message) as error:
        read_layout(known)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["wifo", "lwm_temporal", *METHODS])
@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ((0, 0), "slots and subcarriers are both 0: nothing is asked for"),
        ((-1, 2), "slots is -1, allowed: whole numbers from 0 to 4096"),
        ((2, -1), "subcarriers is -1, allowed: whole numbers from 0 to 4096"),
        ((None, 2), "slots is None, allowed: whole numbers from 0 to 4096"),
        ((2, None), "subcarriers is None, allowed: whole numbers from 0 to 4096"),
        ((1.5, 0), "slots is 1.5, allowed: whole numbers from 0 to 4096"),
        ((1, "2"), "subcarriers is '2', allowed: whole numbers from 0 to 4096"),
        ((float("nan"), 0), "slots is nan, allowed: whole numbers from 0 to 4096"),
        ((10**18, 0), "slots is 1000000000000000000, allowed: whole numbers from 0 to 4096"),
        ((0, 10**5000), "subcarriers is a very long int, allowed: whole numbers from 0 to 4096"),
        ((list(range(99)), 0), r"slots is \[0, 1, 2, .{50}\.\.\., allowed: whole numbers from 0 to 4096"),
        ((np.ones(3), 0), r"slots is array\(\[1., 1., 1.\]\), allowed: whole numbers from 0 to 4096"),
        ((4096, 4096), r"slots 4096 and subcarriers 4096 after csi of shape \(1, 2, 4, 8\) make 67\d{6} values"),
    ],
)
def test_what_is_no_question_is_one_clear_error(exported, name, wanted, message):
    with pytest.raises(ValueError, match=message) as error:
        exported(name)[1].predict(channel(1, 2, 4, 8), *wanted)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("wanted", [(np.int64(1), np.int32(0)), (1.0, 0.0), (np.float64(1), 0)])
def test_whole_numbers_of_any_type_are_taken(exported, wanted):
    known = channel(1, 2, 4, 8)
    _, served = exported("sample_and_hold")
    assert np.array_equal(served.predict(known, *wanted), served.predict(known, 1, 0))


@pytest.mark.parametrize("name", ["wifo", "lwm_temporal", *METHODS])
def test_the_folder_is_all_that_is_needed(exported, name, tmp_path):
    """In a process that knows nothing of the project and of torch."""
    _, served = exported(name)
    known = channel(1, 4, 4, 8)
    np.save(tmp_path / "known.npy", known)
    folder = FOLDERS[name]
    code = f"""
import builtins, runpy, sys
import numpy as np
inner = builtins.__import__
def guarded(name, *rest, **more):
    if name.partition(".")[0] in ("torch", "transformers", "wavefoundry", "storage", "stages"):
        raise AssertionError(name + " was imported")
    return inner(name, *rest, **more)
builtins.__import__ = guarded
code = runpy.run_path({str(CODE)!r})
predictor = code["ServedPredictor"]({str(folder)!r})
np.save("found.npy", predictor.predict(np.load("known.npy"), 2, 4))
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), served.predict(known, 2, 4), rtol=1e-5, atol=1e-6)


def test_settings_of_a_method_that_it_does_not_know_are_refused(tmp_path):
    method_export.export("prony", methods()["prony"](order=3, regularisation=0.1), tmp_path)
    (tmp_path / "settings.json").write_text('{"order": 0, "regularisation": 0.1}')
    with pytest.raises(ValueError, match="order"):
        ServedPredictor(tmp_path)


def test_families_whose_networks_do_not_predict_cannot_be_registered():
    assert serving_module("lwm") is None and serving_module("wimamba") is None


def test_an_answer_that_is_not_finite_is_refused():
    class Overflowing:
        def predict(self, known, slots, subcarriers):
            return np.full((1, slots, 1, 1), 1e300)

    served = ServedPredictor.__new__(ServedPredictor)
    served._predictor = Overflowing()
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="the answer is not finite: the values of csi"):
        served.predict(channel(1, 2, 1, 1), 1, 0)


def test_an_answer_of_the_largest_size_is_given_and_one_more_is_not(exported, monkeypatch):
    _, served = exported("sample_and_hold")
    monkeypatch.setitem(type(served).predict.__globals__["_require_moderate"].__globals__, "LARGEST_ANSWER", 3 * 4 * 8)
    assert served.predict(channel(1, 2, 4, 8), 1, 0).shape == (1, 1, 4, 8)
    with pytest.raises(ValueError, match="make 128 values with what is known, allowed: 96"):
        served.predict(channel(1, 2, 4, 8), 2, 0)
