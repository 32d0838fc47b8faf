"""MLflow runs as stages write them.

A record never decides about a result: when the server is out of reach, one warning is printed, the stage goes on, and
its record is sent later (storage/tracking/records.py).
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from storage.tracking.writer import SHARED, own_writer, shared_writer

GONE = "the process that writes its record has ended"


class Run:
    """One MLflow run, written by another process: importing MLflow takes seconds, and the stage works meanwhile.

    One line on stdout tells where it is seen. Methods return at once and never raise.
    """

    def __init__(self, name: str, parameters: dict, tags: dict[str, str]):
        address = os.environ.get(SHARED)
        self._writer = (address and shared_writer(address)) or own_writer()
        self._id: str | None = None
        self._send((name, _strings(parameters), _strings(tags)))

    @property
    def id(self) -> str:
        """The run's id, "" where it could not be created; waits for the server."""
        if self._id is None:
            try:
                self._id = self._writer.recv()
            except (EOFError, OSError):
                self._id = ""
        return self._id

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
        self._add("end", status=status)
        try:
            _ = self.id
            self._writer.recv()
        except (EOFError, OSError):
            print(f"warning: MLflow does not record all of this stage: {GONE}", file=sys.stderr, flush=True)
        self._writer.close()

    def _add(self, action: str, **values) -> None:
        self._send((action, values))

    def _send(self, message: tuple) -> None:
        # A process that is gone is told of at the end.
        with suppress(OSError):
            self._writer.send(message)


def _strings(values: dict) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}
