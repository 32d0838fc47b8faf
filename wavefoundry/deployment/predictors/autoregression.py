"""Autoregression by Burg's method as one plain ONNX file, in double precision."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from wavefoundry.deployment.bins import angle_bins, from_angle_bins, from_bins, to_bins
from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.continuation import continued
from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, Term, Writer
from wavefoundry.deployment.linear_prediction import followed, lattice
from wavefoundry.deployment.plain_predictor import asked, write_plain
from wavefoundry.predictors.autoregression import Options


def export(options: Options, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    write_plain(partial(prediction, options.order), [], folder)


def prediction(order: int, writer: Writer, known: Term, slots: Term, subcarriers: Term) -> Term:
    """Write what `autoregression.Predictor.predict` does; see `write_plain`."""
    box = continued(known.cast(DOUBLE), "time", slots, partial(in_time, order))
    box = continued(box, "frequency", subcarriers, partial(in_frequency, order))
    return asked(writer, box, known, slots, subcarriers).cast(FLOAT)


def in_time(order: int, box: Term, horizon: Term) -> Term:
    """What follows a box (sample, time, antenna, subcarrier, 2): every angle-delay bin has a filter."""
    return from_bins(beyond(to_bins(box, "time"), order, horizon, lambda sums: sums), "time")


def in_frequency(order: int, box: Term, horizon: Term) -> Term:
    """The band above a box: every angle bin has a filter, which all its slots share."""
    return from_angle_bins(beyond(angle_bins(box), order, horizon, lambda sums: sums.reduced("ReduceSum", 3)))


def beyond(series: Complex, order: int, horizon: Term, pool: Callable[[Term], Term]) -> Complex:
    """What follows series (step, sample, row, column); see `lattice` for `pool`."""
    (filters,), _ = lattice(series, [order], pool, longest=series.real.size(0) / 2)
    return followed(series, filters, horizon)
