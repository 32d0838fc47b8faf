"""Tokens of angle-delay maps in a graph, and what the network makes of them.

By the definitions in wavefoundry/networks/lwm_temporal/model.py and reference.py; bins are (sample, frame, position,
bin), tokens are in the order time, then position. All samples have the same frames hidden: those behind the known ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from wavefoundry.deployment.complex_values import Complex
from wavefoundry.deployment.graph_writer import FLOAT, Term
from wavefoundry.networks.lwm_temporal.options import Architecture
from wavefoundry.networks.lwm_temporal.reference import ENERGY_FLOOR, LEAST_ENERGY, OF_EVERY_BIN


@dataclass(frozen=True)
class Network:
    """What fills in tokens.

    architecture: of the network.
    predicts_changes: see `LWMTemporalPredictor`.
    graph: the network proper, see `serving_network`.
    """

    architecture: Architecture
    predicts_changes: bool
    graph: ir.Model


def filled_in(network: Network, maps: Term, seen: Term, future: Term, tables: dict[str, Term]) -> Term:
    """As `LWMTemporalPredictor._fill_in`, with maps of all frames.

    Args:
        network: that fills in.
        maps: (sample, frame, angle, delay, 2), zeros where a frame is hidden.
        seen: how many frames are known, (1,).
        future: whether others are hidden, (1,).
        tables: what the network is told of the grid, by the names of its inputs.
    """
    writer, architecture, frames = maps.writer, network.architecture, maps.size(1)
    bins = split(maps, architecture.patch_size)
    hidden = (writer.range(frames) >= seen).reshape(-1, 1, 1)
    power = bins.power()
    energy = power.reduced("ReduceMean", 3) * 0.5  # per real part
    known = (seen * bins.real.size(2)).cast(FLOAT)
    mean = (energy.reduced("ReduceSum", 1, 2) / known).op("Max", LEAST_ENERGY)
    factor = Factor.of(bins, power, mean, seen, future, architecture.reference)
    scale = factor.energy.op("Sqrt")

    read = to_phase_mode((bins * factor.phase.conjugate()).scaled(scale.op("Reciprocal")), architecture)
    strength = (factor.energy / mean).op("Log").op("Expand", writer.shape(1, frames, 1, 1))
    features = writer.joined(3, read.real, read.imaginary, strength)
    found = writer.network(
        network.graph,
        features=features.reshape(0, -1, features.size(3)),
        log_energy=(energy / mean + ENERGY_FLOOR).op("Log").reshape(0, -1),
        **tables,
    )
    size = math.prod(architecture.patch_size)
    made = from_phase_mode(Complex(found.cut(2, 0, size), found.cut(2, size)), architecture)
    made = (made.each(lambda part: part.reshape(0, frames, -1, size)) * factor.phase).scaled(scale)
    if network.predicts_changes:
        held = frame(bins, seen - 1) * factor.shift
        return join(chosen(hidden, held, bins) + made, maps, architecture.patch_size)
    return join(chosen(hidden, made, bins), maps, architecture.patch_size)


def frame(bins: Complex, index: Term) -> Complex:
    """One frame, (sample, 1, position, bin)."""
    return bins.each(lambda part: part.cut(1, index, index + 1))


def chosen(condition: Term, then: Complex, otherwise: Complex) -> Complex:
    where = condition.writer.where
    return Complex(where(condition, then.real, otherwise.real), where(condition, then.imaginary, otherwise.imaginary))


@dataclass(frozen=True)
class Factor:
    """By what bins are divided before the network reads them, as `reference.reference` defines it.

    energy: the square of its magnitude, (sample, 1, position, bin or 1).
    phase: of magnitude 1, broadcasts to bins.
    shift: of magnitude 1, by which it is turned from the last known frame on.
    """

    energy: Term
    phase: Complex
    shift: Complex

    @classmethod
    def of(cls, bins: Complex, power: Term, mean: Term, seen: Term, future: Term, mode: str) -> Factor:
        """
        Args:
            bins: zeros where a frame is hidden.
            power: of the bins.
            mean: energy, (sample, 1, 1, 1).
            seen: how many frames are known, (1,).
            future: whether others are hidden, (1,); where none are, the reference is "none".
            mode: of the reference.
        """
        writer = power.writer
        own = power.reduced("ReduceSum", 1) * 0.5
        common = own.reduced("ReduceMean", 3)
        energy = writer.where(future, own, common) if mode in OF_EVERY_BIN else common
        energy = (energy + mean * ENERGY_FLOOR) / seen.cast(FLOAT)
        one = Complex.constant(writer, np.ones(1), FLOAT)
        turn = one if mode == "none" else chosen(future, turn_of(frame(bins, seen - 1)), one)
        if mode != "rotation":
            return cls(energy, turn, one)
        products = bins.each(lambda part: part.cut(1, 1)) * bins.each(lambda part: part.cut(1, 0, -1)).conjugate()
        ahead = (writer.range(bins.real.size(1)) - (seen - 1)).cast(FLOAT).reshape(-1, 1, 1)
        angle = products.summed(1).angle() * ahead
        shift = chosen(future, Complex(angle.op("Cos"), angle.op("Sin")), one)
        return cls(energy, turn * shift, shift)


def turn_of(values: Complex) -> Complex:
    """As `reference._turn`: of length one and with the phase of `values`; 1 where they are 0."""
    writer, length = values.real.writer, values.power().op("Sqrt")
    one = Complex.constant(writer, np.ones(1), FLOAT)
    return chosen(length > 0, values.scaled(length.op("Reciprocal")), one)


def to_phase_mode(bins: Complex, architecture: Architecture) -> Complex:
    """As `model.to_phase_mode`: magnitudes and phases in place of real and imaginary parts, or as is."""
    if architecture.phase_mode == "real_imaginary":
        return bins
    return Complex(bins.power().op("Sqrt"), bins.angle())


def from_phase_mode(bins: Complex, architecture: Architecture) -> Complex:
    """Inverse of `to_phase_mode`."""
    if architecture.phase_mode == "real_imaginary":
        return bins
    magnitude, phase = bins.real, bins.imaginary
    return Complex(magnitude * phase.op("Cos"), magnitude * phase.op("Sin"))


def split(maps: Term, patch: list[int]) -> Complex:
    """Maps (sample, frame, angle, delay, 2) to bins (sample, frame, position, bin)."""
    rows, columns = maps.size(2) / patch[0], maps.size(3) / patch[1]
    patches = maps.reshape(0, 0, rows, patch[0], columns, patch[1], 2).transpose(0, 1, 2, 4, 3, 5, 6)
    return Complex.of(patches.reshape(0, 0, rows * columns, math.prod(patch), 2))


def join(bins: Complex, maps: Term, patch: list[int]) -> Term:
    """Inverse of `split`, of the sizes of `maps`."""
    rows, columns = maps.size(2) / patch[0], maps.size(3) / patch[1]
    patches = bins.pairs().reshape(0, 0, rows, columns, *patch, 2).transpose(0, 1, 2, 4, 3, 5, 6)
    return patches.reshape(0, 0, maps.size(2), maps.size(3), 2)
