"""Attention in a corridor without routing, tile by tile.

Queries are taken in tiles of one frame; a tile reads the union of its windows (its halo) once and masks within it.
Tiles whose halos are translations of each other share one mask and are computed together, a block of tiles at a time,
so that time and memory grow linearly with the number of tokens. The tables depend on the grid alone and are cached.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad, scaled_dot_product_attention

from wavefoundry.networks.lwm_temporal.corridor import Windows

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
    groups = []
    for offsets, ts in times.items():
        high, wide = zip(*(windows.radii(step) for step in offsets), strict=True)
        for (height, rows_seen), starts in _sides(rows, tile[0], high, windows.wraps).items():
            for (width, columns_seen), columns_of_side in _sides(columns, tile[1], wide, False).items():
                origins = torch.cartesian_prod(*(torch.tensor(part) for part in (ts, starts, columns_of_side)))
                halo = [
                    torch.cartesian_prod(torch.tensor([step]), torch.arange(*turns), torch.arange(*ends))
                    for step, turns, ends in zip(offsets, rows_seen, columns_seen, strict=True)
                ]
                groups.append(_tiles(origins, (height, width), torch.cat(halo), grid, windows, front, device))
    return tuple(groups)


def _sides(size: int, tile: int, radii: tuple[int, ...], ring: bool) -> dict[tuple, list[int]]:
    """Starts of the tiles along an axis by their length and what they see in each frame, relative to the start."""
    sides: dict[tuple, list[int]] = {}
    for start in range(0, size, tile):
        length = min(tile, size - start)
        if ring:
            # All of the ring once where a halo would meet itself.
            seen = tuple((0, size) if length + 2 * radius >= size else (-radius, length + radius) for radius in radii)
        else:
            seen = tuple((-min(radius, start), min(length + radius, size - start)) for radius in radii)
        sides.setdefault((length, seen), []).append(start)
    return sides


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


def tile_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, grid: tuple[int, int, int], windows: Windows
) -> torch.Tensor:
    """Attention of all tokens: scaled queries, keys and values (batch, head, token, width), without a bias."""
    front = query.shape[2] - grid[0] * grid[1] * grid[2]
    # Token-major, keys beside their values: a halo is gathered in rows.
    query = query.transpose(1, 2).contiguous()
    key_value = torch.cat([key, value], dim=-1).transpose(1, 2).contiguous()
    tables = build_tables(grid, windows, front, query.device)
    scores = query.shape[0] * query.shape[2] * sum(tiles.query.numel() * tiles.key.shape[1] for tiles in tables)
    if torch.is_grad_enabled() and scores > KEPT_SCORES:
        return _Recomputed.apply(query, key_value, tables, front).transpose(1, 2)
    return _attend_all(query, key_value, tables, front).transpose(1, 2)


def _blocks(tables: tuple[Tiles, ...], scores_per_key: int):
    """Tiles in blocks of at most BLOCK_SCORES scores: (query (tile, Q), key (tile, K), mask (Q, K))."""
    for tiles in tables:
        limit = BLOCK_SCORES[tiles.mask.device.type]
        count = max(1, limit // (scores_per_key * tiles.mask.numel()))
        for query, key in zip(tiles.query.split(count), tiles.key.split(count), strict=True):
            yield query, key, tiles.mask


def _attend_all(query, key_value, tables, front):
    """(batch, token, head, width) from queries of that shape, and (batch, token, head, 2 width) keys and values."""
    # Written in place: outputs kept between the halos of the blocks would leave holes in the heap, ten times the size.
    mixed = torch.empty_like(query)
    if front:
        mixed[:, :front] = _attend(query[:, :front], key_value, None)
    for at, around, mask in _blocks(tables, query.shape[0] * query.shape[2]):
        part = _attend(_gather(query, at), _gather(key_value, around), mask)
        mixed.index_copy_(1, at.flatten().long(), part.flatten(1, 2))
    return mixed


def _gather(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(batch, token, head, feature) at (tile, K) to (batch, tile, K, head, feature)."""
    return tokens.index_select(1, index.flatten()).unflatten(1, index.shape)


def _attend(query, key_value, mask):
    """Attention of queries (..., Q, head, width) to keys and values (..., K, head, 2 width) of the same tile."""
    lead = query.shape[:-3]
    query = query.flatten(0, -4).transpose(1, 2)
    key, value = key_value.flatten(0, -4).transpose(1, 2).chunk(2, dim=-1)
    mask = None if mask is None else mask.to(query.dtype)
    mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
    return mixed.transpose(1, 2).unflatten(0, lead)


class _Recomputed(torch.autograd.Function):
    """`_attend_all` that keeps its inputs alone: the backward pass computes each block again.

    Kept blocks would hold every halo, and the gradient of each would be as large as all tokens.
    """

    @staticmethod
    def forward(ctx, query, key_value, tables, front):
        ctx.save_for_backward(query, key_value)
        ctx.options = tables, front
        return _attend_all(query, key_value, tables, front)

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        query, key_value = ctx.saved_tensors
        tables, front = ctx.options
        query_gradient, gradient = torch.zeros_like(query), torch.zeros_like(key_value)

        def add(at, around, query_part, part, mask):
            query_part, part = query_part.detach().requires_grad_(), part.detach().requires_grad_()
            with torch.enable_grad():
                mixed = _attend(query_part, part, mask)
            parts = torch.autograd.grad(mixed, (query_part, part), upstream[:, at].view_as(mixed))
            query_gradient[:, at] = parts[0].flatten(1, -3)
            gradient.index_add_(1, around, parts[1].flatten(1, -3))

        everything = torch.arange(query.shape[1], dtype=torch.int32, device=query.device)
        if front:
            add(everything[:front], everything, query[:, :front], key_value, None)
        for at, around, mask in _blocks(tables, query.shape[0] * query.shape[2]):
            parts = _gather(query, at), _gather(key_value, around)
            add(at.flatten(), around.flatten(), *parts, mask)
        return query_gradient, gradient, None, None
