"""One run at a time in a project: the lock that the run under way holds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

LOCK = ".dvc/tmp/flow.lock"


@contextmanager
def alone(log: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock; wait, and tell so, until no other run of this project is under way."""
    lock = FileLock(LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log("waiting for the run before this one")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_under_way() -> bool:
    """Whether a run holds the lock."""
    try:
        with FileLock(LOCK, timeout=0):
            return False
    except Timeout:
        return True
