"""What a server of MLflow's answers to requests for a registered predictor: a prediction, or status 400 in one line."""

import json
import os

import numpy as np
import pytest
from fastapi.testclient import TestClient

from storage.tracking.registry import load
from tests.stages.registration import register
from wavefoundry.deployment import method_export
from wavefoundry.evaluation.methods import methods

KNOWN = np.random.default_rng(0).normal(size=(1, 4, 4, 3, 2)).astype(np.float32)
RIGHT = {"slots": 2, "subcarriers": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Sample-and-hold, registered and loaded as anybody loads it."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        method_export.export("sample_and_hold", methods()["sample_and_hold"](), folder / "served")
        yield load(register("sample_and_hold", {"served": folder / "served"}, KNOWN))


@pytest.fixture(scope="module")
def post(model):
    """Send a body to the server's own application; gives status and text."""
    from mlflow.pyfunc import scoring_server

    before = dict(os.environ)
    client = TestClient(scoring_server.init(model), raise_server_exceptions=False)

    def send(body):
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        response = client.post("/invocations", content=text, headers={"Content-Type": "application/json"})
        return response.status_code, response.text

    yield send
    os.environ.clear()
    os.environ.update(before)


def test_a_right_question_is_answered(post, model):
    status, text = post({"inputs": KNOWN.tolist(), "params": RIGHT})
    assert status == 200
    np.testing.assert_allclose(json.loads(text)["predictions"], np.repeat(KNOWN[:, -1:], 2, axis=1), rtol=1e-6)
    assert model.predict(KNOWN, params=RIGHT).shape == (1, 2, 4, 3, 2)


def test_a_parameter_that_mlflow_drops_beside_both_right_ones_changes_no_answer(post):
    """MLflow leaves out what the signature does not name before any model sees it."""
    assert post({"inputs": KNOWN.tolist(), "params": RIGHT | {"slot": 3}}) == post(
        {"inputs": KNOWN.tolist(), "params": RIGHT}
    )


@pytest.mark.parametrize("slots", [2.0, np.int32(2), np.int64(2), np.float32(2)])
def test_a_whole_number_of_any_type_is_answered(model, slots):
    assert model.predict(KNOWN, params={"slots": slots, "subcarriers": 0}).shape == (1, 2, 4, 3, 2)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"slots": None, "subcarriers": 0}, "slots: missing or null; both parameters are needed"),
        ({"slots": 2, "subcarriers": None}, "subcarriers: missing or null"),
        ({"slot": 2, "subcarriers": 1}, "slots: missing or null"),
        ({"slots": 2, "subcarrier": 1}, "subcarriers: missing or null"),
        ({}, "slots: missing or null"),
        (None, "slots: missing or null"),
        ({"slots": 10**18, "subcarriers": 0}, "slots is 1000000000000000000, allowed: whole numbers from 0 to 4096"),
        ({"slots": 1, "subcarriers": 10**18}, "subcarriers is 1000000000000000000, allowed"),
        ({"slots": 10**400, "subcarriers": 0}, ""),
        ({"slots": 4096, "subcarriers": 4096}, "values with what is known, allowed: 67108864"),
        ({"slots": "2", "subcarriers": 0}, ""),
        ({"slots": [2], "subcarriers": 0}, ""),
        ({"slots": {"a": 2}, "subcarriers": 0}, ""),
        ({"slots": True, "subcarriers": 0}, ""),
        ({"slots": -1, "subcarriers": 0}, "slots is -1"),
        ([1, 2], ""),
        ("slots", ""),
    ],
)
def test_what_is_no_question_gets_status_400(post, question, message):
    status, text = post({"inputs": KNOWN.tolist(), "params": question})
    assert status == 400 and message in text


@pytest.mark.parametrize(
    ("inputs", "params", "line"),
    [
        (
            KNOWN,
            {"slot": 2, "subcarriers": 0},
            "slots: missing or null; both parameters are needed, slots and subcarriers",
        ),
        (KNOWN, {"slots": -1, "subcarriers": 0}, "slots is -1, allowed: whole numbers from 0 to 4096"),
        (KNOWN, {"slots": 1.5, "subcarriers": 0}, "slots is 1.5, allowed: whole numbers from 0 to 4096"),
        (KNOWN, {"slots": 1, "subcarriers": 1e-3}, "subcarriers is 0.001, allowed: whole numbers from 0 to 4096"),
        (KNOWN, {"slots": float("nan"), "subcarriers": 0}, "slots is nan, allowed: whole numbers from 0 to 4096"),
        (KNOWN, {"slots": float("inf"), "subcarriers": 0}, "slots is inf, allowed: whole numbers from 0 to 4096"),
        (KNOWN, {"slots": 10**18, "subcarriers": 0}, f"slots is {10**18}, allowed: whole numbers from 0 to 4096"),
        (KNOWN, {"slots": 10**30, "subcarriers": 0}, f"slots is {int(1e30)}, allowed: whole numbers from 0 to 4096"),
        (
            KNOWN[0],
            RIGHT,
            "csi is real of shape (4, 4, 3, 2); allowed: complex (batch, time, antenna, subcarrier), real (batch, 2, "
            "time, antenna, subcarrier) or real (batch, time, antenna, subcarrier, 2)",
        ),
    ],
)
def test_what_the_predictor_refuses_is_answered_in_one_line_without_the_input(post, inputs, params, line):
    status, text = post({"inputs": inputs.tolist(), "params": params})
    assert status == 400
    assert json.loads(text)["message"] == line


def nested(depth):
    return "[" * depth + "1" + "]" * depth


@pytest.mark.parametrize(
    "inputs",
    [nested(5), nested(40), nested(70), nested(500), "null", "1", '"a"', "{}", "[]", "[[1], [1, 2]]", "[null]",
     "[1e999]", '[["a"]]', f"[{10**400}]", '{"a": [1]}', "[[[[[1e300, 1]]]]]", "[NaN]"],
)  # fmt: skip
def test_what_is_no_channel_gets_status_400(post, inputs):
    status, text = post(f'{{"inputs": {inputs}, "params": {{"slots": 1, "subcarriers": 0}}}}')
    assert status == 400, text


@pytest.mark.parametrize("body", ["", "[", "[]", "null", "{}", '{"inputs": 1, "instances": 2}', b"\xff"])
def test_what_is_no_request_gets_status_400(post, body):
    assert post(body)[0] == 400


@pytest.mark.parametrize("params", [{"slots": 1, "subcarriers": 0, "slot": 3}, {"slots": 1}, None])
def test_what_reaches_the_model_past_the_server_is_checked_too(model, params):
    """MLflow drops unknown parameters on its own way only."""
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=r"no such parameter|missing or null") as error:
        model.unwrap_python_model().predict(None, KNOWN, params)
    assert "\n" not in error.value.message
