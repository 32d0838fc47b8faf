"""A registered predictor works where nothing of this project is, and scores there what stage evaluate measured."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import xarray as xr
from mlflow.artifacts import download_artifacts

from stages import evaluate_prediction, params
from stages.candidates import Candidate, choose
from stages.held_out import HeldOut
from stages.loading import load_network
from stages.paths import csi_store
from stages.register import offer
from stages.served_form import Logged, TooLargeError, log_form, served
from stages.training import take_champion
from storage.digests import digest
from storage.errors import StorageError
from storage.models.model_folder import save_model
from storage.stores.csi_store import assign_splits, split_attributes, write_store
from storage.tracking.connection import tracking_uri
from storage.tracking.registry import Registry, fetch_model, load
from storage.tracking.runs import Run
from tests.networks.wifo.example import plainly_drawn
from tests.parameters import tiny_parameters
from wavefoundry.evaluation.results import as_table
from wavefoundry.evaluation.summary import mean_nmse_db
from wavefoundry.networks.wifo.model import build

FOLDER = Path("models/tiny_wifo/seed_0")
UNITS = {"units": "1", "long_name": "test"}


def write_csi(name: str, dataset, seed: int) -> None:
    generator = np.random.default_rng(seed)
    samples, (slots, antennas, subcarriers) = 10, dataset.shape
    csi = generator.normal(size=(2, samples, slots, antennas, subcarriers)).astype(np.float32)
    variables = {
        "csi": (("sample", "time", "antenna", "subcarrier"), (csi[0] + 1j * csi[1]).astype(np.complex64), UNITS),
        "split": ("sample", assign_splits(samples, (0.4, 0.2, 0.4), generator), split_attributes()),
        "trajectory": ("sample", np.arange(samples), UNITS),
    }
    coordinates = {
        "time": ("time", np.arange(slots) * 5e-4, UNITS),
        "antenna": ("antenna", np.arange(antennas), UNITS),
        "subcarrier": ("subcarrier", np.arange(subcarriers) * 180e3, UNITS),
    }
    write_store(csi_store(name), xr.Dataset(variables, coordinates), "csi")


@pytest.fixture
def parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    content = tiny_parameters()
    content["scenarios"] = {"street_canyon": content["scenarios"]["street_canyon"]}
    content["imported"] = {}
    content["evaluate"]["prediction"]["suites"] = {}
    content["evaluate"]["downstream"] = None
    parameters = params.Params.model_validate(content)
    for index, name in enumerate(parameters.sequences):
        write_csi(name, parameters.datasets[name], index)
    return parameters


# Loads the champion where neither this project nor torch can be imported, and predicts.
ELSEWHERE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "wavefoundry", "storage", "stages"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocked())
import mlflow, numpy as np

model = mlflow.pyfunc.load_model("models:/tiny_wifo@champion")
known = np.load("known.npy")
np.save("future.npy", model.predict(known, params={"slots": 6, "subcarriers": 0}))
eight = mlflow.pyfunc.load_model("models:/tiny_wifo@champion", model_config={"precision": "int8"})
np.save("eight.npy", eight.predict(known, params={"slots": 6, "subcarriers": 0}))
channels = np.stack([known.real, known.imag], axis=1)
np.save("band.npy", model.predict(channels, params={"slots": 0, "subcarriers": 8}))
nothing = {"slots": 0, "subcarriers": 0}
future = {"slots": 6, "subcarriers": 0}
for bad, params in ((known[0], future), (known * np.nan, future), (known, nothing), (known, future | {"slots": -1})):
    try:
        model.predict(bad, params=params)
    except mlflow.exceptions.MlflowException as error:
        print(error.error_code, error)
"""


@pytest.fixture
def candidate(parameters):
    torch.manual_seed(0)
    save_model(plainly_drawn(build(parameters.models["tiny_wifo"].options, 1.0)), FOLDER)
    network = load_network(parameters, "tiny_wifo", FOLDER)
    table = as_table(evaluate_prediction.score_all(parameters, "tiny_wifo", {0: network})[0])
    means = (mean_nmse_db(table, parameters.compared, split) for split in ("test", "validation"))
    return choose("tiny_wifo", *means)


