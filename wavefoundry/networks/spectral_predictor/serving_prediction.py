"""Wiener prediction in a graph, in double precision, as it is defined in
wavefoundry/networks/spectral_predictor/wiener.py.
"""

from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import DOUBLE, Term, Writer
from wavefoundry.networks.spectral_predictor.serving_bins import waves


def wiener(series: Complex, spectrum: Term, noise: Term, horizon: Term, lines: int) -> Complex:
    """As `wiener.wiener`, of series (step, bin), spectra (line, bin) and noise (1, bin): (horizon, bin)."""
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
