"""Autoregression pooled over bins as one plain ONNX file, in double precision."""

from functools import partial
from pathlib import Path

from wavefoundry.deployment.bins import all_bins, circles, from_bins, pooled, to_bins
from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.continuation import continued
from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, Term, Writer
from wavefoundry.deployment.linear_prediction import extrapolated, lattice
from wavefoundry.deployment.plain_predictor import asked, write_plain
from wavefoundry.predictors.pooled_autoregression import BESIDE, Options


def export(options: Options, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    write_plain(partial(prediction, options), [], folder)


def prediction(options: Options, writer: Writer, known: Term, slots: Term, subcarriers: Term) -> Term:
    """Write what `pooled_autoregression.Predictor.predict` does; see `write_plain`."""
    orders = {"time": options.time_order, "frequency": options.frequency_order}

    def found(axes: list[str], within: Writer) -> Term:
        """What is asked for, along one axis after the other."""
        start, *wanted = (term.within(within) for term in (known, slots, subcarriers))
        horizons, box = dict(zip(orders, wanted, strict=True)), start.cast(DOUBLE)
        for axis in axes:
            box = continued(box, axis, horizons[axis], partial(beyond, axis, orders[axis]))
        return asked(within, box, start, *wanted)

    one = found(["time", "frequency"], writer)

    def mean(branch: Writer) -> list[Term]:
        return [(one.within(branch) + found(["frequency", "time"], branch)) * 0.5]

    return writer.branch((slots > 0) & (subcarriers > 0), mean, lambda branch: [one])[0].cast(FLOAT)


def beyond(axis: str, order: int, box: Term, horizon: Term) -> Term:
    """As `extrapolate` of the predictor, of a box (sample, time, antenna, subcarrier, 2), along an axis."""
    series = to_bins(box, axis)  # (step, sample, row, column)
    writer, size = box.writer, [series.real.size(dimension) for dimension in range(4)]
    around = circles(series, (BESIDE, 1.0, BESIDE))
    (filters,), _ = lattice(series, [order], partial(pooled, around=around))
    found = extrapolated(series.each(all_bins), filters.each(all_bins), horizon)
    found = found.each(lambda part: part.reshape(horizon, *size[1:]))
    # A single entry says nothing of how it turns: it is held.
    held = size[0].equals(1)
    parts = zip((found.real, found.imaginary), (series.real, series.imaginary), strict=True)
    return from_bins(Complex(*(writer.where(held, each.cut(0, -1), part) for part, each in parts)), axis)
