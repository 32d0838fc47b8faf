"""The process that writes a stage's record (storage/tracking/records.py) into MLflow.

A stage that runs alone has one of its own; in a run of the whole pipeline one process splits off a writer for each
stage (storage/tracking/pipeline_writer.py).
"""

import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Client, Connection
from multiprocessing.reduction import send_handle
from queue import SimpleQueue

from storage.tracking import records

# Names the run of the pipeline below which a stage's run stands, ...
PARENT = "MLFLOW_PARENT_RUN_ID"
# ... or the socket of the process that knows it and writes for all stages of this machine.
SHARED = "MLFLOW_WRITER_SOCKET"
PARENT_TAG = "mlflow.parentRunId"
# What is taken for the last message of a stage that is gone without one.
KILLED = ("end", {"status": "KILLED"})


def own_writer() -> Connection:
    """Start a process that writes for this one, and ends soon after it, however that ends."""
    here, there = Pipe()
    # A daemon: what is asked of it at the end is waited for.
    get_context("spawn").Process(target=_write_apart, args=(there, os.environ.get(PARENT, "")), daemon=True).start()
    there.close()
    return here


def shared_writer(address: str) -> Connection | None:
    """Have the process that listens at a socket split off a writer for this one; None if nobody listens."""
    try:
        connection = Client(address, "AF_UNIX")
        for printed in (1, 2):
            send_handle(connection, printed, None)
        return connection
    except OSError:
        return None


def _write_apart(connection: Connection, parent: str) -> None:
    # Who kills a stage with all its processes must leave the one that closes its run.
    os.setsid()
    write(connection, parent)


def write(connection: Connection, parent: str) -> None:
    """Carry out what a stage sends: (name, parameters, tags), then (action, values), the last one "end".

    Answers with the run's id when that is known, and with None when the end is written. The run of a stage that is gone
    without having sent its end was killed, and is closed as such.
    """
    # Ctrl-C is for the stage to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages: SimpleQueue[tuple] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, messages), daemon=True).start()
    begin = messages.get()
    if begin == KILLED:
        return
    name, parameters, tags = begin
    record = records.Record(name, tags | ({PARENT_TAG: parent} if parent else {}))
    if record.id:
        records.tell(f"MLflow run: {record.address}", sys.stdout)
        records.send_all()
    record.add("parameters", values=parameters)
    record.watch_system()
    _answer(connection, record.id)
    action, values = messages.get()
    while action != "end":
        record.add(action, **values)
        action, values = messages.get()
    record.end(**values)
    _answer(connection, None)
    # Collecting the garbage of MLflow one last time would cost most of a second at exit.
    gc.freeze()


def _answer(connection: Connection, answer: str | None) -> None:
    with suppress(OSError):  # the stage is gone
        connection.send(answer)


def _receive(connection: Connection, messages: SimpleQueue) -> None:
    """Take messages from the stage, which never waits for a slow server."""
    try:
        while True:
            messages.put(connection.recv())
    except (EOFError, OSError):
        messages.put(KILLED)
        # Who reads what the stage printed need not wait for a server that does not answer.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for printed in (1, 2):
            os.dup2(nowhere, printed)
