"""Servers that are started here: each with a log file, and gone with this process, however that ends."""

import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from flows.loopback import HOST
from flows.processes import Processes, StoppedError
from storage.replacement import clear_write_errors

# A server must answer within [s].
PATIENCE = 180.0
# From asking a server to end to killing it [s]: the deployments wait for the runs that they have started.
GRACE = 10.0
# Lines that are shown of a server that ended.
QUOTED_LINES = 8


class ServerError(Exception):
    """No server answers, or one that does not fit; the message says what to do."""


class Servers:
    """Programs that run until they are stopped, each with a log file."""

    def __init__(self, grace: float = GRACE):
        """
        Args:
            grace: from asking one to end to killing it [s].
        """
        self._grace = grace
        self._started: list[tuple[Processes, Thread]] = []
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._last: dict[str, deque[str]] = {}

    def start(self, name: str, command: Sequence[str], environment: dict[str, str], log: Path) -> None:
        """
        Raises:
            StorageError: the log file cannot be written.
        """
        last = self._last[name] = deque(maxlen=QUOTED_LINES)
        processes = Processes(self._grace)

        def run() -> None:
            def keep(line: str) -> None:
                last.append(line)
                print(line, file=file, flush=True)

            try:
                with file, suppress(StoppedError):
                    processes.run(command, str(Path.cwd()), environment, keep)
            finally:
                self._ended.put(name)

        with clear_write_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            file = log.open("w")
        # A daemon: who forgets to stop it need not wait for it; its process ends with this one.
        thread = Thread(target=run, daemon=True)
        self._started.append((processes, thread))
        thread.start()

    def wait_for(self, name: str, address: str, headers: dict[str, str] | None = None) -> None:
        """Wait until an address answers.

        Raises:
            ServerError: a server ended, or it took too long.
        """
        import httpx

        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(httpx.HTTPError):
                if httpx.get(address, headers=headers, timeout=5.0).is_success:
                    return
            self.check(0.3)
            if time.monotonic() > deadline:
                raise ServerError(f"{name} does not answer at {address} after {PATIENCE:g} s")

    def check(self, seconds: float | None) -> None:
        """Wait so long, None: for ever.

        Raises:
            ServerError: a server ended.
        """
        with suppress(Empty):
            name = self._ended.get(timeout=seconds)
            raise ServerError("\n".join([f"{name} ended; its last lines:", *self._last[name]]))

    def stop(self) -> None:
        """End all, the last one first: deployments tell the server that they are gone."""
        for processes, thread in reversed(self._started):
            processes.stop()
            thread.join()


def any_port() -> int:
    """A port of this machine that nobody uses at the moment."""
    with socket.socket() as trial:
        trial.bind((HOST, 0))
        return trial.getsockname()[1]
