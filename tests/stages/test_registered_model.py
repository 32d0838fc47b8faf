"""A registered predictor, loaded in a fresh process outside the project, scores what stage evaluate measured."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import wavefoundry.models  # noqa: F401
from stages import evaluate_prediction, params, register
from stages.csi import store_path
from storage.checkpoints import load_model, save_model
from storage.csi_store import assign_splits, split_attributes, write_store
from storage.registry import Registry
from storage.tracking import Run
from wavefoundry.models.wifo import WiFo, WiFoConfig

TOP = Path(register.__file__).parents[1]
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
    parameters = params.Params.model_validate(content)
    for index, (name, dataset) in enumerate(parameters.datasets.items()):
        write_csi(name, dataset, index)
    return parameters


def test_registered_model_scores_what_was_evaluated(parameters):
    torch.manual_seed(0)
    model = WiFo(WiFoConfig(hidden_size=16, encoder_depth=1, decoder_depth=1, heads=2))
    folder = Path("models/tiny_wifo/seed_0")
    save_model(model, folder)
    scores = evaluate_prediction.score_all({"tiny_wifo": {"seed_0": load_model(folder)}}, parameters)["tiny_wifo"]
    candidate, held_out = register.choose("tiny_wifo", scores), register.HeldOut(parameters)

    registry, run = Registry(), Run("register", {}, {})
    decision = register.offer(registry, candidate, held_out, 0.05, run.id)
    assert (decision["version"], decision["alias"]) == (1, "champion")
    champion = registry.champion("tiny_wifo")
    # The metrics are rounded to 1e-6 dB.
    assert held_out.score_db(champion) == pytest.approx(candidate.score_db, abs=1e-5)
    assert float(champion.tags["nmse_db"]) == candidate.score_db
