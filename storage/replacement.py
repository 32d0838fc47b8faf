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
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.errors import StorageError, disk_fault

# The two renames of a writer take microseconds; a reader that meets it between them waits at most so long.
SWAP_SECONDS = 5.0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` when the body succeeds and vanishes when it fails.

    What stood under `path` stays there until the new folder is complete. What a killed writer left is taken over. Of a
    symbolic link the folder that it leads to is replaced, and the link stays.

    Raises:
        StorageError: another process is writing `path`, or the folder cannot be made, filled or put in its place.
    """
    place = path.resolve()
    partial, previous = _partial(place), _previous(place)
    with clear_write_errors(path):
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(partial)
    if lock is None:
        raise StorageError(f"{path}: another process is writing it; wait until that has ended")
    try:
        with clear_write_errors(path):
            _restore(place)
            _remove(previous)
            # The folder itself stays: it carries the lock.
            for entry in partial.iterdir():
                _remove(entry)
        yield partial
        with clear_write_errors(path):
            if place.exists():
                os.rename(place, previous)
            os.rename(partial, place)
        # What stays is removed by the next writer.
        with suppress(OSError):
            _remove(previous)
    except BaseException as error:
        _restore(place)
        # Gone already if only the last clean-up was interrupted.
        shutil.rmtree(partial, ignore_errors=True)
        if not isinstance(error, StorageError) and (reason := disk_fault(error)):
            raise StorageError(f"{path}: cannot be written ({reason}); nothing was changed") from error
        raise
    finally:
        os.close(lock)


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file, a text as UTF-8, all of it or nothing; its folder exists. Of several writers one waits for another.

    Raises:
        StorageError: it cannot be written.
    """
    partial = _partial(path)
    with clear_write_errors(path), _alone(partial):
        try:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, a missing right and their like into a StorageError that names what was to be written."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error}); nothing was changed") from error


def recover(path: Path) -> None:
    """Put back what stood under `path` if a writer was killed between its two renames."""
    path = path.resolve()
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


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Make `file` if it is missing, and wait until no other writer is at it."""
    while True:
        lock = os.open(file, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Its last holder has renamed or removed it.
            if not _same(lock, file):
                continue
            yield
            return
        finally:
            os.close(lock)


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _restore(path: Path) -> None:
    if not path.exists() and _previous(path).exists():
        os.rename(_previous(path), path)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)
