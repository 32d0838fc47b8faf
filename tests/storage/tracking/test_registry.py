"""A registered predictor works in a process that has never seen the project; aliases and tags say what it is."""

import textwrap
from pathlib import Path

import numpy as np
import pytest

from storage.errors import StorageError
from storage.tracking import connection as tracking
from storage.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    DEMOTED_TAG,
    HISTORY_TAG,
    MODEL_TAG,
    Registry,
    clear_failures,
    fetch_model,
    log_predictor,
    predict_isolated,
)
from storage.tracking.runs import Run

SERVED = """
    import mlflow, numpy as np, pathlib, runpy

    class Served(mlflow.pyfunc.PythonModel):
        def load_context(self, context):
            gain = runpy.run_path(context.artifacts["code"])["GAIN"]
            self.gain = gain * float(pathlib.Path(context.artifacts["model"], "config.json").read_text())

        def predict(self, context, model_input: np.ndarray, params=None) -> np.ndarray:
            return model_input[:, :, -int(params["horizon"]):] * np.float32(self.gain)

    mlflow.models.set_model(Served())
"""
KNOWN = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4, 1)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "gain.py").write_text("GAIN = 3.0\n")
    (folder / "served.py").write_text(textwrap.dedent(SERVED))
    (folder / "model").mkdir()
    (folder / "model/config.json").write_text("2.0")
    (folder / "network").mkdir()
    (folder / "network/model.safetensors").write_text("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        yield folder


def log(name):
    run = Run("register", {}, {})
    model_id = log_predictor(
        name,
        {"model": Path("model"), "code": Path("gain.py")},
        run_id=run.id,
        python_file=Path("served.py"),
        requirements=["numpy"],
        example=(KNOWN, {"axis": "time", "horizon": 2}),
        layout="any",
        choices={},
        network=Path("network"),
    )
    return model_id, run.id


def test_champion_predicts_elsewhere_with_the_code_it_was_registered_with(project):
    registry = Registry()
    model_id, run_id = log("toy")
    version = registry.register("toy", model_id, run_id, {MODEL_TAG: "abc"})
    assert registry.champion("toy") is None
    assert version.model_id == model_id
    registry.set_alias(version, CHAMPION)
    assert registry.champion("toy").number == version.number == 1
    assert registry.find("toy", "abc").tags == {MODEL_TAG: "abc"}
    assert registry.find("toy", "xyz") is None

    (project / "gain.py").write_text("GAIN = 1000.0\n")
    batch = np.concatenate([KNOWN, 2 * KNOWN, -KNOWN])
    first, second = predict_isolated(
        version, [(batch, {"axis": "time", "horizon": 2}), (KNOWN, {"axis": "frequency", "horizon": 1})], batch_size=2
    )
    np.testing.assert_array_equal(first, 6 * batch[:, :, -2:])
    np.testing.assert_array_equal(second, 6 * KNOWN[:, :, -1:])
    (project / "gain.py").write_text("GAIN = 3.0\n")


def test_version_is_never_champion_and_challenger_at_once(project):
    registry = Registry()
    model_id, run_id = log("rivals")
    first, second = (registry.register("rivals", model_id, run_id, {MODEL_TAG: md5}) for md5 in "ab")
    registry.set_alias(first, CHAMPION)
    registry.set_alias(second, CHALLENGER)
    assert registry.champion("rivals").number == 1
    registry.set_alias(second, CHAMPION)
    assert registry.champion("rivals").number == 2
    assert "challenger" not in tracking.client().search_registered_models("name = 'rivals'")[0].aliases
    registry.tag(second, {"nmse_db": "-12.5"})
    assert registry.champion("rivals").tags["nmse_db"] == "-12.5"


def test_model_is_described_and_holds_no_pickle(project):
    import mlflow

    model_id, run_id = log("described")
    assert tracking.client().get_run(run_id).info.status == "RUNNING"
    info = mlflow.models.get_model_info(f"models:/{model_id}")
    assert info.metadata == {"arrays": "any"}
    assert {spec.name: spec.default for spec in info.signature.params} == {"axis": None, "horizon": None}
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}"))
    assert not [path.name for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin", ".pt", ".pyc")]
    assert (folder / "artifacts/gain.py").exists() and (folder / "input_example.json").exists()
    # What it was made from is kept, and no part of what is loaded.
    assert not list(folder.rglob("*.safetensors"))
    fetched = fetch_model(Registry().register("described", model_id, "", {}), project / "fetched")
    assert [(path.name, path.read_text()) for path in fetched.iterdir()] == [("model.safetensors", "weights")]


def test_a_promotion_that_is_killed_between_its_steps_loses_no_champion(project, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    registry = Registry()
    model_id, run_id = log("killed")
    first, second, third = (registry.register("killed", model_id, run_id, {MODEL_TAG: md5}) for md5 in "abc")
    registry.promote(first)
    for step, champion in (("set_registered_model_alias", first), ("set_registered_model_tag", second)):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(registry._client, step, kill)
            registry.promote(second)
        assert registry.champion("killed").number == champion.number
        if champion is first:
            with pytest.raises(StorageError, match="no version was champion before version 1"):
                registry.roll_back("killed")
    registry.promote(third)
    steps = [tuple(version.number for version in registry.roll_back("killed")) for _ in range(2)]
    assert steps == [(3, 2), (2, 1)]


def test_roll_back_goes_through_the_champions_before(project, tmp_path):
    registry = Registry()
    model_id, run_id = log("rolled")
    with pytest.raises(StorageError, match=r"rolled has no champion; run stage register"):
        registry.roll_back("rolled")
    versions = [registry.register("rolled", model_id, run_id, {MODEL_TAG: md5}) for md5 in "abcd"]
    with pytest.raises(StorageError, match=r"rolled has no champion"):
        registry.roll_back("rolled")
    for number in (1, 2, 4):
        registry.promote(versions[number - 1])
    steps = [tuple(version.number for version in registry.roll_back("rolled")) for _ in range(2)]
    assert steps == [(4, 2), (2, 1)]
    assert registry.champion("rolled").number == 1
    with pytest.raises(StorageError, match="no version was champion before version 1; nothing was changed"):
        registry.roll_back("rolled")
    assert registry.champion("rolled").number == 1
    assert registry.find("rolled", "d").tags[DEMOTED_TAG] == "rolled back to version 2"
    model = tracking.client().get_registered_model("rolled")
    assert (model.aliases, model.tags[HISTORY_TAG]) == ({CHAMPION: 1}, "1 2 4 2 1")

    picture = tmp_path / "nmse.png"
    picture.write_bytes(b"picture")
    registry.describe(versions[0], "| table |", picture, run_id)
    text = tracking.client().get_model_version("rolled", "1").description
    assert text.startswith("| table |\n\n![test NMSE](get-artifact?path=registry%2Fnmse.png&run_uuid=" + run_id)
    assert (project / ".mlflow/artifacts" / run_id / "artifacts/registry/nmse.png").exists()
    assert registry.version("rolled", "1").number == 1
    with pytest.raises(StorageError, match=r"rolled has no version '9' in the registry, found: 1, 2"):
        registry.version("rolled", "9")


def test_failing_version_is_a_clear_error(project):
    registry = Registry()
    model_id, run_id = log("failing")
    version = registry.register("failing", model_id, run_id, {})
    with pytest.raises(StorageError, match="models:/failing/1 cannot predict: "):
        predict_isolated(version, [(KNOWN[:, 0, 0, 0], {"axis": "time", "horizon": 1})], batch_size=1)


def test_registry_out_of_reach_is_a_clear_error(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=r"MLflow registry \(http://127\.0\.0\.1:9\): "), clear_failures():
        Registry().champion("toy")
