"""`make ui` for tests."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from tests.waiting import wait_for

TOP = Path(__file__).parents[2]


@contextmanager
def made_ui(folder: Path, **settings: str) -> Iterator[tuple[str, str]]:
    """`make ui` in a project of its own, on free ports, with these environment variables.

    Yields the addresses of Prefect and MLflow. Nothing of it is left after Ctrl-C.
    """
    prefect, mlflow = two_free_ports()
    # Of the other tests' server.
    others = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    environment |= {
        "PYTHONPATH": str(TOP),
        "PREFECT_HOME": str(folder / ".prefect"),
        "PREFECT_PORT": str(prefect),
        "MLFLOW_PORT": str(mlflow),
    } | settings
    with open(folder / "ui.log", "w") as log:
        ui = subprocess.Popen([sys.executable, "-m", "flows.ui"], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: "Ctrl-C" in (folder / "ui.log").read_text() or ui.poll() is not None, 180)
        assert ui.poll() is None, (folder / "ui.log").read_text()
        yield f"http://127.0.0.1:{prefect}", f"http://127.0.0.1:{mlflow}"
        started = psutil.Process(ui.pid).children(recursive=True)
        assert started
        ui.send_signal(signal.SIGINT)
        assert ui.wait(30) == 0
        _, left = psutil.wait_procs(started, timeout=10)
        assert not left
    finally:
        ui.kill()


def two_free_ports() -> tuple[int, int]:
    with closing(socket.socket()) as one, closing(socket.socket()) as other:
        for trial in (one, other):
            trial.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
