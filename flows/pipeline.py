"""The DAG of dvc.yaml under Prefect: `python -m flows.pipeline [TARGET ...] [--parallel N]`.

One task for each DVC stage, with DVC's own dependencies; independent stages run at the same time, as processes on this
machine. dvc.lock ends up as after `dvc repro`. A stage that is up to date ends as "Cached" without starting a process.
Of those with the longest way to the end one is started first, and before them what has `first: true` in its `meta` in
dvc.yaml. Of the stages whose `meta` has the same `one_at_a_time`, one runs at a time; the word gpu counts where there
is one. A stage whose `meta` has `alone: true` runs while no other stage does, after those that are ready with it. On a
cluster (--scheduler) every stage has a machine of its own, and these two do not count.
When a stage fails, what depends on it does not run, other branches do; the next run continues from there. A stage that
was killed (no memory left, a lost machine) is tried once more; one that ended by itself is not: stages are
deterministic. One run at a time: a second one waits. Without PREFECT_API_URL a temporary server on this machine is
used.
"""

import argparse
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, wait
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import NonNegativeInt, PositiveInt

from flows.bookkeeping import Bookkeeping, Node, UnknownTargetError, bookkeeping, check_dvc, plan
from flows.elsewhere import Elsewhere
from flows.leftovers import in_a_line
from flows.processes import Processes, StoppedError, end_politely
from flows.records import MLflowParent, tag_run
from flows.results import metrics_tables, stage_page
from flows.run_names import name_of_run
from flows.server import check_alive, check_server, temporary_server
from flows.servers import ServerError
from flows.workspace import FOLDER, name_of, workspace
from stages import dependencies, params
from stages.overlay import compose
from stages.running import alone
from storage.errors import StorageError
from storage.tracking.connection import require_folder
from wavefoundry.errors import InputError

# Stages that run at the same time.
PARALLEL = 2
# Lines of a failed stage that its error quotes.
QUOTED_LINES = 20
# From the death of a killed stage to its second try [s].
PAUSE = 10
# The name of a task's state whose process was killed by a signal.
KILLED = "Killed"
# What a stage prints about its MLflow run: the address, or the id where no server is named.
MLFLOW_LINE = re.compile(r"^MLflow run: (\S+)$")
# Stages are split off from one process with the libraries in memory; elsewhere those of the system do not bear a fork.
SPLIT_OFF = sys.platform == "linux"
# How often to look whether the server is still there, before a stage is started [s].
PULSE = 3.0
# In dvc.yaml, the one_at_a_time of what uses the GPU.
GPU = "gpu"
STUDIES = Path(__file__).parents[1] / "studies"
if TYPE_CHECKING:
    Study = str | None
else:
    # The names of the files, from which the Prefect UI lets one choose; without any, nothing but null is allowed.
    _names = sorted(path.stem for path in STUDIES.glob("*.yaml"))
    Study = Literal[*_names] | None if _names else None


def _was_killed(task, run, state: State) -> bool:
    return state.name == KILLED


def _run_name() -> str:
    return name_of_run(runtime.flow_run.parameters)


@task(
    task_run_name="{stage}", cache_policy=NO_CACHE, retries=1, retry_delay_seconds=PAUSE, retry_condition_fn=_was_killed
)
def run_stage(stage: str, book: Bookkeeping, processes: Processes | Elsewhere, parent: MLflowParent) -> State:
    """Bring one stage up to date, its dependencies being so; the message of a failure quotes its last lines."""
    from dvc.exceptions import DvcException

    logger = get_run_logger()
    last: deque[str] = deque(maxlen=QUOTED_LINES)
    mlflow_runs: list[str] = []

    def log(line: str) -> None:
        if processes.stopped:
            return  # how a command ends that is stopped helps nobody
        last.append(line)
        mlflow_runs.extend(MLFLOW_LINE.findall(line))
        logger.info(line)

    try:
        work = book.prepare(stage)
        if work is None:
            return Completed(name="Cached", message=f"{stage} is up to date")
        here = isinstance(processes, Processes)
        environment = work.environment | (parent.environment(work, here) if work.commands else {})
        for command in work.commands:
            if code := _run_command(command, work.folder, environment, log, processes, book, stage):
                name = KILLED if code > 128 else None
                return Failed(name=name, message=f"stage {stage} failed with exit code {code}:\n" + "\n".join(last))
        book.record(stage)
    except StoppedError:
        return Cancelled(message=f"{stage} was stopped")
    except (DvcException, StorageError, OSError) as error:
        return Failed(message=f"stage {stage} failed: {error}\n" + "\n".join(last))
    _show(stage, lambda: stage_page(book.outputs(stage), book.outputs(stage, metrics=True), mlflow_runs))
    return Completed(message=f"{stage} has run" if work.commands else f"{stage} was in DVC's run cache")


