"""Sparse spatio-temporal attention against dense attention under the same mask."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.networks.lwm_temporal import shifts, ssta, tiles
from wavefoundry.networks.lwm_temporal.corridor import Windows, candidates
from wavefoundry.networks.lwm_temporal.flex import FLEX_BLOCK, flex, flex_blocks
from wavefoundry.networks.lwm_temporal.routing import Routing, route
from wavefoundry.networks.lwm_temporal.ssta import DENSE_TOKENS, cpu_kernel, routed_flops, sparse_attention
from wavefoundry.networks.lwm_temporal.tiles import LARGEST_TILE, build_tables, tile_shape

WIDE = Windows(2, (-4, -3, -2, -1, 1, 2, 3), 2, 1, 1, "wide")
PUBLISHED = Windows(2, (-4, -3, -2, -1, 1, 2, 3), 2, 1, 1, "published")
CPU = torch.device("cpu")
grids = st.tuples(st.integers(1, 5), st.integers(1, 19), st.integers(1, 11))
windows = st.builds(
    Windows,
    st.integers(0, 3),
    st.lists(st.integers(-6, 6).filter(bool), unique=True, max_size=4).map(tuple),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(["published", "wide"]),
)
routings = st.none() | st.builds(Routing, st.floats(0.05, 1.0), st.integers(1, 8), st.integers(8, 40), st.booleans())


def draw(grid, seed, batch=1, heads=2, width=4, front=0):
    generator = torch.Generator().manual_seed(seed)
    size = (batch, heads, front + math.prod(grid), width)
    parts = [torch.randn(size, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(3)]
    return [*parts, torch.randn(size[:3], dtype=torch.float64, generator=generator, requires_grad=True)]


def dense_attention(query, key, value, key_bias, grid, windows, routing):
    """Softmax under an N x N mask; tokens in front of the grid's see all and are seen by all."""
    front = query.shape[2] - math.prod(grid)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + key_bias.unsqueeze(-2)
    inner = candidates(grid, windows)
    kept = inner
    if routing is not None:
        own = scores[:, :, front:, front:].masked_fill(~inner, -torch.inf)
        kept = route(own, inner.sum(dim=-1), routing)
    visible = torch.ones_like(scores, dtype=torch.bool)
    visible[:, :, front:, front:] = kept
    return scores.masked_fill(~visible, -torch.inf).softmax(dim=-1) @ value


# Of each way: dense under a mask; tiles that are kept or recomputed, and shifts in small blocks.
WAYS = {"dense": (2**60, 0), "recomputed": (0, 0), "kept": (0, 2**60)}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=30)
@given(grids, windows, routings, st.integers(0, 2), st.integers(1, 2), st.integers(0, 99))
def test_equals_masked_dense_attention_in_values_and_gradients(way, grid, windows, routing, front, batch, seed):
    inputs = draw(grid, seed, batch=batch, front=front)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssta, "DENSE_TOKENS", WAYS[way][0])
        patch.setattr(tiles, "KEPT_SCORES", WAYS[way][1])
        patch.setattr(tiles, "BLOCK_SCORES", {"cpu": 2**12})
        patch.setattr(shifts, "BLOCK_SCORES", {"cpu": 2**12})
        sparse = sparse_attention(*inputs, grid, windows, routing)
        dense = dense_attention(*inputs, grid, windows, routing)
        assert torch.allclose(sparse, dense, atol=1e-10)
        upstream = torch.randn(sparse.shape, dtype=sparse.dtype, generator=torch.Generator().manual_seed(seed))
        for ours, expected in zip(
            torch.autograd.grad(sparse, inputs, upstream), torch.autograd.grad(dense, inputs, upstream), strict=True
        ):
            assert torch.allclose(ours, expected, atol=1e-10)


needs_numba = pytest.mark.skipif(cpu_kernel() is None, reason="needs numba")


def draw_coarse(grid, seed, batch=1, front=0):
    """Multiples of 1/4, whose scores are exact in single precision and often equal."""
    generator = torch.Generator().manual_seed(seed)
    size = (batch, 2, front + math.prod(grid), 4)
    shapes = [size, size, size, size[:3]]
    return [(torch.randint(-6, 7, shape, generator=generator) / 4).requires_grad_() for shape in shapes]


