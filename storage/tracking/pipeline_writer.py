"""The MLflow run of a whole pipeline, and the process that writes it and those of the stages below it.

Importing MLflow takes two seconds of processor time, as much as some stages take themselves: here one process imports
it once, listens on a Unix socket, and splits off a writer (storage/tracking/writer.py) for each stage that connects.
"""

import argparse
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle
from pathlib import Path

from storage.errors import first_line
from storage.tracking import connection as tracking
from storage.tracking.records import tell
from storage.tracking.writer import PARENT_TAG, write

# What Python is started with; as the main program this module has another name.
MODULE = "storage.tracking.pipeline_writer"
# The tag of a pipeline's run that names its Prefect run.
FLOW_RUN = "prefect.flow_run"
# Bytes that a Unix socket's address may have (Linux 107, macOS 103).
LONGEST_ADDRESS = 103
# How long the end of a killed pipeline waits for its writer [s].
PATIENCE = 1.0


class PipelineWriter:
    """The MLflow run of a whole pipeline, and the process that writes it and those of the stages below it.

    `address` is for the environment variable SHARED of stages on this machine. The process ends with this one, and
    closes the pipeline's run then.
    """

    def __init__(self, name: str, tags: dict[str, str], folder: str, environment: dict[str, str]):
        """Start the process in the folder and the environment of the stages, without waiting for it."""
        self.address = _new_address()
        self._lock = threading.Lock()
        self._id: str | None = None
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self.address)
            listening.listen()
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(listening.fileno()), name, json.dumps(tags)],
                pass_fds=[listening.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                cwd=folder, env=environment, start_new_session=True,
            )  # fmt: skip

    @property
    def id(self) -> str:
        """The id of the pipeline's run, "" after one warning where the server is out of reach; waits for it."""
        with self._lock:
            if self._id is None:
                assert self._process.stdout is not None  # a pipe
                self._id = self._process.stdout.readline().strip()
            return self._id

    def end(self, status: str) -> None:
        """Close the pipeline's run, "FINISHED", "FAILED" or "KILLED"; a failure costs one warning.

        Who kills a pipeline does not wait: its writer goes on alone where it takes longer than PATIENCE.
        """
        try:
            self._process.communicate(status, PATIENCE if status == "KILLED" else None)
        except subprocess.TimeoutExpired:
            return
        # Also where the process was killed.
        _remove(self.address)


def _new_address() -> str:
    """In a folder of its own, which nobody else may enter."""
    address = str(Path(tempfile.mkdtemp(prefix="mlflow-"), "socket"))
    if len(os.fsencode(address)) <= LONGEST_ADDRESS:
        return address
    _remove(address)
    return str(Path(tempfile.mkdtemp(prefix="mlflow-", dir="/tmp"), "socket"))


def _remove(address: str) -> None:
    shutil.rmtree(Path(address).parent, ignore_errors=True)


def _serve(listening: socket.socket, name: str, tags: dict[str, str]) -> None:
    """Write for all stages that connect, until standard input ends, which holds the status of the pipeline's run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_mlflow()
    gc.freeze()
    parent = _open_pipeline(name, tags)
    with suppress(BrokenPipeError):  # the pipeline's process is gone already
        os.write(sys.stdout.fileno(), f"{parent}\n".encode())
    end = sys.stdin.fileno()
    while end not in wait([listening, end]):
        connected, _ = listening.accept()
        with Connection(connected.detach()) as connection:
            get_context("fork").Process(target=_write_printing_there, args=(connection, parent)).start()
    status = sys.stdin.read()
    if parent:
        _try(lambda: tracking.client().set_terminated(parent, status or "KILLED"))


def _write_printing_there(connection: Connection, parent: str) -> None:
    """What is printed for a stage appears where the stage itself prints."""
    for printed in (1, 2):
        handle = recv_handle(connection)
        os.dup2(handle, printed)
        os.close(handle)
    write(connection, parent)


def _open_pipeline(name: str, tags: dict[str, str]) -> str:
    """Begin the run of a pipeline, in a process of its own: connections to a database must not be split off."""
    here, there = Pipe(duplex=False)

    def create() -> None:
        client = tracking.client()
        experiment = tracking.experiment_id(client)
        if tracking.tracking_uri().startswith("sqlite:"):
            _close_abandoned(client, experiment)
        there.send(client.create_run(experiment, tags=tags, run_name=name).info.run_id)

    process = get_context("fork").Process(target=_try, args=(create,))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        return ""
    finally:
        process.join()


def _close_abandoned(client, experiment: str) -> None:
    """Close what a pipeline has left open that went down with its machine: of pipelines, one runs at a time."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        if run.data.tags.keys() & {FLOW_RUN, PARENT_TAG}:
            client.set_terminated(run.info.run_id, "KILLED")


def _try(work) -> None:
    try:
        work()
    except Exception as error:
        message = f"warning: MLflow ({tracking.tracking_uri()}) does not record this run: {first_line(error)}"
        tell(message, sys.stderr)


def _import_mlflow() -> None:
    """All that a record needs, so that the processes split off need not import it."""
    tracking.configure()
    import filelock  # noqa: F401
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.system_metrics.system_metrics_monitor
    import mlflow.tracking  # noqa: F401


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.splitlines()[0])
    parser.add_argument("listening", type=int, help="descriptor of the socket that stages connect to")
    parser.add_argument("name", help="of the pipeline's run")
    parser.add_argument("tags", type=json.loads, help="of the pipeline's run, a JSON object")
    arguments = parser.parse_args()
    with socket.socket(fileno=arguments.listening) as listening:
        try:
            _serve(listening, arguments.name, arguments.tags)
        finally:
            _remove(listening.getsockname())


if __name__ == "__main__":
    main()
