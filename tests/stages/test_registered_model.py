"""A registered predictor works where nothing of this project is, and scores there what stage evaluate measured."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import wavefoundry.models  # noqa: F401
from stages import evaluate_prediction, params, register
from stages.csi import store_path
from stages.training import warm_start
from storage.models.model_folder import load_model, save_model
from storage.stores.csi_store import assign_splits, split_attributes, write_store
from storage.digests import digest
from storage.errors import StorageError
from storage.tracking.registry import Registry, fetch_model
from storage.tracking.runs import Run
from storage.tracking.connection import tracking_uri
from wavefoundry.networks.wifo.model import WiFo, WiFoConfig

TOP = Path(register.__file__).parents[1]
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
    write_store(store_path(name), xr.Dataset(variables, coordinates), "csi")


@pytest.fixture
def parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    content = yaml.safe_load((TOP / "params.yaml").read_text())
    content["scenarios"] = {"street_canyon": content["scenarios"]["street_canyon"]}
    for section in (*content["pretrain"].values(), *content["teach"].values()):
        section["held_out"] = []
    content["evaluate"].pop("downstream")
    parameters = params.Params.model_validate(content)
    for index, (name, dataset) in enumerate(parameters.sequences.items()):
        write_csi(name, dataset, index)
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
np.save("future.npy", model.predict(known, params={"axis": "time", "horizon": 6}))
channels = np.stack([known.real, known.imag], axis=1)
np.save("band.npy", model.predict(channels, params={"axis": "frequency", "horizon": 8}))
for bad, params in ((known[0], {}), (known[:, :3], {}), (known, {"axis": "space"}), (known, {"horizon": 0})):
    try:
        model.predict(bad, params=params)
    except mlflow.exceptions.MlflowException as error:
        print(error.error_code, error)
"""


@pytest.fixture
def candidate(parameters):
    torch.manual_seed(0)
    save_model(WiFo(WiFoConfig(hidden_size=16, encoder_depth=1, decoder_depth=1, heads=2)), FOLDER)
    scores = evaluate_prediction.score_all({"tiny_wifo": {"seed_0": load_model(FOLDER)}}, parameters)["tiny_wifo"]
    return register.choose("tiny_wifo", scores)


def test_registered_model_scores_what_was_evaluated_and_needs_mlflow_and_onnxruntime_only(
    parameters, candidate, tmp_path_factory
):
    held_out = register.HeldOut(parameters)
    registry, run = Registry(), Run("register", {}, {})
    gate = parameters.register_.model_copy(update={"latency_limit_ms": 1e6})
    decision = register.offer(registry, candidate, held_out, gate, run.id)
    assert (decision["version"], decision["alias"]) == (1, "champion")
    champion = registry.champion("tiny_wifo")
    # The metrics are rounded to 1e-6 dB.
    assert held_out.score_db(champion) == pytest.approx(candidate.score_db, abs=1e-5)
    assert float(champion.tags["nmse_db"]) == candidate.score_db
    fetched = fetch_model(champion, tmp_path_factory.mktemp("fetched"))
    assert digest(fetched) == digest(FOLDER)

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
    model = load_model(FOLDER)
    for name, axis, horizon in (("future", "time", 6), ("band", "frequency", 8)):
        expected = model.predict(torch.from_numpy(known), axis, horizon).numpy()
        found = np.load(elsewhere / f"{name}.npy")
        found = found if axis == "time" else found[:, 0] + 1j * found[:, 1]
        assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)
    faults = result.stdout.splitlines()
    assert [fault.partition(" ")[0] for fault in faults] == 4 * ["INVALID_PARAMETER_VALUE"]
    for fault, message in zip(
        faults, ("csi is complex of shape (12, 8, 16); allowed", "csi has 3 entries along time", "axis is 'space'",
                 "horizon is 0"), strict=True,
    ):  # fmt: skip
        assert message in fault

    check_warm_start()


def check_warm_start():
    """A training goes on from the champion that the test above has registered."""

    class Tagged:
        def set_tags(self, tags):
            self.tags = tags

    run, other = Tagged(), WiFo(WiFoConfig(hidden_size=16, encoder_depth=1, decoder_depth=1, heads=2))
    warm_start(run, other, "tiny_wifo")
    expected = load_model(FOLDER).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in other.state_dict().items())
    assert run.tags == {"warm_start": "models:/tiny_wifo/1"}
    with pytest.raises(StorageError, match="the champion models:/tiny_wifo/1 has another architecture"):
        warm_start(run, WiFo(WiFoConfig(hidden_size=24, encoder_depth=1, decoder_depth=1, heads=2)), "tiny_wifo")
    with pytest.raises(StorageError, match="wifo has no champion to go on from; train and register it once"):
        warm_start(run, other, "wifo")
