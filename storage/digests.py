"""Digests: the md5 of files and folders as DVC computes it, for records and dvc.lock, and the SHA-256 of a file."""

import hashlib
import json
import os
from pathlib import Path

from storage.errors import StorageError

IGNORE_FILE = Path(".dvcignore")
# What DVC ignores without being asked.
ALWAYS_IGNORED = (".hg/", ".git/", ".git", ".dvc/")


def digest(path: Path) -> str:
    """The md5 of a file, or of a folder: then the md5 of its sorted JSON list of files, with the suffix ".dir".

    Files that the .dvcignore of the working directory names do not count.

    Raises:
        StorageError: nothing lies there.
    """
    path = Path(path)
    if path.is_dir():
        return _folder_digest(path)
    if not path.exists():
        raise StorageError(f"{path}: no such file or folder")
    return _file_digest(path)


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _folder_digest(folder: Path) -> str:
    ignored = _ignored_patterns()
    entries = []
    for root, folders, files in os.walk(folder):
        base = Path(root)
        folders[:] = [name for name in folders if not ignored(base / name, "/")]
        entries += [
            {"md5": _file_digest(base / name), "relpath": (base / name).relative_to(folder).as_posix()}
            for name in files
            if not ignored(base / name, "")
        ]
    entries.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def _ignored_patterns():
    from pathspec import GitIgnoreSpec

    lines = IGNORE_FILE.read_text().splitlines() if IGNORE_FILE.exists() else []
    patterns = GitIgnoreSpec.from_lines([*ALWAYS_IGNORED, *lines])
    top = Path.cwd()

    def ignored(path: Path, mark: str) -> bool:
        absolute = path.absolute()
        # Patterns are relative to the folder of the .dvcignore and say nothing of what lies outside.
        return absolute.is_relative_to(top) and patterns.match_file(absolute.relative_to(top).as_posix() + mark)

    return ignored
