"""Looks for changes of what the stages read and starts a run of the stages that these touch.

Served as a deployment that Prefect runs at an interval (flows/serve.py). What has changed is what `dvc status` says:
files of imported data sets, parameters, code, a new commit that brings any of them. The same inputs are tried once: a
run that failed or was cancelled is not started again until something changes.

In the list of runs stands what has been started, and the last look alone of those that found nothing to start.
"""

import time
from contextlib import suppress
from typing import cast

from prefect import flow, get_client, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed, State

from flows.bookkeeping import Changes, UnknownTargetError, changes
from flows.records import INPUTS, WHOLE, checked_out, flow_run
from flows.run_names import name_of_run
from stages.running import is_under_way

NAME = "watch"
DEPLOYMENT = "wavefoundry/full"
# Prefect's tag of a run that a schedule has planned.
PLANNED = "auto-scheduled"
# Records that one look removes at most: as many as Prefect tells at once.
AT_ONCE = 200
# States of looks that have started nothing; Prefect itself cancels a look while the one before it goes on.
UNCHANGED, SKIPPED, IN_THE_WAY = "Unchanged", "Skipped", "Cancelled"
# Nothing must change for so long before a run is started [s]: a copy under way, two edits in a row give one run.
QUIET = 5.0


@flow(name=NAME, flow_run_name="look for changes")
def watch() -> State:
    """Start a run of what changes touch, unless one is under way or nothing has changed."""
    from dvc.exceptions import DvcException

    _forget_looks()
    if is_under_way():
        return Completed(name=SKIPPED, message="a run is under way")
    try:
        found = _settled()
    except (UnknownTargetError, DvcException) as error:
        return Failed(message=f"what the stages read cannot be told: {error}")
    if not found.affected:
        return Completed(name=UNCHANGED, message="nothing has changed")
    last = _last_run()
    if last and INPUTS + found.inputs in last.tags:
        return Completed(
            name=SKIPPED,
            message=f"run {last.name} had the same inputs and is {last.state_name}; start one by hand to try again",
        )
    if _is_switched_off():
        return Completed(name=SKIPPED, message="the schedule has been paused meanwhile")
    create_markdown_artifact(key="changes", markdown=_page(found), description="What has changed")
    parameters = {"targets": list(found.affected)}
    started = run_deployment(
        DEPLOYMENT,
        parameters=parameters,
        flow_run_name=name_of_run(parameters),
        tags=[WHOLE, INPUTS + found.inputs],
        timeout=0,
        as_subflow=False,
    )
    run = cast(FlowRun, started)  # a coroutine is what asynchronous flows would get
    get_run_logger().info("changed: %s", "; ".join(f"{stage}: {', '.join(c)}" for stage, c in found.causes.items()))
    return Completed(message=f"started {run.name}: {len(found.affected)} stages: {', '.join(found.affected)}")


def _forget_looks() -> None:
    """Remove the planned looks before this one that have started nothing: one a minute would bury the runs."""
    ours = FlowFilter(name=FlowFilterName(any_=[NAME]))
    found = FlowRunFilter(
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[UNCHANGED, SKIPPED, IN_THE_WAY])),
        tags=FlowRunFilterTags(all_=[PLANNED]),
    )
    oldest = FlowRunSort.EXPECTED_START_TIME_ASC
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_filter=ours, flow_run_filter=found, sort=oldest, limit=AT_ONCE):
            with suppress(ObjectNotFound):  # somebody else has removed it
                client.delete_flow_run(run.id)


def _is_switched_off() -> bool:
    """Whether the schedule that planned this look has been paused since.

    Prefect takes up a run some seconds before its time, and looking takes some.
    """
    look = flow_run()
    if PLANNED not in look.tags or look.deployment_id is None:
        return False
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment(look.deployment_id)
    return bool(deployment.paused) or not any(schedule.active for schedule in deployment.schedules)


def _settled() -> Changes:
    """What has changed, as soon as it does not change any more."""
    found = changes()
    while found.affected:
        time.sleep(QUIET)
        before, found = found, changes()
        if found == before:
            break
    return found


def _last_run() -> FlowRun | None:
    """The newest run of all that had changed, by whomever it was started."""
    wanted = FlowRunFilter(tags=FlowRunFilterTags(all_=[WHOLE]))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
    return runs[0] if runs else None


def _page(found: Changes) -> str:
    where = ", ".join(f"{word} {text}" for word, text in checked_out().items())
    rows = [f"| {stage} | {'<br>'.join(causes)} |" for stage, causes in found.causes.items()]
    touched = f"Touched, {len(found.affected)} stages: {', '.join(found.affected)}"
    return "\n".join([where, "", "| stage | what has changed |", "|---|---|", *rows, "", touched])
