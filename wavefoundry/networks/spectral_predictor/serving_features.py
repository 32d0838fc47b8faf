"""What the estimator of a spectral predictor reads, in a graph, as wavefoundry/networks/spectral_predictor/model.py
defines it.
"""

import numpy as np

from wavefoundry.csi.bins import AXES
from wavefoundry.deployment.bins import TINY, all_bins
from wavefoundry.deployment.complex_values import Complex, transformed
from wavefoundry.deployment.graph_writer import DOUBLE, Term
from wavefoundry.networks.spectral_predictor.model import LOG_UNIT, QUIET, QUIET_LINE
from wavefoundry.networks.spectral_predictor.options import Architecture
from wavefoundry.networks.spectral_predictor.serving_bins import pick, pooling, waves


def features_of(architecture: Architecture, series: Complex, chosen: Term, filters: Complex, residual: Term) -> Term:
    """As `SpectralPredictor._features`, of bins (step, sample, row, column): (sample, chosen bin, feature).

    Args:
        architecture: of the network.
        series: of all bins.
        chosen: (sample, chosen bin).
        filters: of the chosen bins, (coefficient, sample, chosen bin).
        residual: of all bins, (1, sample, row, column).
    """
    writer, seen = series.real.writer, series.real.size(0)
    steps, bins = seen.cast(DOUBLE), series.real.size(2) * series.real.size(3)
    lines, pool = architecture.frequencies, pooling(series)

    def of_chosen(values: Term) -> Term:
        """(value, sample, row, column) -> (sample, chosen bin, value)."""
        return pick(all_bins(values), chosen).transpose(1, 2, 0)

    spectra = Complex.of(transformed(series.pairs(), 0, length=seen * 2)).power()
    lags = Complex.of(transformed(Complex(spectra, spectra * 0.0).pairs(), 0, inverse=True).cut(0, 0, seen) / steps)
    of_bins = lags.real.cut(0, 0, 1).reshape(lags.real.size(1), -1)  # (sample, bin)
    of_sample = of_bins.reduced("ReduceMean", 1).op("Max", TINY).reshape(-1, 1, 1)
    own, near = lags.each(of_chosen), lags.each(lambda part: of_chosen(pool(part)))
    whole = lags.each(lambda part: part.reduced("ReduceMean", 2, 3, keep=False).transpose(1, 0).reshape(0, 1, -1))
    periodograms = [periodogram(each, lines // 2) for each in (own, near, whole)]
    periodograms[2] = periodograms[2].op("Expand", writer.shape(1, chosen.size(1), 1))

    # The filters' length is that of the longest order; later coefficients of a shorter one are zeros.
    orders = np.arange(1 + max(max(getattr(architecture.orders, name)) for name in AXES))[:, None, None]
    damping = writer.constant(architecture.damping**orders, DOUBLE).cut(0, 0, filters.real.size(0))
    damped = filters.each(lambda part: (part * damping).transpose(1, 2, 0))
    response = Complex.of(transformed(damped.pairs(), 2, length=writer.shape(lines))).power()
    shape = writer.constant(1.0, DOUBLE) / response.op("Max", 1e-8)
    autoregression = logarithm(shape / shape.reduced("ReduceSum", 2))

    own_power, near_power = own.real.cut(2, 0, 1), near.real.cut(2, 0, 1)
    # The lower of two middle ones, as torch has it.
    upper, _ = of_bins.largest(bins - (bins - 1) / 2, axis=1)
    level, level_near, level_middle = (
        logarithm(each / of_sample) for each in (own_power, near_power, upper.cut(1, -1).reshape(-1, 1, 1))
    )
    level_middle = level_middle + level * 0.0
    scalars = [level, level_near, level_middle, level - level_middle]
    for left, power in ((residual, own_power), (pool(residual), near_power)):
        rest = of_chosen(left) / power.op("Max", TINY)
        scalars.append(rest.op("Clip", 1e-4, 1e2).op("Log") * LOG_UNIT)
    sizes = [steps.op("Log") - 2.0, (steps / 4.0).op("Reciprocal"), bins.cast(DOUBLE).op("Log") * 0.2 - 1.0]
    scalars += [level * 0.0 + size for size in sizes]
    return writer.joined(2, autoregression, *periodograms, *scalars)


def logarithm(shares: Term) -> Term:
    return (shares + QUIET).op("Log") * LOG_UNIT


def periodogram(lags: Complex, lines: int) -> Term:
    """As `model.periodogram`, of lags (sample, bin, lag): (sample, bin, line)."""
    writer, seen = lags.real.writer, lags.real.size(2)
    cosines, sines = waves(writer, seen, lines)
    weight = writer.where(writer.range(seen) > 0, 2.0, writer.constant(1.0, DOUBLE)).reshape(-1, 1)
    values = lags.real.op("MatMul", cosines * weight) + lags.imaginary.op("MatMul", sines * weight)
    relative = values / seen.cast(DOUBLE) / lags.real.cut(2, 0, 1).op("Max", TINY)
    return (relative + QUIET_LINE).op("Max", QUIET_LINE).op("Log") * LOG_UNIT
