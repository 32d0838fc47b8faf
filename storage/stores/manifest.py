"""The list of all files of a store with their sizes and digests: nothing is exchanged, lost or added without a word.

Checksums within a shard tell a byte that is not what it was, and nothing of where the shard belongs. The list is
written when all else is, as the attributes of a zarr group beside the variables, which other readers pass over.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from storage.digests import sha256
from storage.errors import StorageError, first_line

FILE = "manifest/zarr.json"
METADATA = "zarr.json"
CHANGED = "is not the file that was written here (its digest differs)"


class Entry(NamedTuple):
    """Size [bytes] and SHA-256 of a file."""

    size: int
    sha256: str


# Files by their place in the store, such as "csi/c/0/0/0/0".
Manifest = Mapping[str, Entry]


def write_manifest(store: Path, known: Manifest) -> None:
    """List all files of a store that is complete but for this list.

    Args:
        store: its folder.
        known: entries that need not be computed.
    """
    files = {name: known.get(name) or Entry(size, sha256(store / name)) for name, size in sorted(_files(store))}
    content = {"zarr_format": 3, "node_type": "group", "attributes": {"files": files, "sha256": _digest(files)}}
    (store / FILE).parent.mkdir()
    (store / FILE).write_text(json.dumps(content))


def read_manifest(store: Path) -> Manifest:
    """The list of a store.

    Raises:
        StorageError: there is none, or it is damaged.
    """
    try:
        attributes = json.loads((store / FILE).read_bytes())["attributes"]
        files = {name: Entry(*entry) for name, entry in attributes["files"].items()}
        sound = attributes["sha256"] == _digest(files)
    except FileNotFoundError:
        raise StorageError(
            f"{store}: {FILE} is missing, which lists the files of a store; write it anew (dvc repro), make a store of "
            f"what another program has copied or cut from one (python -m storage adopt {store} NEW.zarr), or import "
            "other CSI (kind: zarr)"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(f"{store}: {FILE} is damaged: {first_line(error)}") from None
    if not sound:
        raise StorageError(f"{store}: {FILE} is damaged: its digest is not that of its list")
    return files


def require_files(store: Path, manifest: Manifest) -> None:
    """Refuse a store with one of `faults`; digests of the data, which take as long as reading it, are not computed.

    Raises:
        StorageError: with the first fault, and how many more there are.
    """
    found = list(faults(store, manifest))
    if found:
        more = f", and {len(found) - 1} more faults" if found[1:] else ""
        told = f"python -m storage check {store} names what is lost"
        if sum(is_metadata(place) for place, _ in found) > 1:
            # Damage hits one file; who appends writes anew what describes each variable.
            told += f"; python -m storage adopt {store} NEW.zarr makes a store of what another program has changed"
        raise StorageError(f"{store}: {' '.join(found[0])}{more} ({told})")


def faults(store: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What is missing or too much, has another size, or is metadata that were changed: (place in the store, fault).

    A variable that is missing or too much as a whole is one fault.
    """
    found = dict(_files(store))
    found.pop(FILE, None)
    tops = {_top(name) for name in found}, {_top(name) for name in manifest}
    for top in sorted(tops[1] - tops[0]):
        yield top, "is missing"
    for name, entry in manifest.items():
        if name in found:
            if found[name] != entry.size:
                yield name, f"has {found[name]} bytes, expected {entry.size}"
            elif is_metadata(name) and not is_as_written(store, manifest, name):
                yield name, CHANGED
        elif _top(name) in tops[0]:
            yield name, "is missing"
    strange = found.keys() - manifest.keys()
    for name in sorted({name if _top(name) in tops[1] else _top(name) for name in strange}):
        yield name, "does not belong to the store, move it elsewhere"


def is_metadata(name: str) -> bool:
    """Whether a file describes a variable or the store."""
    return name.rpartition("/")[2] == METADATA


def is_as_written(store: Path, manifest: Manifest, name: str) -> bool:
    """Whether a file is there with the size and the digest that are listed."""
    file, entry = store / name, manifest.get(name)
    try:
        return entry is not None and file.stat().st_size == entry.size and sha256(file) == entry.sha256
    except OSError:
        return False


def _top(name: str) -> str:
    return name.partition("/")[0]


def _digest(files: Manifest) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _files(folder: Path, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Place and size of every file; of a link those of the file behind it, for DVC may put links there."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                try:
                    size = entry.stat().st_size
                except FileNotFoundError:
                    continue  # a link that leads nowhere is no file
                yield f"{prefix}{entry.name}", size
