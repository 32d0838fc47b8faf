"""A network of single antenna ports as a registered predictor: one plain ONNX file.

What it does is defined in wavefoundry/networks/sequences/sequence_network.py. Only the network proper is exported; it
is the body of a loop, for beyond its horizon it reads its own answers.
"""

from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch.export import Dim

from wavefoundry.deployment.complex_values import Complex, transformed, unitary
from wavefoundry.deployment.graph_writer import INT64, Term, Writer
from wavefoundry.deployment.onnx_export import network_of
from wavefoundry.deployment.plain_predictor import Limit, write_plain
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace
from wavefoundry.networks.sequences.sequence_options import Link, SequenceOptions


def export(model: SequenceNetwork, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    link = model.options.link
    inputs = {"features": torch.randn(3, link.known_slots, 2 * link.subcarriers)}
    network = network_of(SequenceGraph(model), inputs, {"features": {0: Dim("sequence")}})
    write_plain(partial(continuation, model.options, network), limits(link), folder)


class SequenceGraph(nn.Module):
    """`continue_features` of a network."""

    def __init__(self, model: SequenceNetwork):
        super().__init__()
        self.model = model

    def forward(self, features):
        """(sequence, known slot, 2 x subcarrier) -> (sequence, horizon, 2 x subcarrier)."""
        return self.model.continue_features(features, Trace())


def limits(link: Link) -> list[Limit]:
    """Which questions can be answered, see `SequenceOptions.why_not_continue`."""
    if link.band == "same":
        slots, band = Limit("slots", 1), [Limit("subcarriers", 0, 0), Limit("subcarrier", 1, multiple=link.subcarriers)]
    else:
        slots = Limit("slots", 1, link.horizon)
        band = [Limit(name, link.subcarriers, link.subcarriers) for name in ("subcarrier", "subcarriers")]
    return [Limit("time", link.known_slots), slots, *band]


def continuation(
    options: SequenceOptions, network: ir.Model, writer: Writer, known: Term, slots: Term, subcarriers: Term
) -> Term:
    """Write what `SequenceNetwork.predict` does; see `wavefoundry.deployment.plain_predictor.write_plain`."""
    link = options.link
    past, width = link.known_slots, link.subcarriers
    shown = known.cut(1, -past)
    if options.domain == "angle_delay":
        shown = unitary(shown, 2)
    # (sample, antenna, slot, band, subcarrier of the band, 2), then (sequence, slot, subcarrier, 2)
    series = shown.transpose(0, 2, 1, 3, 4).reshape(0, 0, past, -1, width, 2)
    bands = series.size(3)
    series = series.transpose(0, 1, 3, 2, 4, 5).reshape(-1, past, width, 2)
    if options.domain == "angle_delay":
        series = unitary(series, 2, inverse=True)
    series.value.shape = ir.Shape(["sequence", past, width, 2])
    turns = slots.rounded_up(link.horizon)

    def turn(body: Writer, _: Term, rows: Term) -> tuple[list[Term], list[Term]]:
        found = continued(options, network, body, rows)
        return [body.joined(1, rows, found).cut(1, -past)], [found]

    _, (found,) = writer.loop(turns, [series], turn)
    if options.domain == "angle_delay":
        found = unitary(found, 3)
    answer = (
        found.transpose(1, 0, 2, 3, 4)
        .reshape(known.size(0), known.size(2), bands, turns * link.horizon, width, 2)
        .cut(3, 0, slots)
    )
    answer = answer.transpose(0, 3, 1, 2, 4, 5).reshape(0, 0, 0, bands * width, 2)
    return unitary(answer, 2, inverse=True) if options.domain == "angle_delay" else answer


def continued(options: SequenceOptions, network: ir.Model, writer: Writer, rows: Term) -> Term:
    """(sequence, known slot, subcarrier, 2) -> (sequence, horizon, subcarrier, 2), as `SequenceNetwork.continued`."""
    tiny = float(np.finfo(np.float32).tiny)
    axes = (1, 2) if options.statistics == "sequence" else (0, 1, 2)
    turn = turns(options, writer, rows)
    features = (rows if turn is None else (Complex.of(rows) * turn.conjugate()).pairs()).reshape(0, 0, -1)
    mean = features.reduced("ReduceMean", *axes)
    centred = features - mean
    deviation = (centred * centred).reduced("ReduceMean", *axes).op("Sqrt")
    found = writer.network(network, features=centred / deviation.op("Max", tiny)) * deviation + mean
    found = found.reshape(0, 0, -1, 2)
    return found if turn is None else (Complex.of(found) * turn).pairs()


def turns(options: SequenceOptions, writer: Writer, rows: Term) -> Complex | None:
    """By which sequences are turned, (sequence, 1, subcarrier or 1), as in `SequenceNetwork`; None: they are not."""
    if options.reference == "none":
        return None
    last = rows.cut(1, -1)
    if options.domain == "antenna_frequency":
        taps = transformed(last, 2, inverse=True)
        at = (taps * taps).reduced("ReduceSum", 3).op("ArgMax", dtype=INT64, axis=2)  # (sequence, 1, 1, 1)
        last = taps.op("GatherElements", at.op("Expand", writer.shape(1, 1, 1, 2)), axis=2)
    magnitude = (last * last).reduced("ReduceSum", 3).op("Sqrt")
    return Complex.of(writer.where(magnitude > 0, last / magnitude.op("Max", 1e-30), writer.constant([1.0, 0.0])))
