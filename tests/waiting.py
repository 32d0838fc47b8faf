"""How tests wait for other processes."""

import time
from collections.abc import Callable

import psutil

# For the end of processes one of which closes a record in MLflow [s]: it imports MLflow first, which takes ten seconds
# where the machine is busy.
TO_CLOSE_A_RECORD = 30.0


def wait_for(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    """Wait for what must come, however busy the machine is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_end(*pids: int, seconds: float = 10.0) -> None:
    """Wait for processes that somebody must have ended: soon, not when they would end by themselves."""
    wait_for(lambda: all(is_gone(pid) for pid in pids), seconds)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; its parent may not have taken notice yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
