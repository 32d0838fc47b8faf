"""Sparse spatio-temporal attention (SSTA) over a grid of tokens (time, angle, delay).

A query at (t, h, w) sees its own frame in a window, the frames t + o in windows that widen with |o| (the corridor in
which a path can have moved; the angle wraps around, the delay does not), and of these candidates only the ones of the
highest routing score. Source: model card of LWM-Temporal (arXiv:2603.10024). Tokens in front of the grid's
(a class token) see all and are seen by all, whatever the routing.

Queries are taken in tiles of one frame; a tile reads the union of its windows (its halo) once and masks within it.
Tiles whose halos are translations of each other share one mask and are computed together, a block of tiles at a time,
so that time and memory grow linearly with the number of tokens. The tables depend on the grid alone and are cached.
On CUDA, without routing, the same windows are a block mask of torch's FlexAttention.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.autograd.function import once_differentiable
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import pad, scaled_dot_product_attention

# Queries per tile at most; with larger tiles more of a halo is masked, with smaller ones it is read for fewer queries.
LARGEST_TILE = 128
# What reading one key of a halo costs, in scores (measured on one CPU thread: reading and adding up the gradient).
READING = 12
# Scores per block of tiles, what one step of the loop holds at a time: on a CPU about the size of a cache, on a GPU
# enough to fill it.
BLOCK_SCORES = {"cpu": 2**18, "cuda": 2**26}
# Scores that a training may keep for its backward pass; with more, each block is computed again there. As many take
# about 0.2 GiB in each layer.
KEPT_SCORES = 2**24
# Tokens per block of FlexAttention, and the smallest head width of its CUDA kernels; they take powers of two.
FLEX_BLOCK = 128
FLEX_WIDTH = 16


@dataclass(frozen=True)
class Windows:
    """Which tokens a query may see, in tokens."""

    same_frame: int
    temporal_offsets: tuple[int, ...]
    temporal_spatial: int
    drift_h: int
    drift_w: int

    def radii(self, offset: int) -> tuple[int, int]:
        """Half widths (angle, delay) of the window in the frame `offset` away."""
        if offset == 0:
            return self.same_frame, self.same_frame
        return (
            self.temporal_spatial + self.drift_h * abs(offset),
            self.temporal_spatial + self.drift_w * abs(offset),
        )

    def sees(self, query: torch.Tensor, key: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        """Whether a query may see a key: the definition. Token indices that broadcast against each other."""
        _, rows, columns = grid
        offset = key // (rows * columns) - query // (rows * columns)
        turn = (key // columns % rows - query // columns % rows).abs()
        turn = torch.minimum(turn, rows - turn)
        shift = (key % columns - query % columns).abs()
        seen = torch.zeros_like(offset, dtype=torch.bool)
        for step in (0, *self.temporal_offsets):
            radius_h, radius_w = self.radii(step)
            seen = seen | ((offset == step) & (turn <= radius_h) & (shift <= radius_w))
        return seen


@dataclass(frozen=True)
class Routing:
    """Each query attends to min(maximum, fraction of its candidates) keys, chosen per head or for all heads."""

    fraction: float
    maximum: int
    per_head: bool


@dataclass(frozen=True)
class Tiles:
    """Tiles whose halos are translations of each other.

    query: (tile, Q) int32 token index of each query.
    key: (tile, K) int32 token index of each key in the halo, tokens in front of the grid first.
    mask: (Q, K) float32, 0 where the query sees the key and -inf elsewhere.
    """

    query: torch.Tensor
    key: torch.Tensor
    mask: torch.Tensor


def candidates(grid: tuple[int, int, int], windows: Windows) -> torch.Tensor:
    """Dense boolean mask (N, N) of what each query may see, for tests and small grids only."""
    tokens = torch.arange(grid[0] * grid[1] * grid[2])
    return windows.sees(tokens[:, None], tokens[None, :], grid)


# Kept for later calls, which may need gradients even if this one does not.
@lru_cache(maxsize=32)
@torch.inference_mode(False)
def build_tables(grid: tuple[int, int, int], windows: Windows, front: int, device: torch.device) -> tuple[Tiles, ...]:
    """Tables of the tiled attention for a grid of (time, angle, delay) tokens behind `front` others."""
    frames, rows, columns = grid
    tile = tile_shape(rows, columns, windows)
    times: dict[tuple, list[int]] = {}
    for t in range(frames):
        offsets = tuple(step for step in (0, *windows.temporal_offsets) if 0 <= t + step < frames)
        times.setdefault(offsets, []).append(t)
    heights: dict[int, list[int]] = {}
    for row in range(0, rows, tile[0]):
        heights.setdefault(min(tile[0], rows - row), []).append(row)
    groups = []
    for offsets, ts in times.items():
        sides: dict[tuple, list[int]] = {}
        for column in range(0, columns, tile[1]):
            width = min(tile[1], columns - column)
            radii = [windows.radii(step)[1] for step in offsets]
            reach = tuple((-min(radius, column), min(width + radius, columns - column)) for radius in radii)
            sides.setdefault((width, reach), []).append(column)
        for (width, reach), columns_of_side in sides.items():
            for height, starts in heights.items():
                origins = torch.cartesian_prod(*(torch.tensor(part) for part in (ts, starts, columns_of_side)))
                halo = [
                    torch.cartesian_prod(
                        torch.tensor([step]), _turns(height, windows.radii(step)[0], rows), torch.arange(*ends)
                    )
                    for step, ends in zip(offsets, reach, strict=True)
                ]
                groups.append(_tiles(origins, (height, width), torch.cat(halo), grid, windows, front, device))
    return tuple(groups)


def tile_shape(rows: int, columns: int, windows: Windows) -> tuple[int, int]:
    """Rows and columns of the tile with the least to compute and to read for a query, whatever the number of frames."""
    shapes = [
        (height, width)
        for height in _sizes(rows)
        for width in _sizes(columns)
        if height * width <= max(LARGEST_TILE, min(rows, columns))
    ]

    def cost(shape: tuple[int, int]) -> float:
        radii = [windows.radii(step) for step in (0, *windows.temporal_offsets)]
        keys = sum(min(rows, shape[0] + 2 * high) * min(columns, shape[1] + 2 * wide) for high, wide in radii)
        return keys * (1 + READING / (shape[0] * shape[1]))

    return min(shapes, key=cost)


def _sizes(length: int) -> list[int]:
    """Powers of two below `length`, and itself."""
    return [*(2**power for power in range((length - 1).bit_length())), length]


def _turns(height: int, radius: int, rows: int) -> torch.Tensor:
    """Rows of a halo, relative to its tile; all of them once where it would meet itself on the ring."""
    return torch.arange(rows) if height + 2 * radius >= rows else torch.arange(-radius, height + radius)


def _tiles(origins, size, halo, grid, windows, front, device) -> Tiles:
    """Tables of the tiles of one size (rows, columns) that begin at `origins` (tile, 3), with the same halo (K, 3)."""
    _, rows, columns = grid
    own = torch.cartesian_prod(torch.zeros(1, dtype=torch.long), *(torch.arange(length) for length in size))

    def tokens(relative: torch.Tensor) -> torch.Tensor:
        t, h, w = (origins[:, None, axis].int() + relative[:, axis].int() for axis in range(3))
        return (t * rows + h % rows) * columns + w

    query, key = tokens(own), tokens(halo)
    seen = windows.sees(query[0][:, None], key[0][None, :], grid)
    mask = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
    everywhere = torch.arange(front, dtype=torch.int32).expand(len(key), -1)
    return Tiles(
        (query + front).to(device),
        torch.cat([everywhere, key + front], dim=1).to(device),
        pad(mask, (front, 0)).to(device),
    )


def route(scores: torch.Tensor, candidate_count: torch.Tensor, routing: Routing) -> torch.Tensor:
    """Keys that each query attends to.

    Args:
        scores: (batch, head, ..., query, key) routing scores, -inf where not visible.
        candidate_count: (..., query) visible keys of each query.
        routing: how many to keep.

    Returns:
        bool (batch, head or 1, ..., query, key): the k highest of each query, ties included.
    """
    if not routing.per_head:
        scores = scores.mean(dim=1, keepdim=True)
    count = torch.ceil(candidate_count * routing.fraction).long().clamp(1, routing.maximum)
    kept = min(int(count.max()), scores.shape[-1])
    highest = _highest(scores.detach(), kept)
    last = (kept - count).clamp_min(0).expand(highest.shape[:-1]).unsqueeze(-1)
    # What is not visible is lower than the lowest of these, for a query has as many candidates at least.
    return scores >= highest.gather(-1, last)


def _highest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` highest scores of each query, ascending."""
    if scores.device.type != "cpu" or scores.dtype == torch.bfloat16:
        return scores.topk(count, dim=-1).values.flip(-1)
    # numpy selects in vector registers, several times as fast as topk.
    values = scores.numpy()
    return torch.from_numpy(np.sort(np.partition(values, values.shape[-1] - count, axis=-1)[..., -count:], axis=-1))


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
    width = query.shape[-1]
    front = query.shape[2] - grid[0] * grid[1] * grid[2]
    query = query * width**-0.5
    if key_bias is not None:
        # One more feature, so that fused attention adds the bias without a mask of its own for every key.
        query, key, value = (
            pad(query, (0, 1), value=1.0),
            torch.cat([key, key_bias.unsqueeze(-1)], -1),
            pad(value, (0, 1)),
        )
    if query.is_cuda and routing is None:
        return flex(query, key, value, grid, windows)[..., :width]
    # Token-major, keys beside their values: a halo is gathered in rows.
    query = query.transpose(1, 2).contiguous()
    key_value = torch.cat([key, value], dim=-1).transpose(1, 2).contiguous()
    tables = build_tables(grid, windows, front, query.device)
    scores = query.shape[0] * query.shape[2] * sum(tiles.query.numel() * tiles.key.shape[1] for tiles in tables)
    if torch.is_grad_enabled() and scores > KEPT_SCORES:
        mixed = _Recomputed.apply(query, key_value, tables, front, routing)
    else:
        mixed = _attend_all(query, key_value, tables, front, routing)
    return mixed[..., :width].transpose(1, 2)


