"""The frame of every stage: inputs checked, one MLflow run, no partial outputs, faults of the user in one line.

@clear_errors()
def main() -> None:
    params = read()
    with stage("csi@munich", section=params.angle_delay, dependencies=[...], outputs=[...]) as run:
        ...
"""

import gc
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from storage.digests import digest
from storage.errors import StorageError
from storage.tracking import Run
from wavefoundry.errors import InputError

USER_FAULTS = (InputError, StorageError)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn a fault that the user can mend into one message on stderr and exit code 1."""
    try:
        yield
    except USER_FAULTS as error:
        sys.exit(str(error))


@contextmanager
def stage(
    name: str, *, section: BaseModel | dict | None, dependencies: Sequence[Path], outputs: Sequence[Path]
) -> Iterator[Run]:
    """Run the body as DVC stage `name`.

    Records one MLflow run: name and tag `dvc.stage`, `git.commit`, the parameters of `section` as dotted keys, and at
    the end the md5 of every dependency and output as DVC computes it. When the body fails, its outputs are removed.

    Args:
        name: as in dvc.yaml, such as "csi@munich".
        section: the part of params.yaml that the stage reads.
        dependencies: files and folders that must exist.
        outputs: files and folders that the body writes.

    Raises:
        SystemExit: code 1 after one message on stderr, on a missing dependency or output, and on InputError or
            StorageError in the body. Other errors pass through.
    """
    with clear_errors():
        _require(dependencies, f"{name}: dependency", "run the stages before it (dvc repro)")
        run = Run(name, flatten(section), {"dvc.stage": name, "git.commit": git_commit()})
        try:
            yield run
            _require(outputs, f"{name}: output", "the stage must write it")
        except BaseException as error:
            _remove(outputs)
            run.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        run.set_tags(
            {f"dependency {path}": digest(path) for path in dependencies}
            | {f"output {path}": digest(path) for path in outputs}
        )
        run.end("FINISHED")
    # Collecting the garbage of large libraries one last time would cost most of a second at exit.
    gc.freeze()


def flatten(section: BaseModel | dict | None, prefix: str = "") -> dict[str, Any]:
    """{"training": {"epochs": 3}} -> {"training.epochs": 3}; lists stay values."""
    mapping = section.model_dump() if isinstance(section, BaseModel) else section or {}
    flat = {}
    for key, value in mapping.items():
        if isinstance(value, (BaseModel, dict)):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def git_commit() -> str:
    """The commit that is checked out, "unknown" outside a git repository."""
    try:
        result = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    except OSError:
        return "unknown"
    return result.stdout.strip() if result.returncode == 0 else "unknown"


def _require(paths: Sequence[Path], what: str, remedy: str) -> None:
    for path in paths:
        if not Path(path).exists():
            raise StorageError(f"{what} {path} does not exist; {remedy}")


def _remove(paths: Sequence[Path]) -> None:
    for path in map(Path, paths):
        for victim in (path, path.with_name(f".{path.name}.partial")):
            if victim.is_dir() and not victim.is_symlink():
                shutil.rmtree(victim, ignore_errors=True)
            else:
                victim.unlink(missing_ok=True)
