"""LWM-Temporal as a registered predictor: one plain ONNX file.

Only the network proper is exported (`serving_network`); all else is written around it, by the definitions in
wavefoundry/networks/lwm_temporal: what a prediction begins from (`serving_start`), grids (`serving_grid`) and tokens
(`serving_tokens`). Transforms and what a prediction begins from are computed in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wavefoundry.deployment.complex_values import unitary
from wavefoundry.deployment.continuation import continued
from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, INT64, Term, Writer
from wavefoundry.deployment.onnx_export import network_of
from wavefoundry.deployment.plain_predictor import Limit, asked, rms_scale, write_plain
from wavefoundry.networks.lwm_temporal.corridor import Windows
from wavefoundry.networks.lwm_temporal.model import LEARNED_POSITIONS, LWMTemporalPredictor, routing, windows
from wavefoundry.networks.lwm_temporal.routing import Routing
from wavefoundry.networks.lwm_temporal.serving_grid import Sizes, kept, learned_positions, rotary_positions, visible
from wavefoundry.networks.lwm_temporal.serving_network import LWMTemporalGraph
from wavefoundry.networks.lwm_temporal.serving_start import band_above, frames_after
from wavefoundry.networks.lwm_temporal.serving_tokens import Network, filled_in

# Scores of dense attention that the network holds at a time: 128 MiB of them. Larger batches are answered in parts.
LARGEST_SCORES = 2**25


def export(model: LWMTemporalPredictor, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    write(Served.of(model), folder)


def write(served: Served, folder: Path) -> None:
    """See `export`."""
    limits: list[Limit | str] = [Limit("antenna", 1, multiple=served.network.architecture.patch_size[0])]
    write_plain(partial(prediction, served), [*limits, *served.limits()], folder)


@dataclass(frozen=True)
class Served:
    """What the graph holds of a predictor.

    network: that fills in tokens.
    windows, routing: which tokens a query may see, and attends to.
    delay_fraction: share of the delay bins that the network reads.
    positions: learned ones, (axis, place, width); None of rotary ones.
    turns: whether a prediction begins from what turns on as it did.
    """

    network: Network
    windows: Windows
    routing: Routing | None
    delay_fraction: float
    positions: np.ndarray | None
    turns: bool

    @classmethod
    def of(cls, model: LWMTemporalPredictor) -> Served:
        architecture, graph = model.architecture, LWMTemporalGraph(model)
        return cls(
            Network(architecture, model.predicts_changes, network_of(graph, *graph.example())),
            windows(architecture, model.temporal_offsets),
            routing(architecture),
            model.config.delay_fraction,
            None if model.positions is None else model.positions.axes.detach().numpy(),
            model.turns,
        )

    def limits(self) -> list[str]:
        """Of grids of tokens, in the order of `fits`."""
        architecture = self.network.architecture
        angles, delays = architecture.patch_size
        window = max(architecture.same_frame_window, architecture.temporal_spatial_window)
        found = [
            f"the predictor takes subcarriers, known and asked for together, of which it keeps a multiple of {delays} "
            f"delay bins: a share of {self.delay_fraction:g}, rounded, at least 1",
            f"the predictor takes grids of at most {architecture.max_seq_len} tokens, known and asked for together: a "
            f"token is {angles} angles by {delays} kept delay bins of one slot",
            f"the predictor takes grids of at least {window} tokens along angle or along delay",
        ]
        if self.positions is not None:
            found.append(f"the predictor takes grids of at most {LEARNED_POSITIONS} tokens along every axis")
        return found

    def kept_bins(self, band: Term) -> Term:
        """As `kept_delay_bins`."""
        return (band.cast(DOUBLE) * self.delay_fraction).op("Round").cast(INT64).op("Max", 1)

    def sizes(self, slots: Term, antennas: Term, bins: Term) -> Sizes:
        """Of the grid of maps; it is refused where it does not keep the limits."""
        writer, architecture = slots.writer, self.network.architecture
        angles, delays = architecture.patch_size
        sizes = slots, antennas / angles, bins / delays
        longest = sizes[1].op("Max", sizes[2])
        fits = [
            (bins % delays).equals(0),
            sizes[0] * sizes[1] * sizes[2] <= architecture.max_seq_len,
            longest >= max(architecture.same_frame_window, architecture.temporal_spatial_window),
        ]
        if self.positions is not None:
            fits.append(longest.op("Max", slots) <= LEARNED_POSITIONS)
        checked = writer.constant([0], INT64)
        for holds, limit in zip(fits, self.limits(), strict=True):
            checked = checked + writer.refuse_unless(holds, limit)
        return sizes[0] + checked, sizes[1] + checked, sizes[2] + checked


def prediction(served: Served, writer: Writer, known: Term, slots: Term, subcarriers: Term) -> Term:
    """Write what `LWMTemporalPredictor.predict` does; see `wavefoundry.deployment.plain_predictor.write_plain`."""
    seen, band = known.size(1), known.size(3) + subcarriers
    bins = served.kept_bins(band)
    sizes = served.sizes(seen + slots, known.size(2), bins)
    scale = rms_scale(known)
    box = (known / scale).cast(DOUBLE)
    if served.turns:
        box = continued(box, "frequency", subcarriers, band_above)
    else:
        box = box.padded([0] * 5, [0, 0, 0, subcarriers, 0])
    everything = unitary(unitary(box, 2), 3, inverse=True)  # (sample, time, angle, delay, 2)
    maps = everything.cut(3, 0, bins).cast(FLOAT).padded([0] * 5, [0, slots, 0, 0, 0])
    maps = completed(served, maps, sizes, slots, subcarriers).cast(DOUBLE)
    if served.turns:
        # All are continued, of which there are always some, and those taken that the network does not read.
        later = continued(everything, "time", slots, frames_after).cut(3, bins)
        maps = writer.joined(3, maps, later)
    else:
        maps = maps.padded([0] * 5, [0, 0, 0, band - bins, 0])
    csi = unitary(unitary(maps, 3), 2, inverse=True).cast(FLOAT) * scale
    return asked(writer, csi, known, slots, subcarriers)


def completed(served: Served, maps: Term, sizes: Sizes, slots: Term, subcarriers: Term) -> Term:
    """Maps (sample, frame, angle, delay, 2) with what is asked for filled in: the band first, in the known frames, then
    the frames that follow.

    A loop, in each turn of which a part of the samples goes through the network once, for the band or for the frames.
    So the network stands in the graph once, and a large batch takes no more memory than `LARGEST_SCORES` says.
    """
    writer, architecture = maps.writer, served.network.architecture
    samples, frames = maps.size(0), maps.size(1)
    seen = frames - slots
    places = sizes[1] * sizes[2]
    tokens = sizes[0] * places + int(architecture.class_token)
    most = (writer.constant([LARGEST_SCORES], INT64) / (tokens * tokens * architecture.num_heads)).op("Max", 1)
    parts = (samples + most - 1) / most
    rows = (samples + parts - 1) / parts
    times = slots.op("Min", 1) + subcarriers.op("Min", 1)  # that a part goes through the network
    sees = visible(served.windows, sizes)
    if served.positions is None:
        positions = rotary_positions(architecture, sizes)
    else:
        positions = learned_positions(served.positions, sizes)

    def turn(body: Writer, number: Term, before: Term) -> tuple[list[Term], list[Term]]:
        time = number.flat() % times
        # The last part may have fewer samples: then the last one is in it several times.
        part = (body.range(rows.within(body)) + number.flat() / times * rows).op("Min", samples - 1)
        given = body.where(time.equals(0), maps.within(body).take(part), before)
        future = (slots.within(body) > 0) & time.equals(times - 1)
        there = body.where(future, frames.within(body), seen.within(body))
        # Tokens of the known frames come first.
        count = there * places
        tables = {
            "positions": positions.within(body).cut(0, 0, count),
            "visible": sees.within(body).cut(0, 0, count).cut(1, 0, count),
        }
        if served.routing is not None:
            tables["count"] = kept(served.routing, tables["visible"])
        found = filled_in(served.network, given.cut(1, 0, there), seen.within(body), future, tables)
        found = found.padded([0] * 5, [0, frames.within(body) - there, 0, 0, 0])
        return [found], [found]

    start = writer.zeros(rows, frames, maps.size(2), maps.size(3), 2)
    _, (found,) = writer.loop(parts * times, [start], turn)
    last = found.reshape(parts, times, rows, -1).cut(1, -1)
    return last.reshape(parts * rows, frames, maps.size(2), maps.size(3), 2).cut(0, 0, samples)
