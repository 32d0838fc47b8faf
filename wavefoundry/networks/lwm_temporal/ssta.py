"""Sparse spatio-temporal attention (SSTA) over a grid of tokens (time, angle, delay).

A query sees the tokens of a corridor (`corridor`), and attends to those of the highest routing score (`routing`).
Source: model card of LWM-Temporal (arXiv:2603.10024). Tokens in front of the grid's (a class token) see all and are
seen by all, whatever the routing.

The same result is computed in the way that is quickest: on small grids densely under a mask, with routing by compiled
loops (`compiled`), or where these cannot run shift by shift (`shifts`), without it tile by tile (`tiles`), and on CUDA
as a block mask of torch's FlexAttention (`flex`).
"""

from collections.abc import Callable
from functools import cache, lru_cache

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from wavefoundry.networks.lwm_temporal.corridor import Windows, candidates
from wavefoundry.networks.lwm_temporal.flex import flex
from wavefoundry.networks.lwm_temporal.routing import Routing, lowest_kept
from wavefoundry.networks.lwm_temporal.shifts import frames_of, shift_attention
from wavefoundry.networks.lwm_temporal.tiles import tile_attention

# Grids of at most so many tokens are computed densely (measured on one CPU thread, benchmarks.ssta), unless `_quickest`
# has something better.
DENSE_TOKENS = 256


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
    # Sums over single features would lose too much in half precision.
    exact = torch.promote_types(kind, torch.float32)
    attend = None if routing is None else _quickest(tokens, windows, routing, query.device, exact)
    if routing is not None and attend is not None:
        bias = None if key_bias is None else key_bias.to(exact)
        mixed = attend(query.to(exact), key.to(exact), value.to(exact), bias, grid, windows, routing).to(kind)
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


def routed_flops(grid: tuple[int, int, int], windows: Windows, routing: Routing, front: int, width: int) -> int:
    """Floating-point operations of one head of a sample on a CPU, in single precision, that are no operators of torch:
    scores of all that the tokens of the grid see, and sums over what wins the routing; 0 where it is computed densely.

    Args:
        front: tokens in front of the grid's.
        width: of the head.
    """
    tokens = grid[0] * grid[1] * grid[2]
    if _quickest(tokens, windows, routing, torch.device("cpu"), torch.float32) is None:
        return 0
    frames = frames_of(grid, windows)
    seen = torch.stack([frames.candidates(frames.visible(time)) for time in range(grid[0])])
    return 2 * width * (int(seen.sum() + routing.kept(seen).sum()) + 2 * front * tokens)


def _quickest(
    tokens: int, windows: Windows, routing: Routing, device: torch.device, kind: torch.dtype
) -> Callable | None:
    """Routed attention that is quickest for so many tokens; None: the dense one."""
    compiled = cpu_kernel() if device.type == "cpu" and kind == torch.float32 else None
    # Where a query sees most of a small grid, one choice for all heads is quickest from one product of all pairs.
    if tokens <= DENSE_TOKENS and (compiled is None or (windows.wraps and not routing.per_head)):
        return None
    return compiled or shift_attention


@cache
def cpu_kernel() -> Callable | None:
    """Routed attention in single precision compiled by numba, or None where that package is not installed."""
    try:
        from wavefoundry.networks.lwm_temporal.compiled import compiled_attention
    except ImportError:
        return None
    return compiled_attention


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
    mask, seen, count = _tables(grid, windows, front, query.device)
    mask = mask.to(query.dtype)
    if routing is not None:
        kept = routing.kept(count)
        # A sample at a time, whose scores fit into a cache.
        with torch.no_grad():
            samples = zip(query[:, :, front:], key[:, :, front:], strict=True)
            mask = torch.stack([_attended(*parts, mask, seen, kept, routing.per_head) for parts in samples])
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)


def _attended(query, key, mask, seen, kept, per_head):
    """The mask (head or 1, all, all) of what wins the routing in a sample; queries and keys (head, token, width)."""
    front = len(mask) - len(seen)
    if not per_head:
        # The mean of the heads' scores is one product.
        query, key = (part.transpose(0, 1).flatten(1).unsqueeze(0) for part in (query / len(query), key))
    ranks = query @ key.transpose(-1, -2) + mask[front:, front:]
    lost = ranks < lowest_kept(ranks.gather(-1, seen.expand(len(ranks), -1, -1)), kept).unsqueeze(-1)
    return mask.masked_fill(pad(lost, (front, 0, front, 0)), -torch.inf)


# Kept for later calls, which may need gradients even if this one does not.
@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _tables(
    grid: tuple[int, int, int], windows: Windows, front: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of dense attention: the mask, float32 (all, all) of 0 and -inf; what each token of the grid sees, int64 (token,
    most), places left over filled with what it does not see; and how many that are (token,)."""
    visible = candidates(grid, windows)
    count = visible.sum(dim=-1)
    mask = torch.zeros(visible.shape).masked_fill_(~visible, -torch.inf)
    seen = visible.int().argsort(dim=-1, descending=True, stable=True)[:, : int(count.max())]
    return pad(mask, (front, 0, front, 0)).to(device), seen.to(device), count.to(device)
