"""The DAG of dvc.yaml under Prefect: `python -m flows.pipeline [TARGET ...]`.

One task for each DVC stage, with DVC's own dependencies; a task does what `dvc repro --single-item STAGE` does. A stage
that is up to date ends as "Cached" without starting a process. When a stage fails, what depends on it does not run,
other branches do. Without PREFECT_API_URL a temporary server on this machine is used.
"""

import argparse
import io
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# Prefect reads it while it is imported.
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

# Lines of a failed stage that its error quotes.
QUOTED_LINES = 20
# A progress bar that redraws itself is logged this often [s].
PROGRESS_INTERVAL = 10.0


class UnknownTargetError(Exception):
    """A target is no stage of the DAG, or the DAG itself is not valid."""


@dataclass(frozen=True)
class Node:
    """A stage and the stages that must be done before it."""

    name: str
    dependencies: tuple[str, ...]


def plan(targets: Sequence[str] = ()) -> list[Node]:
    """The stages of the targets and all that they depend on, each after its dependencies; no target: all stages.

    Args:
        targets: as for `dvc repro`: stages or groups of stages ("csi@munich", "csi").

    Raises:
        UnknownTargetError: DVC knows no such target, or dvc.yaml is not valid.
    """
    import networkx
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(".") as repo:
            graph = repo.index.graph
            wanted = {stage for target in targets or [None] for stage in repo.stage.collect(target, with_deps=True)}
            order = {stage: position for position, stage in enumerate(repo.index.stages)}
    except DvcException as error:
        raise UnknownTargetError(str(error)) from error
    # DVC's edges point from a stage to what it depends on.
    forward = graph.subgraph(wanted).reverse()
    return [
        Node(stage.addressing, tuple(dependency.addressing for dependency in sorted(graph[stage], key=order.get)))
        for stage in networkx.lexicographical_topological_sort(forward, key=order.get)
    ]


def is_up_to_date(stage: str) -> bool:
    """Whether DVC finds command, parameters, dependencies and outputs of the stage as dvc.lock says."""
    from dvc.repo import Repo

    with Repo(".") as repo:
        return not repo.status([stage])


@task(task_run_name="{stage}", cache_policy=NO_CACHE)
def run_stage(stage: str) -> State:
    """Bring one stage up to date, its dependencies being so; the message of a failure quotes its last lines."""
    if is_up_to_date(stage):
        return Completed(name="Cached", message=f"{stage} is up to date")
    logger = get_run_logger()
    last = deque(maxlen=QUOTED_LINES)
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", stage]
    # Stages find this environment's python and say at once what they print.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as process:
        try:
            # newline="": a line may end at "\r" too, and keeps its end.
            for line in readable_lines(io.TextIOWrapper(process.stdout, errors="replace", newline="")):
                last.append(line)
                logger.info(line)
        except BaseException:
            # A cancelled task leaves no stage behind.
            process.terminate()
            raise
    if process.returncode:
        message = f"stage {stage} failed with exit code {process.returncode}:\n" + "\n".join(last)
        return Failed(message=message)
    return Completed(message=f"{stage} has run")


def readable_lines(stream: IO[str]) -> Iterator[str]:
    """Lines of a process as they come; of a progress bar that redraws one line, a state every PROGRESS_INTERVAL."""
    shown = time.monotonic()
    # With newline="" a line ends at "\r" too and keeps its end.
    for line in stream:
        text = line.strip()
        redrawn = line.endswith("\r")
        if text and (not redrawn or time.monotonic() - shown >= PROGRESS_INTERVAL):
            shown = time.monotonic()
            yield text


@flow(name="wavefoundry", task_runner=ThreadPoolTaskRunner(max_workers=1))
def pipeline(targets: Sequence[str] = ()) -> State:
    """Bring the targets and all that they depend on up to date.

    Returns:
        Failed, with the last lines of every stage that failed, or Completed.

    Raises:
        UnknownTargetError: DVC knows no such target.
    """
    futures = {}
    for node in plan(targets):
        futures[node.name] = run_stage.submit(node.name, wait_for=[futures[name] for name in node.dependencies])
    wait(list(futures.values()))
    failures = [future.state for future in futures.values() if future.state.is_failed() or future.state.is_crashed()]
    if failures:
        return Failed(message="\n\n".join(state.message or state.name for state in failures))
    if table := metrics_table():
        create_markdown_artifact(key="metrics", markdown=table, description="DVC metrics after the run")
    cached = sum(future.state.name == "Cached" for future in futures.values())
    return Completed(message=f"stages run: {len(futures) - cached}, up to date: {cached}")


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
    targets = parser.parse_args().targets
    try:
        plan(targets)  # a mistyped target is told before a server starts
    except UnknownTargetError as error:
        sys.exit(str(error))
    state = pipeline(targets, return_state=True)
    if not state.is_completed():
        sys.exit(state.message)
    print(state.message)


if __name__ == "__main__":
    main()
