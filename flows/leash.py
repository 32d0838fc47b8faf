"""Run a command that does not outlive who asked for it: `python leash.py STATUS COMMAND ARGUMENT...`.

Started as the head of a process group, with a pipe as standard input that its starter keeps open; STATUS is the number
of a descriptor that its starter reads, see `hold`.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import BinaryIO, NoReturn


def stand_apart() -> None:
    """Have a polite end left to the command, which this process waits for; a handler, unlike SIG_IGN, is not inherited
    by a program that is started."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)


def hold(pid: int, control: BinaryIO, status: int) -> NoReturn:
    """Wait for the end of a child, then end with the whole process group, and with what the child has left behind.

    Args:
        pid: of the child.
        control: every byte is the number of a signal for the group; at its end, for the starter is gone, the group is
            killed.
        status: told, each in a line, the group's number and at the end the child's exit code, 128 + the number of the
            signal that killed it.
    """

    def follow() -> None:
        while number := control.read(1):
            os.killpg(0, number[0])
        os.killpg(0, signal.SIGKILL)

    def tell(number: int) -> None:
        with suppress(BrokenPipeError):  # the starter is gone, and the control ends too
            os.write(status, b"%d\n" % number)

    threading.Thread(target=follow, daemon=True).start()
    tell(os.getpgrp())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    tell(code if code >= 0 else 128 - code)
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> None:
    stand_apart()
    status, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(status, False)
    # Other descriptors that its starter has passed on are for the command.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
    hold(process.pid, sys.stdin.buffer, status)


if __name__ == "__main__":
    main()
