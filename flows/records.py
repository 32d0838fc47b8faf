"""Where a pipeline run is written down besides dvc.lock: tags of the Prefect run, a parent run in MLflow."""

from threading import Lock

from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from flows.bookkeeping import Work
from storage.git import head
from storage.tracking.pipeline_writer import FLOW_RUN, PipelineWriter
from storage.tracking.writer import PARENT, SHARED

# Tags of a run of all that had changed: this one, and one that begins so and names its inputs by their digest.
WHOLE = "whole"
INPUTS = "inputs:"


def tag_run(inputs: str | None) -> None:
    """Tag the Prefect run that is under way with branch and commit, and with the digest of its inputs."""
    run = flow_run()
    tags = set(run.tags) | {f"{word}:{text}" for word, text in checked_out().items()}
    if inputs:
        tags = {tag for tag in tags if not tag.startswith(INPUTS)} | {WHOLE, INPUTS + inputs}
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.id, tags=tags)


def checked_out() -> dict[str, str]:
    """Branch and abbreviated commit that are checked out; empty outside a git repository."""
    found = head()
    return {"branch": found["branch"], "commit": found["short"]} if found else {}


def flow_run() -> FlowRun:
    """The Prefect run that is under way."""
    context = FlowRunContext.get()
    assert isinstance(context, FlowRunContext) and isinstance(context.flow_run, FlowRun), "outside a flow"
    return context.flow_run


class MLflowParent:
    """The MLflow run above those of the stages, made when the first stage runs: a run with nothing to do makes none."""

    def __init__(self):
        self.status = "FAILED"
        self._run = flow_run()
        self._lock = Lock()
        self._writer: PipelineWriter | None = None

    def environment(self, work: Work, here: bool) -> dict[str, str]:
        """What a stage's process needs to put its own run below this one.

        Args:
            work: the stage's.
            here: it works on this machine, where one process writes for all stages.
        """
        with self._lock:
            if self._writer is None:
                tags = {FLOW_RUN: str(self._run.id)} | checked_out()
                self._writer = PipelineWriter(self._run.name, tags, work.folder, work.environment)
        if here:
            return {SHARED: self._writer.address}
        return {PARENT: self._writer.id} if self._writer.id else {}

    def __enter__(self) -> "MLflowParent":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if self._writer is not None:
            killed = error is not None and not isinstance(error, Exception)
            self._writer.end("KILLED" if killed else self.status)
