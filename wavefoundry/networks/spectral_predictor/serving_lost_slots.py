"""Lost slots in a graph, put in as wavefoundry/networks/spectral_predictor/lost_slots.py defines it."""

from wavefoundry.deployment.bins import from_bins, to_bins
from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import DOUBLE, INT64, Term, Writer
from wavefoundry.deployment.linear_prediction import lattice, shifted
from wavefoundry.deployment.plain_predictor import rms_scale
from wavefoundry.networks.spectral_predictor.lost_slots import ORDER
from wavefoundry.networks.spectral_predictor.serving_bins import pooling


def with_lost_slots(known: Term) -> Term:
    """As `lost_slots.with_lost_slots`, of channels (sample, time, antenna, subcarrier, 2)."""
    writer = known.writer
    strength = known.op("Abs").reduced("ReduceMax", 2, 3, 4)  # (sample, time, 1, 1, 1)
    lost = (strength <= 0.0).cast(INT64)
    most, least = (lost.reduced(how, 1, 2, 3, 4, keep=False) for how in ("ReduceMax", "ReduceMin"))
    some = most.equals(1) & least.equals(0)  # (sample,)

    def then(branch: Writer) -> list[Term]:
        chosen = some.within(branch)
        given, missing = (part.within(branch).op("Compress", chosen, axis=0) for part in (known, lost))
        scale = rms_scale(given)
        series = to_bins((given / scale).cast(DOUBLE), "time")
        unknown = missing.cast(DOUBLE).reshape(0, 0, 1, 1).transpose(1, 0, 2, 3)
        found = from_bins(interpolated(series, unknown), "time").cast(given.dtype) * scale
        found = branch.where(missing.equals(0), given, found)
        places = branch.op("NonZero", chosen, dtype=INT64).transpose(1, 0)
        return [known.within(branch).op("ScatterND", places, found)]

    any_lost = some.cast(INT64).reduced("ReduceMax", 0, keep=False).flat() > 0
    return writer.branch(any_lost, then, lambda branch: [known])[0]


def interpolated(series: Complex, unknown: Term) -> Complex:
    """As `lost_slots.interpolate`, of bins (step, sample, row, column).

    Args:
        series: of all bins.
        unknown: (step, sample, 1, 1), 1 where a step is lost, else 0.
    """
    writer, seen = series.real.writer, series.real.size(0)
    order = writer.where(seen >= 2 * ORDER, ORDER, seen / 2)
    filters = chosen(lattice(series, list(range(ORDER + 1)), pooling(series), unknown * -1.0 + 1.0)[0], order)
    bands = normal_bands(filters, order, seen)
    right = banded_product(bands, series).scaled(-unknown)
    # Entries that have arrived have the equation x = 0: what is found is what to add.
    masked = [band.scaled(unknown * shifted(unknown, -shift)) for shift, band in enumerate(bands)]
    masked[0] = Complex(masked[0].real + (unknown * -1.0 + 1.0), masked[0].imaginary)
    return series + banded_solution(masked, right)


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


def normal_bands(filters: Complex, order: Term, length: Term) -> list[Complex]:
    """As `lost_slots.normal_bands`; a band has as many steps as a series, and is 0 where it ends."""
    writer = order.writer
    here = writer.range(length)
    bands = []
    for shift in range(ORDER + 1):
        products = []
        for index in range(ORDER - shift + 1):
            forward = (here + index + shift >= order) & (here + (index + shift) <= length - 1)
            backward = (here >= index) & (here <= length - 1 - order + index)
            # Filters have zeros behind their order, but bands end where a series does.
            inside = (here + shift <= length - 1).cast(DOUBLE)
            times = (forward.cast(DOUBLE) + backward.cast(DOUBLE)) * inside
            product = coefficient(filters, index) * coefficient(filters, index + shift).conjugate()
            products.append(product.scaled(times.reshape(-1, 1, 1, 1)))
        bands.append(added(products))
    return bands


def banded_product(bands: list[Complex], series: Complex) -> Complex:
    """As `lost_slots.banded_product`."""
    found = [bands[0] * series]
    for shift in range(1, len(bands)):
        found.append(bands[shift] * moved(series, -shift))
        found.append(moved(bands[shift].conjugate() * series, shift))
    return added(found)


def banded_solution(bands: list[Complex], right: Complex) -> Complex:
    """As `lost_slots.banded_solution`, of bands and right sides (step, sample, row, column)."""
    writer, seen = right.real.writer, right.real.size(0)
    zero = right.real.cut(0, 0, 1) * 0.0
    # What stands left of the diagonal in each row: the conjugate of what stands above it.
    rows = [bands[0], *(moved(bands[shift].conjugate(), shift) for shift in (1, 2))]

    def eliminate(body: Writer, number: Term, *state: Term) -> tuple[list[Term], list[Term]]:
        at = number.flat()
        diagonal, beside, beyond, value = (
            each.each(lambda part: part.within(body).take(at)) for each in (*rows, right)
        )
        pivot, pivot_before = state[0], state[1]
        near_before, known, known_before = (Complex(*state[part : part + 2]) for part in (2, 4, 6))
        far = beyond.scaled(pivot_before.op("Reciprocal"))
        near = (beside - far.scaled(pivot_before) * near_before.conjugate()).scaled(pivot.op("Reciprocal"))
        eliminated = value - near * known - far * known_before
        own = diagonal.real - near.power() * pivot - far.power() * pivot_before
        solved = eliminated.scaled(own.op("Reciprocal"))
        state_after = [own, pivot, *parts(near), *parts(eliminated), *parts(known)]
        return state_after, [*parts(solved), *parts(near), *parts(far)]

    start = [zero + 1.0, zero + 1.0, *[zero] * 6]
    _, found = writer.loop(seen, start, eliminate)
    # Each (step, 1, sample, row, column).
    flat = [part.op("Squeeze", writer.shape(1)) for part in found]
    value, near, far = (Complex(*flat[part : part + 2]) for part in (0, 2, 4))
    near, far = moved(near, -1).conjugate(), moved(far, -2).conjugate()

    def substitute(body: Writer, number: Term, *state: Term) -> tuple[list[Term], list[Term]]:
        at = (seen.within(body) - 1 - number).flat()
        own, beside, beyond = (each.each(lambda part: part.within(body).take(at)) for each in (value, near, far))
        after, after_next = Complex(*state[:2]), Complex(*state[2:])
        here = own - beside * after - beyond * after_next
        return [*parts(here), *parts(after)], list(parts(here))

    _, turned = writer.loop(seen, [zero] * 4, substitute)
    backwards = writer.range(seen) * -1 + (seen - 1)
    return Complex(*(part.op("Squeeze", writer.shape(1)).take(backwards) for part in turned))


def added(values: list[Complex]) -> Complex:
    return sum(values[1:], start=values[0])


def moved(series: Complex, by: int) -> Complex:
    """So many steps later, or earlier of a number below 0, with zeros where nothing comes from."""
    return series.each(lambda part: shifted(part, by))
