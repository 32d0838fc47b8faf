"""Records of stages in MLflow: on SQLite inside the project, or on any server named by MLFLOW_TRACKING_URI.

A record never decides about a result: when the server is out of reach, one warning is printed, the stage goes on, and
its record is sent later (storage/records.py).
"""

import gc
import os
import signal
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context, parent_process
from pathlib import Path

from storage.errors import StorageError

EXPERIMENT = "wavefoundry"
# A queued experiment of DVC works in a folder that is thrown away; DVC_ROOT names the project's.
FOLDER = Path(os.environ.get("DVC_ROOT", ""), ".mlflow")
# Names the run of the pipeline below which a stage's run stands.
PARENT = "MLFLOW_PARENT_RUN_ID"
PARENT_TAG = "mlflow.parentRunId"
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server that is down is given up after seconds, not minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class Run:
    """One MLflow run, written by a process of its own: importing MLflow takes seconds, and the stage works meanwhile.

    It stands below the run that MLFLOW_PARENT_RUN_ID names, if any, and one line on stdout tells where it is seen.
    Methods return at once and never raise.
    """

    def __init__(self, name: str, parameters: dict, tags: dict[str, str]):
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_outlive_nobody)
        self._calls = [self._process.submit(_open, name, _strings(parameters), _strings(tags) | _parent())]

    @property
    def id(self) -> str:
        """The run's id, "" where it could not be created; waits for the server."""
        return self._calls[0].result()

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log numbers, all in one call; `step` is the epoch or the like."""
        values = {key: float(value) for key, value in metrics.items()}
        self._add("metrics", values=values, step=step or 0, time=time.time_ns() // 1_000_000)

    def set_tags(self, tags: dict[str, str]) -> None:
        self._add("tags", values=_strings(tags))

    def log_figure(self, path: Path) -> None:
        """Store a picture in the run's folder "figures"."""
        self._add("artifact", path=str(path), folder="figures")

    def log_folder(self, path: Path, name: str) -> None:
        """Store a folder, such as a model, or a single file, in the run's folder `name`."""
        self._add("artifact", path=str(path), folder=name)

    def log_inputs(self, datasets: dict[str, str], models: dict[str, str]) -> None:
        """What the run has read: md5 by path, of stores and of model folders."""
        self._add("inputs", datasets=datasets, models=models)

    def log_outputs(self, models: dict[str, str]) -> None:
        """Model folders that the run has written: md5 by path."""
        self._add("outputs", models=models)

    def end(self, status: str) -> None:
        """Close the run, "FINISHED", "FAILED" or "KILLED", and wait until all is written, there or here."""
        self._submit(_end, status)
        try:
            for call in self._calls:
                call.result()
        except BrokenExecutor as error:
            print(f"warning: MLflow does not record this stage: {error}", file=sys.stderr, flush=True)
        self._process.shutdown()

    def _add(self, action: str, **values) -> None:
        self._submit(_add, action, values)

    def _submit(self, function, *values) -> None:
        # A process that is gone is told of at the end.
        with suppress(BrokenExecutor):
            self._calls.append(self._process.submit(function, *values))


def _outlive_nobody() -> None:
    """The process ends with the stage, however that ends, and not before it: Ctrl-C is for the stage to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


# The record of the run that this process writes.
_record = None


def _open(name: str, parameters: dict[str, str], tags: dict[str, str]) -> str:
    global _record
    from storage import records

    _record = records.Record(name, tags)
    if _record.id:
        print(f"MLflow run: {_record.address}", flush=True)
        records.send_all()
    _record.add("parameters", values=parameters)
    _record.watch_system()
    return _record.id


def _add(action: str, values: dict) -> None:
    _record.add(action, **values)


def _end(status: str) -> None:
    _record.end(status)
    # Collecting the garbage of MLflow one last time would cost most of a second at exit.
    gc.freeze()


def _parent() -> dict[str, str]:
    return {PARENT_TAG: os.environ[PARENT]} if os.environ.get(PARENT) else {}


def _strings(values: dict) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def open_parent(name: str, tags: dict[str, str]) -> str:
    """Begin the run of a whole pipeline; stages started with its id as MLFLOW_PARENT_RUN_ID stand below it.

    Returns:
        Its id, "" after one warning where the server is out of reach: stages then stand alone.
    """
    try:
        server = client()
        return server.create_run(experiment_id(server), tags=_strings(tags), run_name=name).info.run_id
    except Exception as error:
        _warn_parent(error)
        return ""


def close_parent(run_id: str, status: str) -> None:
    """End the run of a pipeline, "FINISHED", "FAILED" or "KILLED"; a failure costs one warning."""
    if not run_id:
        return
    try:
        client().set_terminated(run_id, status)
    except Exception as error:
        _warn_parent(error)


def _warn_parent(error: Exception) -> None:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    print(f"warning: MLflow ({tracking_uri()}) does not record this run: {reason}", file=sys.stderr, flush=True)


def client():
    """An MlflowClient on the project's database, or on the server that the environment names."""
    configure()
    from mlflow.tracking import MlflowClient

    if tracking_uri() != _local_uri():
        return MlflowClient(tracking_uri=tracking_uri())
    from filelock import FileLock

    FOLDER.mkdir(exist_ok=True)
    # Two first stages at once would create the tables twice and leave a database that none can open.
    with FileLock(FOLDER / "creation.lock"):
        return MlflowClient(tracking_uri=tracking_uri())


def configure() -> None:
    """Set the environment that MLflow reads; what is set already stays."""
    for key, value in DEFAULTS.items():
        os.environ.setdefault(key, value)


def tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or _local_uri()


def experiment_id(client) -> str:
    """The id of the experiment "wavefoundry", which is made at the first call.

    Raises:
        StorageError: the project's database was made for a folder that is not this one.
    """
    local = (FOLDER / "artifacts").absolute().as_uri() if tracking_uri() == _local_uri() else None
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return _create_experiment(client, local)
    if local and experiment.artifact_location != local:
        raise StorageError(
            f"{FOLDER} belongs to {experiment.artifact_location}, not to this folder: MLflow stores absolute paths; "
            f"move the project back or delete {FOLDER}"
        )
    return experiment.experiment_id


def _create_experiment(client, artifact_location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return client.create_experiment(EXPERIMENT, artifact_location=artifact_location)
    except MlflowException:
        # Another stage has just made it.
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            raise
        return experiment.experiment_id


def _local_uri() -> str:
    return f"sqlite:///{FOLDER.absolute() / 'mlflow.db'}"