def test_registered_model_scores_what_was_evaluated_and_needs_mlflow_and_onnxruntime_only(
    parameters, candidate, tmp_path_factory
):
    held_out = HeldOut(parameters, "tiny_wifo")
    registry, run = Registry(), Run("register", {}, {})
    gate = parameters.register_.model_copy(update={"latency_limit_ms": 1e6})
    form = served(parameters, candidate)
    log = partial(log_form, parameters, candidate, form, held_out, run.id)
    small = parameters.model_copy(
        update={"register_": parameters.register_.model_copy(update={"size_limit_mebibytes": 0.001})}
    )
    with pytest.raises(TooLargeError, match=r"its served form has \d+ MiB, register.size_limit_mebibytes is 0.001"):
        log_form(small, candidate, form, held_out, run.id)
    version, decision, _ = offer(registry, candidate, form.md5, log, held_out, gate, run.id, None)
    assert (decision["version"], decision["alias"]) == (1, "champion")
    champion = registry.champion("tiny_wifo")
    assert held_out.score_db(champion) == pytest.approx(candidate.score_db, abs=1e-5)
    assert float(champion.tags["validation_nmse_db"]) == candidate.score_db
    fetched = fetch_model(champion, tmp_path_factory.mktemp("fetched"))
    assert digest(fetched) == digest(FOLDER)
    loaded = Path(download_artifacts(champion.uri, dst_path=str(tmp_path_factory.mktemp("loaded"))))
    # Its weights are there once.
    assert (loaded / "artifacts/served/predictor.onnx").exists() and not list(loaded.rglob("*.safetensors"))

    # The same logged model under a second name.
    best = replace(candidate, name="predictor")
    logged = Logged(version.model_id, {})
    again, *_ = offer(registry, best, form.md5, lambda: logged, held_out, gate, run.id, None)
    assert registry.champion("predictor") == registry.find("predictor", form.md5) and again.model_id == version.model_id
    assert held_out.score_db(again) == pytest.approx(candidate.score_db, abs=1e-5)

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    generator = np.random.default_rng(0)
    known = (generator.normal(size=(3, 12, 8, 16)) + 1j * generator.normal(size=(3, 12, 8, 16))).astype(np.complex64)
    np.save(elsewhere / "known.npy", known)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=elsewhere, capture_output=True, text=True,
        env=environment | {"MLFLOW_TRACKING_URI": tracking_uri()},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    model = load_network(parameters, "tiny_wifo", FOLDER)
    for name, wanted in (("future", (6, 0)), ("band", (0, 8))):
        expected = model.predict(torch.from_numpy(known), *wanted).numpy()
        found = np.load(elsewhere / f"{name}.npy")
        found = found if name == "future" else found[:, 0] + 1j * found[:, 1]
        assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)
    # With ONNX Runtime alone, of the one file.
    session = onnxruntime.InferenceSession(loaded / "artifacts/served/predictor.onnx")
    asked = {"slots": np.array(6), "subcarriers": np.array(0)}
    (answer,) = session.run(None, {"csi": known.view(np.float32).reshape(*known.shape, 2)} | asked)
    np.testing.assert_allclose(answer.view(np.complex64)[..., 0], np.load(elsewhere / "future.npy"), rtol=1e-5)
    faults = result.stdout.splitlines()
    assert [fault.partition(" ")[0] for fault in faults] == 4 * ["INVALID_PARAMETER_VALUE"]
    for fault, message in zip(
        faults, ("csi is complex of shape (12, 8, 16); allowed", "has values that are not finite",
                 "slots and subcarriers are both 0", "slots is -1"), strict=True,
    ):  # fmt: skip
        assert message in fault

    # 20 dB below the answer: a fresh network of width 16, calibrated on two samples of each data set.
    eight = np.load(elsewhere / "eight.npy")
    assert 0 < np.linalg.norm(eight - np.load(elsewhere / "future.npy")) <= 0.1 * np.linalg.norm(eight)
    for figure in (
        "nmse_lost_db.time",
        "nmse_lost_db.frequency",
        "mebibytes.fp32",
        "latency_ms.fp32",
        "latency_ms.int8",
    ):
        assert np.isfinite(float(champion.tags[f"int8.{figure}"]))
    assert "dB lost at most" in decision["int8"] == champion.tags["int8"]

    check_warm_start(parameters)


def test_an_int8_form_that_loses_more_than_the_limit_is_kept_out_and_the_float_one_is_registered(
    parameters, candidate, monkeypatch
):
    from mlflow.exceptions import MlflowException

    worse = {question: value + 0.3 for question, value in candidate.validation_nmse_db.items()}
    monkeypatch.setattr(HeldOut, "served_nmse_db", lambda self, predictor: worse)
    held_out, registry, run = HeldOut(parameters, "tiny_wifo"), Registry(), Run("register", {}, {})
    form = served(parameters, candidate)
    log = partial(log_form, parameters, candidate, form, held_out, run.id)
    gate = parameters.register_.model_copy(update={"latency_limit_ms": 1e6})
    version, decision, _ = offer(registry, candidate, form.md5, log, held_out, gate, run.id, None)
    assert decision["alias"] == "champion" and registry.champion("tiny_wifo").number == version.number
    assert decision["int8"].startswith("refused: 0.30 dB lost with the question 'time'")
    assert float(version.tags["int8.nmse_lost_db.time"]) == pytest.approx(0.3, abs=1e-3)
    known, wanted = held_out.example()
    assert load(version).predict(known, params=wanted).shape[0] == 1
    for precision in ("int8", "fp64", 8, None):
        with pytest.raises(MlflowException, match="allowed for this version: fp32; why it has no other") as error:
            load(version, {"precision": precision})
        assert "\n" not in error.value.message


def check_warm_start(parameters):
    """A training goes on from the champion that the test above has registered."""

    class Tagged:
        def set_tags(self, tags):
            self.tags = tags

    run, other = Tagged(), build(parameters.models["tiny_wifo"].options, 1.0)
    take_champion(run, other, "tiny_wifo")
    expected = load_network(parameters, "tiny_wifo", FOLDER).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in other.state_dict().items())
    assert run.tags == {"warm_start": "models:/tiny_wifo/1"}
    with pytest.raises(StorageError, match="the champion models:/tiny_wifo/1 has another architecture"):
        take_champion(run, build(parameters.models["wifo"].options, 1.0), "tiny_wifo")
    with pytest.raises(StorageError, match="wifo has no champion to go on from; train and register it once"):
        take_champion(run, other, "wifo")


def test_a_method_is_registered_by_what_it_is(parameters):
    """Its method and its options identify it; it has no model folder."""
    candidate = Candidate("autoregression", None, {"time": -1.0}, {"time": -1.0})
    form = served(parameters, candidate)
    again = served(parameters, candidate)
    assert form.folder is None and form.md5 == again.md5
    content = tiny_parameters()
    content["predictors"]["autoregression"]["order"] = 2
    assert served(params.Params.model_validate(content), candidate).md5 != form.md5


def test_a_family_that_cannot_be_served_is_left_out(parameters):
    assert served(parameters, Candidate("lwm", 0, {}, {})) is None
