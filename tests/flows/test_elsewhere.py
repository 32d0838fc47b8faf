"""Commands on a Dask cluster end as local ones do: with their code, when stopped, and when nobody waits for them."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from distributed import LocalCluster
from dvc.repo import Repo

from flows.elsewhere import Elsewhere
from flows.pipeline import pipeline
from flows.processes import StoppedError
from tests.flows.shell import number_in, shell
from tests.waiting import is_gone, wait_for, wait_for_end

TOP = Path(__file__).parents[2]
# Each of the two trainings waits for the other one.
DAG = """
stages:
  make:
    cmd: echo made > made.txt
    outs: [made.txt]
  train:
    foreach: {a: b, b: a}
    do:
      cmd: touch ${key}.runs; while ! test -e ${item}.runs; do sleep 0.1; done; cat made.txt > ${key}.txt
      meta: {one_at_a_time: training}
      deps: [made.txt]
      outs: ["${key}.txt"]
"""


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def elsewhere(cluster):
    elsewhere = Elsewhere(cluster)
    yield elsewhere
    elsewhere.stop()
    elsewhere.close()


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_exit_codes(elsewhere, tmp_path, script, code):
    assert shell(elsewhere, script, tmp_path) == (code, [])


def test_lines_of_a_command_in_its_folder(elsewhere, tmp_path):
    assert shell(elsewhere, "echo one; echo two >&2; pwd", tmp_path) == (0, ["one", "two", str(tmp_path)])


def test_a_worker_does_the_work(elsewhere, tmp_path):
    _, lines = shell(elsewhere, "ps -o ppid= -p $PPID", tmp_path)
    assert int(lines[0]) != os.getpid()


def test_stop_asks_first_and_waits_for_the_end(elsewhere, tmp_path):
    found = []

    def run():
        script = "trap 'sleep 0.3; echo bye > bye; exit 1' INT; echo $$ > number; while :; do sleep 0.05; done"
        with pytest.raises(StoppedError):
            shell(elsewhere, script, tmp_path)
        found.append((tmp_path / "bye").exists())

    thread = threading.Thread(target=run)
    thread.start()
    number = number_in(tmp_path / "number")
    elsewhere.stop()
    assert is_gone(number)
    thread.join()
    assert found == [True]
    with pytest.raises(StoppedError):
        shell(elsewhere, "true", tmp_path)


def test_a_command_ends_when_who_wanted_it_is_gone(cluster, tmp_path):
    code = f"""
import os
from flows.elsewhere import Elsewhere
Elsewhere({cluster!r}).run(["sh", "-c", "echo $$ > number; sleep 100"], {str(tmp_path)!r}, dict(os.environ), print)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=TOP)
    wait_for((tmp_path / "number").exists)
    number = number_in(tmp_path / "number")
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for_end(number, seconds=20)


def test_a_command_whose_worker_dies_begins_anew(elsewhere, tmp_path):
    script = """
    echo $$ >> runs
    if test $(wc -l < runs) = 1; then kill -9 $(ps -o ppid= -p $PPID); sleep 100; fi
    echo done
    """
    code, lines = shell(elsewhere, script, tmp_path)
    assert (code, lines[-1]) == (0, "done")
    first, second = (tmp_path / "runs").read_text().split()
    assert first != second
    wait_for_end(int(first))


def test_workers_that_keep_dying_are_told(elsewhere, tmp_path):
    code, lines = shell(elsewhere, "echo $$ >> runs; kill -9 $(ps -o ppid= -p $PPID); sleep 100", tmp_path)
    assert code == 137
    assert "died" in lines[-1]
    assert len((tmp_path / "runs").read_text().split()) > 1


def test_a_scheduler_that_is_gone_is_named(tmp_path):
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        elsewhere = Elsewhere(address)
        found = []
        thread = threading.Thread(
            target=lambda: found.append(shell(elsewhere, "echo $$ > number; sleep 100", tmp_path))
        )
        thread.start()
        number = number_in(tmp_path / "number")
    thread.join()
    assert found == [(1, [f"the Dask scheduler {address} is gone"])]
    wait_for_end(number)
    elsewhere.close()


def test_the_flow_on_a_cluster_leaves_the_lock_of_a_serial_run(server, cluster, tmp_path, monkeypatch):
    """Trainings, of which one at a time runs on one machine, run on several."""
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    Path("dvc.yaml").write_text(DAG)
    state = pipeline(scheduler=cluster, return_state=True)
    assert state.is_completed(), state.message
    lock = Path("dvc.lock").read_bytes()
    Path("dvc.lock").unlink()
    with Repo() as repo:
        repo.reproduce(force=True)
    assert Path("dvc.lock").read_bytes() == lock


def test_a_cluster_that_does_not_answer_fails_the_flow_in_one_line(server, tmp_path, monkeypatch):
    monkeypatch.setattr("stages.scale_out.PATIENCE", 1)
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    Path("dvc.yaml").write_text(DAG)
    state = pipeline(scheduler="tcp://127.0.0.1:9", return_state=True)
    assert state.is_failed()
    assert state.message.startswith("scheduler tcp://127.0.0.1:9: no Dask scheduler with workers answers there")
    assert "\n" not in state.message
