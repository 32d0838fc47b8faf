"""Some of the bins of CSI in a graph, as wavefoundry/csi/bins.py defines them."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from wavefoundry.csi.bins import NEIGHBOURS
from wavefoundry.deployment.bins import TINY, circles, pooled
from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import DOUBLE, Term, Writer


def pooling(series: Complex) -> Callable[[Term], Term]:
    """What takes values of the bins of series to weighted means over the 3 x 3 bins around each."""
    return partial(pooled, around=circles(series, NEIGHBOURS))


def pick(values: Term, chosen: Term) -> Term:
    """(value, sample, bin) and (sample, chosen bin) -> (value, sample, chosen bin)."""
    return values.op("GatherElements", places(chosen, values.size(0)), axis=2)


def put(values: Term, chosen: Term, found: Term) -> Term:
    """(value, sample, bin) with what was found, (value, sample, chosen bin), in its place."""
    return values.op("ScatterElements", places(chosen, values.size(0)), found, axis=2)


def places(chosen: Term, size: Term) -> Term:
    """(sample, chosen bin) -> (size, sample, chosen bin), the same for every value."""
    return chosen.op("Unsqueeze", chosen.writer.shape(0)).op("Expand", chosen.writer.shape(size, 1, 1))


def limited(values: Complex, limit: Term) -> Complex:
    """Complex values (step, sample, bin) with magnitudes cut at `limit` (1, sample, bin)."""
    factor = (limit / values.power().op("Sqrt").op("Max", TINY)).op("Min", 1.0)
    return values.scaled(factor)


def waves(writer: Writer, steps: Term, lines: int) -> tuple[Term, Term]:
    """Cosines and sines (step, line) of lines at frequencies 0, 1 / lines, ... cycles per step."""
    turns = writer.constant(2 * math.pi / lines * np.arange(lines), DOUBLE)
    angles = writer.range(steps).cast(DOUBLE).reshape(-1, 1) * turns
    return angles.op("Cos"), angles.op("Sin")
