"""Commands print as they go, and nothing of them stays when they or who started them are gone."""

import io
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows import processes as module
from flows.processes import Processes, StoppedError, readable_lines
from tests.flows.shell import number_in, shell
from tests.waiting import is_gone, wait_for_end


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill $$", 143)])
def test_exit_codes(tmp_path, script, code):
    assert shell(Processes(), script, tmp_path) == (code, [])


def test_both_outputs_are_passed_on(tmp_path):
    assert shell(Processes(), "echo one; echo two >&2; pwd", tmp_path) == (0, ["one", "two", str(tmp_path)])


def test_what_a_command_leaves_behind_ends_with_it(tmp_path):
    start = time.monotonic()
    code, lines = shell(Processes(), "sleep 100 & echo $!", tmp_path)
    assert code == 0
    assert time.monotonic() - start < 10
    wait_for_end(int(lines[0]))


def test_stop_asks_first_and_then_kills(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 1.0)
    processes = Processes()
    polite = "trap 'echo bye > bye; exit 0' INT; echo $$ > polite; while :; do sleep 0.05; done"
    stubborn = "trap '' INT; echo $$ > stubborn; while :; do sleep 0.05; done"
    ends = []

    def run(script):
        try:
            shell(processes, script, tmp_path)
            ends.append("by itself")
        except StoppedError:
            ends.append("stopped")

    threads = [threading.Thread(target=run, args=(script,)) for script in (polite, stubborn)]
    for thread in threads:
        thread.start()
    pids = [number_in(tmp_path / "polite"), number_in(tmp_path / "stubborn")]
    processes.stop()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert sorted(ends) == ["by itself", "stopped"]
    assert (tmp_path / "bye").exists()
    assert all(is_gone(pid) for pid in pids)
    with pytest.raises(StoppedError):
        shell(processes, "true", tmp_path)


@pytest.mark.parametrize("victim", ["starter", "leash"])
def test_a_command_does_not_outlive_its_starter_nor_its_leash(tmp_path, victim):
    script = "sleep 100 & echo $! > child; echo $$ > command; echo $PPID > leash; wait"
    code = f"import os; from flows.processes import Processes; print(Processes().run(['sh', '-c', {script!r}],"
    code += f" {str(tmp_path)!r}, dict(os.environ), print))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
    ) as starter:
        pids = [number_in(tmp_path / name) for name in ("child", "command", "leash")]
        os.kill(starter.pid if victim == "starter" else pids[2], signal.SIGKILL)
        for pid in pids:
            wait_for_end(pid)
        assert starter.communicate()[0] == (b"" if victim == "starter" else b"137\n")


def test_a_command_does_not_outlive_a_starter_that_is_killed_at_once():
    """The leash, which takes some milliseconds to start, finds nobody any more whom it could tell anything."""
    watched, held = os.pipe()
    code = "import os; from flows.leashed import start;"
    code += f" start(['sleep', '30'], pass_fds=[{held}]); os.kill(os.getpid(), {signal.SIGKILL})"
    with os.fdopen(watched, "rb"):
        with os.fdopen(held, "wb"):
            subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], pass_fds=[held])
        # At its end, for no process has the other end of the pipe any more.
        assert select.select([watched], [], [], 10.0)[0] and os.read(watched, 1) == b""


def test_progress_bars_do_not_flood_the_log(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock) * 1.0)
    bar = "".join(f"epoch {step}\r" for step in range(40))
    stream = io.StringIO(f"start\n{bar}\nnext\nend", newline="")
    lines = list(readable_lines(stream))
    assert lines[0] == "start"
    assert lines[-2:] == ["next", "end"]
    assert 1 <= len(lines) - 3 <= 8
