"""DVC's side of a run with stages in parallel: what is up to date, and what goes into dvc.lock.

One `Bookkeeping` speaks with DVC for all stages of a run, one call at a time; only the stages' commands run side by
side. It does what `dvc repro` does around a command (dvc.stage.Stage.run, dvc.repo.reproduce), with three differences:

- DVC's repository lock is held for moments only and left free in between, so that `dvc status` beside gets it in
  time; it is waited for as long as it takes.
- Outputs are marked in DVC's rwlock file as being read, for the whole run: who reads them, too, is let in
  (`dvc status`), who would write them is not (`dvc repro`, `dvc commit`, `dvc checkout`; another run waits).
- An entry of dvc.lock is written at once or not at all (storage/replacement.py), at the place where a serial run has
  it.

No entry is lost: dvc.lock is read, changed and replaced by this process alone, under the repository lock that every
other DVC command needs for writing it.

The functions of DVC that are called here are not meant for others and change with its versions: DVC_VERSION is the one
that they were read in, and any other one is refused.
"""

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flows.leftovers import leftovers
from flows.lock_file import LockFile
from storage.replacement import replace_file

# The version whose own functions are called here; pyproject.toml asks for the same.
DVC_VERSION = "3.67.1"
# Who waits for DVC's repository lock asks for it every 0.5 s, and gives up after 3 s (dvc.lock). The lock is left free
# for LEFT_FREE at least when it was held, with shorter pauses, for BUSY [s].
LEFT_FREE = 0.7
BUSY = 1.5
# How often to look whether others have finished with the outputs [s].
RETRY_INTERVAL = 1.0
# In .dvc/tmp: the entries that dvc.lock had before a run that has not yet reached its end.
UNFINISHED = "unfinished_run.json"


class UnknownTargetError(Exception):
    """There is nothing that could be run: a target is no stage of the DAG, or the DAG itself cannot be read."""


class DVCVersionError(UnknownTargetError):
    """The DVC that is installed is not the one that this file was written for; nothing was touched."""


@dataclass(frozen=True)
class Node:
    """A stage of the DAG, and what its `meta` in dvc.yaml says of others beside it.

    dependencies: the stages that must be done before it; one_at_a_time: the name of what only one stage at a time may
    use; alone: no other stage may run beside it; first: it is started before others that are ready too.
    """

    name: str
    dependencies: tuple[str, ...]
    one_at_a_time: str | None = None
    alone: bool = False
    first: bool = False


@dataclass(frozen=True)
class Changes:
    """What is not as dvc.lock has it.

    causes: of every stage whose own inputs, command or outputs are others, what is; affected: these stages and all that
    depend on them, in the order of `dvc repro`; inputs: a digest of all that no stage makes (files, code, parameters).
    """

    causes: dict[str, tuple[str, ...]]
    affected: tuple[str, ...]
    inputs: str


@dataclass(frozen=True)
class Work:
    """What must be run for a stage."""

    commands: tuple[tuple[str, ...], ...]
    folder: str
    environment: dict[str, str]


def check_dvc() -> None:
    """Make sure that DVC is of the version that this file was written for.

    Raises:
        DVCVersionError: it is another one, or is not installed.
    """
    try:
        found = f"version {version('dvc')}"
    except PackageNotFoundError:
        found = "no version"
    if found != f"version {DVC_VERSION}":
        raise DVCVersionError(
            f"dvc: found {found}, allowed: {DVC_VERSION}, for which flows/bookkeeping.py was written; "
            f"run: {sys.executable} -m pip install dvc=={DVC_VERSION}"
        )


def plan(targets: Sequence[str] = (), force: Sequence[str] = ()) -> list[Node]:
    """The stages of the targets and all that they depend on, in the order of `dvc repro`; no target: all stages.

    Args:
        targets: as for `dvc repro`: stages or groups of stages ("csi@munich", "csi"); a group may have no entries.
        force: as for `bookkeeping`; only checked.

    Raises:
        UnknownTargetError: DVC knows no such target, dvc.yaml is not valid, or DVC is of another version.
    """
    with _open_repo() as (repo, moment), moment():
        nodes = _nodes(*_collect(repo, targets))
        _forced(repo, nodes, force)
        return nodes


