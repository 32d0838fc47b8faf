"""What a predictor costs: parameters and latency."""

import statistics
import time

import torch

from wavefoundry.evaluation.prediction import Predictor


def parameter_count(predictor: Predictor) -> int:
    """Number of trained values; 0 for a classical method."""
    if not isinstance(predictor, torch.nn.Module):
        return 0
    return sum(parameter.numel() for parameter in predictor.parameters())


def latency_ms(predictor: Predictor, known: torch.Tensor, horizon: int, repetitions: int) -> float:
    """Median wall time of one time-domain prediction on one thread [ms], after two calls of warm-up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(2):
            predictor.predict(known, "time", horizon)
        times = []
        for _ in range(repetitions):
            start = time.perf_counter()
            predictor.predict(known, "time", horizon)
            times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return 1e3 * statistics.median(times)
