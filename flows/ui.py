"""`make ui`: Prefect, MLflow and the deployments on this machine, until Ctrl-C.

Ports: PREFECT_PORT (4200) and MLFLOW_PORT (5000) in the environment; nothing listens beyond 127.0.0.1.
"""

import os
import shlex
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from flows import loopback
from flows.loopback import HOST
from flows.processes import Processes, StoppedError
from flows.server import authorization
from storage.errors import StorageError
from storage.tracking import connection as tracking

PORTS = {"PREFECT_PORT": 4200, "MLFLOW_PORT": 5000}
# A server must answer within [s].
PATIENCE = 180.0
# Lines that are shown of a server that ended.
QUOTED_LINES = 8


class UiError(Exception):
    """What is in the way, in one line."""


def free_port(variable: str) -> int:
    """The port that the environment variable names, or its default.

    Raises:
        UiError: it is no port, or somebody uses it.
    """
    text = os.environ.get(variable) or str(PORTS[variable])
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UiError(f"{variable} must be a port from 1 to 65535, found {text!r}")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, int(text)))
        except OSError as error:
            raise UiError(f"port {text} cannot be used ({error.strerror}); name another one: {variable}=...") from None
    return int(text)


class Servers:
    """Programs that run until they are stopped, each with a log file."""

    def __init__(self):
        self._started: list[tuple[Processes, Thread]] = []
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._last: dict[str, deque[str]] = {}

    def start(self, name: str, command: Sequence[str], environment: dict[str, str], log: Path) -> None:
        last = self._last[name] = deque(maxlen=QUOTED_LINES)
        processes = Processes()

        def run() -> None:
            def keep(line: str) -> None:
                last.append(line)
                print(line, file=file, flush=True)

            try:
                with open(log, "w") as file, suppress(StoppedError):
                    processes.run(command, str(Path.cwd()), environment, keep)
            finally:
                self._ended.put(name)

        log.parent.mkdir(exist_ok=True)
        thread = Thread(target=run)
        self._started.append((processes, thread))
        thread.start()

    def wait_for(self, name: str, address: str, headers: dict[str, str] | None = None) -> None:
        """Wait until an address answers.

        Raises:
            UiError: a server ended, or it took too long.
        """
        import httpx

        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(httpx.HTTPError):
                if httpx.get(address, headers=headers, timeout=5.0).is_success:
                    return
            self.check(0.3)
            if time.monotonic() > deadline:
                raise UiError(f"{name} does not answer at {address} after {PATIENCE:g} s")

    def check(self, seconds: float | None) -> None:
        """Wait so long, None: for ever.

        Raises:
            UiError: a server ended.
        """
        with suppress(Empty):
            name = self._ended.get(timeout=seconds)
            raise UiError("\n".join([f"{name} ended; its last lines:", *self._last[name]]))

    def stop(self) -> None:
        """End all, the last one first: deployments tell the server that they are gone."""
        for processes, thread in reversed(self._started):
            processes.stop()
            thread.join()


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        # Also where the shell that started this one ignores Ctrl-C for its children.
        signal.signal(number, signal.default_int_handler)
    servers = Servers()
    try:
        tracking.require_folder()
        _run(servers)
    except (UiError, StorageError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("ending ...", flush=True)
    finally:
        servers.stop()


def _run(servers: Servers) -> None:
    prefect, mlflow = free_port("PREFECT_PORT"), free_port("MLFLOW_PORT")
    if prefect == mlflow:
        raise UiError(f"PREFECT_PORT and MLFLOW_PORT are both {prefect}")
    addresses = {"Prefect": f"http://{HOST}:{prefect}", "MLflow": f"http://{HOST}:{mlflow}"}
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        **loopback.settings(prefect),
        # Where a stage's run can be looked at.
        "MLFLOW_UI_URL": addresses["MLflow"],
    }
    servers.start("Prefect", loopback.command(prefect), environment, Path(".prefect/server.log"))
    # Its database is made by the stages' own code, whichever of them comes first.
    folder = tracking.FOLDER.absolute()
    make_database = "from storage.tracking.connection import client; client()"
    command = [f"python -c '{make_database}' && exec mlflow server", "--host", HOST]
    command += ["--port", str(mlflow), "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"{folder}/artifacts"]
    # MLflow's own choice would let in every name that begins like an address of a local network.
    command += ["--allowed-hosts", ",".join(f"{name}:{mlflow}" for name in loopback.NAMES)]
    command += ["--cors-allowed-origins", ",".join(loopback.origins(mlflow))]
    servers.start("MLflow", ["sh", "-c", f"{command[0]} {shlex.join(command[1:])}"], environment, folder / "server.log")
    servers.wait_for("Prefect", f"{addresses['Prefect']}/api/health")
    servers.start("the deployments", [sys.executable, "-m", "flows.serve"], environment, Path(".prefect/serve.log"))
    servers.wait_for("MLflow", f"{addresses['MLflow']}/health")
    headers = authorization(os.environ.get("PREFECT_API_AUTH_STRING"))
    servers.wait_for("the deployments", f"{addresses['Prefect']}/api/deployments/name/watch/changes", headers)
    for name, address in addresses.items():
        print(f"{name + ':':9}{address}", flush=True)
    print("Runs: Deployments in Prefect. Ctrl-C ends all.", flush=True)
    servers.check(None)


if __name__ == "__main__":
    main()
