"""A server that goes away costs a warning, never a result or a record: what it missed is sent when it is back."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from storage.tracking import connection as tracking
from storage.tracking import records
from storage.tracking.records import UNSENT, Record, send_all
from storage.tracking.runs import Run


class Gate:
    """An MLflow client that answers only while the gate is open."""

    def __init__(self, client):
        self._client, self.open = client, True

    def __getattr__(self, name):
        if not self.open:
            raise ConnectionError("the server is away")
        return getattr(self._client, name)


@pytest.fixture
def gate(project, monkeypatch):
    gate = Gate(tracking.client())
    monkeypatch.setattr(tracking, "client", lambda: gate)
    shutil.rmtree(UNSENT, ignore_errors=True)
    return gate


def all_runs(gate):
    return {run.info.run_id for run in gate.search_runs([tracking.experiment_id(gate)])}


def fill(record, picture):
    record.add("parameters", values={f"key_{index}": str(index) for index in range(150)})
    record.add("metrics", values={"loss": 1.0}, step=0, time=1000)
    picture.write_bytes(b"picture")
    record.add("artifact", path=str(picture), folder="figures")


def check(gate, run_id, status):
    run = gate.get_run(run_id)
    assert (run.info.status, run.info.run_name) == (status, "teach@wifo")
    assert len(run.data.params) == 150
    points = [(point.step, point.timestamp, point.value) for point in gate.get_metric_history(run_id, "loss")]
    assert points == [(0, 1000, 1.0), (1, 2000, 0.5)]
    assert [file.path for file in gate.list_artifacts(run_id, "figures")] == ["figures/scene.png"]
    assert run.info.end_time >= run.info.start_time


@pytest.mark.parametrize("away", ["from the start", "in the middle"])
def test_record_is_completed_when_the_server_is_back(gate, capfd, tmp_path, away):
    before = all_runs(gate)
    gate.open = away == "in the middle"
    record = Record("teach@wifo", {"dvc.stage": "teach@wifo"})
    begun = record.id
    fill(record, tmp_path / "scene.png")
    gate.open = False
    record.add("metrics", values={"loss": 0.5}, step=1, time=2000)
    record.end("FINISHED")
    warning = capfd.readouterr().err
    assert warning.count("\n") == 1
    assert "does not record all of this stage: the server is away; it waits in .mlflow/unsent/" in warning
    assert warning.endswith("for the next stage, or for: python -m storage.tracking.records\n")
    # The file that was there at the end of the stage counts, not what becomes of it.
    (tmp_path / "scene.png").unlink()

    assert send_all() == 1
    gate.open = True
    assert send_all() == 0
    assert not [path for path in UNSENT.iterdir() if path.is_dir()]
    (made,) = all_runs(gate) - before
    assert made == (begun or made)
    check(gate, made, "FINISHED")
    assert capfd.readouterr().err == ""


def test_server_back_before_the_end_of_the_stage(gate, capfd, tmp_path):
    record = Record("teach@wifo", {})
    gate.open = False
    fill(record, tmp_path / "scene.png")
    gate.open = True
    record.add("metrics", values={"loss": 0.5}, step=1, time=2000)
    record.end("FAILED")
    check(gate, record.id, "FAILED")
    assert capfd.readouterr().err == "" and not UNSENT.exists()


def test_a_refused_part_is_left_out(gate, capfd, tmp_path):
    record = Record("teach@wifo", {})
    record.add("artifact", path=str(tmp_path / "missing.png"), folder="figures")
    record.add("tags", values={"later": "yes"})
    record.end("FINISHED")
    assert gate.get_run(record.id).data.tags["later"] == "yes"
    assert capfd.readouterr().err.count("does not record all of this stage") == 1
    assert not UNSENT.exists()


def test_records_of_another_server_wait(gate, monkeypatch):
    gate.open = False
    Record("a", {}).end("FINISHED")
    gate.open = True
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert send_all() == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert send_all() == 0


def test_a_damaged_record_is_told_and_stops_no_other(gate, capfd):
    before = all_runs(gate)
    gate.open = False
    Record("a", {}).end("FINISHED")
    (UNSENT / "0-torn").mkdir()
    (UNSENT / "0-torn/record.json").write_text('{"name": ')
    gate.open = True
    capfd.readouterr()
    assert send_all() == 1
    assert "0-torn cannot be sent" in capfd.readouterr().err
    assert len(all_runs(gate) - before) == 1


def test_a_real_server_is_stopped_in_the_middle_of_a_stage_and_started_again(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"

    def serve():
        command = [
            Path(sys.executable).with_name("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", "--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", "kept",
        ]  # fmt: skip
        server = subprocess.Popen(
            command, env=os.environ | tracking.DEFAULTS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                return server
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def stop(server):
        os.killpg(server.pid, 9)
        server.wait()

    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    server = serve()
    try:
        run = Run("teach@wifo", {"a": 1}, {})
        assert run.id
        assert f"MLflow run: {address}/#/experiments/1/runs/{run.id}" in capfd.readouterr().out
        stop(server)
        run.log_metrics({"loss": 0.5}, step=3)
        Path("scene.png").write_bytes(b"picture")
        run.log_figure(Path("scene.png"))
        run.end("FINISHED")
        assert "python -m storage.tracking.records" in capfd.readouterr().err
        server = serve()
        # The next stage sends what waits.
        Run("report", {}, {}).end("FINISHED")
        found = tracking.client().get_run(run.id)
        assert (found.info.status, found.data.metrics["loss"]) == ("FINISHED", 0.5)
        assert [file.path for file in tracking.client().list_artifacts(run.id, "figures")] == ["figures/scene.png"]
    finally:
        stop(server)
    assert not [path for path in UNSENT.iterdir() if path.is_dir()]


def test_command_says_what_waits(gate, capfd):
    records.main()
    assert capfd.readouterr().out == "nothing waits to be sent to MLflow\n"
    gate.open = False
    Record("a", {}).end("FINISHED")
    assert json.loads(next(UNSENT.glob("*/record.json")).read_text())["waiting"][0]["action"] == "end"
    with pytest.raises(SystemExit, match=r"1 record\(s\) still wait in \.mlflow/unsent"):
        records.main()
