"""Linear prediction in a graph, as wavefoundry/networks/spectral_predictor/model.py defines it, in double precision."""

from wavefoundry.deployment.graph_writer import DOUBLE, INT64, Term, Writer
from wavefoundry.networks.spectral_predictor.serving_bins import TINY, Complex, pooled, waves


def lattice(series: Complex, orders: list[int]) -> tuple[list[Complex], Term]:
    """As `model.lattice`, of bins (sample, row, column, step).

    Returns:
        The filters (sample, row, column, coefficient), and what the longest one leaves, (sample, row, column, 1).
        Where there are fewer past steps than a filter has coefficients, the last ones are zeros.
    """
    writer, seen = series.real.writer, series.real.size(3)
    forward = backward = series
    zero = series.each(lambda part: part.cut(3, 0, 1) * 0.0)
    filters = {0: Complex(zero.real + 1.0, zero.imaginary)}
    residual = series.power().reduced("ReduceMean", 3)
    for order in range(1, max(orders) + 1):
        # What has no past is zero: of series that are too short nothing is left, all sums are 0, and so is the gain.
        follows = (writer.range(seen) >= order).cast(DOUBLE)
        forward = Complex(forward.real * follows, forward.imaginary * follows)
        backward = backward.each(lambda part: part.padded([0, 0, 0, 1], [0, 0, 0, -1]))
        cross = forward * backward.conjugate()
        parts = (forward.power() + backward.power(), cross.real, cross.imaginary)
        sums = pooled(writer.joined(3, *(part.reduced("ReduceSum", 3) for part in parts)))
        factor = writer.constant(-2.0, DOUBLE) / sums.cut(3, 0, 1).op("Max", TINY)
        gain = Complex(sums.cut(3, 1, 2) * factor, sums.cut(3, 2, 3) * factor)
        before = filters[order - 1]
        longer = Complex(writer.joined(3, before.real, zero.real), writer.joined(3, before.imaginary, zero.imaginary))
        backwards = writer.constant(list(range(order, -1, -1)), INT64)
        turned = Complex(longer.real.take(backwards, axis=3), -longer.imaginary.take(backwards, axis=3))
        filters[order] = longer + gain * turned
        forward, backward = forward + gain * backward, backward + gain.conjugate() * forward
        left = seen - order
        mean = forward.power().reduced("ReduceSum", 3) / left.op("Max", 1).cast(DOUBLE)
        residual = writer.where(left > 0, mean, residual)
    return [filters[order] for order in orders], residual


def extrapolated(series: Complex, filters: Complex, horizon: Term) -> Complex:
    """As `model.extrapolate`, of series (sample, bin, step) and filters (sample, bin, coefficient)."""
    writer, length = series.real.writer, filters.real.size(2)
    order = length - 1
    past = series.each(lambda part: part.padded([0, 0, order], [0, 0, 0]).cut(2, -order)).pairs(2)
    backwards = writer.range(order) * -1 + order
    weights = matrices(filters.each(lambda part: -part.take(backwards, axis=2)))

    def step(body: Writer, _: Term, before: Term) -> tuple[Term, Term]:
        found = weights.within(body).op("MatMul", before.reshape(0, 0, -1, 1))  # (sample, bin, part, 1)
        return body.joined(3, before.cut(3, 1), found), found

    _, found = writer.loop(horizon, past, step)  # (horizon, sample, bin, part, 1)
    return Complex.of(found.transpose(1, 2, 3, 0, 4).reshape(0, 0, 2, -1), axis=2)


def wiener(series: Complex, spectrum: Term, noise: Term, horizon: Term, lines: int) -> Complex:
    """As `SpectralPredictor._linear`, of series (sample, bin, step): (sample, bin, horizon)."""
    writer, seen = series.real.writer, series.real.size(2)
    cosines, sines = (wave.transpose(1, 0) for wave in waves(writer, seen + horizon, lines))
    covariance = Complex(spectrum.op("MatMul", cosines), spectrum.op("MatMul", sines))
    weights = solved(covariance, noise, series)  # (sample, bin, part, step)
    lags = (writer.range(horizon) + seen).reshape(-1, 1) - writer.range(seen)
    # (sample, bin, part, part x horizon x step)
    across = matrices(covariance.each(lambda part: part.take(lags, axis=2).reshape(0, 0, -1)))
    across = across.reshape(0, 0, 2, 2, horizon, seen).transpose(0, 1, 2, 4, 3, 5).reshape(0, 0, horizon * 2, seen * 2)
    found = across.op("MatMul", weights.reshape(0, 0, -1, 1))
    return Complex.of(found.reshape(0, 0, 2, -1), axis=2)


