"""LWM-Temporal as a registered predictor: one plain ONNX file.

Only the network proper is exported (`serving_network`); all else is written around it, by the definitions in
wavefoundry/networks/lwm_temporal: grids (`serving_grid`) and tokens (`serving_tokens`). Transforms and linear
prediction are computed in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wavefoundry.deployment.complex_values import unitary
from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, INT64, Term, Writer
from wavefoundry.deployment.onnx_export import network_of
from wavefoundry.deployment.plain_predictor import Limit, asked, rms_scale, write_plain
from wavefoundry.deployment.pooled_prediction import with_what_follows
from wavefoundry.networks.lwm_temporal.corridor import Windows
from wavefoundry.networks.lwm_temporal.model import LEARNED_POSITIONS, LWMTemporalPredictor, routing, windows
from wavefoundry.networks.lwm_temporal.routing import Routing
from wavefoundry.networks.lwm_temporal.serving_grid import Sizes, kept, learned_positions, rotary_positions, visible
from wavefoundry.networks.lwm_temporal.serving_network import LWMTemporalGraph
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
    orders: of linear prediction from which a prediction starts, by axis; None: it starts from nothing.
    """

    network: Network
    windows: Windows
    routing: Routing | None
    delay_fraction: float
    positions: np.ndarray | None
    orders: dict[str, int] | None

    @classmethod
    def of(cls, model: LWMTemporalPredictor) -> Served:
        architecture, graph = model.architecture, LWMTemporalGraph(model)
        return cls(
            Network(architecture, model.predicts_changes, model.told is not None, network_of(graph, *graph.example())),
            windows(architecture, model.temporal_offsets),
            routing(architecture),
            model.config.delay_fraction,
            None if model.positions is None else model.positions.axes.detach().numpy(),
            model.orders,
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
    band = known.size(3) + subcarriers
    bins = served.kept_bins(band)
    sizes = served.sizes(known.size(1) + slots, known.size(2), bins)
    scale = rms_scale(known)
    box = (known / scale).cast(DOUBLE)
    if served.orders is None:
        box = box.padded([0] * 5, [0, slots, 0, subcarriers, 0])
    else:
        none = writer.constant([0], INT64)
        band_first = with_what_follows(box, none, subcarriers, served.orders)
        box = with_what_follows(band_first, slots, none, served.orders)
    everything = unitary(unitary(box, 2), 3, inverse=True)  # (sample, time, angle, delay, 2)
    maps = everything.cut(3, 0, bins).cast(FLOAT)

    if served.orders is None:
        asked_of_network = slots.op("Min", 1) + subcarriers.op("Min", 1)
        maps = completed(served, maps, *sizes, slots, asked_of_network)
        maps = maps.cast(DOUBLE).padded([0] * 5, [0, 0, 0, band - bins, 0])
    else:

        def corrected(branch: Writer) -> list[Term]:
            given = (maps, *sizes, slots, branch.constant([1], INT64))
            return [completed(served, *(each.within(branch) for each in given))]

        # The band alone is not the network's.
        found = writer.branch(slots > 0, corrected, lambda branch: [maps])[0].cast(DOUBLE)
        maps = writer.joined(3, found, everything.cut(3, bins))
    csi = unitary(unitary(maps, 3), 2, inverse=True).cast(FLOAT) * scale
    return asked(writer, csi, known, slots, subcarriers)


def completed(served: Served, maps: Term, frames: Term, rows: Term, columns: Term, slots: Term, times: Term) -> Term:
    """Maps (sample, frame, angle, delay, 2) with what is asked for filled in: the band first, in the known frames, then
    the frames that follow.

    Args:
        served: the predictor.
        maps: of all frames.
        frames, rows, columns: numbers of tokens along time, angle and delay.
        slots: how many of the frames follow the known ones.
        times: that a sample goes through the network: twice where there are a band and frames to fill in.

    A loop, in each turn of which a part of the samples goes through the network once, for the band or for the frames.
    So the network stands in the graph once, and a large batch takes no more memory than `LARGEST_SCORES` says.
    """
    writer, architecture, sizes = maps.writer, served.network.architecture, (frames, rows, columns)
    samples, seen, places = maps.size(0), frames - slots, rows * columns
    tokens = frames * places + int(architecture.class_token)
    most = (writer.constant([LARGEST_SCORES], INT64) / (tokens * tokens * architecture.num_heads)).op("Max", 1)
    parts = (samples + most - 1) / most
    share = (samples + parts - 1) / parts
    sees = visible(served.windows, sizes)
    if served.positions is None:
        positions = rotary_positions(architecture, sizes)
    else:
        positions = learned_positions(served.positions, sizes)

    def turn(body: Writer, number: Term, before: Term) -> tuple[list[Term], list[Term]]:
        time = number.flat() % times
        # The last part may have fewer samples: then the last one is in it several times.
        part = (body.range(share.within(body)) + number.flat() / times * share).op("Min", samples - 1)
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

    start = writer.zeros(share, frames, maps.size(2), maps.size(3), 2)
    _, (found,) = writer.loop(parts * times, [start], turn)
    last = found.reshape(parts, times, share, -1).cut(1, -1)
    return last.reshape(parts * share, frames, maps.size(2), maps.size(3), 2).cut(0, 0, samples)
