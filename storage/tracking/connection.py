"""Where MLflow keeps the records: on SQLite inside the project, or on any server named by MLFLOW_TRACKING_URI."""

import os
from pathlib import Path

from storage.errors import StorageError
from storage.proxies import keep_loopback_direct

EXPERIMENT = "wavefoundry"
# A queued experiment of DVC works in a folder that is thrown away; DVC_ROOT names the project's.
FOLDER = Path(os.environ.get("DVC_ROOT", ""), ".mlflow")
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
    keep_loopback_direct()
    for key, value in DEFAULTS.items():
        os.environ.setdefault(key, value)


def tracking_uri() -> str:
    """Where the records go.

    Raises:
        StorageError: into the project, whose folder `require_folder` refuses.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if not named:
        require_folder()
    return named or _local_uri()


def require_folder() -> None:
    """Refuse a project in whose folder there can be no database.

    Raises:
        StorageError: its path has a question mark, at which the address of a database ends.
    """
    folder = FOLDER.absolute().parent
    if "?" in str(folder):
        raise StorageError(
            f"{folder}: the databases of MLflow and Prefect cannot lie in a folder with a ? in its path; rename it"
        )


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