def solved(covariance: Complex, noise: Term, series: Complex) -> Term:
    """The solution of Hermitian Toeplitz systems, by Levinson's recursion.

    Norman Levinson, "The Wiener RMS (Root Mean Square) Error Criterion in Filter Design and Prediction", 1946. A turn
    makes m + 1 equations of m. With T the matrix of the first m,

        T a = (E, 0, ..., 0),  T b = (0, ..., 0, E),  T x = y,

    where b is a turned round and conjugated.

    Args:
        covariance: (sample, bin, lag), of lags 0, 1, ..., at least as many as a series has steps.
        noise: (sample, bin, 1), added to lag 0.
        series: y, (sample, bin, step).

    Returns:
        x, (sample, bin, part, step).
    """
    writer, seen = series.real.writer, series.real.size(2)
    lags, values = matrices(covariance).reshape(0, 0, 2, 2, -1), series.pairs(2)
    energy = (covariance.real.cut(2, 0, 1) + noise).op("Unsqueeze", writer.shape(3))  # (sample, bin, 1, 1)
    first = writer.range(seen).equals(0).cast(DOUBLE)
    start = values * 0.0 + writer.constant([[1.0], [0.0]], DOUBLE) * first
    found = values.cut(3, 0, 1) / energy * first
    # The rows of a, of b, of x, and of E.
    state = writer.joined(2, start, start, found, energy.op("Expand", writer.shape(1, 1, 1, seen)))

    def turn(body: Writer, number: Term, before: Term) -> tuple[Term, Term]:
        a, b, x = (before.cut(2, row, row + 2) for row in (0, 2, 4))
        energy = before.cut(2, 6, 7).cut(3, 0, 1)
        at = (number + 1 - body.range(seen.within(body))).op("Max", 0)
        window = lags.within(body).take(at, axis=4).reshape(0, 0, 2, -1)  # (sample, bin, part, part x step)
        rest, missed = (window.op("MatMul", each.reshape(0, 0, -1, 1)) for each in (a, x))  # (sample, bin, part, 1)
        shifted = b.padded([0, 0, 0, 1], [0, 0, 0, -1])
        reflection = square(rest / energy)
        next_a = a - reflection.op("MatMul", shifted)
        next_b = shifted - reflection.transpose(0, 1, 3, 2).op("MatMul", a)
        next_energy = energy - (rest * rest).reduced("ReduceSum", 2) / energy
        value = values.within(body).take((number + 1).flat(), axis=3)
        next_x = x + square((value - missed) / next_energy).op("MatMul", next_b)
        spread = next_energy.op("Expand", body.shape(1, 1, 1, seen.within(body)))
        return body.joined(2, next_a, next_b, next_x, spread), number

    last, _ = writer.loop(seen - 1, state, turn)
    return last.cut(2, 4, 6)


def square(values: Term) -> Term:
    """Of complex numbers (sample, bin, part, 1) the matrices (sample, bin, 2, 2) that multiply by them."""
    turned = values.writer.constant([[0.0, -1.0], [1.0, 0.0]], DOUBLE).op("MatMul", values)
    return values.writer.joined(3, values, turned)


def matrices(values: Complex) -> Term:
    """Of complex numbers (sample, bin, n) the matrices (sample, bin, 2, 2 n) whose products with columns of all real
    and then all imaginary parts are the sums of products: [[real, -imaginary], [imaginary, real]]."""
    writer = values.real.writer
    rows = writer.joined(2, values.real, -values.imaginary), writer.joined(2, values.imaginary, values.real)
    return writer.joined(2, *(row.op("Unsqueeze", writer.shape(2)) for row in rows))
