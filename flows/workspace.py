"""A folder of its own for a run with other parameters: the project's folder, params.yaml and dvc.lock stay as they are.

The folder is a copy of the project's files beside DVC's outputs, with the same cache: what such a run has in common
with earlier ones comes from there, as links, and the results of both are kept in one place.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from hashlib import md5
from pathlib import Path

from flows.leftovers import DVC_LOCK, leftovers
from flows.lock_file import LockFile
from stages.trials import OWN_PARAMETERS
from storage.tracking import connection as tracking

FOLDER = Path(".prefect/runs")
# Longer lists of scenarios are named by a digest.
LONGEST = 60


@contextmanager
def workspace(name: str, parameters: str) -> Iterator[Path]:
    """Work in the folder of a run; one that was there is made anew, but for its checkpoints.

    Args:
        name: of the folder, in FOLDER.
        parameters: the text of its params.yaml.
    """
    folder = (FOLDER / name).absolute()
    _copy_project(folder)
    (folder / "params.yaml").write_text(parameters)
    # Records of all runs are in one database, the project's.
    tracking.experiment_id(tracking.client())
    settings = {"MLFLOW_TRACKING_URI": tracking.tracking_uri(), OWN_PARAMETERS: name}
    before = {key: os.environ.get(key) for key in settings}
    os.environ |= settings
    try:
        with chdir(folder):
            yield folder
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def name_of(study: str | None, scenarios: Sequence[str], seed: int | None) -> str:
    """Equal for equal parameters, so that a run continues where the one before it broke off."""
    listed = "+".join(scenarios)
    if len(listed) > LONGEST:
        listed = md5(listed.encode()).hexdigest()[:8]
    return "_".join(filter(None, [study, listed, None if seed is None else f"seed-{seed}"]))


def _copy_project(folder: Path) -> None:
    from dvc.config import Config
    from dvc.repo import Repo

    with Repo(".") as repo:
        outputs = {out.fs_path for out in repo.index.outs}
        outputs |= {str(path.absolute()) for path in leftovers(repo, LockFile(DVC_LOCK))}
        cache = repo.cache.local_cache_dir
    project = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if not _is_hidden_folder(old):
            shutil.rmtree(old) if old.is_dir() else old.unlink()

    def left_out(inside: str, names: list[str]) -> list[str]:
        left = {"__pycache__"} | {name for name in names if os.path.join(inside, name) in outputs}
        top = Path(inside) == project
        return [name for name in names if name in left or (top and _is_hidden_folder(project / name))]

    shutil.copytree(project, folder, ignore=left_out, dirs_exist_ok=True)
    (folder / ".dvc").mkdir(exist_ok=True)
    for name in ("config", "config.local"):
        if Path(".dvc", name).exists():
            shutil.copy(Path(".dvc", name), folder / ".dvc")
    with Config(str(folder / ".dvc")).edit("local") as settings:
        # Links to the cache take no room; stages replace their outputs and never write into them.
        settings["cache"] |= {"dir": cache, "type": ["reflink", "hardlink", "copy"]}
        settings["core"] |= {"no_scm": True}


def _is_hidden_folder(path: Path) -> bool:
    """Databases, caches and the environment: nothing that a stage reads."""
    return path.name.startswith(".") and path.is_dir()
