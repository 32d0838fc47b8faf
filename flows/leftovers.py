"""What stages have written that the DAG does not have any more: `python -m flows.leftovers [--remove]`.

An entry that leaves params.yaml takes its stages with it, not what they have written, nor their entries in dvc.lock.
Nothing reads these outputs; they take room, and count where a stage depends on a whole folder, such as data/csi, so
that the stages inputs, compare, register and report run once more when they come or go. No training depends on them.
Removed outputs come back from DVC's cache when their entry does.
"""

import argparse
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from flows.lock_file import LockFile
from stages.running import beside_no_run
from storage.digests import digest
from storage.errors import StorageError
from wavefoundry.errors import InputError

DVC_LOCK = Path("dvc.lock")
# Paths that a line lists.
LISTED = 3


def leftovers(repo, lock_file: LockFile) -> dict[Path, str]:
    """Outputs in dvc.lock whose stage is gone and that are still there, with the md5 that dvc.lock has of each.

    Args:
        repo: DVC's, of the current folder.
        lock_file: its dvc.lock.
    """
    stages = {stage.addressing for stage in repo.index.stages}
    current = [Path(out.fs_path) for out in repo.index.outs]
    recorded = {path: md5 for name in lock_file.names() if name not in stages for path, md5 in lock_file.outputs(name)}
    return {path: md5 for path, md5 in recorded.items() if path.exists() and not _concerns(path.absolute(), current)}


def in_a_line(paths: Collection[Path]) -> str:
    """What a run says of leftovers."""
    listed = ", ".join(str(path) for path in list(paths)[:LISTED])
    more = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    return f"left over from entries that params.yaml does not have any more: {listed}{more} (python -m flows.leftovers)"


def remove(found: dict[Path, str]) -> list[Path]:
    """Remove leftovers, but for those that are not as dvc.lock has them any more; returns the latter."""
    changed = []
    for path, md5 in found.items():
        if digest(path) != md5:
            changed.append(path)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return changed


def _concerns(path: Path, current: Collection[Path]) -> bool:
    """Whether an output that a stage of today writes is this path, lies in it or around it."""
    return any(path.is_relative_to(other) or other.is_relative_to(path) for other in current)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.leftovers", description=__doc__.splitlines()[0])
    parser.add_argument("--remove", action="store_true", help="remove what is listed otherwise")
    arguments = parser.parse_args()
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(".") as repo, beside_no_run():
            found = leftovers(repo, LockFile(DVC_LOCK))
            changed = remove(found) if arguments.remove else []
    except (DvcException, InputError, StorageError) as error:
        sys.exit(str(error))
    for path in found:
        print(f"kept, for it is not what dvc.lock has: {path}" if path in changed else path)
    gone = len(found) - len(changed)
    print(f"removed: {gone}" if arguments.remove else f"{len(found)} left over; --remove removes them")


if __name__ == "__main__":
    main()
