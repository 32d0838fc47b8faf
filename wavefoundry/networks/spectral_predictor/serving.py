"""A spectral predictor as a registered predictor: one plain ONNX file, with the error that is to be expected.

Only the estimators are exported; bins, autoregression, features and linear prediction are written around them, by the
definitions in wavefoundry/networks/spectral_predictor/model.py and beside it, in double precision like there.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import onnx_ir as ir
import torch
from torch.export import Dim

from wavefoundry.csi.bins import AXES
from wavefoundry.deployment.bins import all_bins, from_bins, to_bins
from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, INT64, Term, Writer
from wavefoundry.deployment.linear_prediction import extrapolated, lattice
from wavefoundry.deployment.onnx_export import network_of
from wavefoundry.deployment.plain_predictor import asked, rms_scale, write_plain
from wavefoundry.networks.spectral_predictor.calibration import KINDS
from wavefoundry.networks.spectral_predictor.model import (
    ERROR_GAIN,
    ERROR_TERMS,
    FARTHEST,
    LARGEST_ERROR,
    LEAST_ERROR,
    PREDICTIONS,
    Estimator,
    SpectralPredictor,
)
from wavefoundry.networks.spectral_predictor.options import FEWEST_KNOWN, Architecture
from wavefoundry.networks.spectral_predictor.serving_bins import limited, pick, pooling, put
from wavefoundry.networks.spectral_predictor.serving_features import features_of
from wavefoundry.networks.spectral_predictor.serving_lost_slots import with_lost_slots
from wavefoundry.networks.spectral_predictor.serving_prediction import wiener


def export(model: SpectralPredictor, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    axes = {name: Axis.of(model, name) for name in AXES}
    factors = dict(zip(KINDS, model.error_factors.tolist(), strict=True))
    limits = [at_least_two(name) for name in AXES]
    write_plain(partial(prediction, model.architecture, axes, factors), limits, folder)


def at_least_two(axis: str) -> str:
    return f"to continue {axis}, the predictor takes at least {FEWEST_KNOWN} known entries along it"


@dataclass(frozen=True)
class Axis:
    """What continues the series along one axis.

    name: a key of AXES.
    estimator: its network, (bin, feature) to (bin, estimate).
    orders: of the two autoregressions.
    others_error: terms of the error of the bins that the network is not asked about.
    """

    name: str
    estimator: ir.Model
    orders: list[int]
    others_error: np.ndarray

    @classmethod
    def of(cls, model: SpectralPredictor, name: str) -> "Axis":
        estimator = cast(Estimator, model.estimators[name])
        features = {"features": torch.randn(5, estimator.width)}
        network = network_of(estimator, features, {"features": {0: Dim("bins")}})
        others_error = (ERROR_GAIN * estimator.others_error.detach()).double().numpy()
        return cls(name, network, getattr(model.architecture.orders, name), others_error)


def prediction(
    architecture: Architecture,
    axes: dict[str, Axis],
    factors: dict[str, float],
    writer: Writer,
    known: Term,
    slots: Term,
    subcarriers: Term,
) -> tuple[Term, Term]:
    """Write what `SpectralPredictor.predict_with_error` does; see `write_plain` of
    wavefoundry/deployment/plain_predictor.py."""
    steps = {"time": slots, "frequency": subcarriers}
    checked = writer.constant([0], INT64)
    for name, dimension in AXES.items():
        fits = (steps[name] <= 0) | (known.size(dimension) >= FEWEST_KNOWN)
        checked = checked + writer.refuse_unless(fits, at_least_two(name))
    known = with_lost_slots(known)
    scale = rms_scale(known)
    box = (known / scale).cast(DOUBLE) + checked.cast(DOUBLE)
    both, time = (slots > 0) & (subcarriers > 0), slots > 0

    def found(order: list[str], within: Writer) -> list[Term]:
        parts = [term.within(within) for term in (box, known, slots, subcarriers)]
        return found_along([axes[name] for name in order], architecture, *parts)

    order = list(AXES)
    one = found(order, writer)

    def mean(branch: Writer) -> list[Term]:
        other = found(order[::-1], branch)
        return [(term.within(branch) + more) * 0.5 for term, more in zip(one, other, strict=True)]

    answer, error = writer.branch(both, mean, lambda branch: one)
    factor = writer.where(time, factors["time"], writer.constant(factors["frequency"], DOUBLE))
    factor = writer.where(both, factors["both"], factor)
    answer = answer.cast(FLOAT) * scale
    # An error for each slot and subcarrier of the answer.
    error = (error * factor).cast(FLOAT) * scale * scale
    error = error.op("Expand", writer.shape(1, answer.size(1), 1, answer.size(3), 1))
    return answer, error.reshape(0, -1, answer.size(3))


def found_along(
    order: list[Axis], architecture: Architecture, box: Term, known: Term, slots: Term, subcarriers: Term
) -> list[Term]:
    """What is asked for, found along one axis after the other, and its expected error: see
    `SpectralPredictor._continued_along`.

    Args:
        order: both axes; one along which nothing is asked for is left out in the graph.
        architecture: of the network.
        box: `known` of unit power, (sample, time, antenna, subcarrier, 2).
        known, slots, subcarriers: of the question.
    """
    steps = {"time": slots, "frequency": subcarriers}
    error = box.cut(4, 0, 1).reduced("ReduceSum", 1, 2, 3) * 0.0  # (sample, 1, 1, 1, 1)
    for axis in order:
        box, error = continued(architecture, axis, box, error, steps[axis.name])
    return [asked(box.writer, box, known, slots, subcarriers), error]


def continued(architecture: Architecture, axis: Axis, box: Term, error: Term, horizon: Term) -> tuple[Term, Term]:
    """The box with what follows along an axis, and the error of both, where anything is asked for along it."""
    writer, dimension = box.writer, AXES[axis.name]

    def then(branch: Writer) -> list[Term]:
        known = box.within(branch)
        series = to_bins(known, axis.name)
        beyond, expected = continuation(architecture, axis, series, horizon.within(branch))
        shape = [branch.constant([1], INT64) for _ in range(5)]
        shape[0], shape[dimension] = expected.size(0), expected.size(1)
        return [
            branch.joined(dimension, known, from_bins(beyond, axis.name)),
            error.within(branch) + expected.reshape(*shape),
        ]

    longer, larger = writer.branch(horizon > 0, then, lambda branch: [box, error])
    return longer, larger


def continuation(architecture: Architecture, axis: Axis, series: Complex, horizon: Term) -> tuple[Complex, Term]:
    """Continue all bins (step, sample, row, column).

    Returns:
        (horizon, sample, row, column), and the error to be expected of an entry of CSI, (sample, horizon).
    """
    writer = series.real.writer
    seen, samples, rows, columns = (series.real.size(dimension) for dimension in range(4))
    bins = rows * columns
    count = (bins.cast(DOUBLE) * architecture.share).op("Round").cast(INT64).op("Max", 1)
    level = series.power().reduced("ReduceMean", 0).reshape(samples, -1)
    level_chosen, chosen = level.largest(count, axis=1)

    def of_chosen(part: Term) -> Term:
        return pick(all_bins(part), chosen)

    filters, residual = lattice(series, axis.orders, pooling(series))
    beyond = extrapolated(series.each(all_bins), filters[0].each(all_bins), horizon)
    own = series.each(of_chosen)

    features = features_of(architecture, series, chosen, filters[0].each(of_chosen), residual)
    width = features.size(2)
    estimate = writer.network(axis.estimator, features=features.reshape(-1, width).cast(FLOAT))
    lines = architecture.frequencies
    ends = np.cumsum([lines, 1, PREDICTIONS, PREDICTIONS, ERROR_TERMS]).tolist()
    spectrum, noise, levels, slopes, error_terms = (
        estimate.cut(1, start, end).cast(DOUBLE).transpose(1, 0) for start, end in zip([0, *ends], ends, strict=False)
    )  # (value, sample x bin)
    noise = noise.op("Exp") + architecture.noise_floor
    by_spectrum = wiener(
        own.each(lambda part: part.reshape(0, -1)), spectrum.op("Softmax", axis=0), noise, horizon, lines
    )
    own_power = level_chosen.op("Unsqueeze", writer.shape(0))  # (1, sample, bin)
    limit = own_power.op("Sqrt") * 3.0
    parts = [
        by_spectrum.each(lambda part: part.reshape(0, samples, -1)),
        limited(beyond.each(lambda part: pick(part, chosen)), limit),
        limited(extrapolated(own, filters[1].each(of_chosen), horizon), limit),
    ]
    ahead = steps_ahead(horizon, seen)  # (horizon, 1)
    preferences = levels.reshape(0, 1, -1) + slopes.reshape(0, 1, -1) * ahead
    preferences = preferences.op("Softmax", axis=0).reshape(0, 0, samples, -1)  # (prediction, horizon, sample, bin)
    found = weighted(preferences, parts)
    beyond = Complex(put(beyond.real, chosen, found.real), put(beyond.imaginary, chosen, found.imaginary))
    beyond = beyond.each(lambda part: part.reshape(0, 0, rows, columns))

    silent = writer.constant([0.0], DOUBLE).op("Expand", chosen.op("Shape", dtype=INT64))
    weak = level.op("ScatterElements", chosen, silent, axis=1).reduced("ReduceSum", 1)
    own_error = relative_error(error_terms, ahead).reshape(0, samples, -1) * own_power
    others = relative_error(writer.constant(axis.others_error[:, None], DOUBLE), ahead)  # (horizon, 1)
    expected = own_error.reduced("ReduceSum", 2, keep=False).transpose(1, 0) + weak * others.transpose(1, 0)
    return beyond, expected / bins.cast(DOUBLE)


def weighted(weights: Term, parts: list[Complex]) -> Complex:
    """Sum of parts (step, sample, bin), weighted by (part, step, sample, bin)."""
    writer = weights.writer
    first, *others = (part.scaled(weights.take(writer.constant(index, INT64))) for index, part in enumerate(parts))
    return sum(others, start=first)


def steps_ahead(horizon: Term, seen: Term) -> Term:
    """(horizon, 1): how far ahead each entry lies, in lengths of what is seen."""
    steps = (horizon.writer.range(horizon) + 1).cast(DOUBLE) / seen.cast(DOUBLE)
    return steps.op("Min", FARTHEST).reshape(-1, 1)


def relative_error(terms: Term, ahead: Term) -> Term:
    """As `model.relative_error`, of terms (3, ...) and steps (horizon, 1): (horizon, ...)."""
    basis = [ahead * 0.0 + 1.0, ahead - 0.5, ahead.op("Log") + 1.0]
    found = terms.writer.joined(1, *basis).op("MatMul", terms)
    return found.op("Clip", LEAST_ERROR, LARGEST_ERROR).op("Exp")