@needs_numba
@pytest.mark.parametrize("lanes", ["_by_frame", "_at_once"])
@settings(max_examples=30, deadline=None)
@given(grids, windows, routings.filter(bool), st.integers(0, 2), st.integers(1, 2), st.integers(0, 99))
def test_compiled_attention_equals_masked_dense_attention_equal_scores_included(
    lanes, grid, windows, routing, front, batch, seed
):
    from wavefoundry.networks.lwm_temporal import compiled

    inputs = draw_coarse(grid, seed, batch, front)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssta, "DENSE_TOKENS", 0)
        patch.setattr(ssta, "shift_attention", None)
        patch.setattr(compiled, "_tables", getattr(compiled, lanes))
        sparse = sparse_attention(*inputs, grid, windows, routing)
    dense = dense_attention(*exact, grid, windows, routing)
    assert torch.allclose(sparse.double(), dense, atol=1e-5)
    upstream = torch.randn(dense.shape, dtype=dense.dtype, generator=torch.Generator().manual_seed(seed))
    for ours, expected in zip(
        torch.autograd.grad(sparse, inputs, upstream.float()), torch.autograd.grad(dense, exact, upstream), strict=True
    ):
        assert torch.allclose(ours.double(), expected, atol=1e-4)


@needs_numba
@pytest.mark.parametrize("per_head", [True, False])
def test_compiled_attention_is_the_same_to_the_bit_whatever_the_number_of_threads(per_head, monkeypatch):
    from wavefoundry.networks.lwm_temporal import compiled

    grid = (4, 9, 10)
    parts = [part.detach().float().requires_grad_() for part in draw(grid, 6, batch=3, front=1)]
    monkeypatch.setattr(compiled, "SCORES_PER_THREAD", 1)

    def results(threads):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        mixed = sparse_attention(*parts, grid, WIDE, Routing(0.2, 8, 32, per_head))
        return [mixed, *torch.autograd.grad(mixed.square().sum(), parts)]

    assert math.prod(grid) > ssta.DENSE_TOKENS
    for alone, shared in zip(results(1), results(5), strict=True):
        assert torch.equal(alone, shared)


@needs_numba
def test_compiled_attention_passes_on_what_is_not_a_number():
    grid = (4, 9, 10)
    parts = [part.detach().float() for part in draw(grid, 7)]
    parts[1][:] = torch.nan
    assert sparse_attention(*parts, grid, WIDE, Routing(0.2, 8, 32, True)).isnan().all()


def test_no_bias_is_a_bias_of_zero():
    grid = (3, 7, 5)
    query, key, value, bias = draw(grid, 3)
    without = sparse_attention(query, key, value, None, grid, WIDE, None)
    assert torch.allclose(without, sparse_attention(query, key, value, bias * 0, grid, WIDE, None), atol=1e-12)


# Slow only here: uncompiled, FlexAttention is a reference that scores every pair.
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@settings(max_examples=10)
@given(grids, windows, st.integers(0, 1), st.integers(0, 99))
def test_flex_attention_agrees(grid, windows, front, seed):
    query, key, value = (part.detach() for part in draw(grid, seed, front=front)[:3])
    flexible = flex(query * query.shape[-1] ** -0.5, key, value, grid, windows)[..., : query.shape[-1]]
    expected = sparse_attention(query, key, value, None, grid, windows, None)
    assert torch.allclose(flexible, expected, atol=1e-10)


@settings(max_examples=15)
@given(st.tuples(st.integers(1, 6), st.integers(1, 19), st.integers(1, 11)), windows, st.integers(0, 1))
def test_flex_attention_reads_the_blocks_with_something_to_see_and_no_others(grid, windows, front):
    blocks = flex_blocks(grid, windows, front, CPU)
    count = front + math.prod(grid)
    visible = torch.ones(count, count, dtype=torch.bool)
    visible[front:, front:] = candidates(grid, windows)
    size = FLEX_BLOCK
    for row, queries in enumerate(visible.split(size)):
        wanted = [column for column, part in enumerate(queries.split(size, dim=1)) if part.any()]
        number = int(blocks.kv_num_blocks[0, 0, row])
        assert sorted(blocks.kv_indices[0, 0, row, :number].tolist()) == wanted


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: the compiled FlexAttention kernel")
@pytest.mark.parametrize("routing", [None, Routing(0.2, 8, 32, True)])
def test_cuda_agrees_with_the_cpu(routing):
    grid = (6, 16, 12)
    inputs = [part.detach().float().requires_grad_() for part in draw(grid, 0, batch=2, front=1)]
    there = [part.detach().cuda().requires_grad_() for part in inputs]
    ours, cuda = (sparse_attention(*parts, grid, WIDE, routing) for parts in (inputs, there))
    assert torch.allclose(ours, cuda.cpu(), atol=2e-3)  # FlexAttention multiplies in TF32
    for here, gradient in zip(
        torch.autograd.grad(ours.square().sum(), inputs), torch.autograd.grad(cuda.square().sum(), there), strict=True
    ):
        assert (here - gradient.cpu()).norm() < 1e-2 * here.norm()