def changes() -> Changes:
    """What a run of all stages would find changed; everything in dvc.lock being up to date, nothing.

    Raises:
        UnknownTargetError: dvc.yaml is not valid, or DVC is of another version.
    """
    with _open_repo() as (repo, moment), moment():
        stages, graph = _collect(repo, ())
        causes = {stage.addressing: found for stage in stages if (found := _causes(stage))}
        return Changes(causes, _followers(_nodes(stages, graph), set(causes)), _inputs(stages))


@contextmanager
def bookkeeping(
    targets: Sequence[str], log: Callable[[str], None], force: Sequence[str] = ()
) -> Iterator["Bookkeeping"]:
    """The bookkeeping of one run; waits until nobody else writes the outputs of its stages.

    Args:
        targets: as for `plan`.
        log: told, once, why the run has to wait.
        force: stages or groups of stages that run, and with them all that depends on them, though they be up to date.

    Raises:
        UnknownTargetError: as for `plan`.
        StorageError: DVC's own folder cannot be written.
    """
    from dvc.lock import LockError

    with _open_repo() as (repo, moment):
        reason = None
        while True:
            with moment():
                repo._reset()
                _forget_empty_run_caches(repo)
                stages, graph = _collect(repo, targets)
                reservation = _reservation(repo, stages)
                try:
                    reservation.__enter__()
                    nodes = _nodes(stages, graph)
                    inputs = _inputs(_collect(repo, ())[0])
                    book = Bookkeeping(repo, moment, stages, nodes, _forced(repo, nodes, force), inputs)
                    break
                except LockError as error:
                    if reason is None:
                        reason = str(error)
                        log(f"waiting for another process: {reason}")
            time.sleep(RETRY_INTERVAL)
        try:
            yield book
        finally:
            with moment():
                reservation.__exit__(None, None, None)


