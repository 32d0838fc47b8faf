"""What a prediction begins from, in a graph: series of bins that turn on as they did, see `rotation.continued`."""

from wavefoundry.deployment.bins import all_bins, from_bins, to_bins
from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import Term
from wavefoundry.deployment.linear_prediction import extrapolated, lattice


def continued(series: Complex, steps: Term) -> Complex:
    """Linear prediction of first order, of bins (step, sample, row, column): (steps, sample, row, column)."""
    (filters,), _ = lattice(series, [1], lambda sums: sums)
    found = extrapolated(series.each(all_bins), filters.each(all_bins), steps)
    return found.each(lambda part: part.reshape(0, 0, series.real.size(2), series.real.size(3)))


def band_above(known: Term, subcarriers: Term) -> Term:
    """So many subcarriers above CSI (sample, time, antenna, subcarrier, 2): every angle-Doppler bin is continued."""
    return from_bins(continued(to_bins(known, "frequency"), subcarriers), "frequency")


def frames_after(maps: Term, slots: Term) -> Term:
    """So many frames after maps (sample, time, angle, delay, 2): every angle-delay bin is continued."""
    series = Complex.of(maps.transpose(1, 0, 2, 3, 4))
    return continued(series, slots).pairs().transpose(1, 0, 2, 3, 4)
