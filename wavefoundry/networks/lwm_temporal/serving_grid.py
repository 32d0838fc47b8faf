"""Grids of tokens (time, angle, delay) in a graph: where each token stands, and which others it may see."""

from __future__ import annotations

import math

import numpy as np

from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, INT64, Term
from wavefoundry.networks.lwm_temporal.corridor import Windows
from wavefoundry.networks.lwm_temporal.options import Architecture
from wavefoundry.networks.lwm_temporal.routing import Routing

# Numbers of tokens along time, angle and delay, (1,) each.
Sizes = tuple[Term, Term, Term]


def visible(windows: Windows, sizes: Sizes) -> Term:
    """As `Windows.sees`: (token, token), which keys a query may see.

    Two tokens see each other where they do along both axes of a frame, with half widths that two frames have in common:
    so all but one step is done with small tables.
    """
    frames, rows, columns = sizes
    offset, turn, shift = (differences(size) for size in sizes)
    turn, shift = turn.op("Abs"), shift.op("Abs")
    if windows.wraps:
        turn = turn.op("Min", rows - turn)
    radius = half_widths(windows, offset)
    near = [
        apart.reshape(1, size, 1, size) <= most.reshape(frames, 1, frames, 1)
        for apart, size, most in zip((turn, shift), (rows, columns), radius, strict=True)
    ]
    along_rows, along_columns = (
        near[0].reshape(frames, rows, 1, frames, rows, 1),
        near[1].reshape(frames, 1, columns, frames, 1, columns),
    )
    tokens = frames * rows * columns
    return (along_rows & along_columns).reshape(tokens, tokens)


def differences(size: Term) -> Term:
    """(query, key): how far a key lies after a query along an axis."""
    index = size.writer.range(size)
    return index - index.reshape(-1, 1)


def half_widths(windows: Windows, offset: Term) -> tuple[Term, Term]:
    """Along angle and delay, of the windows in frames at an offset; -1 in frames that are not seen."""
    writer = offset.writer
    found = [writer.constant(-1, INT64)] * 2
    for step in (0, *windows.temporal_offsets):
        there = offset.equals(step)
        found = [writer.where(there, radius, most) for radius, most in zip(windows.radii(step), found, strict=True)]
    return found[0], found[1]


def kept(routing: Routing, candidates: Term) -> Term:
    """How many of its candidates, (query, key), a query attends to if it has so many: (query,); see `Routing.kept`."""
    share = candidates.cast(FLOAT).reduced("ReduceSum", 1, keep=False) * routing.fraction
    return share.op("Ceil").cast(INT64).op("Clip", routing.minimum, routing.maximum)


def rotary_positions(architecture: Architecture, sizes: Sizes) -> Term:
    """As `model.angles_of_heads`: (token, embed_dim / 2)."""
    count, heads = architecture.embed_dim // 2, architecture.num_heads
    alike = heads if count >= len(sizes) * heads else 1
    pairs = np.arange(count // alike)
    axes, order = pairs % 3, pairs // 3
    geometric = 100.0 ** (-order / math.ceil(len(pairs) / 3))
    ring = 2 * math.pi * (order + 1)
    parts = []
    for axis, size in enumerate(sizes):
        frequency = np.tile(np.where(axes == axis, ring if axis == 1 else geometric, 0.0), alike)
        position = size.writer.range(size).cast(DOUBLE).reshape(-1, 1)
        position = position / size.cast(DOUBLE) if axis == 1 else position
        parts.append(position * size.writer.constant(frequency, DOUBLE))
    return of_tokens(parts).cast(FLOAT)


def learned_positions(axes: np.ndarray, sizes: Sizes) -> Term:
    """As `model.LearnedPositions`, of vectors (axis, place, width): (token, width)."""
    return of_tokens([size.writer.constant(axis).cut(0, 0, size) for axis, size in zip(axes, sizes, strict=True)])


def of_tokens(parts: list[Term]) -> Term:
    """The sum of what is said of places along time, angle and delay, (place, value) each: (token, value)."""
    time, angle, delay = parts
    writer, width = time.writer, time.size(1)
    both = angle.op("Unsqueeze", writer.shape(1)) + delay
    whole = time.op("Unsqueeze", writer.shape(1, 2)) + both
    return whole.reshape(-1, width)
