"""The network of LWM-Temporal proper, from features of tokens to reconstructed tokens, as it is exported.

It attends densely under a mask of the same windows, which is the same as the sparse attention.
"""

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn
from torch.export import Dim
from torch.nn.functional import pad

from wavefoundry.networks.lwm_temporal.model import Layer, LWMTemporalPredictor, rotate, routing


class LWMTemporalGraph(nn.Module):
    """The network of `LWMTemporalPredictor` for any grid, of which its inputs tell."""

    def __init__(self, model: LWMTemporalPredictor):
        super().__init__()
        self.model = model
        self.front = int(model.architecture.class_token)
        self.routing = routing(model.architecture)

    def forward(self, features, log_energy, positions, visible, count=None):
        """Reconstructed tokens (batch, token, feature), not scaled back.

        Args:
            features: (batch, token, feature), as the embedding reads them.
            log_energy: (batch, token), of the keys.
            positions: (token, pair), angles of rotary positions; or (token, width), the vectors of learned ones.
            visible: (token, token), which keys a query may see.
            count: (token,), how many of these win the routing, if there is one.
        """
        model = self.model
        hidden = model.embedding(features)
        angles = positions if model.positions is None else None
        if angles is None:
            hidden = hidden + positions
        if model.class_token is not None:
            hidden = torch.cat([model.class_token.expand(hidden.shape[0], 1, -1), hidden], dim=1)
            log_energy = pad(log_energy, (1, 0))
            angles = None if angles is None else pad(angles, (0, 0, 1, 0))

        def seen(scores):
            return self._with_front(visible if self.routing is None else self._route(scores, visible, count))

        for block in cast(Iterable[Layer], model.blocks):
            hidden = hidden + self._attend(block.attention, block.attention_norm(hidden), log_energy, angles, seen)
            hidden = hidden + block.mlp(block.mlp_norm(hidden))
        return model.reconstruct(model.norm(hidden)[:, self.front :])

    def _with_front(self, seen):
        """A class token sees all and is seen by all."""
        return pad(seen, (self.front, 0, self.front, 0), value=True) if self.front else seen

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
        assert self.routing is not None  # or nothing is routed
        scores = scores[..., self.front :, self.front :].masked_fill(~candidates, -torch.inf)
        if not self.routing.per_head:
            scores = scores.mean(dim=1, keepdim=True)
        # There may be fewer keys than the most that are chosen.
        padded = pad(scores, (0, self.routing.maximum), value=-torch.inf)
        highest = padded.topk(self.routing.maximum, dim=-1).values
        least = highest.gather(-1, (count - 1)[:, None].expand(*highest.shape[:-1], 1))
        return (scores >= least) & candidates

    def example(self):
        """Inputs of a forward pass, and which of their sizes are free."""
        model, tokens = self.model, 6
        width = model.architecture.embed_dim // (2 if model.positions is None else 1)
        batch, token = Dim("batch"), Dim("token")
        inputs = {
            "features": torch.randn(2, tokens, model.embedding.in_features),
            "log_energy": torch.randn(2, tokens),
            "positions": torch.randn(tokens, width),
            "visible": torch.ones(tokens, tokens, dtype=torch.bool),
        }
        sizes = {name: {0: batch, 1: token} for name in ("features", "log_energy")}
        sizes |= {"positions": {0: token}, "visible": {0: token, 1: token}}
        if self.routing is not None:
            inputs["count"], sizes["count"] = torch.ones(tokens, dtype=torch.long), {0: token}
        return inputs, sizes
