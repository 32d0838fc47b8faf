"""SIGKILL of the flow, of a stage and of the Prefect server in mid-run: python -m benchmarks.flow_kill.

Each time: a run of the graph of benchmarks.flow_stress whose stage `count` waits, the kill, and a plain new run. Told
are the seconds from the kill to the end of the first run, what processes it left behind, and whether the second one
completed with the dvc.lock of an unbroken run.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from benchmarks.flow_stress import forget, make_project, serial_lock
from flows import loopback

PROJECT = Path(__file__).parents[1]
# How long a server, a stage or a killed run may take [s].
PATIENCE = 300.0
# A `wc` that comes first on the path: it waits, while the command in dvc.lock is the same.
SLOW = '#!/bin/sh\necho $$ > slow.pid\nsleep 10\nexec /usr/bin/env PATH=/usr/bin:/bin wc "$@"\n'


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "project")
        folder.mkdir()
        make_project(folder)
        lock = serial_lock(folder)
        (folder / "bin").mkdir()
        (folder / "bin/wc").write_text(SLOW)
        (folder / "bin/wc").chmod(0o755)
        results = {}
        for victim in ("flow", "stage", "server"):
            with server(Path(name, victim)) as (process, address):
                results[victim] = killed(folder, victim, process, address)
            with server(Path(name, f"{victim}_again")) as (_, address):
                again = subprocess.run(
                    command(), cwd=folder, env=environment(folder, address, slow=False), stdout=sys.stderr
                )
            results[victim] |= {
                "second_run_completed": again.returncode == 0,
                "same_dvc_lock": (folder / "dvc.lock").read_bytes() == lock,
            }
            forget(folder)
            (folder / "slow.pid").unlink(missing_ok=True)
    print(json.dumps({"benchmark": "flow_kill", "stages": 12, "killed": results}))


@contextmanager
def server(home: Path):
    """A Prefect server with a database of its own: its process and its address."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    settings = loopback.settings(port)
    variables = os.environ | {"PREFECT_HOME": str(home), "PYTHONPATH": str(PROJECT)} | settings
    process = subprocess.Popen(loopback.command(port), env=variables, stdout=subprocess.DEVNULL)
    address = settings["PREFECT_API_URL"]
    try:
        wait_for(lambda: answers(address))
        yield process, address
    finally:
        kill_all(process)


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").is_success
    except httpx.HTTPError:
        return False


def killed(folder: Path, victim: str, server_process: subprocess.Popen, address: str) -> dict:
    pid = folder / "slow.pid"
    with subprocess.Popen(
        command(), cwd=folder, env=environment(folder, address, slow=True), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as flow:  # fmt: skip
        wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"))
        started = psutil.Process(flow.pid).children(recursive=True)
        begin = time.perf_counter()
        if victim == "flow":
            flow.kill()
        elif victim == "stage":
            os.kill(int(pid.read_text()), signal.SIGKILL)
        else:
            kill_all(server_process)
        output = flow.communicate(timeout=PATIENCE)[0]
        seconds = time.perf_counter() - begin
    _, left = psutil.wait_procs(started, timeout=10)
    last = output.strip().splitlines()[-1] if output.strip() else ""
    return {"exit_code": flow.returncode, "seconds_to_the_end": seconds, "orphans": len(left), "last_line": last}


def command() -> list[str]:
    return [sys.executable, "-m", "flows.pipeline", "--parallel", "3"]


def environment(folder: Path, address: str, slow: bool) -> dict[str, str]:
    path = os.environ["PATH"]
    return os.environ | {
        "PYTHONPATH": str(PROJECT),
        "PREFECT_API_URL": address,
        "PATH": f"{folder}/bin:{path}" if slow else path,
    }


def kill_all(process: subprocess.Popen) -> None:
    """The process and what it has started."""
    if process.poll() is None:
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            one.kill()
    process.wait()


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)


if __name__ == "__main__":
    main()
