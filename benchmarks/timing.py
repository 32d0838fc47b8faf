"""Times of functions that are compared with each other, taken in turn."""

import statistics
import time
from collections.abc import Callable

import torch


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def medians(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median wall time [s] of each function: one warm-up of all, then `rounds` rounds in which each runs once."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            taken = seconds(function)
            if turn:
                times[name].append(taken)
    return {name: statistics.median(values) for name, values in times.items()}


def finished(call: Callable[[], object]) -> Callable[[], None]:
    """The call, and the wait until a GPU has done it, where there is one."""

    def wait() -> None:
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return wait
