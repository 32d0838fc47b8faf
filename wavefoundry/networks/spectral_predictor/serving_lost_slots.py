"""Lost slots in a graph, put in as wavefoundry/networks/spectral_predictor/lost_slots.py defines it."""

from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import DOUBLE, INT64, Term, Writer
from wavefoundry.networks.spectral_predictor.lost_slots import ORDER
from wavefoundry.networks.spectral_predictor.serving_bins import TINY, from_bins, to_bins
from wavefoundry.networks.spectral_predictor.serving_prediction import lattice, shifted


def with_lost_slots(known: Term) -> Term:
    """As `lost_slots.with_lost_slots`, of channels (sample, time, antenna, subcarrier, 2)."""
    writer = known.writer
    strength = known.op("Abs").reduced("ReduceMax", 2, 3, 4)  # (sample, time, 1, 1, 1)
    lost = (strength <= 0.0).cast(INT64)

    def then(branch: Writer) -> list[Term]:
        csi, missing = known.within(branch), lost.within(branch)
        series = to_bins(csi.cast(DOUBLE), "time")
        unknown = missing.cast(DOUBLE).reshape(0, 0, 1, 1).transpose(1, 0, 2, 3)
        # As many turns as slots are lost of the sample that lost the most.
        turns = missing.reduced("ReduceSum", 1).reduced("ReduceMax", 0, 2, 3, 4, keep=False).flat()
        found = from_bins(interpolated(series, unknown, turns), "time").cast(csi.dtype)
        return [branch.where(missing.equals(0), csi, found)]

    any_lost = lost.reduced("ReduceMax", 0, 1, 2, 3, 4, keep=False).flat() > 0
    return writer.branch(any_lost, then, lambda branch: [known])[0]


def interpolated(series: Complex, unknown: Term, turns: Term) -> Complex:
    """As `lost_slots.interpolate`, of bins (step, sample, row, column).

    Args:
        series: of all bins.
        unknown: (step, sample, 1, 1), 1 where a step is lost, else 0.
        turns: of the method, (1,).
    """
    writer, seen = series.real.writer, series.real.size(0)
    longest = writer.where(seen >= 2 * ORDER, ORDER, seen / 2)
    orders = list(range(ORDER + 1))
    filters = chosen(lattice(series, orders, unknown * -1.0 + 1.0)[0], longest)

    def step(body: Writer, _: Term, *state: Term) -> tuple[list[Term], list[Term]]:
        found, rest, direction = (Complex(*state[part : part + 2]) for part in (0, 2, 4))
        left, lost = state[6], unknown.within(body)
        own = filters.each(lambda part: part.within(body))
        image = normal(direction, own, longest.within(body)).scaled(lost)
        curvature = (direction.conjugate() * image).real.reduced("ReduceSum", 0)
        length = left / curvature.op("Max", TINY)
        found, rest = found + direction.scaled(length), rest - image.scaled(length)
        after = rest.power().reduced("ReduceSum", 0)
        direction = rest + direction.scaled(after / left.op("Max", TINY))
        return [*parts(found), *parts(rest), *parts(direction), after], []

    rest = normal(series, filters, longest).scaled(-unknown)
    start = [*parts(series), *parts(rest), *parts(rest), rest.power().reduced("ReduceSum", 0)]
    state, _ = writer.loop(turns, start, step)
    return Complex(state[0], state[1])


def parts(values: Complex) -> tuple[Term, Term]:
    return values.real, values.imaginary


def chosen(filters: list[Complex], order: Term) -> Complex:
    """The filter of an order, (1,), of filters of orders 0, 1, ..., with zeros behind it."""
    writer, most = order.writer, len(filters) - 1
    found = filters[most]
    for shorter in reversed(range(most)):
        longer, is_it = lengthened(filters[shorter], most - shorter), order.equals(shorter)
        found = Complex(*(writer.where(is_it, *pair) for pair in zip(parts(longer), parts(found), strict=True)))
    return found


def lengthened(filters: Complex, by: int) -> Complex:
    """Filters with so many zeros behind."""
    return filters.each(lambda part: part.padded([0] * 4, [by, 0, 0, 0]))


def coefficient(filters: Complex, index: int) -> Complex:
    """One coefficient of filters, (1, sample, row, column)."""
    return filters.each(lambda part: part.cut(0, index, index + 1))


def normal(series: Complex, filters: Complex, order: Term) -> Complex:
    """As `lost_slots.normal`, of bins (step, sample, row, column); filters have zeros behind the order, (1,)."""
    writer, seen = series.real.writer, series.real.size(0)
    step = writer.range(seen)
    follows = (step >= order).cast(DOUBLE).reshape(-1, 1, 1, 1)
    precedes = (step <= seen - 1 - order).cast(DOUBLE).reshape(-1, 1, 1, 1)
    taps = [coefficient(filters, index) for index in range(ORDER + 1)]
    forward = added([tap * moved(series, by) for by, tap in enumerate(taps)]).scaled(follows)
    backward = added([tap.conjugate() * moved(series, -by) for by, tap in enumerate(taps)]).scaled(precedes)
    back = [tap.conjugate() * moved(forward, -by) for by, tap in enumerate(taps)]
    return added(back + [tap * moved(backward, by) for by, tap in enumerate(taps)])


def added(values: list[Complex]) -> Complex:
    return sum(values[1:], start=values[0])


def moved(series: Complex, by: int) -> Complex:
    """So many steps later, or earlier of a number below 0, with zeros where nothing comes from."""
    return series.each(lambda part: shifted(part, by))