def test_single_precision_agrees_to_1e_5():
    grid = (6, 16, 8)
    inputs = [part.detach().float() for part in draw(grid, 0, batch=2, heads=4, width=8)]
    sparse = sparse_attention(*inputs, grid, WIDE, None)
    assert (sparse - dense_attention(*inputs, grid, WIDE, None)).abs().max() < 1e-5


def test_wide_corridor_widens_with_the_offset_wraps_in_angle_and_stops_at_the_edge_of_delay():
    grid = (5, 12, 12)
    mask = candidates(grid, Windows(1, (-1, -3), 1, 1, 2, "wide")).view(*grid, *grid)
    seen = mask[3, 0, 0]
    assert not seen[4].any() and not seen[1].any()
    assert seen[3].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [11, 0], [11, 1]]
    assert seen[2].any(dim=1).nonzero().flatten().tolist() == [0, 1, 2, 10, 11]
    assert seen[2].any(dim=0).nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert seen[0].any(dim=1).nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 8, 9, 10, 11]
    assert seen[0].any(dim=0).nonzero().flatten().tolist() == list(range(8))


def test_published_corridor_is_no_wider_than_its_window_and_stops_at_every_edge():
    grid = (5, 12, 12)
    mask = candidates(grid, Windows(2, (-1, -2, -4), 2, 1, 3, "published")).view(*grid, *grid)
    seen = mask[4, 0, 5]
    assert not seen[1].any()
    for frame, angles, delays in [
        (4, [0, 1, 2], [3, 7]),
        (3, [0, 1], [3, 7]),
        (2, [0, 1, 2], [3, 7]),
        (0, [0, 1, 2], [3, 7]),
    ]:
        assert seen[frame].any(dim=1).nonzero().flatten().tolist() == angles
        assert seen[frame].any(dim=0).nonzero().flatten()[[0, -1]].tolist() == delays


def test_published_corridors_have_the_published_sizes():
    # The card's 11 slots, 32 antennas and a quarter of 32 delays; means in pretraining and in prediction.
    grid = (11, 32, 8)
    for offsets, mean in [((-4, -3, -2, -1, 1, 2, 3), 111), ((-1, -2, -3, -4, -5, -6, -7), 100)]:
        frames = shifts.Frames(grid, replace(PUBLISHED, temporal_offsets=offsets))
        seen = [frames.candidates(frames.visible(time)).sum() for time in range(grid[0])]
        assert round(float(sum(seen)) / math.prod(grid)) == mean


def test_routing_keeps_a_share_between_the_least_and_the_most_of_what_there_is():
    kept = Routing(0.2, 8, 32, per_head=True).kept(torch.tensor([0, 3, 20, 101, 400]))
    assert kept.tolist() == [0, 3, 8, 21, 32]


@pytest.mark.parametrize("windows", [PUBLISHED, WIDE])
def test_single_precision_gradients_with_routing_repeat_to_the_bit_and_agree_with_double(windows):
    grid = (6, 13, 9)
    double = draw(grid, 4, batch=2, front=1)
    single = [part.detach().float().requires_grad_() for part in double]
    routing = Routing(0.2, 8, 32, per_head=True)

    def gradients(parts):
        return torch.autograd.grad(sparse_attention(*parts, grid, windows, routing).square().sum(), parts)

    assert math.prod(grid) > ssta.DENSE_TOKENS
    for first, second, exact in zip(gradients(single), gradients(single), gradients(double), strict=True):
        assert torch.equal(first, second)
        assert (first - exact).norm() < 1e-5 * exact.norm()


def test_result_turns_with_the_ring_of_angles():
    grid = (3, 11, 4)
    inputs = draw(grid, 1)
    straight = sparse_attention(*inputs, grid, WIDE, None)

    def turn(part):
        return part.unflatten(2, grid).roll(4, dims=3).flatten(2, 4)

    turned = sparse_attention(*(turn(part) for part in inputs), grid, WIDE, None)
    assert torch.allclose(turned, turn(straight), atol=1e-12)


def test_routing_keeps_the_highest_scores_of_each_query():
    scores = torch.tensor([[[[3.0, 1.0, 2.0, -torch.inf], [0.0, 4.0, 5.0, 6.0]]]])
    visible = torch.isfinite(scores)[0, 0]
    kept = route(scores, visible.sum(dim=-1), Routing(0.5, 1, 32, per_head=True))
    assert kept[0, 0].tolist() == [[True, False, True, False], [False, False, True, True]]
    kept = route(scores, visible.sum(dim=-1), Routing(1.0, 1, 1, per_head=True))
    assert kept[0, 0].tolist() == [[True, False, False, False], [False, False, False, True]]


