"""What is split off runs as `python -m` runs it, and stays neither behind its starter nor behind its server."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from flows.forks import ForkServer, request_of
from flows.processes import Processes, StoppedError
from tests.flows.shell import number_in
from tests.parameters import PROJECT
from tests.waiting import is_gone, wait_for, wait_for_end

SH = ("/bin/sh", "-c")
# A stage that tells the process numbers of itself, what it has started and what it is held by.
NUMBERS = """import os, subprocess
child = subprocess.Popen(["sleep", "100"])
for name, pid in {"child": child.pid, "command": os.getpid(), "leash": os.getppid()}.items():
    open(name, "w").write(f"{pid}\\n")
child.wait()
"""


@pytest.fixture(scope="module")
def server():
    with closing(ForkServer(dict(os.environ) | {"PYTHONUNBUFFERED": "1"})) as server:
        yield server


def work(folder: Path, text: str) -> None:
    (folder / "stages").mkdir()
    (folder / "stages" / "__init__.py").touch()
    (folder / "stages" / "work.py").write_text(text)


def processes_with(server: ForkServer) -> Processes:
    processes = Processes(split_off=True)
    processes._server = server
    return processes


def running(folder: Path) -> subprocess.Popen:
    """Another process that runs the stage."""
    code = "import os; from flows.processes import Processes; print(Processes(split_off=True).run("
    code += f"{[*SH, 'python -m stages.work']!r}, {str(folder)!r}, dict(os.environ), print))"
    return subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE)


def run(processes: Processes, folder: Path, arguments: str = "", **environment: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    command = [*SH, f"python -m stages.work {arguments}"]
    return processes.run(command, str(folder), dict(os.environ) | environment, lines.append), lines


@pytest.mark.parametrize(
    ("text", "code", "lines"),
    [
        ("", 0, []),
        ("import sys; sys.exit(3)", 3, []),
        ("import sys; sys.exit('what is wrong')", 1, ["what is wrong"]),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, []),
        ("import atexit; atexit.register(print, 'at the end')", 0, ["at the end"]),
        ("import os; print(os.environ['OF_IT'], os.getcwd() == __file__.rpartition('/stages')[0])", 0, ["here True"]),
        ("import sys; print(sys.argv[1:], __name__, __spec__.name)", 0, ["['one', '2 3'] __main__ stages.work"]),
        ("import os; print(os.getpgid(0) == os.getppid(), os.getsid(0) == os.getppid())", 0, ["True True"]),
        ("import signal; print(signal.getsignal(2) is signal.default_int_handler)", 0, ["True"]),
    ],
)
def test_it_is_as_a_new_interpreter(server, tmp_path, text, code, lines):
    work(tmp_path, text)
    assert run(processes_with(server), tmp_path, "one '2 3'", OF_IT="here") == (code, lines)


def test_the_libraries_are_in_memory_and_nothing_of_the_project_is(server, tmp_path):
    work(
        tmp_path, "import sys; print('torch' in sys.modules, {'flows', 'storage', 'wavefoundry'} & sys.modules.keys())"
    )
    assert run(processes_with(server), tmp_path) == (0, ["True set()"])


def test_it_is_called_by_what_it_does(server, tmp_path):
    work(tmp_path, "import os, psutil; print(' '.join(psutil.Process(os.getpid()).cmdline()).strip())")
    assert run(processes_with(server), tmp_path, "one '2 3'") == (0, ["python -m stages.work one '2 3'"])


def test_two_draw_other_random_numbers(server, tmp_path):
    work(tmp_path, "import random; print(random.random())")
    one, two = (run(processes_with(server), tmp_path)[1] for _ in range(2))
    assert one != two


def test_sums_and_products_are_those_of_a_new_interpreter_to_the_bit(server, tmp_path):
    work(
        tmp_path,
        "import torch\n"
        "torch.manual_seed(0)\n"
        "drawn = torch.randn(300, 300, requires_grad=True)\n"
        "torch.softmax(drawn @ drawn.T, -1).square().sum().backward()\n"
        "print(drawn.grad.numpy().tobytes().hex()[:4000])\n",
    )
    assert run(processes_with(server), tmp_path) == run(Processes(), tmp_path)


def test_what_it_leaves_behind_ends_with_it(server, tmp_path):
    work(tmp_path, "import subprocess; print(subprocess.Popen(['sleep', '100']).pid)")
    start = time.monotonic()
    code, lines = run(processes_with(server), tmp_path)
    assert code == 0
    assert time.monotonic() - start < 10
    wait_for_end(int(lines[0]))


def test_one_that_is_stopped_is_asked_first(server, tmp_path):
    work(
        tmp_path,
        "import os, pathlib, time\n"
        "pathlib.Path('pid').write_text(f'{os.getpid()}\\n')\n"
        "try:\n    time.sleep(100)\n"
        "except KeyboardInterrupt:\n    pathlib.Path('bye').touch()\n    raise SystemExit(1)\n",
    )
    processes, ends = processes_with(server), []

    def start():
        with pytest.raises(StoppedError):
            run(processes, tmp_path)
        ends.append("stopped")

    thread = threading.Thread(target=start)
    thread.start()
    pid = number_in(tmp_path / "pid")
    processes.stop()
    thread.join(10)
    assert ends == ["stopped"]
    assert (tmp_path / "bye").exists()
    assert is_gone(pid)


# While the server imports its libraries, and when it has.
@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_nothing_outlives_a_starter_that_is_killed(tmp_path, seconds):
    work(tmp_path, "import subprocess, sys; subprocess.run(['sleep', '100'])")
    with running(tmp_path) as starter:
        wait_for(lambda: psutil.Process(starter.pid).children())
        time.sleep(seconds)
        children = [child.pid for child in psutil.Process(starter.pid).children(recursive=True)]
        starter.kill()
        wait_for_end(*children)
        assert starter.communicate()[0] == b""


@pytest.mark.parametrize("victim", ["starter", "leash"])
def test_a_stage_outlives_neither_its_starter_nor_its_leash(tmp_path, victim):
    work(tmp_path, NUMBERS)
    with running(tmp_path) as starter:
        pids = [number_in(tmp_path / name) for name in ("child", "command", "leash")]
        os.kill(starter.pid if victim == "starter" else pids[2], signal.SIGKILL)
        wait_for_end(*pids)
        assert starter.communicate()[0] == (b"" if victim == "starter" else b"137\n")


def test_when_the_server_is_killed_a_stage_goes_on_and_the_next_one_has_another_server(tmp_path):
    work(tmp_path, "import os, pathlib\npathlib.Path('begun').touch()\nwhile not os.path.exists('go'): pass\n")
    processes = Processes(split_off=True)
    with closing(processes), ThreadPoolExecutor(1) as thread:
        first = thread.submit(run, processes, tmp_path)
        wait_for((tmp_path / "begun").exists)
        server = processes._server
        for process in psutil.Process(server._leash._process.pid).children():
            process.kill()
        wait_for(lambda: server.gone)
        (tmp_path / "go").touch()
        assert first.result() == (0, [])
        assert run(processes, tmp_path) == (0, [])
        assert processes._server is not server


def test_a_stage_that_is_stopped_before_its_server_is_ready_never_runs(tmp_path):
    work(tmp_path, "import pathlib; pathlib.Path('begun').touch()")
    processes = Processes(grace=0.1, split_off=True)
    with ThreadPoolExecutor(1) as thread:
        stage = thread.submit(run, processes, tmp_path)
        wait_for(lambda: processes._running)
        processes.stop()
        with pytest.raises(StoppedError):
            stage.result()
    assert not (tmp_path / "begun").exists()


@pytest.mark.parametrize(
    "command",
    [
        "python -m stages.csi $NAME",
        "python -m stages.csi munich && echo done",
        "python -m stages.csi munich > log",
        "python -m benchmarks.store",
        "python stages/csi.py",
        "python -m",
        "nice python -m stages.csi",
    ],
)
def test_what_is_no_stage_or_needs_a_shell_is_left_to_it(command):
    assert request_of([*SH, command], ".", {}) is None


def test_what_is_split_off_is_what_the_shell_would_have_run():
    request = request_of([*SH, "python -m stages.train teach 'my wifo'"], "/folder", {"A": "1"})
    assert request == ("stages.train", ["teach", "my wifo"], "/folder", {"A": "1"})
