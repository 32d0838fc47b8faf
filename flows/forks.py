"""Stages that are split off from one process, which has the large libraries in memory (fork_server.py)."""

import json
import os
import shlex
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from flows.leashed import Leashed, start

FORK_SERVER = Path(__file__).with_name("fork_server.py")
# What only a shell understands.
OF_A_SHELL = set(';|&<>$`*?~()[]{}#!\\\n"')


class Request(NamedTuple):
    """What to run.

    Attributes:
        module: as `python -m` takes it.
        arguments: for the module.
        folder: its working directory, where its imports are looked for.
        environment: all its environment variables.
    """

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]


class ForkServer:
    """The process that stages are split off from; it ends with this one, and what was split off is not touched."""

    def __init__(self, environment: dict[str, str]):
        """Start it, without waiting for it."""
        self._requests, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, str(FORK_SERVER), str(theirs.fileno())]
            self._leash = start(command, pass_fds=[theirs.fileno()], env=environment)

    @property
    def gone(self) -> bool:
        return self._leash.ended

    def split_off(self, request: Request) -> Leashed:
        """Have a stage split off; if the server is gone, it ends at once, as one that was killed."""
        (output, its_output), (its_control, control), (status, its_status) = os.pipe(), os.pipe(), os.pipe()
        its_own = [its_output, its_control, its_status]
        with suppress(OSError):
            socket.send_fds(self._requests, [b"."], its_own)
        for descriptor in its_own:
            os.close(descriptor)
        leash = Leashed(os.fdopen(output, "rb"), os.fdopen(control, "wb"), os.fdopen(status, "rb"), None)
        leash.tell(json.dumps(request).encode() + b"\n")
        return leash

    def close(self) -> None:
        self._requests.close()
        self._leash.close()
        self._leash.wait()


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
