"""What a stage has to tell MLflow, kept until a server has taken it.

`python -m storage.tracking.records` sends what waits, because a server was out of reach when its stage ended. The
record of the next stage does the same.
"""

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from storage.errors import StorageError, first_line
from storage.replacement import replace_file
from storage.tracking import connection as tracking

# Records that wait, one folder each: record.json, and copies of the files that it refers to.
UNSENT = tracking.FOLDER / "unsent"
# Largest number of parameters that MLflow takes in one call.
PARAMETERS_PER_CALL = 100
# Seconds between two looks at processor, memory, disk and network.
SYSTEM_METRICS_INTERVAL = 5
MODEL_TAG = "model.md5"


class Record:
    """One MLflow run as a list of actions; each is carried out at once while the server answers.

    Nothing here raises. An action that the server refuses costs one warning and is left out. When the server does not
    answer, this and all further actions wait until the end, and then in `UNSENT`.
    """

    def __init__(self, name: str, tags: dict[str, str], start: int | None = None):
        self.name, self.tags, self.start = name, tags, start or _now()
        self.uri = tracking.tracking_uri()
        self.id = ""
        self._waiting: list[dict] = []
        self._answers, self._refused = True, False
        # An MlflowClient and a SystemMetricsMonitor, which are imported when they are needed.
        self._client: Any = None
        self._monitor: Any = None
        self._experiment = ""
        self.send()

    @property
    def address(self) -> str:
        """Where a browser shows the run; its id where no server is named."""
        if not self.uri.startswith(("http://", "https://")):
            return self.id
        return f"{self.uri.rstrip('/')}/#/experiments/{self._experiment}/runs/{self.id}"

    def add(self, action: str, **values) -> None:
        """Carry out one of the methods `_write_...`, with values that JSON can hold."""
        self._waiting.append({"action": action} | values)
        self.send()

    def send(self) -> bool:
        """Carry out what waits; whether nothing is left."""
        if not self._answers or self._refused or not (self.id or self._create()):
            return not self._waiting
        while self._waiting and self._try(lambda: self._carry_out(**self._waiting[0])):
            self._waiting.pop(0)
        return not self._waiting

    def end(self, status: str) -> None:
        if self._monitor is not None:
            with suppress(Exception):
                self._monitor.finish()
        self._answers = True
        self.add("end", status=status, time=_now())
        if self._refused or (self.id and not self._waiting):
            return
        try:
            place = self.keep()
        except (OSError, StorageError) as error:
            return _warn(error)
        _warn(f"{self._fault}; it waits in {place} for the next stage, or for: python -m storage.tracking.records")

    def watch_system(self) -> None:
        """Record the load of the machine until the end."""
        if not self.id:
            return
        with suppress(Exception):
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            # It tells every call that fails; one warning per stage is enough.
            logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)
            self._monitor = SystemMetricsMonitor(
                self.id, sampling_interval=SYSTEM_METRICS_INTERVAL, tracking_uri=self.uri
            )
            self._monitor.start()

    def keep(self) -> Path:
        """Write what waits into a folder of `UNSENT`, with copies of the files, and return it."""
        place = UNSENT / f"{self.start}-{self.name.replace('/', '_')}-{os.getpid()}"
        partial = place.with_name(f".{place.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for number, action in enumerate(self._waiting):
            if "path" not in action or not Path(action["path"]).exists():
                continue
            source = Path(action["path"])
            copy = partial / f"{number}" / source.name
            copy.parent.mkdir()
            shutil.copytree(source, copy) if source.is_dir() else shutil.copy2(source, copy)
            action["path"] = str(place / f"{number}" / source.name)
        self._write_file(partial)
        partial.rename(place)
        return place

    def _write_file(self, place: Path) -> None:
        content = {key: getattr(self, key) for key in ("name", "tags", "start", "uri", "id")}
        replace_file(place / "record.json", json.dumps(content | {"waiting": self._waiting}))

    @classmethod
    def send_kept(cls, place: Path) -> bool:
        """Send a record that waits, and remove it; whether that was possible."""
        content = json.loads((place / "record.json").read_text())
        record = cls.__new__(cls)
        record.__dict__ |= content | {"_answers": True, "_refused": False, "_client": None, "_monitor": None}
        record._waiting = record.__dict__.pop("waiting")
        if not record.id and record._create():
            # Killed later, it does not begin a second run.
            record._write_file(place)
        if record.send() or record._refused:
            shutil.rmtree(place)
            return True
        record._write_file(place)
        return False

    def _create(self) -> bool:
        def create() -> None:
            self._connect()
            run = self._client.create_run(self._experiment, self.start, self.tags, self.name)
            self.id = run.info.run_id

        self._try(create)
        if not self.id and self._answers:
            self._refused = True
        return bool(self.id)

    def _connect(self) -> None:
        if self._client is None:
            client = tracking.client()
            self._experiment = tracking.experiment_id(client)
            self._client = client

    def _try(self, work: Callable[[], None]) -> bool:
        """Whether the server answered; what it refused is told and left out."""
        try:
            self._connect()
            work()
        # Whatever goes wrong in a database, on the network or on a server: the stage's result is worth more.
        except Exception as error:
            self._fault = first_line(error)
            self._answers = isinstance(error, StorageError) or _is_reachable(error)
            if self._answers:
                _warn(error)
        return self._answers

    def _carry_out(self, action: str, **values) -> None:
        getattr(self, f"_write_{action}")(**values)

    def _write_parameters(self, values: dict[str, str]) -> None:
        from mlflow.entities import Param

        entries = [Param(key, value) for key, value in values.items()]
        for start in range(0, len(entries), PARAMETERS_PER_CALL):
            self._client.log_batch(self.id, params=entries[start : start + PARAMETERS_PER_CALL])

    def _write_tags(self, values: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.id, tags=[RunTag(key, value) for key, value in values.items()])

    def _write_metrics(self, values: dict[str, float], step: int, time: int) -> None:
        from mlflow.entities import Metric

        self._client.log_batch(self.id, metrics=[Metric(key, value, time, step) for key, value in values.items()])

    def _write_artifact(self, path: str, folder: str) -> None:
        (self._client.log_artifacts if Path(path).is_dir() else self._client.log_artifact)(self.id, path, folder)

    def _write_inputs(self, datasets: dict[str, str], models: dict[str, str]) -> None:
        """What was read: stores as data sets, and the logged models of earlier runs that have these md5s."""
        from mlflow.entities import Dataset, DatasetInput, LoggedModelInput

        read = [DatasetInput(Dataset(path, md5, "local", json.dumps({"uri": path}))) for path, md5 in datasets.items()]
        found = [self._find_model(md5) for md5 in models.values()]
        used = [LoggedModelInput(model.model_id) for model in found if model is not None]
        if read or used:
            self._client.log_inputs(self.id, datasets=read, models=used)

    def _write_outputs(self, models: dict[str, str]) -> None:
        """Model folders that were written; their files are in the run's own artifacts."""
        from mlflow.entities import LoggedModelOutput

        made = []
        for path, md5 in models.items():
            tags = {MODEL_TAG: md5, "path": path}
            name = path.replace("/", "-")
            model = self._client.create_logged_model(self._experiment, name, self.id, tags, model_type="model folder")
            self._client.finalize_logged_model(model.model_id, "READY")
            made.append(LoggedModelOutput(model.model_id, 0))
        if made:
            self._client.log_outputs(self.id, made)

    def _find_model(self, md5: str):
        found = self._client.search_logged_models(
            [self._experiment], filter_string=f"tags.`{MODEL_TAG}` = '{md5}'", max_results=1
        )
        return found[0] if found else None

    def _write_end(self, status: str, time: int) -> None:
        self._client.set_terminated(self.id, status, time)


def send_all() -> int:
    """Send the records that wait for this server, oldest first; how many still wait.

    Returns at once where another process is doing it.
    """
    from filelock import FileLock, Timeout

    places = sorted(path.parent for path in UNSENT.glob("[!.]*/record.json"))
    if not places:
        return 0
    try:
        with FileLock(UNSENT / "sending.lock", timeout=0):
            left = [place for place in places if place.exists() and not _send_one(place)]
    except Timeout:
        return 0
    return len(left)


def _send_one(place: Path) -> bool:
    try:
        if json.loads((place / "record.json").read_text())["uri"] != tracking.tracking_uri():
            return False
        return Record.send_kept(place)
    except (OSError, StorageError, ValueError, KeyError) as error:
        _warn(f"{place} cannot be sent: {first_line(error)}")
        return False


def _is_reachable(error: Exception) -> bool:
    """Whether the server answers, after a call to it ended in `error`."""
    from requests.exceptions import RequestException

    if isinstance(error.__context__, RequestException):
        return False
    try:
        tracking.client().search_experiments(max_results=1)
    except Exception:
        return False
    return True


def _now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return time.time_ns() // 1_000_000


def _warn(error: Exception | str) -> None:
    # The advice stands at the end, behind a reason that is cut.
    reason = error if isinstance(error, str) else first_line(error)
    message = f"warning: MLflow ({tracking.tracking_uri()}) does not record all of this stage: {reason}"
    tell(message, sys.stderr)


def tell(message: str, stream: TextIO) -> None:
    """Print a line. Whether anybody reads it any more is no matter to what is being recorded."""
    with suppress(OSError):
        print(message, file=stream, flush=True)


def main() -> None:
    left = send_all()
    if left:
        sys.exit(f"{left} record(s) still wait in {UNSENT} for a server that does not answer or that is not this one")
    print("nothing waits to be sent to MLflow")


if __name__ == "__main__":
    main()
