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

    def __init__(self, grace: float | None = None):
        """
        Args:
            grace: from asking a command to end to killing it [s]; None: as long as a stage has for it.
        """
        self._grace = GRACE if grace is None else grace
        self._lock = threading.Lock()
        self._running: dict[subprocess.Popen, threading.Thread] = {}
        self._stopped = False

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
            # -I -S: nothing but the standard library is needed, and it starts in a few milliseconds.
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), *command], cwd=folder, env=environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            end = threading.Thread(target=self._end, args=(process,), daemon=True)
            self._running[process] = end
            end.start()
        assert process.stdin is not None and process.stdout is not None  # pipes
        with process.stdin, process.stdout:
            # newline="": a line may end at "\r" too, and keeps its end.
            for line in readable_lines(io.TextIOWrapper(process.stdout, errors="replace", newline="")):
                log(line)
            end.join()
        if process.returncode and self._stopped:
            raise StoppedError
        return process.returncode if process.returncode >= 0 else 128 - process.returncode

    def _end(self, process: subprocess.Popen) -> None:
        """Wait for the end of a command, then end what it left behind, which might also keep its output open."""
        # The process is not yet reaped: its number still names this group and no other one.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            del self._running[process]

    def stop(self) -> None:
        """End all commands and start no more; those that do not end in time are killed.

        They are asked as by Ctrl-C: a stage then removes its outputs and closes its record.
        """
        deadline = time.monotonic() + self._grace
        for number in (signal.SIGINT, signal.SIGKILL):
            with self._lock:
                self._stopped = True
                ends = list(self._running.values())
                for process in self._running:
                    os.killpg(process.pid, number)
            for end in ends:
                end.join(max(0.0, deadline - time.monotonic()) if number == signal.SIGINT else None)


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
