"""Processes of stages, none of which outlives this one."""

import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from flows.forks import ForkServer, request_of
from flows.leashed import Leashed, start

# A progress bar that redraws itself is passed on this often [s].
PROGRESS_INTERVAL = 10.0
# From asking a stage to end to killing it [s].
GRACE = 3.0


class StoppedError(Exception):
    """No process is started any more."""


class Processes:
    """Commands under way; each has a process group, which is killed when the command has ended, is stopped, or when
    this process is gone."""

    def __init__(self, grace: float | None = None, split_off: bool = False):
        """
        Args:
            grace: from asking a command to end to killing it [s]; None: as long as a stage has for it.
            split_off: stages of the project are split off from a process that has the large libraries in memory
                (fork_server.py).
        """
        self._grace = GRACE if grace is None else grace
        self._lock = threading.Lock()
        self._running: set[Leashed] = set()
        self._stopped = False
        self._split_off = split_off
        self._server: ForkServer | None = None

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def run(self, command: Sequence[str], folder: str, environment: dict[str, str], log: Callable[[str], None]) -> int:
        """Run a command to its end.

        Args:
            command: program and arguments.
            folder: its working directory.
            environment: its environment variables.
            log: called with every line it prints.

        Returns:
            Its exit code, 128 + the signal's number if it was killed.

        Raises:
            StoppedError: `stop` was called.
        """
        with self._lock:
            if self._stopped:
                raise StoppedError
            leash = self._start(command, folder, environment)
            self._running.add(leash)
        try:
            # newline="": a line may end at "\r" too, and keeps its end.
            with io.TextIOWrapper(leash.output, errors="replace", newline="") as output:
                for line in readable_lines(output):
                    log(line)
                code = leash.wait()
        finally:
            leash.close()
            with self._lock:
                self._running.remove(leash)
        if code and self._stopped:
            raise StoppedError
        return code

    def _start(self, command: Sequence[str], folder: str, environment: dict[str, str]) -> Leashed:
        if not self._split_off or not (request := request_of(command, folder, environment)):
            return start(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if self._server is None or self._server.gone:
            # Libraries read their settings when they are imported, in the environment of the commands.
            self._server = ForkServer(environment)
        return self._server.split_off(request)

    def stop(self) -> None:
        """End all commands and start no more; those that do not end in time are killed.

        They are asked as by Ctrl-C: a stage then removes its outputs and closes its record.
        """
        with self._lock:
            self._stopped = True
            running = list(self._running)
        deadline = time.monotonic() + self._grace
        for leash in running:
            leash.signal(signal.SIGINT)
        for leash in running:
            leash.wait(max(0.0, deadline - time.monotonic()))
        self.close()
        for leash in running:
            leash.close()
        for leash in running:
            leash.wait()

    def close(self) -> None:
        """End the process that stages are split off from, if there is one."""
        if self._server:
            self._server.close()


def end_politely() -> None:
    """Have SIGTERM end this process as Ctrl-C does; Ctrl-C also where the shell ignores it for its children."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def tell_interruption() -> None:
    """Have an interruption that nobody handles end this process with a line, and not with a traceback."""

    def tell(kind, error, traceback) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, traceback)

    sys.excepthook = tell


def readable_lines(stream: IO[str]) -> Iterator[str]:
    """Lines of a process as they come; of a progress bar that redraws one line, a state every PROGRESS_INTERVAL."""
    shown = time.monotonic()
    # With newline="" a line ends at "\r" too and keeps its end.
    for line in stream:
        text = line.strip()
        redrawn = line.endswith("\r")
        if text and (not redrawn or time.monotonic() - shown >= PROGRESS_INTERVAL):
            shown = time.monotonic()
            yield text
