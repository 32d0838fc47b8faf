"""Linear prediction with sums pooled over the bins around, in a graph and in double precision.

As wavefoundry/csi/linear_prediction.py and wavefoundry/predictors/pooled_autoregression.py define it.
"""

from collections.abc import Mapping
from functools import partial

from wavefoundry.csi.bins import NEIGHBOURS
from wavefoundry.deployment.bins import circles, from_bins, pooled, to_bins
from wavefoundry.deployment.continuation import continued
from wavefoundry.deployment.graph_writer import DOUBLE, Term, Writer
from wavefoundry.deployment.linear_prediction import followed, lattice


def with_what_follows(known: Term, slots: Term, subcarriers: Term, orders: Mapping[str, int]) -> Term:
    """CSI with what linear prediction says follows it, as `wavefoundry.csi.linear_prediction.continued`.

    Args:
        known: (sample, time, antenna, subcarrier, 2).
        slots: to predict, (1,).
        subcarriers: to predict, (1,).
        orders: past entries in the prediction along "time" and "frequency".

    Returns:
        double (sample, time + slots, antenna, subcarrier + subcarriers, 2).
    """
    writer = known.writer

    def found(axes: list[str], within: Writer) -> Term:
        """What is asked for, along one axis after the other."""
        horizons = {"time": slots.within(within), "frequency": subcarriers.within(within)}
        box = known.within(within).cast(DOUBLE)
        for axis in axes:
            box = continued(box, axis, horizons[axis], partial(beyond, axis, orders[axis]))
        return box

    frequency_first = found(["frequency", "time"], writer)

    def both(branch: Writer) -> list[Term]:
        one, other = frequency_first.within(branch), found(["time", "frequency"], branch)
        seen, width = (known.within(branch).size(dimension) for dimension in (1, 3))
        present, (later, other) = one.cut(1, 0, seen), (each.cut(1, seen) for each in (one, other))
        corner = (later.cut(3, width) + other.cut(3, width)) * 0.5
        return [branch.joined(1, present, branch.joined(3, other.cut(3, 0, width), corner))]

    return writer.branch((slots > 0) & (subcarriers > 0), both, lambda branch: [frequency_first])[0]


def beyond(axis: str, order: int, box: Term, horizon: Term) -> Term:
    """What follows a box (sample, time, antenna, subcarrier, 2) along an axis, so many entries."""
    series = to_bins(box, axis)  # (step, sample, row, column)
    (filters,), _ = lattice(series, [order], partial(pooled, around=circles(series, NEIGHBOURS)))
    return from_bins(followed(series, filters, horizon), axis)
