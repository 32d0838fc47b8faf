"""A run that is interrupted: soon over, in few lines, with nothing left of it and nothing lost."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dvc.repo import Repo
from prefect.settings import PREFECT_API_URL

from flows.bookkeeping import bookkeeping
from tests.flows.test_bookkeeping import do
from tests.waiting import wait_for, wait_for_end

DAG = """
stages:
  quick:
    cmd: cat input.txt > quick.txt
    deps: [input.txt]
    outs: [quick.txt]
  slow:
    cmd: mkdir slow && cp quick.txt slow/text && if grep -q later quick.txt; then touch at_it; sleep 100; fi
    deps: [quick.txt]
    outs: [slow]
"""


def test_an_interrupted_run_puts_back_what_stood_and_leaves_nothing_else(server, tmp_path, monkeypatch):
    """Also behind a company's proxy, which knows nothing of this machine."""
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    Path("dvc.yaml").write_text(DAG)
    Path("input.txt").write_text("before")
    with bookkeeping((), print) as book:
        assert all([do(book, name) for name in ("quick", "slow")])
        book.finish()
    Path("input.txt").write_text("later")
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    # Making a database of MLflow's takes seconds.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    with (
        open("log", "w") as log,
        subprocess.Popen([sys.executable, "-m", "flows.pipeline"], stdout=log, stderr=log) as run,
    ):
        wait_for(lambda: run.poll() is not None or Path("at_it").exists())
        assert run.poll() is None, Path("log").read_text()
        mine = [process.pid for process in psutil.Process(run.pid).children(recursive=True)]
        told, begin = len(Path("log").read_text()), time.monotonic()
        run.send_signal(signal.SIGTERM)
        assert run.wait() == 130
        # Five seconds are promised where the machine has nothing else to do.
        assert time.monotonic() - begin < 10
    wait_for_end(*mine)

    text = Path("log").read_text()
    assert "quick has run" in text
    assert "slow has run" not in text
    last = [line for line in text[told:].splitlines() if not line.startswith("warning: MLflow")]
    assert len(last) <= 4, last
    assert last[-1] == "interrupted; run again to go on"
    assert Path("slow/text").read_text() == "before"
    assert Path("quick.txt").read_text() == "later"
    with Repo(".") as repo:
        assert set(repo.status()) == {"slow"}


@pytest.mark.parametrize("command", ["pipeline", "ui"])
def test_interrupted_while_it_imports_a_command_says_so_in_a_line(tmp_path, command):
    """A library that takes long, found before the real one."""
    (tmp_path / "httpx.py").write_text("import pathlib, time; pathlib.Path('importing').touch(); time.sleep(100)")
    (tmp_path / "prefect.py").write_text("import httpx")
    (tmp_path / "starlette.py").write_text("import httpx")
    with subprocess.Popen(
        [sys.executable, "-m", f"flows.{command}"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as run:
        wait_for(lambda: run.poll() is not None or (tmp_path / "importing").exists())
        run.send_signal(signal.SIGINT)
        assert run.communicate()[1] == "interrupted\n"
    assert run.returncode == -signal.SIGINT
