"""Routed attention in a corridor, one shift from query to key at a time.

All queries of a frame see keys at the same shifts (frames, angles, delays), except at borders. Frames are padded such
that each shift is a step of one length in memory. Scores are then products of long rows, without any gather: they are
computed once, choose the keys of each query, and go on into the softmax. Keys beyond a border have a bias of -inf.
The backward pass computes them again, so that memory grows linearly with the number of tokens.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from wavefoundry.networks.lwm_temporal.corridor import Windows
from wavefoundry.networks.lwm_temporal.routing import Routing, lowest_kept

# Scores that are held at a time: few enough for a processor's cache, enough to be worth a call (measured).
BLOCK_SCORES = {"cpu": 2**20, "cuda": 2**26}


class Frames:
    """Frames of a grid (time, angle, delay) as flat rows in memory.

    rows, columns: the grid's angles and delays, the longer axis as columns. A frame of queries is `length` long:
    `pitch` cells for each row, of which the last ones are empty. A frame of keys is `padded` long; the key that a query
    sees at the shift (rows, columns) lies at the place of the query + start + rows * pitch + columns.
    shifts: for each offset in time the shifts in rows and in columns.
    """

    def __init__(self, grid: tuple[int, int, int], windows: Windows):
        self.grid, self.turned = grid, grid[1] > grid[2]
        order = (1, 0) if self.turned else (0, 1)
        self.rows, self.columns = (grid[1 + axis] for axis in order)
        self.ring = tuple((windows.wraps, False)[axis] for axis in order)
        self.shifts: dict[int, tuple[range, ...]] = {
            offset: tuple(
                _shifts(windows.radii(offset)[axis], grid[1 + axis], (windows.wraps, False)[axis]) for axis in order
            )
            for offset in (0, *windows.temporal_offsets)
            if abs(offset) < grid[0]
        }
        self.high, self.wide = (
            max(max(-steps[axis].start, steps[axis].stop - 1) for steps in self.shifts.values()) for axis in (0, 1)
        )
        # Where columns are a ring each row has its own margin on both sides, otherwise it shares one with the next.
        self.margin = self.wide if self.ring[1] else 0
        self.pitch = self.columns + self.wide + self.margin
        self.length = self.rows * self.pitch
        self.padded = 2 * self.wide + (self.rows + 2 * self.high) * self.pitch

    def queries(self, tokens: torch.Tensor) -> torch.Tensor:
        """(..., token) to (..., frame, length), 0 in the empty cells."""
        return pad(self._frames(tokens), (0, self.pitch - self.columns)).flatten(-2)

    def tokens(self, queries: torch.Tensor) -> torch.Tensor:
        """Inverse of `queries`."""
        frames = queries.unflatten(-1, (self.rows, self.pitch))[..., : self.columns]
        return (frames.transpose(-1, -2) if self.turned else frames).flatten(-3)

    def keys(self, tokens: torch.Tensor, beyond: float) -> torch.Tensor:
        """(..., token) to (..., frame, padded), with this value beyond the borders."""
        frames = self._frames(tokens)
        frames = _around(frames, self.wide, -1) if self.ring[1] else pad(frames, (0, self.wide), value=beyond)
        high = (0, 0, self.high, self.high)
        frames = _around(frames, self.high, -2) if self.ring[0] else pad(frames, high, value=beyond)
        return pad(frames.flatten(-2), (self.wide - self.margin, self.wide + self.margin), value=beyond)

    def _frames(self, tokens: torch.Tensor) -> torch.Tensor:
        frames = tokens.unflatten(-1, self.grid)
        return frames.transpose(-1, -2) if self.turned else frames

    def shifted(self, keys: torch.Tensor, offset: int) -> torch.Tensor:
        """What queries see there: (..., batch, frame, padded) to a view (..., row, column, batch, frame, length)."""
        rows, columns = self.shifts[offset]
        start = self.wide + (self.high + rows.start) * self.pitch + columns.start
        *outer, batch, frame, _ = keys.stride()
        return keys.as_strided(
            (*keys.shape[:-3], len(rows), len(columns), *keys.shape[-3:-1], self.length),
            (*outer, self.pitch, 1, batch, frame, 1),
            keys.storage_offset() + start,
        )

    def count(self, offset: int) -> int:
        """Number of shifts into the frame at an offset."""
        rows, columns = self.shifts[offset]
        return len(rows) * len(columns)

    def visible(self, time: int) -> tuple[int, ...]:
        """Offsets of the frames that queries of a frame see."""
        return tuple(offset for offset in self.shifts if 0 <= time + offset < self.grid[0])

    @lru_cache(maxsize=64)  # noqa: B019 (frames are cached themselves)
    def candidates(self, offsets: tuple[int, ...]) -> torch.Tensor:
        """How many keys queries see in the frames at these offsets, (length,); 0 in empty cells."""
        count = torch.zeros(self.rows, self.columns, dtype=torch.long)
        for offset in offsets:
            inside = (
                _inside(steps, size, ring)
                for steps, size, ring in zip(self.shifts[offset], (self.rows, self.columns), self.ring, strict=True)
            )
            count += torch.outer(*inside)
        return pad(count, (0, self.pitch - self.columns)).flatten()


def _shifts(radius: int, size: int, ring: bool) -> range:
    """Shifts along an axis; around a ring each place once."""
    if ring and 2 * radius + 1 >= size:
        return range(-((size - 1) // 2), size // 2 + 1)
    radius = min(radius, size - 1)
    return range(-radius, radius + 1)


def _inside(shifts: range, size: int, ring: bool) -> torch.Tensor:
    """How many of the shifts do not leave an axis, from each place of it."""
    place = torch.arange(size)
    if ring:
        return torch.full_like(place, len(shifts))
    return (place + shifts.stop - 1).clamp_max(size - 1) - (place + shifts.start).clamp_min(0) + 1


def _around(frames: torch.Tensor, reach: int, axis: int) -> torch.Tensor:
    size = frames.shape[axis]
    return torch.cat([frames.narrow(axis, size - reach, reach), frames, frames.narrow(axis, 0, reach)], axis)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def frames_of(grid: tuple[int, int, int], windows: Windows) -> Frames:
    """Frames of a grid, kept for later calls."""
    return Frames(grid, windows)


class Block(NamedTuple):
    """Queries that are taken together: those of some batches and heads, in consecutive frames that see the same."""

    offsets: tuple[int, ...]
    batch: slice
    frames: slice

    def queries(self, part: torch.Tensor) -> torch.Tensor:
        return part[..., self.batch, self.frames, :]

    def keys(self, part: torch.Tensor, offset: int) -> torch.Tensor:
        return part[..., self.batch, self.frames.start + offset : self.frames.stop + offset, :]


def _blocks(frames: Frames, batch: int, together: int, limit: int) -> Iterator[Block]:
    """Blocks of about `limit` scores; of the `batch` so many stay together."""
    for offsets, times in groupby(range(frames.grid[0]), frames.visible):
        start, *others = times
        stop = start + 1 + len(others)
        scores = frames.length * sum(map(frames.count, offsets))
        batches = max(1, min(batch, limit // scores) // together) * together
        count = max(1, limit // (scores * batches))
        for first in range(start, stop, count):
            for lowest in range(0, batch, batches):
                yield Block(offsets, slice(lowest, lowest + batches), slice(first, min(first + count, stop)))


def shift_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_bias: torch.Tensor | None,
    grid: tuple[int, int, int],
    windows: Windows,
    routing: Routing,
) -> torch.Tensor:
    """Attention of the grid's tokens: as `sparse_attention`, without the queries of the tokens in front.

    Args:
        query, key, value: (batch, head, token, width), float32 or float64, queries scaled.
        key_bias: (batch, head, token) or None.

    Returns:
        (batch, head, token of the grid, width).
    """
    frames = frames_of(grid, windows)
    heads, front = query.shape[1], query.shape[2] - grid[0] * grid[1] * grid[2]
    bias = torch.zeros_like(key[..., 0]) if key_bias is None else key_bias
    # Features first; the bias is one of keys, for which queries have a 1.
    key = torch.cat([bias.unsqueeze(-1), key], -1).permute(3, 0, 1, 2).flatten(1, 2)
    query = pad(query, (1, 0), value=1.0).permute(3, 0, 1, 2).flatten(1, 2)
    value = value.permute(3, 0, 1, 2).flatten(1, 2)
    queries = frames.queries(query[..., front:]).contiguous()
    keys = torch.cat([frames.keys(key[:1, :, front:], -torch.inf), frames.keys(key[1:, :, front:], 0.0)])
    front_keys, front_values = (part[..., :front].movedim(-1, 0)[..., None, None] for part in (key, value))
    front_scores = (queries * front_keys).sum(dim=1)
    values = frames.keys(value[..., front:], 0.0).contiguous()
    mixed = _Shifts.apply(queries, keys, values, front_scores, front_values, frames, routing, heads)
    return frames.tokens(mixed).unflatten(1, (-1, heads)).permute(1, 2, 3, 0)


def _scores(queries, keys, block, frames, front_scores):
    """Scores (candidate, batch, frame, length) of a block, those of front tokens last, and views of them by offset."""
    query = block.queries(queries)
    counts = [frames.count(offset) for offset in block.offsets]
    scores = query.new_empty(sum(counts) + len(front_scores), *query.shape[1:])
    parts = {}
    for offset, part in zip(block.offsets, scores[: sum(counts)].split(counts), strict=True):
        seen = frames.shifted(block.keys(keys, offset), offset)
        parts[offset] = part = part.view(seen.shape[1:])
        part.copy_(seen[0])
        for feature in range(1, len(query)):
            part.addcmul_(seen[feature], query[feature])
    scores[sum(counts) :] = block.queries(front_scores)
    return scores, parts


def _sums(weights, keys, block, frames):
    """Sum over all shifts of weight times feature: (feature, batch, frame, length)."""

    def total(offset):
        weight, seen = weights[offset], frames.shifted(block.keys(keys, offset), offset)
        product = torch.empty_like(weight)
        return torch.stack([torch.mul(weight, feature, out=product).sum(dim=(0, 1)) for feature in seen])

    return sum(map(total, weights))


def _ranks(scores: torch.Tensor, routing: Routing, heads: int) -> torch.Tensor:
    """Routing scores: of each head, or the mean of those of a sample."""
    return scores if routing.per_head else scores.unflatten(1, (-1, heads)).mean(dim=2)


class _Shifts(torch.autograd.Function):
    """Mixed values (feature, batch, frame, length) of queries of that shape and keys (.., padded), which have a bias as
    one feature more; front scores (front, batch, frame, length) and values (front, feature, batch, 1, 1)."""

    @staticmethod
    def forward(ctx, queries, keys, values, front_scores, front_values, frames, routing, heads):
        mixed = torch.empty_like(queries[1:])
        log_sum, lowest = torch.empty_like(queries[0]), torch.empty_like(queries[0])
        together = 1 if routing.per_head else heads
        for block in _blocks(frames, queries.shape[1], together, BLOCK_SCORES[queries.device.type]):
            candidates = frames.candidates(block.offsets).to(queries.device)
            empty = candidates == 0
            scores, parts = _scores(queries, keys, block, frames, front_scores)
            own = scores[: len(scores) - len(front_scores)]
            ranks = _ranks(own, routing, heads)
            threshold = lowest_kept(ranks.movedim(0, -1).contiguous(), routing.kept(candidates))
            threshold.masked_fill_(empty, torch.inf)
            block.queries(lowest)[:] = threshold.repeat_interleave(len(own[0]) // len(threshold), dim=0)
            lost = _lost(ranks, threshold, own)
            highest = scores.amax(dim=0).masked_fill_(empty, 0.0)
            scores.sub_(highest).exp_()
            own.masked_fill_(lost, 0.0)
            total = scores.sum(dim=0).masked_fill_(empty, 1.0)
            result = _sums(parts, values, block, frames)
            result += (scores[len(own) :].unsqueeze(1) * front_values[:, :, block.batch]).sum(dim=0)
            block.queries(mixed)[:] = result / total
            block.queries(log_sum)[:] = highest + total.log()
        ctx.save_for_backward(queries, keys, values, front_scores, front_values, mixed, log_sum, lowest)
        ctx.options = frames, routing, heads
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        queries, keys, values, front_scores, front_values, mixed, log_sum, lowest = ctx.saved_tensors
        frames, routing, heads = ctx.options
        query_gradient, key_gradient, value_gradient = map(torch.zeros_like, (queries, keys, values))
        delta = (upstream * mixed).sum(dim=0)
        front_weights = (front_scores - log_sum).exp()
        front_gradient = front_weights * ((upstream * front_values).sum(dim=1) - delta)
        front_value_gradient = (front_weights.unsqueeze(1) * upstream).sum(dim=(-2, -1), keepdim=True)
        together = 1 if routing.per_head else heads
        for block in _blocks(frames, queries.shape[1], together, BLOCK_SCORES[queries.device.type]):
            query, wanted = block.queries(queries), block.queries(upstream)
            weights, parts = _scores(queries, keys, block, frames, front_scores[:0])
            ranks = _ranks(weights, routing, heads)
            threshold = block.queries(lowest)[:: len(weights[0]) // len(ranks[0])]
            lost = _lost(ranks, threshold, weights)
            weights.sub_(block.queries(log_sum)).exp_().masked_fill_(lost, 0.0)
            changes = {}
            for offset, weight in parts.items():
                seen = frames.shifted(block.keys(values, offset), offset)
                changes[offset] = change = torch.mul(seen[0], wanted[0], out=torch.empty_like(weight))
                for feature in range(1, len(seen)):
                    change.addcmul_(seen[feature], wanted[feature])
                change.sub_(block.queries(delta)).mul_(weight)
                of_keys = frames.shifted(block.keys(key_gradient, offset), offset)
                of_values = frames.shifted(block.keys(value_gradient, offset), offset)
                for row in range(len(weight)):
                    for column in range(len(weight[0])):
                        of_keys[:, row, column].addcmul_(query, change[row, column])
                        of_values[:, row, column].addcmul_(wanted, weight[row, column])
            block.queries(query_gradient)[1:] = _sums(changes, keys[1:], block, frames)
        return query_gradient, key_gradient, value_gradient, front_gradient, front_value_gradient, None, None, None


def _lost(ranks: torch.Tensor, threshold: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """What the routing leaves out of scores (candidate, batch, frame, length)."""
    lost = ranks < threshold
    return lost if ranks is scores else lost.repeat_interleave(scores.shape[1] // lost.shape[1], dim=1)
