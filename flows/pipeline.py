"""The DAG of dvc.yaml under Prefect: `python -m flows.pipeline [TARGET ...] [--parallel N]`.

One task for each DVC stage, with DVC's own dependencies; independent stages run at the same time, as processes on this
machine. dvc.lock ends up as after `dvc repro`. A stage that is up to date ends as "Cached" without starting a process.
Of the stages whose `meta` in dvc.yaml has the same `one_at_a_time` (training), one runs at a time.
When a stage fails, what depends on it does not run, other branches do; the next run continues from there. Nothing is
tried a second time: stages are deterministic. Without PREFECT_API_URL a temporary server on this machine is used.
"""

import argparse
import os
import sys
from collections import deque
from collections.abc import Sequence
from functools import cache
from queue import SimpleQueue

# Prefect reads it while it is imported.
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import PositiveInt

from flows.bookkeeping import Bookkeeping, UnknownTargetError, bookkeeping, plan
from flows.processes import Processes, end_with_this_process

# Stages that run at the same time.
PARALLEL = 2
# Lines of a failed stage that its error quotes.
QUOTED_LINES = 20


@task(task_run_name="{stage}", cache_policy=NO_CACHE)
def run_stage(stage: str, book: Bookkeeping, processes: Processes) -> State:
    """Bring one stage up to date, its dependencies being so; the message of a failure quotes its last lines."""
    from dvc.exceptions import DvcException

    logger = get_run_logger()
    last = deque(maxlen=QUOTED_LINES)

    def log(line: str) -> None:
        last.append(line)
        logger.info(line)

    try:
        work = book.prepare(stage)
        if work is None:
            return Completed(name="Cached", message=f"{stage} is up to date")
        for command in work.commands:
            if code := processes.run(command, work.folder, work.environment, log):
                return Failed(message=f"stage {stage} failed with exit code {code}:\n" + "\n".join(last))
        book.record(stage)
    except DvcException as error:
        return Failed(message=f"stage {stage} failed: {error}\n" + "\n".join(last))
    return Completed(message=f"{stage} has run" if work.commands else f"{stage} was in DVC's run cache")


@flow(name="wavefoundry", task_runner=ThreadPoolTaskRunner())
def pipeline(targets: Sequence[str] = (), parallel: PositiveInt = PARALLEL) -> State:
    """Bring the targets and all that they depend on up to date.

    Args:
        targets: as for `dvc repro`; none: all stages.
        parallel: how many stages run at the same time.

    Returns:
        Failed, with the last lines of every stage that failed, or Completed.

    Raises:
        UnknownTargetError: DVC knows no such target.
    """
    _tie_temporary_server()
    with bookkeeping(targets, get_run_logger().warning) as book:
        states = _run(book, parallel)
        failures = [state for state in states if state.is_failed() or state.is_crashed()]
        if failures:
            return Failed(message="\n\n".join(state.message or state.name for state in failures))
        book.finish()
    if table := metrics_table():
        create_markdown_artifact(key="metrics", markdown=table, description="DVC metrics after the run")
    cached = sum(state.name == "Cached" for state in states)
    return Completed(message=f"stages run: {len(states) - cached}, up to date: {cached}")


@cache
def _tie_temporary_server() -> None:
    """Prefect stops the server that it started for this process, unless this process is killed."""
    import psutil

    for child in psutil.Process().children():
        if "uvicorn" in child.cmdline():
            end_with_this_process(child.pid)


def _run(book: Bookkeeping, parallel: int) -> list[State]:
    """Final states of all stages; a task is submitted when its dependencies are done and there is room for it."""
    processes = Processes()
    futures: dict[str, PrefectFuture] = {}
    waiting, running, ended = list(book.nodes), {}, SimpleQueue()
    try:
        while waiting or running:
            for node in list(waiting):
                busy = {other.one_at_a_time for other in running.values()} - {None}
                done = futures.keys() - running.keys()
                if len(running) < parallel and node.one_at_a_time not in busy and done.issuperset(node.dependencies):
                    future = run_stage.submit(
                        node.name, book, processes, wait_for=[futures[name] for name in node.dependencies]
                    )
                    futures[node.name] = future
                    running[node.name] = node
                    waiting.remove(node)
                    future.add_done_callback(lambda _, name=node.name: ended.put(name))
            running.pop(ended.get())
    except BaseException:
        # A cancelled run leaves no stage behind.
        processes.stop()
        wait(list(futures.values()))
        raise
    wait(list(futures.values()))  # of a future that was not waited for, the server tells an older state
    return [futures[node.name].state for node in book.nodes]


def metrics_table() -> str:
    """DVC's metrics as one Markdown table a file; the first key of a metric names the row, the rest the column."""
    from dvc.repo import Repo

    with Repo(".") as repo:
        files = repo.metrics.show().get("", {}).get("data", {})
    tables = []
    for name, content in files.items():
        rows = {key: _flat(value) for key, value in content.get("data", {}).items()}
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        lines = [f"| {name} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        lines += [f"| {key} | {' | '.join(str(row.get(c, '')) for c in columns)} |" for key, row in rows.items()]
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _flat(value, prefix: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix or "value": value}
    return {
        column: number
        for key, part in value.items()
        for column, number in _flat(part, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__.splitlines()[0])
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help="stage or group of stages, such as csi@munich or csi; none: all"
    )
    parser.add_argument(
        "--parallel", type=_count, default=PARALLEL, metavar="N", help=f"stages at the same time (default: {PARALLEL})"
    )
    arguments = parser.parse_args()
    try:
        plan(arguments.targets)  # a mistyped target is told before a server starts
    except UnknownTargetError as error:
        sys.exit(str(error))
    state = pipeline(arguments.targets, arguments.parallel, return_state=True)
    if not state.is_completed():
        sys.exit(state.message)
    print(state.message)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, found {text!r}")
    return int(text)


if __name__ == "__main__":
    main()
