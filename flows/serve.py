"""Deployments of the flow, to be started from the Prefect UI: `python -m flows.serve` (make ui does it).

full: all stages that are not up to date. retrain: trainings, and what follows, though they be up to date.
evaluate: report and registry, and with them every evaluation that they need.
changes: looks for changes and starts what they touch (flows/watch.py); its schedule is off until somebody switches it
on.
"""

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast

from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.schedules import Interval
from prefect.settings import PREFECT_API_URL
from prefect.utilities.callables import ParameterSchema

from flows.pipeline import pipeline
from flows.server import ServerError, check_server
from flows.watch import watch
from stages.stage import clear_errors
from stages.yaml_files import read_dag

TRAININGS = ("pretrain", "teach", "distill")
# The last stages; what they need comes along: the evaluations of all models, and what joins them.
RESULTS = ("report", "register")
# From one look for changes to the next one.
INTERVAL = timedelta(minutes=1)
# How often the server is asked for runs that somebody has started [s].
POLL = 3


class OwnParameters(ParameterSchema):
    """The parameters of a flow and no others: Prefect's own schema lets in every name, and the run then crashes."""

    propertyNames: dict[str, list[str]]


def deployments(interval: timedelta = INTERVAL) -> list[RunnerDeployment]:
    """What is served; every run is a process of its own, which reads the code anew."""
    entry = EntrypointType.MODULE_PATH
    made = [
        pipeline.to_deployment("full", description="All stages that are not up to date.", entrypoint_type=entry),
        pipeline.to_deployment(
            "retrain",
            parameters={"force": in_dag(TRAININGS)},
            description="The trainings and what follows, although nothing has changed.",
            entrypoint_type=entry,
        ),
        pipeline.to_deployment(
            "evaluate",
            parameters={"targets": in_dag(RESULTS)},
            description="Report and registry, and what they need: the evaluations of all models.",
            entrypoint_type=entry,
        ),
        watch.to_deployment(
            "changes",
            schedule=Interval(interval, active=False),
            # A look that takes longer than the interval is not followed by a queue of others.
            concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
            description="Looks for changed files, parameters and code, and starts what they touch.",
            entrypoint_type=entry,
        ),
    ]
    # A coroutine is what asynchronous code would get.
    return [_with_own_parameters(cast(RunnerDeployment, one)) for one in made]


def _with_own_parameters(deployment: RunnerDeployment) -> RunnerDeployment:
    schema = deployment._parameter_openapi_schema.model_dump(exclude_unset=True)
    names = list(schema.get("properties", ()))
    deployment._parameter_openapi_schema = OwnParameters(**schema, propertyNames={"enum": names})
    return deployment


def in_dag(names: Sequence[str]) -> list[str]:
    """Those stages and groups of stages that dvc.yaml has; a study without any teacher needs no stage `teach`."""
    content = read_dag(Path("dvc.yaml"))
    return [name for name in names if name in content["stages"]]


def main() -> None:
    try:
        if not PREFECT_API_URL.value():
            raise ServerError("PREFECT_API_URL is not set: deployments need a server that stays; make ui starts one")
        check_server()
    except ServerError as error:
        sys.exit(str(error))
    with clear_errors():
        offered = deployments()
    serve(*offered, query_seconds=POLL, print_starting_message=False)


if __name__ == "__main__":
    main()
