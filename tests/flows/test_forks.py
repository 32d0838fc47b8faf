"""What is split off runs as `python -m` runs it, and stays neither behind its starter nor behind its server."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.forks import Forks, request_of
from flows.processes import Processes, StoppedError
from tests.flows.shell import number_in
from tests.waiting import is_gone, wait_for, wait_for_end

SH = ("/bin/sh", "-c")


@pytest.fixture(scope="module")
def forks():
    forks = Forks(dict(os.environ) | {"PYTHONUNBUFFERED": "1"})
    wait_for(lambda: forks.ready)
    yield forks
    forks.end()


def work(folder: Path, text: str) -> None:
    (folder / "stages").mkdir()
    (folder / "stages" / "__init__.py").touch()
    (folder / "stages" / "work.py").write_text(text)


def processes_with(forks: Forks) -> Processes:
    processes = Processes(split_off=True)
    processes._forks = forks
    return processes


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
        ("import os; print(os.getpgid(0) == os.getpid(), repr(input.__name__))", 0, ["True 'input'"]),
        ("import signal; print(signal.getsignal(2) is signal.default_int_handler)", 0, ["True"]),
    ],
)
def test_it_is_as_a_new_interpreter(forks, tmp_path, text, code, lines):
    work(tmp_path, text)
    assert run(processes_with(forks), tmp_path, "one '2 3'", OF_IT="here") == (code, lines)


def test_the_libraries_are_in_memory_and_nothing_of_the_project_is(forks, tmp_path):
    work(
        tmp_path, "import sys; print('torch' in sys.modules, {'flows', 'storage', 'wavefoundry'} & sys.modules.keys())"
    )
    assert run(processes_with(forks), tmp_path) == (0, ["True set()"])


def test_it_is_called_by_what_it_does(forks, tmp_path):
    work(tmp_path, "import os, psutil; print(' '.join(psutil.Process(os.getpid()).cmdline()).strip())")
    assert run(processes_with(forks), tmp_path, "one '2 3'") == (0, ["python -m stages.work one '2 3'"])


def test_two_draw_other_random_numbers(forks, tmp_path):
    work(tmp_path, "import random; print(random.random())")
    one, two = (run(processes_with(forks), tmp_path)[1] for _ in range(2))
    assert one != two


def test_sums_and_products_are_those_of_a_new_interpreter_to_the_bit(forks, tmp_path):
    work(
        tmp_path,
        "import torch\n"
        "torch.manual_seed(0)\n"
        "drawn = torch.randn(300, 300, requires_grad=True)\n"
        "torch.softmax(drawn @ drawn.T, -1).square().sum().backward()\n"
        "print(drawn.grad.numpy().tobytes().hex()[:4000])\n",
    )
    assert run(processes_with(forks), tmp_path) == run(Processes(), tmp_path)


def test_what_it_leaves_behind_ends_with_it(forks, tmp_path):
    work(tmp_path, "import subprocess; print(subprocess.Popen(['sleep', '100']).pid)")
    start = time.monotonic()
    code, lines = run(processes_with(forks), tmp_path)
    assert code == 0
    assert time.monotonic() - start < 10
    wait_for_end(int(lines[0]))


def test_one_that_is_stopped_is_asked_first(forks, tmp_path):
    work(
        tmp_path,
        "import os, pathlib, time\n"
        "pathlib.Path('pid').write_text(f'{os.getpid()}\\n')\n"
        "try:\n    time.sleep(100)\n"
        "except KeyboardInterrupt:\n    pathlib.Path('bye').touch()\n    raise SystemExit(1)\n",
    )
    processes, ends = processes_with(forks), []

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


@pytest.mark.parametrize("victim", ["starter", "server"])
def test_it_outlives_neither_its_starter_nor_its_server(tmp_path, victim):
    work(
        tmp_path,
        "import os, subprocess\n"
        "child = subprocess.Popen(['sleep', '100'])\n"
        "for name, pid in {'child': child.pid, 'command': os.getpid(), 'server': os.getppid()}.items():\n"
        "    open(name, 'w').write(f'{pid}\\n')\n"
        "child.wait()\n",
    )
    code = (
        "import os, time\n"
        "from flows.forks import Forks\n"
        "from flows.processes import Processes\n"
        "processes = Processes(split_off=True)\n"
        "processes._forks = Forks(dict(os.environ))\n"
        "while not processes._forks.ready: time.sleep(0.05)\n"
        f"print(processes.run({[*SH, 'python -m stages.work']!r}, {str(tmp_path)!r}, dict(os.environ), print))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
    ) as starter:
        pids = [number_in(tmp_path / name) for name in ("child", "command", "server")]
        os.kill(starter.pid if victim == "starter" else pids[2], signal.SIGKILL)
        wait_for_end(*pids)
        assert starter.communicate()[0] == (b"" if victim == "starter" else b"137\n")


def test_without_its_server_a_command_is_started(tmp_path):
    work(tmp_path, "print('here')")
    forks = Forks(dict(os.environ))
    forks.end()
    assert run(processes_with(forks), tmp_path) == (0, ["here"])


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
