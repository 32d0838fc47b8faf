"""One database in the project, and in no other one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.tracking import connection as tracking
from storage.tracking.runs import Run


def test_first_runs_at_once_share_one_database(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    code = "from storage.tracking.runs import Run; Run('a', {}, {}).end('FINISHED')"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[1] for process in processes] == ["", ""]


def test_database_of_another_folder_is_not_written_to(project, capfd, tmp_path, monkeypatch):
    tracking.experiment_id(tracking.client())
    shutil.copytree(project / ".mlflow", tmp_path / ".mlflow")
    monkeypatch.chdir(tmp_path)
    Run("csi@munich", {}, {}).end("FINISHED")
    assert "move the project back or delete .mlflow" in capfd.readouterr().err


def test_a_folder_with_a_question_mark_is_refused_unless_a_server_keeps_the_records(tmp_path, monkeypatch):
    folder = tmp_path / "which one?"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(StorageError, match=r"which one\?: the databases of MLflow and Prefect cannot lie"):
        tracking.tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking.tracking_uri() == "http://127.0.0.1:5000"
