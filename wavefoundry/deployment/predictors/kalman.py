"""The Kalman filter on autoregressions as one plain ONNX file, in double precision."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from wavefoundry.deployment.bins import TINY, angle_bins, from_angle_bins, from_bins, to_bins
from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.continuation import DIMENSIONS, continued
from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, INT64, Term, Writer
from wavefoundry.deployment.linear_prediction import shifted
from wavefoundry.deployment.plain_predictor import asked, write_plain
from wavefoundry.predictors.kalman import LEAST_SIGNAL, Options


def export(options: Options, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    write_plain(partial(prediction, options), [at_least(axis, options.order) for axis in DIMENSIONS], folder)


def at_least(axis: str, order: int) -> str:
    return f"to continue {axis}, the filter takes at least {order + 1} known entries along it"


def prediction(options: Options, writer: Writer, known: Term, slots: Term, subcarriers: Term) -> Term:
    """Write what `kalman.Predictor.predict` does; see `write_plain`."""
    horizons = {"time": slots, "frequency": subcarriers}
    checked = writer.constant([0], INT64)
    for axis, dimension in DIMENSIONS.items():
        fits = (horizons[axis] <= 0) | (known.size(dimension) > options.order)
        checked = checked + writer.refuse_unless(fits, at_least(axis, options.order))
    box = known.cast(DOUBLE) + checked.cast(DOUBLE)
    noise_to_signal = 10 ** (-options.snr_db / 10)
    share = 2 * noise_to_signal / (1 + noise_to_signal)
    noise = ((box * box).reduced("ReduceMean", 1, 2, 3, 4) * share).reshape(1, -1, 1, 1)  # (1, sample, 1, 1)
    box = continued(box, "time", slots, partial(in_time, options, noise))
    box = continued(box, "frequency", subcarriers, partial(in_frequency, options, noise))
    return asked(writer, box, known, slots, subcarriers).cast(FLOAT)


def in_time(options: Options, noise: Term, box: Term, horizon: Term) -> Term:
    """What follows a box (sample, time, antenna, subcarrier, 2): every angle-delay bin is a process of its own."""
    return from_bins(followed(to_bins(box, "time"), options, noise, horizon, lambda values: values), "time")


def in_frequency(options: Options, noise: Term, box: Term, horizon: Term) -> Term:
    """The band above a box: the slots of an angle bin are realisations of one process."""
    series = angle_bins(box)
    return from_angle_bins(followed(series, options, noise, horizon, lambda part: part.reduced("ReduceMean", 3)))


def followed(series: Complex, options: Options, noise: Term, horizon: Term, pool: Callable[[Term], Term]) -> Complex:
    """As `kalman.extrapolate`, of series (step, sample, row, column): (horizon, sample, row, column).

    Args:
        series: of bins.
        options: of the predictor.
        noise: variance of the noise in an entry, (1, sample, 1, 1).
        horizon: how many steps.
        pool: takes values (value, sample, row, column) to their means over realisations.
    """
    writer, order = series.real.writer, options.order
    noise = noise.within(writer)
    filters, autocovariance, innovation = burg(series, order, noise * options.compensation, pool)
    weights = Complex.joined(0, *filters[1:]).each(lambda part: -part)  # (order, sample, row, column)
    # State: the newest value first, so that entries i and j are j - i steps apart.
    covariance = Complex.joined(0, *(
        Complex.joined(1, *(unsqueezed(between(autocovariance, j - i), 1) for j in range(order))) for i in range(order)
    ))  # fmt: skip
    corner = innovation.op("Unsqueeze", writer.shape(1)).padded([0] * 5, [order - 1, order - 1, 0, 0, 0])
    state = series.each(lambda part: (part.cut(0, 0, 1) * 0.0).op("Expand", spread(part, order)))

    def turn(body: Writer, number: Term, *parts: Term) -> tuple[list[Term], list[Term]]:
        state, covariance = Complex(*parts[:2]), Complex(*parts[2:])
        step, noise_here = weights.each(lambda part: part.within(body)), noise.within(body)
        row = covariance.each(lambda part: part.cut(0, 0, 1))  # (1, order, sample, row, column)
        column = covariance.each(lambda part: part.cut(1, 0, 1).op("Squeeze", body.shape(1)))
        seen = (column.real.cut(0, 0, 1) + noise_here).op("Max", TINY)
        gain = column.scaled(seen.op("Reciprocal"))
        value = series.each(lambda part: part.within(body).take(number.flat()))
        state = state + gain * (value - state.each(lambda part: part.cut(0, 0, 1)))
        covariance = covariance - unsqueezed(gain, 1) * row
        # Rounding would make it less and less Hermitian, and the filter of a long series diverge.
        covariance = (covariance + covariance.conjugate().each(exchanged)).each(lambda part: part * 0.5)
        # The next step: from the left, then, as its adjoint, from the right.
        left = stepped(covariance, unsqueezed(step, 1))
        both = stepped(left.conjugate().each(exchanged), unsqueezed(step, 1)).conjugate().each(exchanged)
        covariance = Complex(both.real + corner.within(body), both.imaginary)
        state = stepped(state, step)
        return [state.real, state.imaginary, covariance.real, covariance.imaginary], []

    start = [state.real, state.imaginary, covariance.real, covariance.imaginary]
    (real, imaginary, *_), _ = writer.loop(series.real.size(0), start, turn)

    def following(body: Writer, _: Term, *parts: Term) -> tuple[list[Term], list[Term]]:
        here = Complex(*parts)
        after = stepped(here, weights.each(lambda part: part.within(body)))
        return [after.real, after.imaginary], [here.real.cut(0, 0, 1), here.imaginary.cut(0, 0, 1)]

    _, found = writer.loop(horizon, [real, imaginary], following)
    return Complex(*(part.op("Squeeze", writer.shape(1)) for part in found))


def burg(
    series: Complex, order: int, noise: Term, pool: Callable[[Term], Term]
) -> tuple[list[Complex], list[Complex], Term]:
    """As `kalman.burg`, of series (step, sample, row, column).

    Returns:
        The coefficients of the filter and the autocovariance, for order + 1 steps each, (1, sample, row, column), and
        the power of the error, likewise; of realisations of one process one column.
    """
    forward = backward = series
    error = pool(series.power().reduced("ReduceMean", 0))
    error = (error - noise).op("Max", error * LEAST_SIGNAL)
    coefficients, autocovariance = [Complex(error * 0.0 + 1.0, error * 0.0)], [Complex(error, error * 0.0)]
    writer, steps = error.writer, series.real.size(0)
    index = writer.range(steps).reshape(-1, 1, 1, 1)
    for past in range(order):
        # What has no past is zero, so that sums leave it out.
        counted = (index > past).cast(DOUBLE)
        forward, backward = forward.scaled(counted), backward.each(shifted)
        # Means over realisations in place of sums: of the noise, too.
        power = pool((forward.power() + backward.power()).reduced("ReduceSum", 0))
        cross = (forward * backward.conjugate()).summed(0).each(pool)
        seen = noise * (steps - (past + 1)).cast(DOUBLE)
        # What the noise adds: the filters of both errors see it, in part at the same steps.
        for one, other in zip(coefficients[1:], coefficients[:0:-1], strict=True):
            cross = cross - (one * other).scaled(seen)
        squares = sum((each.power() for each in coefficients[1:]), start=coefficients[0].power())
        less = (power - seen * squares * 2.0).op("Max", power * LEAST_SIGNAL).op("Max", TINY)
        reflection = cross.scaled(less.op("Reciprocal") * -2.0)
        reflection = reflection.scaled(reflection.power().op("Sqrt").op("Max", 1.0).op("Reciprocal"))
        following = reflection.scaled(-error)
        for one, other in zip(coefficients[1:], autocovariance[:0:-1], strict=True):
            following = following - one * other
        autocovariance.append(following)
        error = error * (-reflection.power() + 1.0).op("Max", 0.0)
        longer = [*coefficients, coefficients[0].scaled(error * 0.0)]
        coefficients = [one + reflection * other.conjugate() for one, other in zip(longer, longer[::-1], strict=True)]
        forward, backward = forward + reflection * backward, backward + reflection.conjugate() * forward
    return coefficients, autocovariance, error


def between(autocovariance: Sequence[Complex], apart: int) -> Complex:
    """The covariance of two values so many steps apart."""
    return autocovariance[apart] if apart >= 0 else autocovariance[-apart].conjugate()


def stepped(values: Complex, weights: Complex) -> Complex:
    """Values (newest first, ...) one step later: the weighted sum of all, then all but the oldest."""
    newest = (values * weights).summed(0)
    return Complex.joined(0, newest, values.each(lambda part: part.cut(0, 0, -1)))


def unsqueezed(values: Complex, axis: int) -> Complex:
    return values.each(lambda part: part.op("Unsqueeze", part.writer.shape(axis)))


def exchanged(matrices: Term) -> Term:
    """With rows for columns, which are the first two axes."""
    return matrices.transpose(1, 0, 2, 3, 4)


def spread(values: Term, count: int) -> Term:
    """The shape of so many of values (value, sample, row, column)."""
    return values.writer.shape(count, *(values.size(axis) for axis in (1, 2, 3)))