def _blocks(tables: tuple[Tiles, ...], scores_per_key: int):
    """Tiles in blocks of at most BLOCK_SCORES scores: (query (tile, Q), key (tile, K), mask (Q, K))."""
    for tiles in tables:
        limit = BLOCK_SCORES[tiles.mask.device.type]
        count = max(1, limit // (scores_per_key * tiles.mask.numel()))
        for query, key in zip(tiles.query.split(count), tiles.key.split(count), strict=True):
            yield query, key, tiles.mask


def _attend_all(query, key_value, tables, front, routing):
    """(batch, token, head, width) from queries of that shape, and (batch, token, head, 2 width) keys and values."""
    # Written in place: outputs kept between the halos of the blocks would leave holes in the heap, ten times the size.
    mixed = torch.empty_like(query)
    if front:
        mixed[:, :front] = _attend(query[:, :front], key_value, None, front, None)
    for at, around, mask in _blocks(tables, query.shape[0] * query.shape[2]):
        part = _attend(_gather(query, at), _gather(key_value, around), mask, front, routing)
        mixed.index_copy_(1, at.flatten().long(), part.flatten(1, 2))
    return mixed


def _gather(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(batch, token, head, feature) at (tile, K) to (batch, tile, K, head, feature)."""
    return tokens.index_select(1, index.flatten()).unflatten(1, index.shape)


def _attend(query, key_value, mask, front, routing):
    """Attention of queries (..., Q, head, width) to keys and values (..., K, head, 2 width) of the same tile."""
    lead = query.shape[:-3]
    query = query.flatten(0, -4).transpose(1, 2)
    key, value = key_value.flatten(0, -4).transpose(1, 2).chunk(2, dim=-1)
    mask = None if mask is None else mask.to(query.dtype)
    if routing is None:
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
    else:
        scores = query @ key.transpose(-1, -2) + mask
        kept = route(scores[..., front:], (mask[:, front:] == 0).sum(dim=-1), routing)
        # Added, not filled in: it may be one for all heads, and broadcast additions are quick.
        lost = torch.zeros(kept.shape, dtype=scores.dtype, device=scores.device).masked_fill_(~kept, -torch.inf)
        mixed = (scores + pad(lost, (front, 0))).softmax(dim=-1) @ value
    return mixed.transpose(1, 2).unflatten(0, lead)


class _Recomputed(torch.autograd.Function):
    """`_attend_all` that keeps its inputs alone: the backward pass computes each block again.

    Kept blocks would hold every halo, and the gradient of each would be as large as all tokens.
    """

    @staticmethod
    def forward(ctx, query, key_value, tables, front, routing):
        ctx.save_for_backward(query, key_value)
        ctx.options = tables, front, routing
        return _attend_all(query, key_value, tables, front, routing)

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        query, key_value = ctx.saved_tensors
        tables, front, routing = ctx.options
        query_gradient, gradient = torch.zeros_like(query), torch.zeros_like(key_value)

        def add(at, around, query_part, part, mask, part_routing):
            query_part, part = query_part.detach().requires_grad_(), part.detach().requires_grad_()
            with torch.enable_grad():
                mixed = _attend(query_part, part, mask, front, part_routing)
            parts = torch.autograd.grad(mixed, (query_part, part), upstream[:, at].view_as(mixed))
            query_gradient[:, at] = parts[0].flatten(1, -3)
            gradient.index_add_(1, around, parts[1].flatten(1, -3))

        everything = torch.arange(query.shape[1], dtype=torch.int32, device=query.device)
        if front:
            add(everything[:front], everything, query[:, :front], key_value, None, None)
        for at, around, mask in _blocks(tables, query.shape[0] * query.shape[2]):
            parts = _gather(query, at), _gather(key_value, around)
            add(at.flatten(), around.flatten(), *parts, mask, routing)
        return query_gradient, gradient, None, None, None


def flex(query, key, value, grid, windows):
    """The same by FlexAttention, one fused kernel on CUDA: scaled queries, (batch, head, token, width), no routing."""
    front = query.shape[2] - grid[0] * grid[1] * grid[2]
    blocks = flex_blocks(grid, windows, front, query.device)
    width = query.shape[-1]
    missing = max(FLEX_WIDTH, 2 ** (width - 1).bit_length()) - width
    attention = _compiled_flex() if query.is_cuda else flex_attention
    query, key, value = (pad(part, (0, missing)).contiguous() for part in (query, key, value))
    return attention(query, key, value, block_mask=blocks, scale=1.0)


@lru_cache(maxsize=1)
def _compiled_flex():
    return torch.compile(flex_attention)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def flex_blocks(grid: tuple[int, int, int], windows: Windows, front: int, device: torch.device) -> BlockMask:
    """Which blocks of keys each block of queries reads; found for one block of queries at a time."""
    count = front + grid[0] * grid[1] * grid[2]
    blocks = -(-count // FLEX_BLOCK)

    def seen(batch, head, query, key):
        return windows.sees(query - front, key - front, grid) | (query < front) | (key < front)

    keys = torch.arange(count, device=device)
    read = torch.zeros(blocks, blocks, dtype=torch.bool, device=device)
    for block, queries in enumerate(keys.split(FLEX_BLOCK)):
        any_query = seen(None, None, queries[:, None], keys).any(dim=0)
        read[block] = pad(any_query, (0, blocks * FLEX_BLOCK - count)).view(blocks, FLEX_BLOCK).any(dim=1)
    order = read.int().argsort(dim=1, descending=True, stable=True).int()
    return BlockMask.from_kv_blocks(
        read.sum(dim=1, dtype=torch.int32)[None, None],
        order[None, None],
        BLOCK_SIZE=FLEX_BLOCK,
        mask_mod=seen,
        seq_lengths=(count, count),
    )
