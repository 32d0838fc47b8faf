"""Processes of stages, none of which outlives this one."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from flows.forks import Fork, Forks, request_of

LEASH = Path(__file__).with_name("leash.py")
# A progress bar that redraws itself is passed on this often [s].
PROGRESS_INTERVAL = 10.0
# From asking a stage to end to killing it [s].
GRACE = 3.0


class StoppedError(Exception):
    """No process is started any more."""


class Processes:
    """Commands under way; each is the head of a process group that is killed when the command has ended, is stopped,
    or when this process is gone."""

    def __init__(self, grace: float | None = None, split_off: bool = False):
        """
        Args:
            grace: from asking a command to end to killing it [s]; None: as long as a stage has for it.
            split_off: commands that are stages of the project are split off from a process that has the libraries in
                memory, as soon as it has.
        """
        self._grace = GRACE if grace is None else grace
        self._lock = threading.Lock()
        self._running: set[Fork | _Started] = set()
        self._stopped = False
        self._split_off = split_off
        self._forks: Forks | None = None

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
            process = self._fork(command, folder, environment) or _Started(command, folder, environment)
            self._running.add(process)
        try:
            # newline="": a line may end at "\r" too, and keeps its end.
            with io.TextIOWrapper(process.output, errors="replace", newline="") as output:
                for line in readable_lines(output):
                    log(line)
                process.ended.wait()
        except BaseException:
            process.signal(signal.SIGKILL)
            raise
        finally:
            with self._lock:
                self._running.remove(process)
        if process.code and self._stopped:
            raise StoppedError
        return process.code

    def _fork(self, command: Sequence[str], folder: str, environment: dict[str, str]) -> Fork | None:
        """The command, split off; None where it must be started."""
        if not self._split_off or not (request := request_of(command, folder, environment)):
            return None
        if self._forks is None:
            self._forks = Forks(environment)
        return self._forks.start(request) if self._forks.ready else None

    def stop(self) -> None:
        """End all commands and start no more; those that do not end in time are killed.

        They are asked as by Ctrl-C: a stage then removes its outputs and closes its record.
        """
        deadline = time.monotonic() + self._grace
        for number in (signal.SIGINT, signal.SIGKILL):
            with self._lock:
                self._stopped = True
                running = list(self._running)
            for process in running:
                process.signal(number)
            for process in running:
                process.ended.wait(max(0.0, deadline - time.monotonic()) if number == signal.SIGINT else None)

    def close(self) -> None:
        """End the process that stages are split off from, if there is one."""
        if self._forks:
            self._forks.end()


class _Started:
    """A command as a process of its own, as `Fork` is one that was split off; it does not outlive this process."""

    def __init__(self, command: Sequence[str], folder: str, environment: dict[str, str]):
        # -I -S: nothing but the standard library is needed, and it starts in a few milliseconds.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), *command], cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None  # a pipe
        self.output: IO[bytes] = self._process.stdout
        self.ended = threading.Event()
        self.code = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._wait, daemon=True).start()

    def signal(self, number: int) -> None:
        """Send a signal to the command and to all that it has started."""
        with self._lock:
            if not self.ended.is_set():
                os.killpg(self._process.pid, number)

    def _wait(self) -> None:
        """Wait for the end of the command, then end what it left behind, which might also keep its output open."""
        # The process is not yet reaped: its number still names this group and no other one.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
            self.code = code if code >= 0 else 128 - code
            self.ended.set()
        assert self._process.stdin is not None  # a pipe
        self._process.stdin.close()


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
