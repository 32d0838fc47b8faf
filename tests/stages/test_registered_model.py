"""A registered predictor works where nothing of this project is, and scores there what stage evaluate measured."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from mlflow.artifacts import download_artifacts

from stages import evaluate_prediction, params, register
from stages.loading import load_network
from stages.paths import csi_store
from stages.training import take_champion
from storage.digests import digest
from storage.errors import StorageError
from storage.models.model_folder import save_model
from storage.stores.csi_store import assign_splits, split_attributes, write_store
from storage.tracking.connection import tracking_uri
from storage.tracking.registry import Registry, fetch_model
from storage.tracking.runs import Run
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
channels = np.stack([known.real, known.imag], axis=1)
np.save("band.npy", model.predict(channels, params={"slots": 0, "subcarriers": 8}))
nothing = {"slots": 0, "subcarriers": 0}
future = {"slots": 6, "subcarriers": 0}
for bad, params in ((known[0], future), (known[:, :3], future), (known, nothing), (known, future | {"slots": -1})):
    try:
        model.predict(bad, params=params)
    except mlflow.exceptions.MlflowException as error:
        print(error.error_code, error)
"""


@pytest.fixture
def candidate(parameters):
    torch.manual_seed(0)
    save_model(build(parameters.models["tiny_wifo"].options, 1.0), FOLDER)
    network = load_network(parameters, "tiny_wifo", FOLDER)
    table = as_table(evaluate_prediction.score_all(parameters, "tiny_wifo", {0: network})[0])
    means = (mean_nmse_db(table, parameters.compared, split) for split in ("test", "validation"))
    return register.choose("tiny_wifo", *means)


def test_registered_model_scores_what_was_evaluated_and_needs_mlflow_and_onnxruntime_only(
    parameters, candidate, tmp_path_factory
):
    held_out = register.HeldOut(parameters, "tiny_wifo")
    registry, run = Registry(), Run("register", {}, {})
    gate = parameters.register_.model_copy(update={"latency_limit_ms": 1e6})
    form = register.served(parameters, candidate)
    log = partial(register._log, candidate, form, held_out, 300.0, run.id)
    with pytest.raises(
        register.TooLargeError, match=r"its served form has \d+ MiB, register.size_limit_mebibytes is 0.001"
    ):
        register._log(candidate, form, held_out, 0.001, run.id)
    version, decision, _ = register.offer(registry, candidate, form.md5, log, held_out, gate, run.id, None)
    assert (decision["version"], decision["alias"]) == (1, "champion")
    champion = registry.champion("tiny_wifo")
    assert held_out.score_db(champion) == pytest.approx(candidate.score_db, abs=1e-5)
    assert float(champion.tags["validation_nmse_db"]) == candidate.score_db
    fetched = fetch_model(champion, tmp_path_factory.mktemp("fetched"))
    assert digest(fetched) == digest(FOLDER)
    loaded = Path(download_artifacts(champion.uri, dst_path=str(tmp_path_factory.mktemp("loaded"))))
    # Its weights are there once.
    assert (loaded / "artifacts/served/network.onnx").exists() and not list(loaded.rglob("*.safetensors"))

    # The same logged model under a second name.
    best = replace(candidate, name="predictor")
    again, *_ = register.offer(registry, best, form.md5, lambda: version.model_id, held_out, gate, run.id, None)
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
    faults = result.stdout.splitlines()
    assert [fault.partition(" ")[0] for fault in faults] == 4 * ["INVALID_PARAMETER_VALUE"]
    for fault, message in zip(
        faults, ("csi is complex of shape (12, 8, 16); allowed", "csi has 3 entries along time",
                 "slots and subcarriers are both 0", "slots is -1"), strict=True,
    ):  # fmt: skip
        assert message in fault

    check_warm_start(parameters)


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
    """Its file and its options identify it; it needs neither weights nor onnxruntime."""
    candidate = register.Candidate("autoregression", None, {"time": -1.0}, {"time": -1.0})
    form = register.served(parameters, candidate)
    again = register.served(parameters, candidate)
    assert form.folder is None and form.md5 == again.md5
    content = tiny_parameters()
    content["predictors"]["autoregression"]["order"] = 2
    assert register.served(params.Params.model_validate(content), candidate).md5 != form.md5


def test_a_family_that_cannot_be_served_is_left_out(parameters):
    assert register.served(parameters, register.Candidate("lwm", 0, {}, {})) is None
