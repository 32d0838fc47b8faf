"""What the seeds of one entry say together."""

import statistics
from collections.abc import Iterable


def spread(values: Iterable[float]) -> float:
    """Standard deviation over seeds, 0 of a single one."""
    values = [float(value) for value in values]
    return statistics.stdev(values) if len(values) > 1 else 0.0
