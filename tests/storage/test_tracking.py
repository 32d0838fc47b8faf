"""Runs are recorded completely, and a server that is down costs a warning, never a result."""

import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage import tracking


def test_run_is_recorded(project, tmp_path):
    picture = tmp_path / "scene.png"
    picture.write_bytes(b"picture")
    model = tmp_path / "seed_0"
    model.mkdir()
    (model / "config.json").write_text("{}")
    parameters = {f"section.key_{index}": index for index in range(250)} | {"nothing": None}

    run = tracking.Run("teach@wifo", parameters, {"dvc.stage": "teach@wifo"})
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


def test_runs_of_stages_stand_below_the_run_of_their_pipeline(project, monkeypatch, capfd):
    parent = tracking.open_parent("retrain", {"branch": "main"})
    monkeypatch.setenv(tracking.PARENT, parent)
    run = tracking.Run("csi@munich", {}, {})
    run.end("FINISHED")
    tracking.close_parent(parent, "FAILED")
    assert f"MLflow run: {run.id}\n" in capfd.readouterr().out
    client = tracking.client()
    assert client.get_run(run.id).data.tags["mlflow.parentRunId"] == parent
    found = client.get_run(parent)
    assert (found.info.run_name, found.info.status, found.data.tags["branch"]) == ("retrain", "FAILED", "main")
    monkeypatch.delenv(tracking.PARENT)
    alone = tracking.Run("csi@munich", {}, {})
    alone.end("FINISHED")
    assert "mlflow.parentRunId" not in client.get_run(alone.id).data.tags


def test_pipeline_goes_on_without_a_server(monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert tracking.open_parent("full", {}) == ""
    tracking.close_parent("", "FINISHED")
    warning = capfd.readouterr().err
    assert warning.startswith("warning: MLflow (http://127.0.0.1:9) does not record this run: ")
    assert warning.count("\n") == 1


def test_models_are_followed_from_the_run_that_made_them_to_the_one_that_reads_them(project):
    teacher = tracking.Run("teach@wifo", {}, {})
    teacher.log_outputs({"models/wifo/seed_0": "md5 of wifo"})
    teacher.end("FINISHED")
    reader = tracking.Run("distill@tiny_wifo", {}, {})
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
    run = tracking.Run("csi@munich", {}, {})
    assert run.id
    time.sleep(1.0)
    run.end("FINISHED")
    metrics = tracking.client().get_run(run.id).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(metrics)


def test_missing_figure_does_not_raise(project, capfd, tmp_path):
    run = tracking.Run("csi@munich", {}, {})
    run.log_figure(tmp_path / "missing.png")
    run.end("FINISHED")
    assert "does not record all of this stage" in capfd.readouterr().err


def test_the_writing_process_does_not_outlive_a_killed_stage(project):
    code = """
import os, signal, sys
from storage.tracking import Run
run = Run("a", {}, {})
run.id
print(*run._process._processes, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(tracking.__file__).parents[1])}
    stage = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{int(stage.stdout.split()[-1])}/cmdline").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_first_runs_at_once_share_one_database(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(tracking.__file__).parents[1]))
    code = "from storage.tracking import Run; Run('a', {}, {}).end('FINISHED')"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[1] for process in processes] == ["", ""]


def test_database_of_another_folder_is_not_written_to(project, capfd, tmp_path, monkeypatch):
    shutil.copytree(project / ".mlflow", tmp_path / ".mlflow")
    monkeypatch.chdir(tmp_path)
    tracking.Run("csi@munich", {}, {}).end("FINISHED")
    assert "move the project back or delete .mlflow" in capfd.readouterr().err
