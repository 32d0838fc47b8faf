"""Commands of stages on the workers of a Dask cluster that share this project's folder.

prefect-dask would send whole Prefect tasks there. Here a stage's task stays with the flow, for it holds DVC's locks and
writes dvc.lock; what travels is the command that computes.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from uuid import uuid4

from flows.processes import GRACE, Processes, StoppedError
from stages.scale_out import connect

# How often a worker looks whether its command is still wanted [s].
PULSE = 0.5
# From stopping a command to giving up its worker [s].
PATIENCE = GRACE + 4 * PULSE


class Elsewhere:
    """As `Processes`, on a cluster: a command ends when it is stopped, and when this process is gone."""

    def __init__(self, address: str):
        """
        Args:
            address: of the scheduler, such as tcp://HOST:8786.

        Raises:
            InputError: no scheduler with workers answers there.
        """
        self._address = address
        self._client = connect(address, "scheduler")
        self._lock = threading.Lock()
        self._running: dict = {}
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def run(self, command: Sequence[str], folder: str, environment: dict[str, str], log: Callable[[str], None]) -> int:
        """As `Processes.run`; waits for a worker that is free. A command whose worker dies begins anew on another one.

        Returns:
            1 where the scheduler is gone, 137 where worker after worker died.

        Raises:
            StoppedError: `stop` was called.
        """
        from distributed import KilledWorker

        name = f"stage-{uuid4()}"
        on_worker = _OnWorker(log)
        with self._lock:
            if self._stopped:
                raise StoppedError
            self._client.subscribe_topic(name, on_worker.hear)
            future = self._client.submit(run_here, list(command), folder, environment, name, key=name, pure=False)
            self._running[future] = on_worker
        try:
            return future.result()
        except KilledWorker as error:
            log(str(error))
            return 137
        except CancelledError:
            if not self._stopped:
                log(f"the Dask scheduler {self._address} is gone")
                return 1
            on_worker.idle.wait(PATIENCE)
            raise StoppedError from None
        finally:
            with self._lock:
                del self._running[future]
            self._client.unsubscribe_topic(name)

    def stop(self) -> None:
        """End all commands, as `Processes.stop` does, and start no more."""
        with self._lock:
            self._stopped = True
            running = dict(self._running)
        for future in running:
            future.cancel()
        for on_worker in running.values():
            on_worker.idle.wait(PATIENCE)

    def close(self) -> None:
        self._client.close()


class _OnWorker:
    """What is heard of one command; `idle` is set while no worker is at it."""

    def __init__(self, log: Callable[[str], None]):
        self._log = log
        self.idle = threading.Event()
        self.idle.set()

    def hear(self, event: tuple) -> None:
        _, message = event
        if "line" in message:
            self._log(message["line"])
        elif message["idle"]:
            self.idle.set()
        else:
            self.idle.clear()


def run_here(command: list[str], folder: str, environment: dict[str, str], topic: str) -> int:
    """On a worker: the exit code of a command, which ends when the scheduler does not want it any more."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    processes, done = Processes(), threading.Event()

    def watch() -> None:
        while not done.wait(PULSE):
            task = worker.state.tasks.get(key)
            if task is None or task.state != "executing":
                processes.stop()
                return

    watching = threading.Thread(target=watch, daemon=True)
    worker.log_event(topic, {"idle": False})
    watching.start()
    try:
        return processes.run(command, folder, environment, lambda line: worker.log_event(topic, {"line": line}))
    finally:
        done.set()
        worker.log_event(topic, {"idle": True})
