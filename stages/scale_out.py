"""Units of work on several processes, local ones or a Dask cluster. What a unit returns is the same wherever it ran."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from wavefoundry.section import Count, Section

# Units that are under way or done and not yet fetched, for every worker: bounds the memory of a stage.
AHEAD = 2
PATIENCE = 30  # with a cluster that does not answer [s]

# map_units(function, arguments) -> results in the order of the arguments; the number of these follows them where they
# are made one by one.
MapUnits = Callable[..., Iterator]


class Workers(Section):
    """Who does the work of the stages scenario, csi and angle_delay."""

    processes: Count
    scheduler: str | None


@contextmanager
def workers(settings: Workers, description: str) -> Iterator[MapUnits]:
    """Workers for the units of a stage, started when there is more than one unit for them.

    The address of a scheduler, from `workers.scheduler` or the environment (DASK_SCHEDULER_ADDRESS), is taken before
    local processes. A unit whose worker died is done again by another one.

    Args:
        settings: how many local processes, or which cluster.
        description: of the progress bar.
    """
    import dask
    from tqdm import tqdm

    address = settings.scheduler or dask.config.get("scheduler-address", None)
    clients = []

    def map_units(function: Callable, arguments: Iterable[tuple], total: int | None = None) -> Iterator[Any]:
        total = len(arguments) if total is None else total
        several = total > 1 and (address or settings.processes > 1)
        if several and not clients:
            clients.append(_client(address, min(settings.processes, total)))
        if several:
            results = _in_order(clients[0], function, arguments)
        else:
            results = (_unit(function, *one) for one in arguments)
        yield from tqdm(results, desc=description, total=total, unit="unit")

    try:
        yield map_units
    finally:
        for client in clients:
            client.close()
            if client.cluster is not None:
                client.cluster.close()


def _client(address: str | None, processes: int):
    from distributed import Client, LocalCluster

    from wavefoundry.errors import InputError

    if address is None:
        # One thread each: sums would be rounded otherwise, and the ray tracer finds its paths in another order.
        cluster = LocalCluster(
            n_workers=processes, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0
        )
        return Client(cluster)
    try:
        client = Client(address, timeout=PATIENCE)
        client.wait_for_workers(1, timeout=PATIENCE)
    except OSError as error:
        raise InputError(
            f"workers.scheduler {address}: no Dask scheduler with workers answers there within {PATIENCE} s ({error})"
        ) from None
    return client


def _in_order(client, function: Callable, arguments: Iterable[tuple]) -> Iterator[Any]:
    waiting = deque()
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