@flow(
    name="wavefoundry",
    flow_run_name=_run_name,
    task_runner=ThreadPoolTaskRunner(),  # type: ignore[arg-type]  # Prefect declares the futures that it gives too narrowly
)
def pipeline(
    targets: Sequence[str] = (),
    parallel: PositiveInt = PARALLEL,
    force: Sequence[str] = (),
    study: Study = None,
    scenarios: Sequence[str] = (),
    seed: NonNegativeInt | None = None,
    scheduler: str | None = None,
) -> State:
    """Bring the targets and all that they depend on up to date.

    With another study, scenarios or seed the run works in a folder of its own (.prefect/runs), with the parameters that
    come of it: params.yaml, dvc.lock and the results of the project stay as they are.

    Args:
        targets: Stages or groups of stages, such as csi@munich or csi; none: all stages.
        parallel: How many stages run at the same time.
        force: Stages or groups of stages that run, and all that depends on them, though they be up to date.
        study: A file of the folder studies, laid over params.yaml.
        scenarios: Those of the scenarios that are used; none named: all.
        seed: Of the data sets, in place of the one in params.yaml.
        scheduler: Address of a Dask cluster that runs the stages; its workers share the project's folder.

    Returns:
        Failed, with the last lines of every stage that failed, or Completed.
    """
    other = bool(study or scenarios or seed is not None)
    log = get_run_logger().warning
    try:
        # Everything is checked before anything is touched.
        check_dvc()
        overlay = STUDIES / f"{study}.yaml" if study else None
        text = compose(overlay, seed=seed, scenarios=scenarios) if other else None
        _check_dag(with_parameters=not other)
        with (
            alone(log),
            nullcontext() if text is None else workspace(name_of(study, scenarios, seed), text) as folder,
            bookkeeping(targets, log, force) as book,
        ):
            # A run of all stages as the project has them is one that watch.py need not start.
            tag_run(inputs=None if other or targets else book.inputs)
            if left := book.leftovers():
                log(in_a_line(left))
            if folder:
                _show("parameters", lambda: _about(folder, study, scenarios, seed))
            with closing(Elsewhere(scheduler) if scheduler else Processes(split_off=SPLIT_OFF)) as processes:
                return _bring_up_to_date(book, processes, parallel)
    except (InputError, UnknownTargetError, StorageError, OSError) as error:
        return Failed(message=str(error))


def _bring_up_to_date(book: Bookkeeping, processes: Processes | Elsewhere, parallel: int) -> State:
    with MLflowParent() as parent:
        states = _run(book, processes, parallel, parent)
        failures = [state for state in states if state.is_failed() or state.is_crashed()]
        if failures:
            return Failed(message="\n\n".join(str(state.message or state.name) for state in failures))
        book.finish()
        parent.status = "FINISHED"
    _show("metrics", metrics_tables)
    cached = sum(state.name == "Cached" for state in states)
    return Completed(message=f"stages run: {len(states) - cached}, up to date: {cached}")


def _run_command(command, folder, environment, log, processes, book: Bookkeeping, stage: str) -> int:
    """The exit code of one command of a stage; if it failed or was stopped, its outputs are as they were before."""
    try:
        code = processes.run(command, folder, environment, log)
    except StoppedError:
        book.discard(stage)
        raise
    if code:
        book.discard(stage)
    return code


def _about(folder: Path, study: str | None, scenarios: Sequence[str], seed: int | None) -> str:
    name = FOLDER / folder.name  # from the project's folder, and not from that of the run
    return f"""This run has other parameters than the project and works in a folder of its own, `{folder}`.

| parameter | here |
|---|---|
| study | {study or "as in params.yaml"} |
| scenarios | {", ".join(scenarios) or "as in params.yaml"} |
| seed | {"as in params.yaml" if seed is None else seed} |

To take its results over into the project: `cp {name}/params.yaml {name}/dvc.lock . && dvc checkout`.
"""


def _show(name: str, make_page: Callable[[], str]) -> None:
    """A page in the Prefect UI; a stage that is done is no failure because of it."""
    try:
        if page := make_page():
            create_markdown_artifact(key=re.sub("[^a-z0-9]+", "-", name.lower()), markdown=page, description=name)
    except Exception as error:
        get_run_logger().warning("the page of %s could not be stored: %s", name, error)


