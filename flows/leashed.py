"""The other end of a leash (leash.py): a command that ends with this process."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

LEASH = Path(__file__).with_name("leash.py")


class Leashed:
    """A process group that ends when this object is closed or this process is gone (leash.py)."""

    def __init__(
        self, output: IO[bytes] | None, control: IO[bytes], status: IO[bytes], process: subprocess.Popen | None
    ):
        """
        Args:
            output: what the command prints.
            control: as `leash.hold` reads it.
            status: as `leash.hold` writes it.
            process: the leash, if it is a child of this process.
        """
        self._output, self._control, self._status, self._process = output, control, status, process
        self._code = 128 + signal.SIGKILL  # of a group whose leash cannot tell it any more
        self._lock = threading.Lock()
        self._end = threading.Thread(target=self._listen, daemon=True)
        self._end.start()

    @property
    def output(self) -> IO[bytes]:
        """What the command prints, if it is read here."""
        assert self._output is not None
        return self._output

    @property
    def ended(self) -> bool:
        return not self._end.is_alive()

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the group."""
        self.tell(bytes([number]))

    def tell(self, what: bytes) -> None:
        """Write to the control; of a leash that is split off, first of all what is to be run (fork_server.py)."""
        with self._lock, suppress(OSError, ValueError):  # there is nobody any more
            self._control.write(what)
            self._control.flush()

    def wait(self, seconds: float | None = None) -> int:
        """The exit code, as `Processes.run` returns it, once the group has ended or so many seconds have passed."""
        self._end.join(seconds)
        return self._code

    def close(self) -> None:
        """Kill the group, if it has not ended."""
        with self._lock, suppress(OSError):
            self._control.close()

    def _listen(self) -> None:
        with self._status:
            group = self._status.readline()
            code = self._status.readline()
            self._status.read()
        if code:
            self._code = int(code)
        elif group:
            # The leash was killed. While anything of its group is left, the number names this group and no other one.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(group), signal.SIGKILL)
        if self._process:
            self._process.wait()


def start(command: Sequence[str], pass_fds: Sequence[int] = (), **options) -> Leashed:
    """Start a command on a leash.

    Args:
        command: program and arguments.
        pass_fds: descriptors that it inherits.
        options: of subprocess.Popen.
    """
    status, theirs = os.pipe()
    try:
        # -I -S: nothing but the standard library is needed, and it starts in a few milliseconds.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), str(theirs), *command], pass_fds=[theirs, *pass_fds],
            stdin=subprocess.PIPE, start_new_session=True, **options,
        )  # fmt: skip
    except BaseException:
        os.close(status)
        raise
    finally:
        os.close(theirs)
    assert process.stdin is not None  # a pipe
    return Leashed(process.stdout, process.stdin, os.fdopen(status, "rb"), process)
