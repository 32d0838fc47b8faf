"""WiFo as a registered predictor: one plain ONNX file.

Only the network proper is exported, which depends on numbers of tokens alone; patches and positions are written around
it, by the definitions in wavefoundry/networks/wifo/model.py and patches.py.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch.export import Dim

from wavefoundry.deployment.graph_writer import DOUBLE, FLOAT, Term, Writer
from wavefoundry.deployment.onnx_export import network_of
from wavefoundry.deployment.plain_predictor import asked, rms_scale, write_plain
from wavefoundry.deployment.pooled_prediction import with_what_follows
from wavefoundry.networks.wifo.model import WiFo, position_widths
from wavefoundry.networks.wifo.options import Architecture


def export(model: WiFo, folder: Path) -> None:
    """Write `predictor.onnx` into `folder`, which is made."""
    graph = WiFoGraph(model)
    write_plain(partial(prediction, model.architecture, network_of(graph, *graph.example())), [], folder)


def prediction(
    architecture: Architecture, network: ir.Model, writer: Writer, known: Term, slots: Term, subcarriers: Term
) -> Term:
    """Write what `WiFo.predict` does; see `wavefoundry.deployment.plain_predictor.write_plain`."""
    patch, width = architecture.patch_size, architecture.hidden_size
    # Padding in front, so that what is asked for begins with a patch; along the antennas behind.
    lacking = [(-known.size(axis)) % step for axis, step in zip((1, 2, 3), patch, strict=True)]
    padded = known.padded((0, lacking[0], 0, lacking[2], 0), (0, 0, lacking[1], 0, 0))
    seen = [padded.size(axis) / step for axis, step in zip((1, 2, 3), patch, strict=True)]
    beyond = slots.rounded_up(patch[0]), subcarriers.rounded_up(patch[2])
    grid = [seen[0] + beyond[0], seen[1], seen[2] + beyond[1]]
    scale = rms_scale(known)
    samples, size = known.size(0), 2 * math.prod(patch)
    values = patches(padded / scale, seen, patch).reshape(0, -1, size)

    # (time, antenna, subcarrier, width); what is hidden is the band above what is known, and all slots after it.
    positions = position_encoding(writer, grid, width)
    before = positions.cut(0, 0, seen[0])
    visible = before.cut(2, 0, seen[2]).reshape(-1, width)
    above, after = (part.reshape(-1, width) for part in (before.cut(2, seen[2]), positions.cut(0, seen[0])))
    linear = {}
    if architecture.linear_prediction:
        steps = beyond[0] * patch[0], beyond[1] * patch[2]
        orders = architecture.linear_prediction.orders.model_dump()
        whole = with_what_follows(known, *steps, orders).cast(FLOAT) / scale
        whole = whole.padded((0, lacking[0], 0, lacking[2], 0), (0, 0, lacking[1], 0, 0))
        cut = patches(whole, grid, patch)
        band, future = cut.cut(1, 0, seen[0]).cut(3, seen[2]), cut.cut(1, seen[0])
        tokens = [grid[1] * each for each in (seen[0] * beyond[1], beyond[0] * grid[2])]
        parts = [part.filled(samples, count, size) for part, count in zip((band, future), tokens, strict=True)]
        linear["linear"] = writer.joined(1, *parts)
    found = writer.network(
        network,
        values=values,
        encoder_positions=encoder_positions(architecture, positions, visible, seen, slots, subcarriers),
        visible_positions=visible,
        hidden_positions=writer.joined(0, above, after),
        **linear,
    )
    band = found.cut(1, 0, above.size(0)).filled(samples, *seen[:2], beyond[1], size)
    future = found.cut(1, above.size(0)).filled(samples, beyond[0], *grid[1:], size)
    present = writer.joined(3, writer.zeros(samples, *seen, size), band)
    boxes = writer.joined(1, present, future).reshape(0, 0, 0, 0, 2, *patch).transpose(0, 1, 5, 2, 6, 3, 7, 4)
    box = boxes.reshape(0, *(size * step for size, step in zip(grid, patch, strict=True)), 2) * scale
    box = box.cut(1, lacking[0]).cut(2, 0, known.size(2)).cut(3, lacking[2])
    return asked(writer, box, known, slots, subcarriers)


def patches(box: Term, grid: list[Term], patch: Sequence[int]) -> Term:
    """CSI (sample, time, antenna, subcarrier, 2) of whole patches, cut into them: (sample, time,
    antenna, subcarrier, value), real parts first."""
    sizes = [size for pair in zip(grid, patch, strict=True) for size in pair]
    boxes = box.reshape(0, *sizes, 2).transpose(0, 1, 3, 5, 7, 2, 4, 6)
    return boxes.reshape(0, 0, 0, 0, 2 * math.prod(patch))


def position_encoding(writer: Writer, grid: list[Term], width: int) -> Term:
    """(time, antenna, subcarrier, width), see `wavefoundry.networks.axis_positions.position_encoding`."""
    axes = []
    for dimension, part in enumerate(position_widths(width)):
        frequencies = 10000 ** (-2 * np.arange(part // 2) / max(part, 1))
        # Single precision would lose digits of large angles.
        angles = writer.range(grid[dimension]).cast(DOUBLE).reshape(-1, 1) * writer.constant(frequencies, DOUBLE)
        shape: list[Term | int] = [1, 1, 1, part]
        shape[dimension] = -1
        encoding = writer.joined(1, angles.op("Sin"), angles.op("Cos")).cast(FLOAT).reshape(*shape)
        axes.append(encoding.op("Expand", writer.shape(*grid, part)))
    return writer.joined(3, *axes)


def encoder_positions(
    architecture: Architecture, positions: Term, visible: Term, seen: list[Term], slots: Term, subcarriers: Term
) -> Term:
    """What the encoder sees of positions (visible token, width), by the rule of the architecture; see
    `WiFo._encoder_at`."""
    if architecture.position_rule == "own":
        return visible
    writer, width = positions.writer, architecture.hidden_size
    slot, subcarrier = writer.range(seen[0]).reshape(-1, 1, 1), writer.range(seen[2])
    index = writer.where(slots > 0, slot, subcarrier).op("Expand", writer.shape(*seen)).reshape(-1)
    return writer.where((slots > 0) & (subcarriers > 0), visible, positions.reshape(-1, width).take(index))


class WiFoGraph(nn.Module):
    """`WiFo.reconstruct` with the same positions for all samples."""

    def __init__(self, model: WiFo):
        super().__init__()
        self.model = model

    def forward(self, values, encoder_positions, visible_positions, hidden_positions, linear=None):
        """Hidden patches (batch, hidden token, feature).

        Args:
            values: (batch, visible token, feature), patches as real parts, then imaginary parts.
            encoder_positions: (visible token, width), encodings that the encoder adds.
            visible_positions, hidden_positions: (token, width), their encodings, which the decoder adds.
            linear: (batch, hidden token, feature), what linear prediction says of them; None: it is not asked.
        """
        model = self.model
        embedded = nn.functional.linear(values, model.embedding.weight.flatten(1), model.embedding.bias)
        encoded, _ = model.encoder(embedded + encoder_positions, None)
        masked = model.mask_token.expand(values.shape[0], hidden_positions.shape[0], -1)
        tokens = torch.cat([model.bridge(encoded) + visible_positions, masked + hidden_positions], dim=1)
        decoded, _ = model.decoder(tokens, None)
        decoded = decoded[:, values.shape[1] :]
        own = model.head(decoded)
        if linear is None or model.mixture is None:
            return own
        share = model.mixture(torch.cat([decoded, own, linear], dim=-1))
        return linear + torch.cat([share, share], dim=-1) * (own - linear)

    def example(self):
        width, batch, visible, hidden = self.model.architecture.hidden_size, Dim("batch"), Dim("visible"), Dim("hidden")
        size = 2 * math.prod(self.model.architecture.patch_size)
        inputs = {
            "values": torch.randn(2, 6, size),
            "encoder_positions": torch.randn(6, width),
            "visible_positions": torch.randn(6, width),
            "hidden_positions": torch.randn(4, width),
        }
        free = {
            "values": {0: batch, 1: visible},
            "encoder_positions": {0: visible},
            "visible_positions": {0: visible},
            "hidden_positions": {0: hidden},
        }
        if self.model.mixture is not None:
            inputs["linear"], free["linear"] = torch.randn(2, 4, size), {0: batch, 1: hidden}
        return inputs, free