def _run(book: Bookkeeping, processes: Processes | Elsewhere, parallel: int, parent: MLflowParent) -> list[State]:
    """Final states of all stages; a task is submitted when its dependencies are done and there is room for it."""
    answered = time.monotonic()
    futures: dict[str, PrefectFuture] = {}
    running: dict[str, Node] = {}
    ended: SimpleQueue[str] = SimpleQueue()
    elsewhere, gpu = isinstance(processes, Elsewhere), has_gpu()
    waiting = by_way_to_the_end([with_marks_that_count(node, elsewhere, gpu) for node in book.nodes])

    def tell_end_of(name: str) -> Callable[[PrefectFuture], None]:
        return lambda _: ended.put(name)

    try:
        while waiting or running:
            while node := next_to_start(waiting, list(running.values()), futures.keys() - running.keys(), parallel):
                if time.monotonic() - answered >= PULSE:
                    check_alive()
                    answered = time.monotonic()
                before = [futures[name] for name in node.dependencies]
                future = run_stage.submit(node.name, book, processes, parent, wait_for=before, return_state=False)
                futures[node.name] = future
                running[node.name] = node
                waiting.remove(node)
                future.add_done_callback(tell_end_of(node.name))
            running.pop(ended.get())
    except Exception:
        # Nobody could see or cancel what follows: stages under way are completed and recorded, no more are started.
        wait(list(futures.values()))
        raise
    except BaseException:
        # A cancelled run leaves no stage behind.
        processes.stop()
        wait(list(futures.values()))
        raise
    wait(list(futures.values()))  # of a future that was not waited for, the server tells an older state
    return [futures[node.name].state for node in book.nodes]


def by_way_to_the_end(nodes: list[Node]) -> list[Node]:
    """Stages marked to be first, then those on which the longest chain of others waits, otherwise in their order."""
    chain = {node.name: 1 for node in nodes}
    for node in reversed(nodes):
        for name in node.dependencies:
            chain[name] = max(chain[name], chain[node.name] + 1)
    return sorted(nodes, key=lambda node: (not node.first, -chain[node.name]))


def with_marks_that_count(node: Node, elsewhere: bool, gpu: bool) -> Node:
    """A stage with those of its marks that count where it runs.

    Args:
        node: the stage as dvc.yaml has it.
        elsewhere: every stage has a machine of its own.
        gpu: this machine has one.
    """
    if elsewhere:
        return replace(node, one_at_a_time=None, alone=False)
    return node if gpu or node.one_at_a_time != GPU else replace(node, one_at_a_time=None)


def next_to_start(waiting: Sequence[Node], running: Sequence[Node], done: set[str], parallel: int) -> Node | None:
    """The stage to start now; None if the end of one that runs has to be waited for.

    Args:
        waiting: stages not yet started; of those that are ready, the first one is taken.
        running: stages under way.
        done: names of the stages that have ended.
        parallel: how many may run at the same time.
    """
    if len(running) >= parallel or any(node.alone for node in running):
        return None
    busy = {node.one_at_a_time for node in running} - {None}
    ready = [node for node in waiting if done.issuperset(node.dependencies) and node.one_at_a_time not in busy]
    beside = [node for node in ready if not node.alone]
    # A stage that runs alone lets the others go first, for it would keep cores idle before and while it runs.
    return next(iter(beside if running else beside + ready), None)


def has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__.splitlines()[0])
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help="stage or group of stages, such as csi@munich or csi; none: all"
    )
    parser.add_argument(
        "--parallel", type=_count, default=PARALLEL, metavar="N", help=f"stages at the same time (default: {PARALLEL})"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask cluster that runs the stages, its workers sharing this folder"
    )
    arguments = parser.parse_args()
    end_politely()
    try:
        _check_folder()
        _check_dag(with_parameters=True)
        require_folder()
        plan(arguments.targets)  # a mistyped target is told before a server starts
        check_server()
        with temporary_server():
            state = _pipeline(arguments)
    except (InputError, UnknownTargetError, ServerError, StorageError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("interrupted; run again to go on", file=sys.stderr, flush=True)
        os._exit(130)
    if not state.is_completed():
        sys.exit(state.message)
    print(state.message)


def _check_folder() -> None:
    if not os.access(".", os.W_OK):
        raise StorageError(f"{Path.cwd()}: nothing can be written here; a run needs its folder to be writable")


def _check_dag(with_parameters: bool) -> None:
    """Refuse what stage `params` refuses, whether or not that stage is up to date.

    What is wrong in params.yaml DVC would tell in words of its own, where dvc.yaml makes stages of it.

    Args:
        with_parameters: params.yaml, too, and not dvc.yaml alone.

    Raises:
        InputError: what is wrong.
    """
    if not dependencies.module_file("stages.params"):
        return  # the DAG has commands of others
    if with_parameters:
        params.read()
    dependencies.check()


def _pipeline(arguments: argparse.Namespace) -> State:
    try:
        return pipeline(arguments.targets, arguments.parallel, scheduler=arguments.scheduler, return_state=True)
    except Exception:
        try:
            check_alive()
        except ServerError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)  # Prefect would try for minutes to deliver its events
        raise


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, found {text!r}")
    return int(text)


if __name__ == "__main__":
    main()