def test_token_in_front_sees_all_and_is_seen_by_all():
    grid = (4, 12, 9)
    query, key, value, bias = (part.detach() for part in draw(grid, 5, front=1))
    key, bias = torch.zeros_like(key), torch.zeros_like(bias)  # equal weights: every output is a mean of values
    value = torch.zeros_like(value)
    value[:, :, -1] = 1.0  # the last token of the grid
    seen = sparse_attention(query, key, value, bias, grid, Windows(0, (), 0, 0, 0, "published"), None)
    assert torch.allclose(seen[:, :, 0], torch.full_like(seen[:, :, 0], 1 / (1 + math.prod(grid))))
    assert not seen[:, :, 1:-1].any()
    value = torch.zeros_like(value)
    value[:, :, 0] = 1.0
    for routing in (None, Routing(0.01, 1, 1, True)):
        seen = sparse_attention(query, key, value, bias, grid, Windows(0, (), 0, 0, 0, "published"), routing)
        # A query and the token in front: one half each.
        assert torch.allclose(seen[:, :, 1:], torch.full_like(seen[:, :, 1:], 0.5))


@given(st.integers(1, 70), st.integers(1, 70), windows)
def test_tiles_fit_the_grid(rows, columns, windows):
    height, width = tile_shape(rows, columns, windows)
    assert 1 <= height <= rows and 1 <= width <= columns
    assert height * width <= max(LARGEST_TILE, min(rows, columns))


def test_tiles_are_small_where_a_larger_one_would_read_what_few_of_its_queries_see():
    assert math.prod(tile_shape(64, 64, WIDE)) == 16
    # Windows that cover whole frames cost a larger tile nothing.
    assert tile_shape(8, 4, Windows(8, (-1, 1), 8, 0, 0, "wide")) == (8, 4)


@settings(max_examples=20)
@given(grids, windows)
def test_every_token_is_the_query_of_one_tile_and_tables_hold_what_it_sees(grid, windows):
    visible = candidates(grid, windows)
    found = torch.zeros_like(visible)
    queries = []
    for table in build_tables(grid, windows, 0, CPU):
        queries.append(table.query.flatten())
        for query, key in zip(table.query.long(), table.key.long(), strict=True):
            assert len(key.unique()) == len(key)
            found[query[:, None], key] = table.mask == 0
    assert torch.cat(queries).sort().values.tolist() == list(range(math.prod(grid)))
    assert torch.equal(found, visible)


def test_tables_grow_linearly_with_the_number_of_tokens():
    def size(grid):
        tables = build_tables(grid, WIDE, 0, CPU)
        return sum(tiles.query.numel() + tiles.key.numel() + tiles.mask.numel() for tiles in tables)

    for smaller, larger in [((16, 32, 32), (32, 32, 32)), ((12, 32, 32), (12, 64, 32)), ((12, 32, 32), (12, 32, 64))]:
        assert size(larger) < 2.35 * size(smaller)


def test_tables_made_in_inference_mode_serve_a_training_later():
    build_tables.cache_clear()
    flex_blocks.cache_clear()
    grid = (2, 4, 3)
    parts = draw(grid, 0)
    with torch.inference_mode():
        sparse_attention(*parts, grid, WIDE, None)
        blocks = flex_blocks(grid, WIDE, 0, CPU)
    sparse_attention(*parts, grid, WIDE, None).sum().backward()
    assert all(part.grad.abs().sum() > 0 for part in parts)
    # Flexible attention has no backward pass on a CPU.
    assert not blocks.kv_indices.is_inference() and not blocks.kv_num_blocks.is_inference()


@settings(max_examples=40, deadline=None)
@given(grid=grids, windows=windows, routing=routings.filter(bool), front=st.integers(0, 2))
def test_operations_of_attention_with_routing_are_those_of_what_is_seen_and_of_what_is_kept(
    grid, windows, routing, front
):
    seen = candidates(grid, windows).sum(dim=-1)
    kept = routing.kept(seen)
    scores, sums = (int(each.sum()) + front * math.prod(grid) for each in (seen, kept))
    dense = math.prod(grid) <= DENSE_TOKENS and (cpu_kernel() is None or (windows.wraps and not routing.per_head))
    # Of a head of width 4 each is 4 multiplications and 4 additions.
    assert routed_flops(grid, windows, routing, front, 4) == (0 if dense else 8 * (scores + sums))