class Bookkeeping:
    """See the top of the file. Stages are those that dvc.yaml and dvc.lock describe when the run begins."""

    def __init__(self, repo, moment, stages: list, nodes: list[Node], forced: set[str], inputs: str):
        self.nodes = nodes
        self.inputs = inputs  # as Changes.inputs
        self._forced = forced
        self._repo = repo
        self._moment = moment
        self._one_by_one = threading.Lock()
        self._stages = {stage.addressing: stage for stage in stages}
        # Of stages whose commands have begun: the outputs that stood before and can be put back.
        self._stood: dict[str, list] = {}
        self._unfinished = Path(repo.tmp_dir) / UNFINISHED
        self._lock_files = {path: LockFile(Path(path)) for path in map(_lock_path, stages) if path}
        self._before = self._entries_before()
        replace_file(self._unfinished, json.dumps(self._before))

    def prepare(self, name: str) -> Work | None:
        """Make a stage ready to run, its dependencies being up to date; None if it is up to date itself.

        The Work is empty if DVC's run cache had the outputs, which are then in place.

        Raises:
            DvcException: a dependency is missing.
        """
        from dvc.stage.cache import RunCacheNotFoundError

        stage = self._stages[name]
        with self._one_by_one:
            # A second try, too: with the inputs of the first one and the outputs of dvc.lock, DVC would take the stage
            # for up to date.
            run_anyway = name in self._forced or name in self._stood
            if not run_anyway and not _changed(stage):
                return None
            if stage.frozen or not stage.cmd:
                with self._moment():
                    stage.run()
                return _work(stage, [])
            stood = [out for out in stage.outs if not out.persist and out.exists and not out.status()]
            with self._moment():  # nobody is looking at the outputs while they go
                stage.remove_outs(ignore_remove=False, force=False)
            try:
                if run_anyway:
                    raise RunCacheNotFoundError(stage)
                self._repo.stage_cache.restore(stage)
                return _work(stage, [])
            except RunCacheNotFoundError:
                # What the command is about to read is what its outputs are made of.
                stage.save_deps()
            self._stood.setdefault(name, stood)
            commands = stage.cmd if isinstance(stage.cmd, list) else stage.cmd.splitlines()
            return _work(stage, commands)

    def record(self, name: str) -> None:
        """Take a stage's outputs into DVC's cache and its entry into dvc.lock.

        Raises:
            DvcException: an output is missing.
        """
        stage = self._stages[name]
        with self._one_by_one, self._repo.scm_context(quiet=True) as context:
            self._repo._reset()
            stage.save_outs()
            stage.md5 = stage.compute_md5()
            if all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs):
                self._repo.stage_cache.save(stage)
            for out in stage.outs:
                out.commit(relink=False)  # what takes long
            with self._moment():
                stage.commit()
                if path := _lock_path(stage):
                    self._write_entry(stage, path)
                else:
                    stage.dump(update_pipeline=False)
            context.track_file(stage.dvcfile.relpath)

    def discard(self, name: str) -> None:
        """Remove what a stage that did not come to its end has left of its outputs, and put back what stood before.

        That is, where it was what dvc.lock has: DVC's cache holds it.

        Raises:
            DvcException: it cannot be put back.
        """
        with self._one_by_one:
            with self._moment():
                self._stages[name].remove_outs(ignore_remove=False, force=False)
            for out in self._stood.get(name, ()):
                out.checkout(force=True)

    def outputs(self, name: str, metrics: bool = False) -> list[Path]:
        """Files and folders that a stage writes; only its metrics."""
        return [Path(out.fs_path) for out in self._stages[name].outs if out.is_metric or not metrics]

    def leftovers(self) -> list[Path]:
        """What stages have written that the DAG does not have any more."""
        with self._one_by_one:
            return [path for lock_file in self._lock_files.values() for path in leftovers(self._repo, lock_file)]

    def finish(self) -> None:
        """All stages are up to date."""
        self._unfinished.unlink(missing_ok=True)

    def _entries_before(self) -> dict[str, list[str]]:
        """Names of the entries of each lock file when this run, or the broken-off one that it goes on with, began."""
        try:
            earlier = json.loads(self._unfinished.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            earlier = {}
        before = {}
        for path, lock_file in self._lock_files.items():
            now, names = lock_file.names(), earlier.get(path)
            before[path] = names if names is not None and now[: len(names)] == names else now
        return before

    def _write_entry(self, stage, path: str) -> None:
        """As Lockfile.dump of DVC; a new entry goes before those new ones that a serial run makes later."""
        from dvc.stage.serialize import to_lockfile

        order = [other.name for other in self._stages.values() if _lock_path(other) == path]
        later = set(order[order.index(stage.name) :]) - set(self._before[path])
        self._lock_files[path].put(stage.name, to_lockfile(stage)[stage.name], later)


@contextmanager
def _open_repo() -> Iterator[tuple]:
    """DVC's repository, and a function that makes contexts in which its lock is held."""
    check_dvc()
    from dvc.lock import LockNoop, make_lock
    from dvc.repo import Repo

    with Repo(".") as repo:
        lock = make_lock(
            os.path.join(repo.tmp_dir, "lock"),
            tmp_dir=repo.tmp_dir,
            hardlink_lock=repo.config["core"].get("hardlink_lock", False),
            wait=True,
        )
        # Methods of stages insist on a lock that is held; what needs the real one takes it by itself.
        repo.lock = LockNoop()
        repo.lock.lock()
        yield repo, _Moments(lock).moment


class _Moments:
    """Holds a lock briefly, and so that others get their turn."""

    def __init__(self, lock):
        self._lock = lock
        self._busy_since = self._released = float("-inf")

    @contextmanager
    def moment(self) -> Iterator[None]:
        now = time.monotonic()
        free = now - self._released
        if free < LEFT_FREE and now - self._busy_since > BUSY:
            time.sleep(LEFT_FREE - free)
            free = LEFT_FREE
        if free >= LEFT_FREE:
            self._busy_since = time.monotonic()
        with self._lock:
            try:
                yield
            finally:
                self._released = time.monotonic()


def _collect(repo, targets: Sequence[str]) -> tuple[list, Any]:
    """Stages in the order in which `dvc repro` runs them, and their graph (networkx.DiGraph)."""
    from dvc.dvcfile import PROJECT_FILE
    from dvc.exceptions import DvcException
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    try:
        graph = get_active_graph(repo.index.graph)
        found = collect_stages(repo, list(targets) or [PROJECT_FILE])
        # Of no stages at all, such as those of a group without entries, DVC would make all stages.
        return plan_repro(graph, found) if found else [], graph
    except DvcException as error:
        raise UnknownTargetError(str(error)) from error


def _nodes(stages: list, graph) -> list[Node]:
    # DVC's edges point from a stage to what it depends on.
    order = {stage: place for place, stage in enumerate(stages)}
    return [
        Node(
            stage.addressing,
            tuple(dependency.addressing for dependency in sorted(graph[stage], key=order.__getitem__)),
            meta.get("one_at_a_time"),
            bool(meta.get("alone", False)),
            bool(meta.get("first", False)),
        )
        for stage in stages
        for meta in [stage.meta if isinstance(stage.meta, dict) else {}]
    ]


def _followers(nodes: list[Node], names: set[str]) -> tuple[str, ...]:
    """Those of the stages and all that depend on them, in order."""
    found = set(names)
    for node in nodes:
        if found.intersection(node.dependencies):
            found.add(node.name)
    return tuple(node.name for node in nodes if node.name in found)


def _forced(repo, nodes: list[Node], force: Sequence[str]) -> set[str]:
    asked = {stage.addressing for stage in _collect(repo, force)[0]} if force else set()
    # DVC adds what these depend on, which is not meant.
    named = {name for name in asked if name in force or name.partition("@")[0] in force}
    return set(_followers(nodes, named & {node.name for node in nodes}))


def _causes(stage) -> tuple[str, ...]:
    """Why a stage is not up to date by itself, as `dvc status` has it."""
    found = []
    if stage.changed_stage():
        found.append("command: changed or never run")
    if not stage.frozen:
        for dependency in stage.deps:
            for path, what in dependency.status().items():
                # Of parameters: by key.
                keys = what.items() if isinstance(what, dict) else [("", what)]
                found += [f"{path} {key} {word}".replace("  ", " ") for key, word in keys]
    found += [f"{path} {what}" for out in stage.outs for path, what in out.status().items()]
    return tuple(found)


def _inputs(stages: list) -> str:
    made = [out.fs_path for stage in stages for out in stage.outs]
    found = {}
    for stage in stages:
        found[stage.addressing] = str(stage.cmd)
        for dependency in stage.deps:
            path = dependency.fs_path
            if not any(_nested(path, other) or _nested(other, path) for other in made):
                key = f"{stage.addressing} {path}"
                found[key] = str(dependency.get_hash().value) if dependency.exists else "missing"
    return hashlib.md5(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _nested(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _reservation(repo, stages: list):
    """A context in which nobody else writes the stages' outputs; LockError on entering if somebody uses them."""
    from dvc.rwlock import rwlock

    @contextmanager
    def reservation() -> Iterator[None]:
        # The words by which DVC's own methods, called here, know this process (dvc.stage.decorators).
        known = (repo.tmp_dir, repo.fs, " ".join(sys.argv))
        hardlink = repo.config["core"].get("hardlink_lock", False)
        outputs = [out.fs_path for stage in stages for out in stage.outs]
        with rwlock(*known, [], outputs, hardlink):
            pass
        with rwlock(*known, outputs, [], hardlink):
            yield

    # A process that was killed while it wrote this file leaves it cut off, which DVC would refuse for ever.
    path = Path(repo.tmp_dir) / "rwlock"
    try:
        json.loads(path.read_text())
    except FileNotFoundError:
        pass
    except json.JSONDecodeError:
        path.unlink()
    return reservation()


def _forget_empty_run_caches(repo) -> None:
    """A process killed while it recorded a stage leaves a folder without an entry, over which DVC would stumble."""
    for folder in Path(repo.stage_cache.cache_dir).glob("*/*"):
        if not any(folder.iterdir()):
            folder.rmdir()


def _changed(stage) -> bool:
    """Stage.changed of DVC, without a mark in the rwlock file: the run has its own."""
    if stage.changed_stage():
        return True
    if not stage.frozen and (stage.is_callback or stage.always_changed or any(dep.status() for dep in stage.deps)):
        return True
    return any(out.status() for out in stage.outs)


def _work(stage, commands: Sequence[str]) -> Work:
    """Commands in the shell, folder and environment that DVC gives them; python is the one of this environment."""
    from dvc.stage.run import _make_cmd, get_executable, prepare_kwargs

    settings = prepare_kwargs(stage)
    environment = settings["env"] | {"PYTHONUNBUFFERED": "1"}
    path = environment.get("PATH", os.defpath)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    # Threads that wait for work must not keep a core busy that another stage needs.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return Work(
        tuple(tuple(_make_cmd(get_executable(), command)) for command in commands), settings["cwd"], environment
    )


def _lock_path(stage) -> str | None:
    """The dvc.lock of a stage; one in a file of its own (.dvc) has none."""
    return str(stage.dvcfile._lockfile.path) if hasattr(stage, "name") else None
