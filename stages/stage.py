"""The frame of every stage: inputs checked, one MLflow run, no partial outputs, faults of the user in one line.

@clear_errors()
def main() -> None:
    params = read()
    with stage("csi@munich", section=params.angle_delay, dependencies=[...], outputs=[...]) as run:
        ...
"""

import gc
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stages.trials import experiment
from storage.digests import digest
from storage.errors import StorageError, disk_fault
from storage.git import head
from storage.tracking.connection import tracking_uri
from storage.tracking.runs import Run
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
    name: str,
    *,
    section: BaseModel | dict | None,
    dependencies: Sequence[Path],
    outputs: Sequence[Path],
    keep: bool = False,
) -> Iterator[Run]:
    """Run the body as DVC stage `name`.

    Records one MLflow run: name and tag `dvc.stage`, `git.commit`, the name of the experiment (`dvc exp run`), the
    parameters of `section` as dotted keys, and at the end the md5 of every dependency and output as DVC computes it:
    as tags, stores also as the run's data sets, model folders as its models. When the body fails, its outputs are
    removed, unless they are to be kept.

    Args:
        name: as in dvc.yaml, such as "csi@munich".
        section: the part of params.yaml that the stage reads.
        dependencies: files and folders that must exist.
        outputs: files and folders that the body writes.
        keep: the body replaces each output as a whole, so that those of an earlier run outlive one that fails; in
            dvc.yaml such outputs have `persist: true`.

    Raises:
        SystemExit: code 1 after one message on stderr, on a missing dependency or output, a folder that cannot hold the
            record, on InputError or StorageError in the body, and where it has no room or no right to write. Other
            errors pass through.
    """
    with clear_errors():
        _require(dependencies, f"{name}: dependency", "run the stages before it (dvc repro)")
        tracking_uri()  # whether there can be one
        run = _begin(name, section)
        try:
            yield run
            _require(outputs, f"{name}: output", "the stage must write it")
        except BaseException as error:
            if not keep:
                _remove(outputs)
            run.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            if not isinstance(error, USER_FAULTS) and (reason := disk_fault(error)):
                raise StorageError(f"{name}: it cannot write ({reason}); mend that, and run it again") from error
            raise
        _record_files(run, dependencies, outputs)
        run.end("FINISHED")
    # Collecting the garbage of large libraries one last time would cost most of a second at exit.
    gc.freeze()


def _begin(name: str, section: BaseModel | dict | None) -> Run:
    tags = {"dvc.stage": name, "git.commit": head().get("commit", "unknown")}
    if tried := experiment():
        return Run(f"{name} ({tried})", flatten(section), tags | {"dvc.experiment": tried})
    return Run(name, flatten(section), tags)


def _record_files(run: Run, dependencies: Sequence[Path], outputs: Sequence[Path]) -> None:
    read = {str(path): digest(path) for path in dependencies}
    written = {str(path): digest(path) for path in outputs}
    run.set_tags(
        {f"dependency {path}": md5 for path, md5 in read.items()}
        | {f"output {path}": md5 for path, md5 in written.items()}
    )
    models = {str(folder): read.get(str(folder)) or digest(folder) for path in read for folder in _models(Path(path))}
    stores = {path: md5 for path, md5 in read.items() if Path(path).suffix == ".zarr"}
    if stores or models:
        run.log_inputs(stores, models)
    made = {str(folder): digest(folder) for path in written for folder in _models(Path(path))}
    if made:
        run.log_outputs(made)


def _models(path: Path) -> list[Path]:
    """The model folders at or below a path."""
    return sorted(weights.parent for weights in path.rglob("model.safetensors")) if path.is_dir() else []


def flatten(section: BaseModel | dict | None, prefix: str = "") -> dict[str, Any]:
    """{"training": {"epochs": 3}} -> {"training.epochs": 3}; lists stay values."""
    mapping = section.model_dump() if isinstance(section, BaseModel) else section or {}
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, (BaseModel, dict)):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


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
                # What cannot be removed is no reason to hide why it should be.
                with suppress(OSError):
                    victim.unlink()
