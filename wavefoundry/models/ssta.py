"""Sparse spatio-temporal attention (SSTA) over a grid of tokens (time, angle, delay).

A query at (t, h, w) sees its own frame in a window, the frames t + o in windows that widen with |o| (the corridor in
which a path can have moved; the angle wraps around, the delay does not), and of these candidates only the ones of the
highest routing score. Source: LWM-Temporal (spec: sparse spatio-temporal attention).

Queries are taken in tiles of one frame; a tile reads the union of its windows (its halo) once and masks within it, so
time and memory grow linearly with the number of tokens. The tables depend on the grid alone and are cached.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch

TILE = 8  # queries per tile and spatial axis: 8 x 8 was the fastest on a CPU (spec), smaller grids use what they have.


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


@dataclass(frozen=True)
class Routing:
    """Each query attends to min(maximum, fraction of its candidates) keys, chosen per head or for all heads."""

    fraction: float
    maximum: int
    per_head: bool


@dataclass(frozen=True)
class Tables:
    """Static part of the attention over one grid.

    query: (tile, Q) token index of each query; tiles at an edge repeat a token, `position` undoes it.
    position: (N,) place of each token in the flattened tiles.
    key: (tile, K) token index of each key in the halo.
    visible: (tile, Q, K) bool.
    budget: (tile, Q) number of candidates of each query.
    """

    query: torch.Tensor
    position: torch.Tensor
    key: torch.Tensor
    visible: torch.Tensor
    budget: torch.Tensor


def candidates(grid: tuple[int, int, int], windows: Windows) -> torch.Tensor:
    """Dense boolean mask (N, N) of what each query may see: the definition, for tests and small grids only."""
    rows = grid[1]
    t, h, w = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    t, h, w = t.flatten(), h.flatten(), w.flatten()
    offset = t[None, :] - t[:, None]
    turn = (h[None, :] - h[:, None]).abs()
    turn = torch.minimum(turn, rows - turn)
    shift = (w[None, :] - w[:, None]).abs()
    mask = torch.zeros(len(t), len(t), dtype=torch.bool)
    for step in (0, *windows.temporal_offsets):
        radius_h, radius_w = windows.radii(step)
        mask |= (offset == step) & (turn <= radius_h) & (shift <= radius_w)
    return mask


@lru_cache(maxsize=32)
def build_tables(grid: tuple[int, int, int], windows: Windows, device: torch.device) -> Tables:
    """Tables of the tiled attention for a grid of (time, angle, delay) tokens."""
    frames, rows, columns = grid
    tile_rows = _starts(rows)
    tile_columns = _starts(columns)
    offsets = [step for step in (0, *windows.temporal_offsets) if abs(step) < frames]
    queries, keys, visible = [], [], []
    for t in range(frames):
        for row in tile_rows:
            for column in tile_columns:
                q_h = torch.arange(row, min(row + TILE, rows))
                q_w = torch.arange(column, min(column + TILE, columns))
                query = _tokens(torch.tensor([t]), q_h, q_w, grid)
                parts, sees = [], []
                for step in offsets:
                    radius_h, radius_w = windows.radii(step)
                    k_h = _halo_on_ring(row, len(q_h), radius_h, rows)
                    k_w = torch.arange(max(0, column - radius_w), min(columns, column + len(q_w) + radius_w))
                    frame = t + step
                    inside = 0 <= frame < frames
                    parts.append(_tokens(torch.tensor([frame if inside else t]), k_h, k_w, grid))
                    turn = (k_h[None, :] - q_h[:, None]).abs()
                    near_h = torch.minimum(turn, rows - turn) <= radius_h
                    near_w = (k_w[None, :] - q_w[:, None]).abs() <= radius_w
                    near = near_h[:, None, :, None] & near_w[None, :, None, :] & inside
                    sees.append(near.reshape(len(query), -1))
                queries.append(query)
                keys.append(torch.cat(parts))
                visible.append(torch.cat(sees, dim=1))
    size_q = max(len(query) for query in queries)
    size_k = max(len(key) for key in keys)
    query = torch.stack([_pad(query, size_q) for query in queries])
    key = torch.stack([_pad(key, size_k) for key in keys])
    # A padded query repeats the last one and sees what it sees; a padded key is seen by none.
    mask = torch.zeros(len(queries), size_q, size_k, dtype=torch.bool)
    for index, sees in enumerate(visible):
        mask[index, : sees.shape[0], : sees.shape[1]] = sees
        mask[index, sees.shape[0] :, : sees.shape[1]] = sees[-1]
    position = torch.empty(frames * rows * columns, dtype=torch.long)
    position[query.flatten()] = torch.arange(query.numel())
    budget = mask.sum(dim=-1)
    return Tables(*(table.to(device) for table in (query, position, key, mask, budget)))


def _starts(size: int) -> range:
    return range(0, size, TILE)


def _halo_on_ring(start: int, length: int, radius: int, size: int) -> torch.Tensor:
    if length + 2 * radius >= size:
        return torch.arange(size)
    return torch.arange(start - radius, start + length + radius) % size


def _tokens(t: torch.Tensor, h: torch.Tensor, w: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    _, rows, columns = grid
    return ((t[:, None, None] * rows + h[:, None]) * columns + w).flatten()


def _pad(index: torch.Tensor, size: int) -> torch.Tensor:
    return torch.cat([index, index[-1:].expand(size - len(index))])


def route(scores: torch.Tensor, visible: torch.Tensor, candidate_count: torch.Tensor, routing: Routing) -> torch.Tensor:
    """Keys that each query attends to.

    Args:
        scores: (batch, head, ..., query, key) routing scores, -inf where not visible.
        visible: bool, broadcastable to `scores`.
        candidate_count: (..., query) visible keys of each query.
        routing: how many to keep.

    Returns:
        bool (batch, head or 1, ..., query, key): the k highest of each query, ties included.
    """
    if not routing.per_head:
        scores = scores.mean(dim=1, keepdim=True)
    count = torch.ceil(candidate_count * routing.fraction).long().clamp(1, routing.maximum)
    highest = scores.detach().topk(min(routing.maximum, scores.shape[-1]), dim=-1).values
    last = (count - 1).clamp_max(highest.shape[-1] - 1).expand(highest.shape[:-1]).unsqueeze(-1)
    return (scores >= highest.gather(-1, last)) & visible


def sparse_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_bias: torch.Tensor,
    grid: tuple[int, int, int],
    windows: Windows,
    routing: Routing | None,
) -> torch.Tensor:
    """SSTA: softmax attention of every token to the tokens of its corridor that win the routing.

    Args:
        query, key, value: (batch, head, token, width), tokens in order time, angle, delay.
        key_bias: (batch, head, token) added to the scores of each key: energy-aware routing.
        grid: (time, angle, delay) tokens.
        windows: which tokens are candidates.
        routing: how many candidates are attended to; None for all.

    Returns:
        (batch, head, token, width).
    """
    tables = build_tables(grid, windows, query.device)
    width = query.shape[-1]
    tiled_query = query[:, :, tables.query] * width**-0.5
    scores = tiled_query @ key[:, :, tables.key].transpose(-1, -2) + key_bias[:, :, tables.key].unsqueeze(-2)
    scores = scores.masked_fill(~tables.visible, -torch.inf)
    if routing is not None:
        scores = scores.masked_fill(~route(scores, tables.visible, tables.budget, routing), -torch.inf)
    tiled = scores.softmax(dim=-1) @ value[:, :, tables.key]
    return tiled.flatten(2, 3)[:, :, tables.position]
