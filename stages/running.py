"""One run at a time in a project: the lock that the run under way holds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from storage.replacement import clear_write_errors
from wavefoundry.errors import InputError

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


@contextmanager
def beside_no_run() -> Iterator[None]:
    """Hold the lock, so that no run begins meanwhile.

    Raises:
        InputError: a run is under way.
        StorageError: the lock cannot be written.
    """
    if not Path(LOCK).parents[1].is_dir():
        yield  # DVC has no project here, of which there could be a run
        return
    lock = FileLock(LOCK)
    with clear_write_errors(Path(LOCK)):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError("a run is under way; try again when it has ended") from None
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
