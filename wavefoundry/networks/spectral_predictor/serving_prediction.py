"""Linear prediction in a graph, in double precision, as it is defined in
wavefoundry/networks/spectral_predictor/linear_prediction.py.
"""

from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import DOUBLE, INT64, Term, Writer
from wavefoundry.networks.spectral_predictor.serving_bins import TINY, circles, pooled, waves


def lattice(series: Complex, orders: list[int], arrived: Term | None = None) -> tuple[list[Complex], Term]:
    """As `linear_prediction.lattice`, of bins (step, sample, row, column).

    Args:
        series: of all bins.
        orders: past steps of each filter.
        arrived: (step, sample, 1, 1), 1 or 0; errors that involve a step with 0 do not count. None: all have arrived.

    Returns:
        The filters (coefficient, sample, row, column), and what the longest one leaves, (1, sample, row, column). Where
        there are fewer past steps than a filter has coefficients, the last ones are zeros.
    """
    writer, seen = series.real.writer, series.real.size(0)
    forward = backward = series
    zero = series.each(lambda part: part.cut(0, 0, 1) * 0.0)
    filters = {0: Complex(zero.real + 1.0, zero.imaginary)}
    residual, around = series.power().reduced("ReduceMean", 0), circles(series)
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
        sums = pooled(writer.joined(0, *(part.reduced("ReduceSum", 0) for part in parts)), around)
        factor = writer.constant(-2.0, DOUBLE) / sums.cut(0, 0, 1).op("Max", TINY)
        gain = Complex(sums.cut(0, 1, 2), sums.cut(0, 2, 3)).scaled(factor)
        before = filters[order - 1]
        longer = Complex(writer.joined(0, before.real, zero.real), writer.joined(0, before.imaginary, zero.imaginary))
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
    """As `linear_prediction.extrapolate`, of series (step, sample, bin) and filters (coefficient, sample, bin)."""
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


def wiener(series: Complex, spectrum: Term, noise: Term, horizon: Term, lines: int) -> Complex:
    """As `linear_prediction.wiener`, of series (step, bin), spectra (line, bin) and noise (1, bin): (horizon, bin)."""
    writer, seen = series.real.writer, series.real.size(0)
    covariance = Complex(*(wave.op("MatMul", spectrum) for wave in waves(writer, seen + horizon, lines)))
    weights = solved(covariance, noise, series)
    lags = (writer.range(horizon) + seen).reshape(-1, 1) - writer.range(seen)
    return (covariance.each(lambda part: part.take(lags)) * weights).summed(1).each(lambda part: part.reshape(0, -1))


def solved(covariance: Complex, noise: Term, series: Complex) -> Complex:
    """The solution of Hermitian Toeplitz systems, by Levinson's recursion.

    Norman Levinson, "The Wiener RMS (Root Mean Square) Error Criterion in Filter Design and Prediction", 1946. A turn
    makes m + 1 equations of m. With T the matrix of the first m,

        T a = (E, 0, ..., 0),  T b = (0, ..., 0, E),  T x = y,

    where b is a turned round and conjugated.

    Args:
        covariance: (lag, bin), of lags 0, 1, ..., at least as many as a series has steps.
        noise: (1, bin), added to lag 0.
        series: y, (step, bin).

    Returns:
        x, (step, bin).
    """
    writer, seen = series.real.writer, series.real.size(0)
    energy = covariance.real.cut(0, 0, 1) + noise
    first = writer.range(seen).equals(0).cast(DOUBLE).reshape(-1, 1)
    one, zero = series.real * 0.0 + first, series.real * 0.0
    start = series.each(lambda part: part.cut(0, 0, 1) / energy * first)

    def turn(body: Writer, number: Term, *state: Term) -> tuple[list[Term], list[Term]]:
        a, b, x = (Complex(*state[part : part + 2]) for part in (0, 2, 4))
        energy, following = state[6], (number + 1).flat()
        at = (following - body.range(seen.within(body))).op("Max", 0)
        window = covariance.each(lambda part: part.within(body).take(at))
        rest, missed = (window * a).summed(0), (window * x).summed(0)
        reflection = rest.scaled(energy.op("Reciprocal"))
        later = b.each(lambda part: part.padded([1, 0], [-1, 0]))
        next_a, next_b = a - reflection * later, later - reflection.conjugate() * a
        next_energy = energy - rest.power() / energy
        value = series.each(lambda part: part.within(body).take(following))
        next_x = x + (value - missed).scaled(next_energy.op("Reciprocal")) * next_b
        parts = [part for values in (next_a, next_b, next_x) for part in (values.real, values.imaginary)]
        return [*parts, next_energy], []

    state, _ = writer.loop(seen - 1, [one, zero, one, zero, start.real, start.imaginary, energy], turn)
    return Complex(state[4], state[5])
