"""One database in the project, and in no other one."""

import shutil
import subprocess
import sys
from pathlib import Path

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
