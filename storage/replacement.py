"""Files and folders that are replaced as a whole: others see what was there before, or all of the new one.

A folder is built beside its name under a lock, and put in its place by renaming.

The lock is an flock on the folder under construction itself: it ends with the process that holds it, however that
dies, and leaves no file behind. Names beside the folder begin with a dot and end in .partial, which DVC ignores.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StorageError, disk_fault

# The two renames of a writer take microseconds; a reader that meets it between them waits at most so long.
SWAP_SECONDS = 5.0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` when the body succeeds and vanishes when it fails.

    What stood under `path` stays there until the new folder is complete. What a killed writer left is taken over.

    Raises:
        StorageError: another process is writing `path`, or the folder cannot be made, filled or put in its place.
    """
    partial, previous = _partial(path), _previous(path)
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(partial)
    if lock is None:
        raise StorageError(f"{path}: another process is writing it; wait until that has ended")
    try:
        with clear_write_errors(path):
            _restore(path)
            if previous.exists():
                shutil.rmtree(previous)
            _empty(partial)
        yield partial
        with clear_write_errors(path):
            if path.exists():
                os.rename(path, previous)
            os.rename(partial, path)
        shutil.rmtree(previous, ignore_errors=True)
    except BaseException as error:
        _restore(path)
        # Gone already if only the last clean-up was interrupted.
        shutil.rmtree(partial, ignore_errors=True)
        if not isinstance(error, StorageError) and (reason := disk_fault(error)):
            raise StorageError(f"{path}: cannot be written ({reason}); nothing was changed") from error
        raise
    finally:
        os.close(lock)


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file, a text as UTF-8, all of it or nothing; its folder exists.

    Raises:
        StorageError: it cannot be written.
    """
    partial = _partial(path)
    with clear_write_errors(path):
        try:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, a missing right and their like into a StorageError that names what was to be written."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error}); nothing was changed") from error


def recover(path: Path) -> None:
    """Put back what stood under `path` if a writer was killed between its two renames."""
    partial, previous = _partial(path), _previous(path)
    deadline = time.monotonic() + SWAP_SECONDS
    while not path.exists() and previous.exists() and time.monotonic() < deadline:
        lock = _lock(partial)
        if lock is None:
            # A writer is at it this moment.
            time.sleep(0.01)
            continue
        try:
            _restore(path)
            shutil.rmtree(partial)
        finally:
            os.close(lock)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous.partial")


def _lock(folder: Path) -> int | None:
    """Make `folder` if it is missing and lock it; None if another process holds it."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have renamed or removed it between the two calls.
            if _same(lock, folder):
                return lock
        except BlockingIOError:
            os.close(lock)
            return None
        os.close(lock)


def _same(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _restore(path: Path) -> None:
    if not path.exists() and _previous(path).exists():
        os.rename(_previous(path), path)


def _empty(folder: Path) -> None:
    """The folder itself stays: it carries the lock."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
