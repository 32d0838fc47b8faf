"""Runs are recorded completely, and what cannot be recorded costs a warning, never a result."""

import math
import time

import pytest

from storage.tracking import connection as tracking
from storage.tracking.runs import Run


def test_run_is_recorded(project, tmp_path):
    picture = tmp_path / "scene.png"
    picture.write_bytes(b"picture")
    model = tmp_path / "seed_0"
    model.mkdir()
    (model / "config.json").write_text("{}")
    parameters = {f"section.key_{index}": index for index in range(250)} | {"nothing": None}

    run = Run("teach@wifo", parameters, {"dvc.stage": "teach@wifo"})
    for epoch in range(3):
        run.log_metrics({"train/loss": 1.0 / (epoch + 1), "validation/nmse_db": math.nan}, step=epoch)
    run.log_figure(picture)
    run.log_folder(model, "model")
    run.set_tags({"output models/wifo": "abc.dir"})
    run.end("FINISHED")

    client = tracking.client()
    found = client.get_run(run.id)
    assert found.info.run_name == "teach@wifo"
    assert found.info.status == "FINISHED"
    assert len(found.data.params) == 251
    assert found.data.params["section.key_249"] == "249"
    assert found.data.params["nothing"] == "None"
    assert found.data.tags["dvc.stage"] == "teach@wifo"
    assert found.data.tags["output models/wifo"] == "abc.dir"
    history = client.get_metric_history(run.id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert client.get_experiment(found.info.experiment_id).name == tracking.EXPERIMENT
    assert (project / ".mlflow/mlflow.db").exists()
    artifacts = project / ".mlflow/artifacts" / run.id / "artifacts"
    assert (artifacts / "figures/scene.png").read_bytes() == b"picture"
    assert (artifacts / "model/config.json").exists()


def test_models_are_followed_from_the_run_that_made_them_to_the_one_that_reads_them(project):
    teacher = Run("teach@wifo", {}, {})
    teacher.log_outputs({"models/wifo/seed_0": "md5 of wifo"})
    teacher.end("FINISHED")
    reader = Run("distill@tiny_wifo", {}, {})
    stores = {"data/csi/munich.zarr": "0123456789abcdef0123456789abcdef.dir"}
    reader.log_inputs(stores, {"models/wifo/seed_0": "md5 of wifo", "models/x": "nobody knows"})
    reader.end("FINISHED")
    client = tracking.client()
    (made,) = client.get_run(teacher.id).outputs.model_outputs
    inputs = client.get_run(reader.id).inputs
    assert [model.model_id for model in inputs.model_inputs] == [made.model_id]
    assert {read.dataset.name: read.dataset.digest for read in inputs.dataset_inputs} == stores
    model = client.get_logged_model(made.model_id)
    assert (model.source_run_id, model.name, model.status) == (teacher.id, "models-wifo-seed_0", "READY")


def test_load_of_the_machine_is_recorded(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    run = Run("csi@munich", {}, {})
    assert run.id
    time.sleep(1.0)
    run.end("FINISHED")
    metrics = tracking.client().get_run(run.id).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(metrics)


def test_missing_figure_does_not_raise(project, capfd, tmp_path):
    run = Run("csi@munich", {}, {})
    run.log_figure(tmp_path / "missing.png")
    run.end("FINISHED")
    assert "does not record all of this stage" in capfd.readouterr().err
