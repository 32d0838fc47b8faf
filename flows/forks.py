"""Commands that are modules of the project, split off from one process that has the large libraries in memory."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from flows.fork_server import HEADER, Request

SERVER = Path(__file__).with_name("fork_server.py")
# What only a shell understands.
OF_A_SHELL = set(';|&<>$`*?~()[]{}#!\\\n"')


def request_of(command: Sequence[str], folder: str, environment: dict[str, str]) -> Request | None:
    """What a shell's command `python -m stages.NAME ARGUMENT...` runs; None where it is any other command.

    Args:
        command: of a shell, its last word what it is to do.
        folder: as for `Processes.run`.
        environment: likewise.
    """
    if len(command) < 2 or command[-2] != "-c" or OF_A_SHELL & set(command[-1]):
        return None
    words = shlex.split(command[-1])
    if len(words) < 3 or words[:2] != ["python", "-m"] or not words[2].startswith("stages."):
        return None
    return Request(words[2], words[3:], folder, environment)


class Fork:
    """A process that was split off; `output` is what it prints."""

    def __init__(self, forks: "Forks", output: IO[bytes]):
        self.output = output
        self.pid: int | None = None
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.code = 128 + signal.SIGKILL  # until it is told: of one that ends with the server
        self._forks = forks

    def signal(self, number: int) -> None:
        """Send a signal to the process and to all that it has started."""
        self._forks.send_signal(self, number)


class Forks:
    """The process that stages are split off from. It ends with this one, and what was split off ends with either."""

    def __init__(self, environment: dict[str, str]):
        """Start it in the environment of the commands, without waiting for it: libraries read theirs when imported."""
        self._lock = threading.Lock()
        self._ready = False
        self._asked: list[Fork] = []
        self._running: dict[int, Fork] = {}
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(SERVER), str(theirs.fileno())], pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, start_new_session=True, env=environment,
            )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def ready(self) -> bool:
        """Whether the libraries are in memory."""
        return self._ready

    def start(self, request: Request) -> Fork | None:
        """Split off a process; None where the server is gone."""
        ours, theirs = os.pipe()
        fork = Fork(self, os.fdopen(ours, "rb"))
        body = json.dumps(request._asdict()).encode()
        try:
            with self._lock:
                if not self._ready:
                    raise ConnectionError
                socket.send_fds(self._socket, [HEADER.pack(len(body))], [theirs])
                self._socket.sendall(body)
                self._asked.append(fork)
        except OSError:
            fork.output.close()
            return None
        finally:
            os.close(theirs)
        fork.begun.wait()
        return fork

    def send_signal(self, fork: Fork, number: int) -> None:
        """Send a signal to what was split off, by the server, which knows whether it is still there."""
        body = json.dumps({"signal": number, "pid": fork.pid}).encode()
        with self._lock, suppress(OSError):
            self._socket.sendall(HEADER.pack(len(body)) + body)

    def end(self) -> None:
        """End the server, and with it what is still running."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        self._socket.close()

    def _listen(self) -> None:
        """Take in what the server tells, until it is gone."""
        with suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._hear(json.loads(line))
        with self._lock:
            self._ready = False
            left = [*self._running.values(), *self._asked]
            self._running.clear()
            self._asked.clear()
        for fork in left:
            if fork.pid is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(fork.pid, signal.SIGKILL)
            fork.begun.set()
            fork.ended.set()

    def _hear(self, message: dict) -> None:
        with self._lock:
            if "ready" in message:
                self._ready = True
            elif "begun" in message:
                fork = self._asked.pop(0)
                fork.pid = message["begun"]
                self._running[fork.pid] = fork
                fork.begun.set()
            else:
                fork = self._running.pop(message["ended"])
                fork.code = message["code"]
                fork.ended.set()
