"""Linear prediction of series of bins in a graph, in double precision."""

from collections.abc import Callable

from wavefoundry.deployment.bins import TINY, all_bins
from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import DOUBLE, INT64, Term, Writer


def lattice(
    series: Complex,
    orders: list[int],
    pool: Callable[[Term], Term],
    arrived: Term | None = None,
    longest: Term | None = None,
) -> tuple[list[Complex], Term]:
    """Prediction error filters by Burg's lattice, of reflection coefficients of magnitude at most 1.

    J. P. Burg, "Maximum Entropy Spectral Analysis", PhD thesis, Stanford University, 1975.

    Args:
        series: of bins (step, sample, row, column).
        orders: past steps of each filter.
        pool: sums over the steps of bins (sum, sample, row, column) to those from which the coefficients are found,
            with those of other bins in them; row and column stay, or become 1.
        arrived: (step, sample, 1, 1), 1 or 0; errors that involve a step with 0 do not count. None: all have arrived.
        longest: (1,), an order above which coefficients are zeros. None: that which the steps allow.

    Returns:
        The filters (coefficient, sample, row, column), and what the longest one leaves, (1, sample, row, column). Where
        there are fewer past steps than a filter has coefficients, the last ones are zeros.
    """
    writer, seen = series.real.writer, series.real.size(0)
    forward = backward = series
    zero = series.each(lambda part: part.cut(0, 0, 1) * 0.0)
    filters = {0: Complex(zero.real + 1.0, zero.imaginary)}
    residual = series.power().reduced("ReduceMean", 0)
    counted = (writer.range(seen) >= 0).cast(DOUBLE).reshape(-1, 1, 1, 1) if arrived is None else arrived
    for order in range(1, max(orders) + 1):
        # What has no past is zero: of series that are too short nothing is left, all sums are 0, and so is the gain.
        counted = counted * shifted(counted)
        forward = forward.scaled(counted)
        backward = backward.each(shifted)
        if arrived is not None:
            backward = backward.scaled(counted)
        cross = forward * backward.conjugate()
        parts = (forward.power() + backward.power(), cross.real, cross.imaginary)
        sums = pool(writer.joined(0, *(part.reduced("ReduceSum", 0) for part in parts)))
        factor = writer.constant(-2.0, DOUBLE) / sums.cut(0, 0, 1).op("Max", TINY)
        gain = Complex(sums.cut(0, 1, 2), sums.cut(0, 2, 3)).scaled(factor)
        if longest is not None:
            gain = gain.scaled((longest >= order).cast(DOUBLE))
        before = filters[order - 1]
        longer = Complex.joined(0, before, zero)
        backwards = writer.constant(list(range(order, -1, -1)), INT64)
        turned = Complex(longer.real.take(backwards), -longer.imaginary.take(backwards))
        filters[order] = longer + gain * turned
        forward, backward = forward + gain * backward, backward + gain.conjugate() * forward
        left = counted.reduced("ReduceSum", 0)
        mean = forward.power().reduced("ReduceSum", 0) / left.op("Max", 1.0)
        residual = writer.where(left > 0.0, mean, residual)
    return [filters[order] for order in orders], residual


def shifted(values: Term, by: int = 1) -> Term:
    """So many steps later along the first axis of four, or earlier of a number below 0; 0 where nothing comes from."""
    return values.padded([by, 0, 0, 0], [-by, 0, 0, 0])


def extrapolated(series: Complex, filters: Complex, horizon: Term) -> Complex:
    """What prediction error filters (coefficient, sample, bin) say follows series (step, sample, bin), so many steps.

    Where a series has fewer steps than a filter has past ones, it is taken to begin with zeros.
    """
    writer, length = series.real.writer, filters.real.size(0)
    order = length - 1
    past = series.each(lambda part: part.padded([order, 0, 0], [0, 0, 0]).cut(0, -order))
    backwards = writer.range(order) * -1 + order
    weights = filters.each(lambda part: -part.take(backwards))

    def step(body: Writer, _: Term, real: Term, imaginary: Term) -> tuple[list[Term], list[Term]]:
        known = Complex(real, imaginary)
        found = (known * weights.each(lambda part: part.within(body))).summed(0)
        after = [body.joined(0, real.cut(0, 1), found.real), body.joined(0, imaginary.cut(0, 1), found.imaginary)]
        return after, [found.real, found.imaginary]

    _, found = writer.loop(horizon, [past.real, past.imaginary], step)  # each (horizon, 1, sample, bin)
    return Complex(*(part.op("Squeeze", writer.shape(1)) for part in found))


def followed(series: Complex, filters: Complex, horizon: Term) -> Complex:
    """As `extrapolated`, of series and filters of bins (step or coefficient, sample, row, column).

    A single entry, which says nothing of how it turns, is held.
    """
    writer, size = series.real.writer, [series.real.size(dimension) for dimension in range(4)]
    found = extrapolated(series.each(all_bins), filters.each(all_bins), horizon)
    found = found.each(lambda part: part.reshape(horizon, *size[1:]))
    held = size[0].equals(1)
    parts = zip((found.real, found.imaginary), (series.real, series.imaginary), strict=True)
    return Complex(*(writer.where(held, each.cut(0, -1), part) for part, each in parts))
