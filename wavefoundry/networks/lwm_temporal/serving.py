"""LWM-Temporal as a registered predictor."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch
from torch import nn
from torch.export import Dim

from wavefoundry.deployment.onnx_export import export_graph
from wavefoundry.networks.lwm_temporal import served
from wavefoundry.networks.lwm_temporal.model import (
    LEARNED_POSITIONS,
    Layer,
    LWMTemporalPredictor,
    rotate,
    routing,
    windows,
)
from wavefoundry.networks.lwm_temporal.reference import ENERGY_FLOOR, LEAST_ENERGY, OF_EVERY_BIN
from wavefoundry.networks.lwm_temporal.routing import Routing


def export(model: LWMTemporalPredictor, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    graph = LWMTemporalGraph(model)
    inputs, sizes = graph.example()
    export_graph(graph, inputs, sizes, settings_of(model), Path(served.__file__), folder)


def settings_of(model: LWMTemporalPredictor) -> dict:
    """What the code around the graph needs to know of the network."""
    architecture, offsets = model.architecture, model.temporal_offsets
    same = ("patch_size", "embed_dim", "num_heads", "class_token", "phase_mode", "reference", "max_seq_len")
    chosen, seen = routing(architecture), windows(architecture, offsets)
    return {name: getattr(architecture, name) for name in same} | {
        "temporal_offsets": offsets,
        "strength_of_every_bin": architecture.reference in OF_EVERY_BIN,
        "delay_fraction": model.config.delay_fraction,
        "predicts_changes": model.predicts_changes,
        "radii": [seen.radii(offset) for offset in (0, *offsets)],
        "wraps": seen.wraps,
        "routing": chosen and asdict(chosen),
        "learned_positions": LEARNED_POSITIONS if architecture.positions == "learned" else None,
        "energy_floor": ENERGY_FLOOR,
        "least_energy": LEAST_ENERGY,
    }


class LWMTemporalGraph(nn.Module):
    """The network of `LWMTemporalPredictor` with dense attention under a mask, which is what SSTA is."""

    def __init__(self, model: LWMTemporalPredictor):
        super().__init__()
        self.model = model
        self.front = int(model.architecture.class_token)
        self.routing = routing(model.architecture)

    def forward(
        self, features, log_energy, angles=None, positions=None, visible=None, candidates=None, always=None, count=None
    ):
        """Reconstructed tokens (batch, token, feature), not scaled back.

        Args:
            features: (batch, token, feature), as the embedding reads them.
            log_energy: (batch, all), of the keys; all: the class token, if any, and the others.
            angles: (all, pair), rotary positions; or
            positions: (token, 3), indices of learned positions.
            visible: (all, all), which keys a query attends to; or, with routing,
            candidates: (all, all), those that it chooses from, and always: (all, all), those beside these.
            count: (all,), how many candidates it chooses.
        """
        model = self.model
        hidden = model.embedding(features)
        if model.positions is not None:
            axes = model.positions.axes
            hidden = hidden + sum(axes[axis][positions[:, axis]] for axis in range(3))
        if model.class_token is not None:
            hidden = torch.cat([model.class_token.expand(hidden.shape[0], 1, -1), hidden], dim=1)

        def seen(scores):
            if visible is not None:
                return visible
            return self._route(scores, candidates, count) | always

        for block in cast(Iterable[Layer], model.blocks):
            hidden = hidden + self._attend(block.attention, block.attention_norm(hidden), log_energy, angles, seen)
            hidden = hidden + block.mlp(block.mlp_norm(hidden))
        return model.reconstruct(model.norm(hidden)[:, self.front :])

    def _attend(self, attention, tokens, log_energy, angles, seen):
        query, key, value = attention.qkv(tokens).chunk(3, dim=-1)
        if angles is not None:
            query, key = rotate(query, angles), rotate(key, angles)
        query, key, value = (part.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for part in (query, key, value))
        bias = attention.energy_gain[:, None] * log_energy[:, None, :]
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2) + bias.unsqueeze(-2)
        mixed = scores.masked_fill(~seen(scores), -torch.inf).softmax(dim=-1) @ value
        return attention.out(mixed.transpose(1, 2).flatten(-2))

    def _route(self, scores, candidates, count):
        """Which candidates win: the `count` highest of each query, ties included; see `routing.route`."""
        routing = cast(Routing, self.routing)
        scores = scores.masked_fill(~candidates, -torch.inf)
        if not routing.per_head:
            scores = scores.mean(dim=1, keepdim=True)
        # There may be fewer keys than the most that are chosen.
        padded = nn.functional.pad(scores, (0, routing.maximum), value=-torch.inf)
        highest = padded.topk(routing.maximum, dim=-1).values
        least = highest.gather(-1, (count - 1)[:, None].expand(*highest.shape[:-1], 1))
        return (scores >= least) & candidates

    def example(self):
        architecture, tokens, front = self.model.architecture, 6, self.front
        every = tokens + front
        batch, token = Dim("batch"), Dim("token")
        everything = token + front if front else token
        square = {0: everything, 1: everything}
        inputs = {
            "features": torch.randn(2, tokens, self.model.embedding.in_features),
            "log_energy": torch.randn(2, every),
        }
        sizes = {"features": {0: batch, 1: token}, "log_energy": {0: batch, 1: everything}}
        if architecture.positions == "learned":
            inputs["positions"], sizes["positions"] = torch.zeros(tokens, 3, dtype=torch.long), {0: token}
        else:
            inputs["angles"], sizes["angles"] = torch.randn(every, architecture.embed_dim // 2), {0: everything}
        masks = ("visible",) if self.routing is None else ("candidates", "always")
        for name in masks:
            inputs[name], sizes[name] = torch.ones(every, every, dtype=torch.bool), square
        if self.routing is not None:
            inputs["count"], sizes["count"] = torch.ones(every, dtype=torch.long), {0: everything}
        return inputs, sizes
