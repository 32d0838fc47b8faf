"""Writers of records: one of the stage's own, or split off the one of a pipeline run; neither outlives its stage."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from storage.tracking import connection as tracking
from storage.tracking.pipeline_writer import FLOW_RUN, LONGEST_ADDRESS, PipelineWriter
from storage.tracking.runs import GONE, Run
from storage.tracking.writer import PARENT, SHARED
from tests.waiting import wait_for, wait_for_end

TOP = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(TOP))
    monkeypatch.delenv(PARENT, raising=False)


@contextmanager
def pipeline(monkeypatch, status="FINISHED"):
    """Stages of this process belong to a pipeline run."""
    writer = PipelineWriter("retrain", {"branch": "main"}, ".", dict(os.environ))
    monkeypatch.setenv(SHARED, writer.address)
    yield writer
    writer.end(status)
    monkeypatch.delenv(SHARED)


def test_one_process_writes_for_all_stages_of_a_pipeline(project, monkeypatch, capfd):
    """And closes what an earlier pipeline left open that went down with its machine, but no run of anybody else."""
    client = tracking.client()
    tags = {"pipeline": {FLOW_RUN: "a"}, "stage": {"mlflow.parentRunId": "a"}, "alone": {}}
    left = {name: client.create_run(tracking.experiment_id(client), tags=tags[name]).info.run_id for name in tags}
    capfd.readouterr()  # MLflow has told that it made its database
    with pipeline(monkeypatch, "FAILED") as writer:
        runs = [Run(name, {"name": name}, {"dvc.stage": name}) for name in ("csi@munich", "csi@uma_los")]
        for number, run in enumerate(runs):
            run.log_metrics({"samples": number})
        for run in reversed(runs):
            run.end("FINISHED")
        parent = writer.id
    statuses = {name: client.get_run(run_id).info.status for name, run_id in left.items()}
    assert statuses == {"pipeline": "KILLED", "stage": "KILLED", "alone": "RUNNING"}
    client.set_terminated(left["alone"])
    for number, run in enumerate(runs):
        found = client.get_run(run.id)
        name = found.info.run_name
        assert found.info.status == "FINISHED"
        assert (found.data.params["name"], found.data.tags["dvc.stage"], found.data.metrics["samples"]) == (
            name, name, number,
        )  # fmt: skip
        assert found.data.tags["mlflow.parentRunId"] == parent
    found = client.get_run(parent)
    assert (found.info.run_name, found.info.status, found.data.tags["branch"]) == ("retrain", "FAILED", "main")
    # Where the stage prints, and nothing else.
    printed = capfd.readouterr()
    assert sorted(printed.out.split("\n")) == sorted(["", *(f"MLflow run: {run.id}" for run in runs)])
    assert printed.err == ""
    assert not Path(writer.address).parent.exists()


def test_a_stage_elsewhere_stands_below_the_run_of_its_pipeline(project, monkeypatch, capfd):
    with pipeline(monkeypatch) as writer:
        monkeypatch.delenv(SHARED)
        monkeypatch.setenv(PARENT, writer.id)
        run = Run("csi@munich", {}, {})
        run.end("FINISHED")
        monkeypatch.setenv(SHARED, "")
    assert f"MLflow run: {run.id}\n" in capfd.readouterr().out
    assert tracking.client().get_run(run.id).data.tags["mlflow.parentRunId"] == writer.id
    monkeypatch.delenv(PARENT)
    alone = Run("csi@munich", {}, {})
    alone.end("FINISHED")
    assert "mlflow.parentRunId" not in tracking.client().get_run(alone.id).data.tags


def test_a_folder_for_temporary_files_may_have_a_long_name(project, monkeypatch, tmp_path, capfd):
    """Longer than the address of a socket may be."""
    folder = tmp_path / ("x" * LONGEST_ADDRESS)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pipeline(monkeypatch) as writer:
        run = Run("csi@munich", {}, {})
        run.end("FINISHED")
        parent = writer.id
    assert tracking.client().get_run(run.id).data.tags["mlflow.parentRunId"] == parent
    assert capfd.readouterr().err == ""
    assert not Path(writer.address).parent.exists()


def test_pipeline_goes_on_without_a_server(project, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pipeline(monkeypatch) as writer:
        assert writer.id == ""
    warning = capfd.readouterr().err
    assert warning.startswith("warning: MLflow (http://127.0.0.1:9) does not record this run: ")
    assert warning.count("\n") == 1


def test_a_stage_whose_pipeline_has_no_writer_any_more_has_its_own(project, monkeypatch):
    with pipeline(monkeypatch) as writer:
        pass
    monkeypatch.setenv(SHARED, writer.address)
    run = Run("csi@munich", {}, {})
    run.end("FINISHED")
    assert tracking.client().get_run(run.id).info.status == "FINISHED"


def writers_below(pid):
    """Processes that a stage or the writer of a pipeline has started."""
    children = psutil.Process(pid).children()
    return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]


@contextmanager
def stage(kill):
    """The process of a stage whose record has been begun, and the id of its run; `kill` ends it."""
    # The run is kept: a writer ends when its stage lets go of it.
    code = "from storage.tracking.runs import Run; run = Run('a', {}, {}); print(run.id, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    # The writer tells the run's address, then the stage the id.
    told = [process.stdout.readline().split()[-1] for _ in range(2)]
    assert told[0] == told[1]
    yield process, told[0]
    kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_the_own_writer_of_a_killed_stage_closes_its_run_and_ends(project):
    """Also where the stage is killed with all its processes."""
    with stage(os.killpg) as (process, run_id):
        (child,) = writers_below(process.pid)
    wait_for_end(child.pid, seconds=20)
    assert tracking.client().get_run(run_id).info.status == "KILLED"


def test_the_writer_split_off_for_a_killed_stage_closes_its_run_and_ends(project, monkeypatch):
    with pipeline(monkeypatch) as writer:
        with stage(os.kill) as (_, run_id):
            (child,) = writers_below(writer._process.pid)
        # It stays in the table of processes until the next one is split off.
        wait_for_end(child.pid, seconds=20)
        assert tracking.client().get_run(run_id).info.status == "KILLED"


def test_a_run_is_closed_though_nobody_reads_any_more_what_is_printed(project, monkeypatch):
    """The flow and its stage are killed at once, before the run has begun."""
    code = "import os; from storage.tracking.runs import Run; Run('unread', {}, {}).id; os.kill(os.getpid(), 9)"
    reader, printed = os.pipe()
    os.close(reader)
    with pipeline(monkeypatch) as writer:
        assert writer.id
        stage = subprocess.run([sys.executable, "-c", code], stdout=printed, stderr=printed)
    os.close(printed)
    assert stage.returncode == -signal.SIGKILL
    client = tracking.client()
    (run,) = client.search_runs([tracking.experiment_id(client)], "run_name = 'unread'")
    assert run.info.status == "KILLED"


def test_a_writer_that_is_killed_costs_a_warning(project, monkeypatch, capfd):
    with pipeline(monkeypatch) as writer:
        run = Run("csi@munich", {}, {})
        assert run.id
        (child,) = psutil.Process(writer._process.pid).children()
        child.kill()
        wait_for_end(child.pid, seconds=20)
        run.log_metrics({"samples": 1})
        run.end("FINISHED")
    assert capfd.readouterr().err == f"warning: MLflow does not record all of this stage: {GONE}\n"


@pytest.mark.parametrize("known", ["'unknown'", "writer.id"])
def test_the_run_of_a_killed_pipeline_is_closed(project, known):
    """Also where it was killed before its writer could tell it the run's id."""
    code = f"""
import os, signal
from storage.tracking.pipeline_writer import PipelineWriter
writer = PipelineWriter("killed", {{}}, ".", dict(os.environ))
print(writer.address, {known}, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    flow = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (flow.returncode, flow.stderr) == (-signal.SIGKILL, "")
    wait_for(lambda: not Path(flow.stdout.split()[0]).parent.exists(), seconds=20)
    client = tracking.client()
    runs = client.search_runs([tracking.experiment_id(client)], "run_name = 'killed'")
    assert runs and {run.info.status for run in runs} == {"KILLED"}
