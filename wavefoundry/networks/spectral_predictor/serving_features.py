"""What the estimator of a spectral predictor reads, in a graph, as wavefoundry/networks/spectral_predictor/model.py
defines it.
"""

import numpy as np

from wavefoundry.deployment.graph_writer import DOUBLE, Term
from wavefoundry.networks.spectral_predictor.model import AXES, LOG_UNIT, QUIET, QUIET_LINE
from wavefoundry.networks.spectral_predictor.options import Architecture
from wavefoundry.networks.spectral_predictor.serving_bins import (
    TINY,
    Complex,
    all_bins,
    pick,
    pooled,
    transformed,
    waves,
)


def features_of(architecture: Architecture, series: Complex, chosen: Term, filters: Complex, residual: Term) -> Term:
    """As `SpectralPredictor._features`, of bins (sample, row, column, step): (sample, chosen bin, feature).

    Args:
        architecture: of the network.
        series: of all bins.
        chosen: (sample, chosen bin).
        filters: of the chosen bins, (sample, chosen bin, coefficient).
        residual: of all bins, (sample, row, column, 1).
    """
    writer, seen = series.real.writer, series.real.size(3)
    steps, bins = seen.cast(DOUBLE), series.real.size(1) * series.real.size(2)
    lines = architecture.frequencies
    spectra = Complex.of(transformed(series.pairs(), 3, length=seen * 2)).power()
    lags = transformed(Complex(spectra, spectra * 0.0).pairs(), 3, inverse=True).cut(3, 0, seen) / steps
    lags = lags.reshape(0, 0, 0, seen * 2)  # real and imaginary parts in turn
    of_bins = lags.cut(3, 0, 1).reshape(0, -1)
    of_sample = of_bins.reduced("ReduceMean", 1).op("Max", TINY)
    own, around = pick(all_bins(lags), chosen), pick(all_bins(pooled(lags)), chosen)
    whole = lags.reduced("ReduceMean", 1, 2, keep=False).op("Unsqueeze", writer.shape(1))
    whole = whole.op("Expand", writer.shape(1, chosen.size(1), 1))
    periodograms = [periodogram(each, lines // 2) for each in (own, around, whole)]

    # The filters' length is that of the longest order; later coefficients of a shorter one are zeros.
    orders = np.arange(filters_length(architecture))[:, None]
    damping = writer.constant(architecture.damping**orders, DOUBLE).cut(0, 0, filters.real.size(2))
    response = Complex.of(transformed(filters.pairs() * damping, 2, length=writer.shape(lines))).power()
    shape = writer.constant(1.0, DOUBLE) / response.op("Max", 1e-8)
    autoregression = logarithm(shape / shape.reduced("ReduceSum", 2))

    own_power, around_power = (each.cut(2, 0, 1) for each in (own, around))
    # The lower of two middle ones, as torch has it.
    upper, _ = of_bins.largest(bins - (bins - 1) / 2, axis=1)
    middle = upper.cut(1, -1)
    level, level_around, level_middle = (
        logarithm(each / of_sample.op("Unsqueeze", writer.shape(2)))
        for each in (own_power, around_power, middle.op("Unsqueeze", writer.shape(2)))
    )
    level_middle = level_middle + level * 0.0
    scalars = [level, level_around, level_middle, level - level_middle]
    for left, whole_power in ((residual, own_power), (pooled(residual), around_power)):
        rest = pick(left.reshape(0, -1, 1), chosen) / whole_power.op("Max", TINY)
        scalars.append(rest.op("Clip", 1e-4, 1e2).op("Log") * LOG_UNIT)
    sizes = [steps.op("Log") - 2.0, (steps / 4.0).op("Reciprocal"), bins.cast(DOUBLE).op("Log") * 0.2 - 1.0]
    scalars += [level * 0.0 + size for size in sizes]
    return writer.joined(2, autoregression, *periodograms, *scalars)


def filters_length(architecture: Architecture) -> int:
    return 1 + max(max(getattr(architecture.orders, name)) for name in AXES)


def logarithm(shares: Term) -> Term:
    return (shares + QUIET).op("Log") * LOG_UNIT


def periodogram(lags: Term, lines: int) -> Term:
    """As `model.periodogram`, of lags (sample, bin, lag x 2), real and imaginary part of each: (sample, bin, line)."""
    writer, seen = lags.writer, lags.size(2) / 2
    cosines, sines = waves(writer, seen, lines)
    weight = writer.where(writer.range(seen) > 0, 2.0, writer.constant(1.0, DOUBLE)).reshape(-1, 1)
    both = writer.joined(1, cosines * weight, sines * weight).reshape(-1, lines)
    relative = lags.op("MatMul", both) / seen.cast(DOUBLE) / lags.cut(2, 0, 1).op("Max", TINY)
    return (relative + QUIET_LINE).op("Max", QUIET_LINE).op("Log") * LOG_UNIT
