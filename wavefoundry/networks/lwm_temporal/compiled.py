"""Routed attention in a corridor, compiled for CPUs by numba: the scores of some queries at a time stay in a cache.

The frames and shifts are those of `shifts`, which is what computes where numba is not installed. Neighbouring queries
are taken together, one in each lane of the processor's vectors. Their scores are computed once, choose the keys by
bisection and go on into the softmax. What is chosen is a fraction of the candidates, and nothing else is read for the
values and in the backward pass, for which the places and the weights of the chosen keys are kept: so memory grows
linearly with the number of tokens.

numba brings its compiler with it (LLVM, in llvmlite) and installs from wheels; torch has no operation that chooses keys
without writing all the scores to memory several times. What it compiles, some seconds once, it keeps beside the module
in __pycache__, or in the user's cache where that cannot be written.

Each sample and head is computed by one thread in one order, so that results repeat to the bit. numba's own threads are
not used: they must not be entered by two threads of a program at once, nor survive a fork.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numba import njit
from torch.autograd.function import once_differentiable

from wavefoundry.networks.lwm_temporal.corridor import Windows
from wavefoundry.networks.lwm_temporal.routing import Routing
from wavefoundry.networks.lwm_temporal.shifts import Frames, frames_of

LANES = 128  # queries at a time at most
VECTOR = 16  # they are a multiple of it
UNROLLED = 4  # features, or candidates, that are taken in one pass over the lanes
# Room for keys beyond those that the routing keeps, as equal scores are all kept; with more all is computed once more.
SPARE = 4
# What scoring a candidate costs whatever the number of lanes, in lanes.
CALL = 30
# A thread costs as much as so many scores.
SCORES_PER_THREAD = 2**18

# Sums may be taken in vectors; not-a-number and infinity stay what they are.
SUMS = {"contract", "reassoc", "nsz", "arcp"}
ZERO, ONE, HALF, LARGEST = np.float32(0), np.float32(1), np.float32(0.5), np.float32(3e38)
# A step beyond a score that is larger than any rounding of it.
BEYOND, LEAST = np.float32(2.0**-22), np.float32(1e-37)
# Cephes, expf: exp(x) = 2^n exp(r), ln 2 in two parts, and a polynomial in r.
LOG2_E, LN2_HIGH, LN2_LOW, UNDERFLOW = (np.float32(x) for x in (1.44269504, 0.693359375, -2.12194440e-4, -87.0))
P0, P1, P2, P3, P4, P5 = (
    np.float32(x)
    for x in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _exponentials(values, powers, count):
    """exp in place, of values of at most 0; `powers` (int32) is room of the same size."""
    for i in range(count):
        x = values[i]
        x = UNDERFLOW if x < UNDERFLOW else x
        whole = np.floor(x * LOG2_E + HALF)
        rest = (x - whole * LN2_HIGH) - whole * LN2_LOW
        y = ((((P0 * rest + P1) * rest + P2) * rest + P3) * rest + P4) * rest + P5
        values[i] = y * rest * rest + rest + ONE
        powers[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    scale = powers.view(np.float32)
    for i in range(count):
        values[i] *= scale[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
def _score(scores, keys, queries, first):
    """Scores of the lanes for one candidate, whose keys begin at the place `first`: keys (1 + feature, place), the bias
    before the features; queries (feature, lane)."""
    count = len(scores)
    last = first + count
    bias = keys[0, first:last]
    for lane in range(count):
        scores[lane] = bias[lane]
    # With more rows at a time the compiler gives up proving that they are not the scores.
    for feature in range(0, len(queries), UNROLLED):
        q0, q1, q2, q3 = queries[feature], queries[feature + 1], queries[feature + 2], queries[feature + 3]
        k0, k1 = keys[feature + 1, first:last], keys[feature + 2, first:last]
        k2, k3 = keys[feature + 3, first:last], keys[feature + 4, first:last]
        for lane in range(count):
            scores[lane] += (q0[lane] * k0[lane] + q1[lane] * k1[lane]) + (q2[lane] * k2[lane] + q3[lane] * k3[lane])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
def _thresholds(ranks, candidates, count, kept, low, state):
    """To `low` for each lane a value that as many ranks (candidate, lane) reach as are kept, and their equals."""
    high, middle, reached = state[0], state[1], state[2]
    for lane in range(count):
        low[lane] = LARGEST
        high[lane] = -LARGEST
    for candidate in range(candidates):
        row = ranks[candidate]
        for lane in range(count):
            x = row[lane]
            low[lane] = min(low[lane], LARGEST if x == -np.inf else x)
            high[lane] = max(high[lane], x)
    for lane in range(count):
        high[lane] = high[lane] + abs(high[lane]) * BEYOND + LEAST
    going = ONE
    while going > ZERO:
        for lane in range(count):
            middle[lane] = low[lane] + (high[lane] - low[lane]) * HALF
            reached[lane] = ZERO
        whole = candidates - candidates % UNROLLED
        for candidate in range(0, whole, UNROLLED):
            r0, r1, r2, r3 = (
                ranks[candidate],
                ranks[candidate + 1],
                ranks[candidate + 2],
                ranks[candidate + 3],
            )
            for lane in range(count):
                m = middle[lane]
                reached[lane] += ((ONE if r0[lane] >= m else ZERO) + (ONE if r1[lane] >= m else ZERO)) + (
                    (ONE if r2[lane] >= m else ZERO) + (ONE if r3[lane] >= m else ZERO)
                )
        for candidate in range(whole, candidates):
            row = ranks[candidate]
            for lane in range(count):
                reached[lane] += ONE if row[lane] >= middle[lane] else ZERO
        going = ZERO
        for lane in range(count):
            under, m, above = low[lane], middle[lane], high[lane]
            enough = reached[lane] >= kept[lane]
            # Neighbours have no middle: the scores at `low` are equal.
            inside = under < m and m < above
            going += ONE if inside and reached[lane] != kept[lane] else ZERO
            low[lane] = m if enough and inside else under
            high[lane] = above if enough or not inside else m


@njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
def _forward(
    first, last, query, key, value, bias, per_head, block, keys_of, lanes_of, starts, steps, keeps,
    mixed, seen, weights, found, features,
):  # fmt: skip
    """Attention of the samples (with routing per head: of the samples and heads) from `first` to before `last`.

    Args:
        query, key, value: (batch, head, token, width), contiguous, queries scaled.
        bias: (batch, head, token).
        block: queries that are taken together.
        keys_of: int32 (frame * padded,), which token of the grid is at a place, -1 for none. All of the grid may count
            as one frame.
        lanes_of: int32 (lane,), which token of its frame is a query, -1 for none.
        starts, steps: of a frame the steps[starts[0, frame] : starts[1, frame]] lead from a query to its candidates.
        keeps: float32 (frame, lane), how many of them are kept.
        mixed: (batch, head, token of the grid, width), written.
        seen, weights: (batch, head or 1, token of the grid, room) int32 and (batch, head, ...) float32, the keys that
            were attended to, written as far as there is room.
        found: int32, the shape of seen without its last axis, how many they are, written.
        features: a tuple as long as the width, which the compiler needs to know.
    """
    width = len(features)
    heads = query.shape[1]
    together = 1 if per_head else heads
    frames, lanes = keeps.shape
    size = mixed.shape[2] // frames
    front = query.shape[2] - mixed.shape[2]
    padded = len(keys_of) // frames
    rounded = (width + UNROLLED - 1) // UNROLLED * UNROLLED
    most = 0
    for frame in range(frames):
        most = max(most, starts[1, frame] - starts[0, frame])
    keys = np.zeros((together, 1 + rounded, len(keys_of) + VECTOR), np.float32)
    queries = np.zeros((together, rounded, block), np.float32)
    scores = np.empty((together, most, block), np.float32)
    ranks = np.empty((most if together > 1 else 0, block), np.float32)
    low, state = np.empty(block, np.float32), np.empty((3, block), np.float32)
    chosen, numbers = np.empty((block, most), np.int32), np.empty(block, np.int64)
    tokens = np.empty(most + front, np.int32)
    weight = np.empty(block * together * (most + front), np.float32)
    powers = np.empty(len(weight), np.int32)
    share = ONE / np.float32(heads)
    room = seen.shape[3]
    for item in range(first, last):
        sample, head = (item // heads, item % heads) if per_head else (item, 0)
        for part in range(together):
            keys[part, 0, :] = -np.inf
            for place in range(len(keys_of)):
                token = keys_of[place]
                if token >= 0:
                    keys[part, 0, place] = bias[sample, head + part, front + token]
                    for feature in range(width):
                        keys[part, 1 + feature, place] = key[sample, head + part, front + token, feature]
        for frame in range(frames):
            begin, candidates = starts[0, frame], starts[1, frame] - starts[0, frame]
            for left in range(0, lanes, block):
                count = min(block, lanes - left)
                for part in range(together):
                    for lane in range(count):
                        token = lanes_of[left + lane]
                        if token >= 0:
                            row = query[sample, head + part, front + frame * size + token]
                            for feature in range(width):
                                queries[part, feature, lane] = row[feature]
                        else:
                            for feature in range(width):
                                queries[part, feature, lane] = ZERO
                base = frame * padded + left
                for candidate in range(candidates):
                    at = base + steps[begin + candidate]
                    for part in range(together):
                        _score(scores[part, candidate, :count], keys[part], queries[part], at)
                    if together > 1:
                        mean = ranks[candidate]
                        for lane in range(count):
                            mean[lane] = scores[0, candidate, lane] * share
                        for part in range(1, together):
                            row = scores[part, candidate]
                            for lane in range(count):
                                mean[lane] += row[lane] * share
                chosen_by = ranks if together > 1 else scores[0]
                _thresholds(chosen_by, candidates, count, keeps[frame, left : left + count], low, state)
                # All exponentials of the block at once.
                at = 0
                for lane in range(count):
                    token = lanes_of[left + lane]
                    if token < 0:
                        continue
                    threshold, row, number = low[lane], chosen[lane], 0
                    for candidate in range(candidates):
                        row[number] = candidate
                        number += 1 if chosen_by[candidate, lane] >= threshold else 0
                    numbers[lane] = number
                    for part in range(together):
                        own = query[sample, head + part, front + frame * size + token]
                        for i in range(front):
                            score = bias[sample, head + part, i]
                            for feature in range(width):
                                score += own[feature] * key[sample, head + part, i, feature]
                            weight[at + i] = score
                        for i in range(number):
                            weight[at + front + i] = scores[part, row[i], lane]
                        highest = np.float32(-np.inf)
                        for i in range(at, at + front + number):
                            highest = max(highest, weight[i])
                        for i in range(at, at + front + number):
                            weight[i] -= highest
                        at += front + number
                _exponentials(weight, powers, at)
                at = 0
                for lane in range(count):
                    token = lanes_of[left + lane]
                    if token < 0:
                        continue
                    own, row, number = frame * size + token, chosen[lane], numbers[lane]
                    for i in range(front):
                        tokens[i] = i
                    for i in range(number):
                        tokens[front + i] = front + keys_of[base + lane + steps[begin + row[i]]]
                    number += front
                    found[sample, head, own] = number
                    stored = min(room, number)
                    for i in range(stored):
                        seen[sample, head, own, i] = tokens[i]
                    for part in range(together):
                        total = ZERO
                        for i in range(at, at + number):
                            total += weight[i]
                        scale = ONE / total
                        out, values = mixed[sample, head + part, own], value[sample, head + part]
                        for feature in range(width):
                            out[feature] = ZERO * scale
                        for i in range(number):
                            w, other = weight[at + i] * scale, values[tokens[i]]
                            for feature in range(width):
                                out[feature] += w * other[feature]
                        for i in range(stored):
                            weights[sample, head + part, own, i] = weight[at + i] * scale
                        at += number


@njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
def _backward(
    first, last, query, key, value, mixed, upstream, seen, weights, found, to_query, to_key, to_value, to_bias, features
):
    """Gradients, of the shapes of what they belong to, added up, for the samples and heads from `first` to before
    `last`; the other arguments are those of `_forward`."""
    width = len(features)
    heads, grid = query.shape[1], mixed.shape[2]
    front = query.shape[2] - grid
    shared = seen.shape[1] == 1
    for item in range(first, last):
        sample, head = item // heads, item % heads
        choice = 0 if shared else head
        keys, values = key[sample, head], value[sample, head]
        key_gradient, value_gradient, bias_gradient = (
            to_key[sample, head],
            to_value[sample, head],
            to_bias[sample, head],
        )
        for own in range(grid):
            up, out = upstream[sample, head, own], mixed[sample, head, own]
            q, gradient = query[sample, head, front + own], to_query[sample, head, front + own]
            delta = ZERO
            for feature in range(width):
                delta += up[feature] * out[feature]
            for i in range(found[sample, choice, own]):
                token, w = seen[sample, choice, own, i], weights[sample, head, own, i]
                k, v, dk, dv = keys[token], values[token], key_gradient[token], value_gradient[token]
                change = ZERO
                for feature in range(width):
                    change += up[feature] * v[feature]
                change = w * (change - delta)
                bias_gradient[token] += change
                for feature in range(width):
                    dv[feature] += w * up[feature]
                for feature in range(width):
                    dk[feature] += change * q[feature]
                for feature in range(width):
                    gradient[feature] += change * k[feature]


@lru_cache(maxsize=32)
def _tables(grid: tuple[int, int, int], windows: Windows, routing: Routing) -> tuple[np.ndarray, ...]:
    """keys_of, lanes_of, starts, steps and keeps of `_forward`, frame by frame or, on small grids, at once."""

    def cost(tables: tuple[np.ndarray, ...]) -> int:
        starts, lanes = tables[2], tables[4].shape[1]
        return int((starts[1] - starts[0]).sum()) * (lanes + CALL * -(-lanes // LANES))

    return min(_by_frame(grid, windows, routing), _at_once(grid, windows, routing), key=cost)


def _by_frame(grid, windows, routing):
    """Lanes are the cells of a frame."""
    frames = frames_of(grid, windows)
    tokens = torch.arange(grid[0] * grid[1] * grid[2])
    keys_of = frames.keys(tokens, -1).flatten().int().numpy()
    lanes_of = _whole_vectors(frames.queries(tokens + 1)[0].int().numpy() - 1)
    steps: dict[tuple[int, ...], list[int]] = {}
    starts = np.empty((2, grid[0]), np.int64)
    keeps = np.ones((grid[0], len(lanes_of)), np.float32)
    places: list[int] = []
    for time in range(grid[0]):
        offsets = frames.visible(time)
        if offsets not in steps:
            begin = len(places)
            for offset in offsets:
                places += [offset * frames.padded + cell for cell in _cells(frames, offset)]
            steps[offsets] = [begin, len(places)]
        starts[:, time] = steps[offsets]
        keeps[time, : frames.length] = routing.kept(frames.candidates(offsets)).clamp_min(1)
    return keys_of, lanes_of, starts, np.array(places, np.int64), keeps


def _at_once(grid, windows, routing):
    """As if all were one frame: its lanes are the times of one cell after the other, with a gap between two cells that
    no shift in time crosses. More keys lie beyond a border, but there are more lanes."""
    frames, count = frames_of(grid, windows), grid[0]
    gap = max(abs(offset) for offset in frames.shifts)
    pitch = count + gap
    tokens = torch.arange(count * grid[1] * grid[2])
    keys = np.pad(frames.keys(tokens, -1).int().numpy().T, ((0, 0), (0, gap)), constant_values=-1)
    queries = np.pad(frames.queries(tokens + 1).int().numpy().T - 1, ((0, 0), (0, gap)), constant_values=-1)
    keys_of, lanes_of = np.pad(keys.flatten(), (gap, 0), constant_values=-1), _whole_vectors(queries.flatten())
    places = [gap + cell * pitch + offset for offset in frames.shifts for cell in _cells(frames, offset)]
    keeps = np.ones((1, len(lanes_of)), np.float32)
    for time in range(count):
        kept = routing.kept(frames.candidates(frames.visible(time))).clamp_min(1)
        keeps[0, time : frames.length * pitch : pitch] = kept
    return keys_of, lanes_of, np.array([[0], [len(places)]]), np.array(places, np.int64), keeps


def _cells(frames: Frames, offset: int) -> list[int]:
    """How far the keys that a query sees in the frame at an offset lie from its cell."""
    rows, columns = frames.shifts[offset]
    start = frames.wide + frames.high * frames.pitch
    return [start + row * frames.pitch + column for row in rows for column in columns]


def _whole_vectors(lanes_of: np.ndarray) -> np.ndarray:
    return np.pad(lanes_of, (0, -len(lanes_of) % VECTOR), constant_values=-1)


def compiled_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_bias: torch.Tensor | None,
    grid: tuple[int, int, int],
    windows: Windows,
    routing: Routing,
) -> torch.Tensor:
    """Attention of the grid's tokens, as `shift_attention`, on a CPU in single precision.

    Args:
        query, key, value: (batch, head, token, width), float32, queries scaled.
        key_bias: (batch, head, token) or None.

    Returns:
        (batch, head, token of the grid, width).
    """
    bias = torch.zeros_like(key[..., 0]) if key_bias is None else key_bias
    parts = tuple(part.contiguous() for part in (query, key, value, bias))
    keep = torch.is_grad_enabled() and any(part.requires_grad for part in parts)
    return _Compiled.apply(*parts, grid, windows, routing, keep)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, bias, grid, windows, routing, keep):
        """As `compiled_attention`, of contiguous arguments; `keep` what the backward pass needs."""
        tables = _tables(grid, windows, routing)
        batch, heads, tokens, width = query.shape
        own = grid[0] * grid[1] * grid[2]
        mixed = query.new_empty(batch, heads, own, width)
        arrays = [part.detach().numpy() for part in (query, key, value, bias)]
        chosen = heads if routing.per_head else 1
        found = np.empty((batch, chosen, own), np.int32)
        room = int(tables[-1].max()) + tokens - own + SPARE if keep else 0
        items = batch * chosen
        block = min(LANES, len(tables[1]))
        work = query[..., 0].numel() * int((tables[2][1] - tables[2][0]).max())
        while True:
            seen = np.empty((batch, chosen, own, room), np.int32)
            weights = np.empty((batch, heads, own, room), np.float32)
            written = mixed.numpy(), seen, weights, found
            _share_out(_forward, items, work, *arrays, routing.per_head, block, *tables, *written, (0,) * width)
            most = int(found.max(initial=0))
            if not keep or most <= room:
                break
            room = most
        if keep:
            kept = map(torch.from_numpy, (seen, weights, found))
            ctx.save_for_backward(query, key, value, mixed, *kept)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        query, key, value, mixed, seen, weights, found = ctx.saved_tensors
        gradients = [torch.zeros_like(part) for part in (query, key, value, key[..., 0])]
        arrays = [part.detach().numpy() for part in (query, key, value, mixed, upstream.contiguous())]
        arrays += [part.numpy() for part in (seen, weights, found, *gradients)]
        _share_out(_backward, query.shape[0] * query.shape[1], weights.numel(), *arrays, (0,) * query.shape[3])
        return *gradients, None, None, None, None


def _share_out(function: Callable, items: int, work: int, *arguments) -> None:
    """function(first, last, *arguments) of all items, by as many threads as torch has and the work is worth."""
    threads = max(1, min(torch.get_num_threads(), items, work // SCORES_PER_THREAD))
    if threads == 1:
        function(0, items, *arguments)
        return
    bounds = [items * thread // threads for thread in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(function, *ends, *arguments) for ends in pairwise(bounds)]:
            done.result()
