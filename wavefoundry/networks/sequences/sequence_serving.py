"""A network of single sequences as a registered predictor: one plain ONNX file.

What it does is defined in wavefoundry/networks/sequences, in sequence_network.py and sequence_layout.py. Only the
network proper is exported; it is the body of a loop, for beyond its horizon it reads its own answers.
"""

from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch.export import Dim

from wavefoundry.deployment.complex_values import Complex, transformed, unitary
from wavefoundry.deployment.graph_writer import FLOAT, INT64, Term, Writer
from wavefoundry.deployment.onnx_export import network_of
from wavefoundry.deployment.plain_predictor import Limit, write_plain
from wavefoundry.deployment.pooled_prediction import with_what_follows
from wavefoundry.networks.mixture import LARGEST, Mixture
from wavefoundry.networks.sequences.sequence_network import SequenceNetwork, Trace
from wavefoundry.networks.sequences.sequence_options import AngleDelayTaps, AntennaPorts, Link, SequenceOptions


def export(model: SequenceNetwork, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    link = model.options.link
    inputs = {"features": torch.randn(3, link.known_slots, 2 * model.options.width)}
    network = network_of(SequenceGraph(model), inputs, {"features": {0: Dim("sequence")}})
    write_plain(partial(continuation, model.options, network, weights_of(model.mixture)), limits(link), folder)


class SequenceGraph(nn.Module):
    """`continue_features` of a network."""

    def __init__(self, model: SequenceNetwork):
        super().__init__()
        self.model = model

    def forward(self, features):
        """(sequence, known slot, 2 x value) -> (sequence, horizon, 2 x value)."""
        return self.model.continue_features(features, Trace())


def weights_of(mixture: Mixture | None) -> dict[str, np.ndarray] | None:
    """The weights of a mixture by name; None: there is none."""
    return None if mixture is None else {name: each.detach().numpy() for name, each in mixture.named_parameters()}


def limits(link: Link) -> list[Limit]:
    """Which questions can be answered, see `SequenceOptions.why_not_continue`."""
    if link.band == "same":
        slots, band = Limit("slots", 1), [Limit("subcarriers", 0, 0), Limit("subcarrier", 1, multiple=link.subcarriers)]
    else:
        slots = Limit("slots", 1, link.horizon)
        band = [Limit(name, link.subcarriers, link.subcarriers) for name in ("subcarrier", "subcarriers")]
    return [Limit("time", link.known_slots), slots, *band]


def continuation(
    options: SequenceOptions,
    network: ir.Model,
    mixture: dict[str, np.ndarray] | None,
    writer: Writer,
    known: Term,
    slots: Term,
    subcarriers: Term,
) -> Term:
    """Write what `SequenceNetwork.predict` does; see `wavefoundry.deployment.plain_predictor.write_plain`."""
    link, values = options.link, (options.width, 2)
    past, turns = link.known_slots, slots.rounded_up(link.horizon)
    bands = bands_of(options, known.cut(1, -past))
    series = sequences_of(options, bands)
    if options.linear_prediction is None:
        others = writer.zeros(*map(series.size, (0, 1, 2)), turns * link.horizon, *values)
    else:
        orders = options.linear_prediction.orders.model_dump()
        whole = with_what_follows(known, turns * link.horizon, subcarriers, orders).cast(FLOAT).cut(1, known.size(1))
        # Where the adjacent band is wanted, that alone: the known one has as many subcarriers.
        whole = whole if link.band == "same" else whole.cut(3, -link.subcarriers)
        others = sequences_of(options, bands_of(options, whole))
    places = predicted(options, series)
    chosen, linear = (each if places is None else taken(each, places) for each in (series, others))
    rows, following = chosen.reshape(-1, past, *values), linear.reshape(-1, turns * link.horizon, *values)
    rows.value.shape = ir.Shape(["sequence", past, *values])
    following.value.shape = ir.Shape(["sequence", "following", *values])

    def turn(body: Writer, _: Term, rows: Term, following: Term) -> tuple[list[Term], list[Term]]:
        found = continued(options, network, body, rows)
        first, later = following.cut(1, 0, link.horizon), following.cut(1, link.horizon)
        found = found if mixture is None else mixed(options, mixture, body, rows, found, first)
        # The state keeps its shape: what was used goes to its end.
        return [body.joined(1, rows, found).cut(1, -past), body.joined(1, later, first)], [found]

    _, (found,) = writer.loop(turns, [rows, following], turn)
    answer = found.transpose(1, 0, 2, 3, 4).reshape(*map(chosen.size, (0, 1, 2)), turns * link.horizon, *values)
    answer = (answer if places is None else among(others, answer, places)).cut(3, 0, slots)
    return csi_of(options, answer, bands.size(2))


def bands_of(options: SequenceOptions, csi: Term) -> Term:
    """CSI (sample, slot, antenna, subcarrier, 2) as (sample, band, antenna, slot, subcarrier of the band, 2)."""
    return csi.reshape(0, 0, 0, -1, options.link.subcarriers, 2).transpose(0, 3, 2, 1, 4, 5)


def sequences_of(options: SequenceOptions, bands: Term) -> Term:
    """CSI (sample, band, antenna, slot, subcarrier, 2) as (sample, band, sequence, slot, value, 2)."""
    if isinstance(options.sequences, AntennaPorts):
        return bands
    slots, width = bands.size(3), options.width
    taps = unitary(unitary(bands, 2), 4, inverse=True).reshape(0, 0, 0, 0, -1, width, 2)
    return taps.transpose(0, 1, 2, 4, 3, 5, 6).reshape(0, 0, -1, slots, width, 2)


def csi_of(options: SequenceOptions, sequences: Term, antennas: Term) -> Term:
    """CSI (sample, slot, antenna, subcarrier, 2) of sequences (sample, band, sequence, slot, value, 2), of so many
    antennas, (1,)."""
    bands = sequences
    if isinstance(options.sequences, AngleDelayTaps):
        width, subcarriers, slots = options.width, options.link.subcarriers, sequences.size(3)
        taps = sequences.reshape(0, 0, antennas, subcarriers // width, slots, width, 2).transpose(0, 1, 2, 4, 3, 5, 6)
        bands = unitary(unitary(taps.reshape(0, 0, 0, 0, subcarriers, 2), 4), 2, inverse=True)
    return bands.transpose(0, 3, 2, 1, 4, 5).reshape(0, 0, 0, -1, 2)


def predicted(options: SequenceOptions, sequences: Term) -> Term | None:
    """Which of (sample, band, sequence, slot, value, 2) are predicted, (sample, band, strongest); None: all."""
    of = options.sequences
    if not isinstance(of, AngleDelayTaps) or of.strongest is None:
        return None
    power = (sequences * sequences).reduced("ReduceSum", 3, 4, 5, keep=False)
    return power.largest(sequences.size(2).op("Min", of.strongest), axis=2)[1]


def taken(sequences: Term, places: Term) -> Term:
    """Those of (sample, band, sequence, slot, value, 2) at places (sample, band, chosen)."""
    return sequences.op("GatherElements", of_all_values(places, sequences), axis=2)


def among(others: Term, chosen: Term, places: Term) -> Term:
    """Sequences (sample, band, sequence, slot, value, 2), those at places (sample, band, chosen) replaced."""
    return others.op("ScatterElements", of_all_values(places, chosen), chosen, axis=2)


def of_all_values(places: Term, sequences: Term) -> Term:
    """Places (sample, band, chosen), the same for all values of sequences (sample, band, any, slot, value, 2)."""
    shape = [*map(places.size, (0, 1, 2)), *map(sequences.size, (3, 4, 5))]
    return places.reshape(0, 0, 0, 1, 1, 1).op("Expand", places.writer.shape(*shape))


def continued(options: SequenceOptions, network: ir.Model, writer: Writer, rows: Term) -> Term:
    """(sequence, known slot, value, 2) -> (sequence, horizon, value, 2), as `SequenceNetwork.continued`."""
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


def mixed(
    options: SequenceOptions, weights: dict[str, np.ndarray], writer: Writer, rows: Term, own: Term, linear: Term
) -> Term:
    """Own answers and those of linear prediction, (sequence, horizon, value, 2), mixed as by `SequenceNetwork`."""
    tiny = float(np.finfo(np.float32).tiny)
    scale = ((rows * rows).reduced("ReduceSum", 3).reduced("ReduceMean", 1, 2)).op("Sqrt").op("Max", tiny)
    parts, turn = writer.joined(1, rows, own, linear), turns(options, writer, rows)
    parts = (parts if turn is None else (Complex.of(parts) * turn.conjugate()).pairs()) / scale
    hidden = parts.op("Max", -LARGEST).op("Min", LARGEST).reshape(0, -1)
    for layer, activation in (("hidden", "Relu"), ("logits", "Sigmoid")):
        matrix, bias = (writer.constant(weights[f"{layer}.{part}"].T) for part in ("weight", "bias"))
        hidden = (hidden.op("MatMul", matrix) + bias).op(activation)
    return linear + hidden.reshape(0, -1, 1, 1) * (own - linear)


def turns(options: SequenceOptions, writer: Writer, rows: Term) -> Complex | None:
    """By which sequences are turned, (sequence, 1, value or 1), as in `SequenceNetwork`; None: they are not."""
    if options.reference == "none":
        return None
    last = rows.cut(1, -1)
    if isinstance(options.sequences, AntennaPorts):
        taps = transformed(last, 2, inverse=True)
        at = (taps * taps).reduced("ReduceSum", 3).op("ArgMax", dtype=INT64, axis=2)  # (sequence, 1, 1, 1)
        last = taps.op("GatherElements", at.op("Expand", writer.shape(1, 1, 1, 2)), axis=2)
    magnitude = (last * last).reduced("ReduceSum", 3).op("Sqrt")
    return Complex.of(writer.where(magnitude > 0, last / magnitude.op("Max", 1e-30), writer.constant([1.0, 0.0])))
