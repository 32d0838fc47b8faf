"""Networks as ONNX graphs, for prediction without torch.

A graph holds what depends on numbers of tokens alone; sizes of batch and tokens are free. The rest is computed in numpy
by `wavefoundry.deployment.onnx_predictor`, which reads what is written here.
"""

import io
import json
import logging
import math
import warnings
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim

from wavefoundry.errors import InputError
from wavefoundry.models.lwm_temporal import ENERGY_FLOOR, LEARNED_POSITIONS, LWMTemporalPredictor, rotate
from wavefoundry.models.wifo import WiFo, position_widths


def export(model: nn.Module, folder: Path) -> None:
    """Write `network.onnx` and `settings.json` of a WiFo or an LWMTemporalPredictor into `folder`, which is made.

    Raises:
        InputError: a network of another kind.
    """
    if isinstance(model, WiFo):
        graph, settings = WiFoGraph(model), wifo_settings(model)
    elif isinstance(model, LWMTemporalPredictor):
        graph, settings = LWMTemporalGraph(model), lwm_temporal_settings(model)
    else:
        raise InputError(f"{type(model).__name__} has no ONNX form, allowed: WiFo, LWMTemporalPredictor")
    inputs, sizes = graph.example()
    folder.mkdir(parents=True, exist_ok=True)
    # The exporter tells its progress, which packages it could also serve, and what later versions may change.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(), (), folder / "network.onnx", kwargs=inputs, input_names=list(inputs), output_names=["found"],
            dynamic_shapes=sizes, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    (folder / "settings.json").write_text(json.dumps({"network": model.config.model_type} | settings, indent=2) + "\n")


def wifo_settings(model: WiFo) -> dict:
    return {
        "patch_size": list(model.config.patch_size),
        "hidden_size": model.config.hidden_size,
        "position_widths": position_widths(model.config.hidden_size),
    }


def lwm_temporal_settings(model: LWMTemporalPredictor) -> dict:
    config = model.config
    same = ("patch_size", "embed_dim", "num_heads", "temporal_offsets", "class_token", "phase_mode", "max_seq_len")
    return {name: getattr(config, name) for name in (*same, "keep_percentage", "residual")} | {
        "radii": [config.windows.radii(offset) for offset in (0, *config.temporal_offsets)],
        "routing": config.routing and asdict(config.routing),
        "learned_positions": LEARNED_POSITIONS if config.positions == "learned" else None,
        "energy_floor": ENERGY_FLOOR,
    }


class WiFoGraph(nn.Module):
    """`WiFo.reconstruct` with the same positions for all samples."""

    def __init__(self, model: WiFo):
        super().__init__()
        self.model = model

    def forward(self, values, visible_positions, hidden_positions):
        """Hidden patches (batch, hidden token, feature).

        Args:
            values: (batch, visible token, feature), patches as real parts, then imaginary parts.
            visible_positions, hidden_positions: (token, width), their encodings.
        """
        model = self.model
        embedded = nn.functional.linear(values, model.embedding.weight.flatten(1), model.embedding.bias)
        encoded, _ = model.encoder(embedded + visible_positions, None)
        masked = model.mask_token.expand(values.shape[0], hidden_positions.shape[0], -1)
        tokens = torch.cat([model.bridge(encoded) + visible_positions, masked + hidden_positions], dim=1)
        decoded, _ = model.decoder(tokens, None)
        return model.head(decoded[:, values.shape[1] :])

    def example(self):
        width, batch, visible, hidden = self.model.config.hidden_size, Dim("batch"), Dim("visible"), Dim("hidden")
        inputs = {
            "values": torch.randn(2, 6, 2 * math.prod(self.model.config.patch_size)),
            "visible_positions": torch.randn(6, width),
            "hidden_positions": torch.randn(4, width),
        }
        return inputs, {"values": {0: batch, 1: visible}, "visible_positions": {0: visible},
                        "hidden_positions": {0: hidden}}  # fmt: skip


class LWMTemporalGraph(nn.Module):
    """The network of `LWMTemporalPredictor` with dense attention under a mask, which is what SSTA is."""

    def __init__(self, model: LWMTemporalPredictor):
        super().__init__()
        self.model = model
        self.front = int(model.config.class_token)
        self.routing = model.config.routing

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
        if positions is not None:
            hidden = hidden + sum(model.positions.axes[axis][positions[:, axis]] for axis in range(3))
        if self.front:
            hidden = torch.cat([model.class_token.expand(hidden.shape[0], 1, -1), hidden], dim=1)

        def seen(scores):
            if visible is not None:
                return visible
            return self._route(scores, candidates, count) | always

        for block in model.blocks:
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
        """Which candidates win: the `count` highest of each query, ties included; see `ssta.route`."""
        scores = scores.masked_fill(~candidates, -torch.inf)
        if not self.routing.per_head:
            scores = scores.mean(dim=1, keepdim=True)
        # There may be fewer keys than the most that are chosen.
        padded = nn.functional.pad(scores, (0, self.routing.maximum), value=-torch.inf)
        highest = padded.topk(self.routing.maximum, dim=-1).values
        least = highest.gather(-1, (count - 1)[:, None].expand(*highest.shape[:-1], 1))
        return (scores >= least) & candidates

    def example(self):
        config, tokens, front = self.model.config, 6, self.front
        every = tokens + front
        batch, token = Dim("batch"), Dim("token")
        everything = token + front if front else token
        square = {0: everything, 1: everything}
        inputs = {
            "features": torch.randn(2, tokens, 2 * math.prod(config.patch_size) + 1),
            "log_energy": torch.randn(2, every),
        }
        sizes = {"features": {0: batch, 1: token}, "log_energy": {0: batch, 1: everything}}
        if config.positions == "learned":
            inputs["positions"], sizes["positions"] = torch.zeros(tokens, 3, dtype=torch.long), {0: token}
        else:
            inputs["angles"], sizes["angles"] = torch.randn(every, config.embed_dim // 2), {0: everything}
        masks = ("visible",) if self.routing is None else ("candidates", "always")
        for name in masks:
            inputs[name], sizes[name] = torch.ones(every, every, dtype=torch.bool), square
        if self.routing is not None:
            inputs["count"], sizes["count"] = torch.ones(every, dtype=torch.long), {0: everything}
        return inputs, sizes
