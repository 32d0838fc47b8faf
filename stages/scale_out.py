"""Units of work on several processes, local ones or a Dask cluster. What a unit returns is the same wherever it ran."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from wavefoundry.map_units import MapUnits
from wavefoundry.section import Count, Section

# Units that are under way or done and not yet fetched, for every worker: bounds the memory of a stage.
AHEAD = 2
# What must be left to do before local processes are started, which takes half a minute of two cores' time [s].
WORTHWHILE = 20.0
# Units that are done before that is known: the first one also loads libraries and compiles.
TRIALS = 2
PATIENCE = 30  # with a cluster that does not answer [s]


class Workers(Section):
    """Who does the work of the stages scenario, csi and angle_delay."""

    processes: Count
    scheduler: str | None


@contextmanager
def workers(settings: Workers, description: str) -> Iterator[MapUnits]:
    """Workers for the units of a stage.

    A cluster is asked at once: its scheduler's address is `workers.scheduler` or in the environment
    (DASK_SCHEDULER_ADDRESS). Local processes are started when the first units, done here, show that there is enough to
    do for them, and no more of them than cores are idle: another stage may run on this machine. A unit whose worker
    died is done again by another one.

    Args:
        settings: how many local processes, or which cluster.
        description: of the progress bar.

    Yields:
        map_units(function, arguments, total=len(arguments)), an iterator of the results in order.

    Raises:
        InputError: no scheduler answers at the address.
    """
    import dask
    from tqdm import tqdm

    address = settings.scheduler or dask.config.get("scheduler-address", None)
    clients: list[Any] = []

    def here_or_there(function: Callable, arguments: Iterator[tuple], total: int) -> Iterator[Any]:
        processes = settings.processes
        if address is None and not clients:
            processes = yield from _alone(function, arguments, total, settings.processes)
        for first in arguments:
            if not clients:
                clients.append(_client(address, processes))
            yield from _in_order(clients[0], function, chain([first], arguments))

    def map_units(function: Callable, arguments: Iterable[tuple], total: int | None = None) -> Iterator[Any]:
        if total is None:
            arguments = list(arguments)
            total = len(arguments)
        results = here_or_there(function, iter(arguments), total)
        yield from tqdm(results, desc=description, total=total, unit="unit")

    try:
        yield map_units
    finally:
        for client in clients:
            client.close()
            if client.cluster is not None:
                client.cluster.close()


def _alone(function: Callable, arguments: Iterator[tuple], total: int, processes: int) -> Generator[Any, None, int]:
    """Results of units done here, until other processes are worth their start; returns how many of them."""
    idle_cores()
    for done, one in enumerate(arguments, start=1):
        start = time.monotonic()
        result = _unit(function, *one)
        took = time.monotonic() - start
        yield result
        # This process has a core, which it leaves to one of them.
        useful = min(processes, 1 + round(idle_cores()))
        if useful > 1 and done >= TRIALS and took * (total - done) > WORTHWHILE:
            return useful
    return 1


def idle_cores() -> float:
    """How many cores of this machine nobody used since the last call; of no meaning at the first one."""
    import psutil

    return (1 - psutil.cpu_percent() / 100) * psutil.cpu_count()


def _client(address: str | None, processes: int):
    from distributed import Client, LocalCluster

    if address is None:
        # One thread each: sums would be rounded otherwise, and the ray tracer finds its paths in another order.
        cluster = LocalCluster(
            n_workers=processes, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0
        )
        return Client(cluster)
    return connect(address, "workers.scheduler")


def connect(address: str, key: str):
    """A client of a Dask cluster that runs.

    Args:
        address: of its scheduler.
        key: what the user gave the address as, for the error.

    Raises:
        InputError: it is no address, or no scheduler with workers answers.
    """
    from distributed import Client
    from distributed.comm import get_address_host

    from wavefoundry.errors import InputError

    try:
        # Asked first: a client that could not be made takes a minute to go away.
        get_address_host(address)
        client = Client(address, timeout=PATIENCE)
        client.wait_for_workers(1, timeout=PATIENCE)
    except ValueError as error:
        raise InputError(
            f"{key} {address}: no address of a Dask scheduler ({error}); allowed: tcp://HOST:PORT"
        ) from None
    except OSError as error:
        raise InputError(
            f"{key} {address}: no Dask scheduler with workers answers there within {PATIENCE} s ({error})"
        ) from None
    return client


def _in_order(client, function: Callable, arguments: Iterable[tuple]) -> Iterator[Any]:
    waiting: deque[Any] = deque()
    limit = AHEAD * max(1, len(client.scheduler_info()["workers"]))
    for one in arguments:
        waiting.append(client.submit(_unit, function, *one, pure=False))
        if len(waiting) > limit:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _unit(function: Callable, *arguments):
    """One unit on one thread, wherever it runs."""
    import torch

    torch.set_num_threads(1)
    return function(*arguments)
