"""Sparse spatio-temporal attention (SSTA) over a grid of tokens (time, angle, delay).

A query sees the tokens of a corridor (`corridor`), and attends to those of the highest routing score (`routing`). Source:
model card of LWM-Temporal (arXiv:2603.10024). Tokens in front of the grid's (a class token) see all and are seen by all,
whatever the routing.

The same result is computed in the way that is quickest: on small grids densely under a mask, with routing shift by
shift (`shifts`), without it tile by tile (`tiles`), and on CUDA as a block mask of torch's FlexAttention (`flex`).
"""

from functools import lru_cache

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from wavefoundry.networks.lwm_temporal.corridor import Windows, candidates
from wavefoundry.networks.lwm_temporal.flex import flex
from wavefoundry.networks.lwm_temporal.routing import Routing, route
from wavefoundry.networks.lwm_temporal.shifts import shift_attention
from wavefoundry.networks.lwm_temporal.tiles import tile_attention

# Grids of at most so many tokens are computed densely (measured on one CPU thread, benchmarks.ssta).
DENSE_TOKENS = 512


def sparse_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_bias: torch.Tensor | None,
    grid: tuple[int, int, int],
    windows: Windows,
    routing: Routing | None,
) -> torch.Tensor:
    """SSTA: softmax attention of every token to the tokens of its corridor that win the routing.

    Args:
        query, key, value: (batch, head, token, width), tokens in order time, angle, delay; tokens beyond those of the
            grid stand in front, see all and are seen by all.
        key_bias: (batch, head, token) added to the scores of each key: energy-aware routing; None for zero.
        grid: (time, angle, delay) tokens.
        windows: which tokens are candidates.
        routing: how many candidates are attended to; None for all.

    Returns:
        (batch, head, token, width).
    """
    width, kind = query.shape[-1], query.dtype
    tokens = grid[0] * grid[1] * grid[2]
    front = query.shape[2] - tokens
    query = query * width**-0.5
    if routing is not None and tokens > DENSE_TOKENS:
        # Sums over single features would lose too much in half precision.
        parts = [part if part is None or part.dtype == torch.float64 else part.float() for part in (query, key, value)]
        bias = None if key_bias is None else key_bias.to(parts[0].dtype)
        mixed = shift_attention(*parts, bias, grid, windows, routing).to(kind)
        if not front:
            return mixed
        seen = None if key_bias is None else key_bias.unsqueeze(-2)
        first = scaled_dot_product_attention(query[:, :, :front], key, value, attn_mask=seen, scale=1.0)
        return torch.cat([first, mixed], dim=2)
    if key_bias is not None:
        # One more feature, so that fused attention adds the bias without a mask of its own for every key.
        query, key, value = (
            pad(query, (0, 1), value=1.0),
            torch.cat([key, key_bias.unsqueeze(-1)], -1),
            pad(value, (0, 1)),
        )
    if routing is None and query.is_cuda:
        mixed = flex(query, key, value, grid, windows)
    elif tokens <= DENSE_TOKENS:
        mixed = dense_attention(query, key, value, grid, windows, routing)
    else:
        mixed = tile_attention(query, key, value, grid, windows)
    return mixed[..., :width]


def dense_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    grid: tuple[int, int, int],
    windows: Windows,
    routing: Routing | None,
) -> torch.Tensor:
    """The same from all pairs under a mask: scaled queries, keys and values (batch, head, token, width), no bias."""
    front = query.shape[2] - grid[0] * grid[1] * grid[2]
    mask, count = _mask(grid, windows, front, query.device)
    mask = mask.to(query.dtype)
    if routing is None:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
    scores = query @ key.transpose(-1, -2) + mask
    kept = route(scores[..., front:, front:], count, routing)
    # Added, not filled in: it may be one for all heads, and broadcast additions are quick.
    lost = torch.zeros(kept.shape, dtype=scores.dtype, device=scores.device).masked_fill_(~kept, -torch.inf)
    return (scores + pad(lost, (front, 0, front, 0))).softmax(dim=-1) @ value


# Kept for later calls, which may need gradients even if this one does not.
@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _mask(
    grid: tuple[int, int, int], windows: Windows, front: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What all tokens see, float32 (token, token) of 0 and -inf, and how many of the grid each token of it sees."""
    seen = candidates(grid, windows)
    mask = torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf)
    return pad(mask, (front, 0, front, 0)).to(device), seen.sum(dim=-1).to(device)
