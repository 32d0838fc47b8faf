"""Records of stages in MLflow: on SQLite inside the project, or on any server named by MLFLOW_TRACKING_URI.

A record never decides about a result: when the server is out of reach, one warning is printed and the stage goes on.
"""

import gc
import os
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context, parent_process
from pathlib import Path

from storage.errors import StorageError

EXPERIMENT = "wavefoundry"
FOLDER = Path(".mlflow")
# Largest number of parameters that MLflow takes in one call.
PARAMETERS_PER_CALL = 100
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that is down is given up after seconds, not minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class Run:
    """One MLflow run, written by a process of its own: importing MLflow takes seconds, and the stage works meanwhile.

    Methods return at once and never raise. What goes wrong is told in one warning, and nothing more is recorded.
    """

    def __init__(self, name: str, parameters: dict, tags: dict[str, str]):
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_outlive_nobody)
        self._calls = [self._process.submit(_open, name, parameters, tags)]

    @property
    def id(self) -> str:
        """The run's id, "" where it could not be created; waits for the server."""
        return self._calls[0].result()

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log numbers, all in one call; `step` is the epoch or the like."""
        self._submit("log_metrics", {key: float(value) for key, value in metrics.items()}, step)

    def set_tags(self, tags: dict[str, str]) -> None:
        self._submit("set_tags", tags)

    def log_figure(self, path: Path) -> None:
        """Store a picture in the run's folder "figures"."""
        self._submit("log_artifact", Path(path), "figures")

    def log_folder(self, path: Path, name: str) -> None:
        """Store a folder, such as a model, or a single file, in the run's folder `name`."""
        self._submit("log_artifact", Path(path), name)

    def end(self, status: str) -> None:
        """Close the run, "FINISHED", "FAILED" or "KILLED", and wait until all is written."""
        self._submit("end", status)
        try:
            for call in self._calls:
                call.result()
        except BrokenExecutor as error:
            _warn(error)
        self._process.shutdown()

    def _submit(self, method: str, *values) -> None:
        # A process that is gone is told of at the end.
        with suppress(BrokenExecutor):
            self._calls.append(self._process.submit(_call, method, *values))


def _outlive_nobody() -> None:
    """The process ends with the stage, however that ends, and not before it: Ctrl-C is for the stage to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


# The record of the run that this process writes.
_record: "_Record"


def _open(name: str, parameters: dict, tags: dict[str, str]) -> str:
    global _record
    _record = _Record(name, parameters, tags)
    return _record.id


def _call(method: str, *values) -> None:
    getattr(_record, method)(*values)


class _Record:
    """The run as the writing process sees it; after the first failure it warns once and does nothing more."""

    def __init__(self, name: str, parameters: dict, tags: dict[str, str]):
        self._client, self.id = None, ""
        try:
            self._client = client()
            experiment = experiment_id(self._client)
            self.id = self._client.create_run(experiment, tags=_tags(tags), run_name=name).info.run_id
        except Exception as error:
            self._give_up(error)
        self._log_parameters(parameters)

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        self._send("log_batch", metrics=[Metric(key, value, now, step or 0) for key, value in metrics.items()])

    def set_tags(self, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        self._send("log_batch", tags=[RunTag(key, value) for key, value in _tags(tags).items()])

    def log_artifact(self, path: Path, folder: str) -> None:
        self._send("log_artifacts" if path.is_dir() else "log_artifact", str(path), folder)

    def end(self, status: str) -> None:
        self._send("set_terminated", status)
        # Collecting the garbage of MLflow one last time would cost most of a second at exit.
        gc.freeze()

    def _log_parameters(self, parameters: dict) -> None:
        entries = [(key, str(value)) for key, value in parameters.items()]
        for start in range(0, len(entries), PARAMETERS_PER_CALL):
            from mlflow.entities import Param

            part = entries[start : start + PARAMETERS_PER_CALL]
            self._send("log_batch", params=[Param(key, value) for key, value in part])

    def _send(self, method: str, *values, **named) -> None:
        if self._client is None:
            return
        try:
            getattr(self._client, method)(self.id, *values, **named)
        # Whatever goes wrong in a database, on the network or on a server: the stage's result is worth more.
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._client = None
        _warn(error)


def _warn(error: Exception) -> None:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    print(f"warning: MLflow ({tracking_uri()}) does not record this stage: {reason}", file=sys.stderr, flush=True)


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


def _tags(tags: dict[str, str]) -> dict[str, str]:
    return {key: str(value) for key, value in tags.items()}
