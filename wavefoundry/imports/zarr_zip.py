"""zarr stores in one zip file, as zarr's ZipStore writes them."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wavefoundry.errors import InputError
from wavefoundry.imports.limits import MOST_TIMES, PLENTY
from wavefoundry.imports.npz import ENCRYPTED

if TYPE_CHECKING:
    from zarr.storage import ZipStore


@contextmanager
def store(path: Path) -> Iterator["ZipStore"]:
    """Open a store whose members neither are encrypted nor unpack far beyond what is stored.

    Raises:
        InputError: one is, or does; there are two of one name; or the file is no zip file.
    """
    from zarr.storage import ZipStore

    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: cannot be read as a zarr store: it is no folder and no zip file")
    with zipfile.ZipFile(path) as archive:
        names = set()
        for member in archive.infolist():
            if member.flag_bits & ENCRYPTED:
                raise InputError(f"{path}: {member.filename!r} is encrypted; allowed: zip files as zarr writes them")
            if member.file_size > max(PLENTY, MOST_TIMES * member.compress_size):
                raise InputError(
                    f"{path}: {member.filename!r} would unpack to {member.file_size} bytes, of which "
                    f"{member.compress_size} bytes are stored; allowed: {MOST_TIMES} times that, or {PLENTY} bytes"
                )
            if member.filename in names:
                raise InputError(f"{path}: {member.filename!r} is there twice")
            names.add(member.filename)
    opened = ZipStore(path, mode="r")
    try:
        yield opened
    finally:
        opened.close()


def chunks(path: Path, array: str, first: int) -> Iterator[tuple[str, bytes, int]]:
    """(place, the `first` bytes, length) of every chunk of an array of the store; "" is one at its root."""
    prefix = f"{array}/" if array else ""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.rpartition("/")[2]
            if member.filename.startswith(prefix) and name and not name.startswith(".z") and name != "zarr.json":
                with archive.open(member) as chunk:
                    yield member.filename.removeprefix(prefix), chunk.read(first), member.file_size
