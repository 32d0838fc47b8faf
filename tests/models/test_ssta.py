"""Sparse spatio-temporal attention against dense attention under the same mask."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.models.ssta import TILE, Routing, Windows, build_tables, candidates, route, sparse_attention

CARD = Windows(2, (-4, -3, -2, -1, 1, 2, 3), 2, 1, 1)
grids = st.tuples(st.integers(1, 5), st.integers(1, 2 * TILE + 3), st.integers(1, TILE + 3))
windows = st.builds(
    Windows,
    st.integers(0, 3),
    st.lists(st.integers(-6, 6).filter(bool), unique=True, max_size=4).map(tuple),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 2),
)
routings = st.none() | st.builds(Routing, st.floats(0.05, 1.0), st.integers(1, 40), st.booleans())


def draw(grid, seed, batch=1, heads=2, width=4):
    generator = torch.Generator().manual_seed(seed)
    size = (batch, heads, math.prod(grid), width)
    parts = [torch.randn(size, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(3)]
    return [*parts, torch.randn(size[:3], dtype=torch.float64, generator=generator, requires_grad=True)]


def dense_attention(query, key, value, key_bias, grid, windows, routing):
    visible = candidates(grid, windows)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + key_bias.unsqueeze(-2)
    scores = scores.masked_fill(~visible, -torch.inf)
    if routing is not None:
        scores = scores.masked_fill(~route(scores, visible, visible.sum(dim=-1), routing), -torch.inf)
    return scores.softmax(dim=-1) @ value


@settings(max_examples=40)
@given(grids, windows, routings, st.integers(0, 99))
def test_equals_masked_dense_attention_in_values_and_gradients(grid, windows, routing, seed):
    inputs = draw(grid, seed)
    sparse = sparse_attention(*inputs, grid, windows, routing)
    dense = dense_attention(*inputs, grid, windows, routing)
    assert torch.allclose(sparse, dense, atol=1e-10)
    upstream = torch.randn_like(sparse)
    for ours, expected in zip(
        torch.autograd.grad(sparse, inputs, upstream), torch.autograd.grad(dense, inputs, upstream), strict=True
    ):
        assert torch.allclose(ours, expected, atol=1e-10)


def test_single_precision_agrees_to_1e_5():
    grid = (6, 16, 8)
    inputs = [part.detach().float() for part in draw(grid, 0, batch=2, heads=4, width=8)]
    sparse = sparse_attention(*inputs, grid, CARD, None)
    assert (sparse - dense_attention(*inputs, grid, CARD, None)).abs().max() < 1e-5


def test_corridor_widens_with_the_offset_wraps_in_angle_and_stops_at_the_edge_of_delay():
    grid = (5, 12, 12)
    mask = candidates(grid, Windows(1, (-1, -3), 1, 1, 2)).view(*grid, *grid)
    seen = mask[3, 0, 0]
    assert not seen[4].any() and not seen[1].any()
    assert seen[3].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [11, 0], [11, 1]]
    assert seen[2].any(dim=1).nonzero().flatten().tolist() == [0, 1, 2, 10, 11]
    assert seen[2].any(dim=0).nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert seen[0].any(dim=1).nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 8, 9, 10, 11]
    assert seen[0].any(dim=0).nonzero().flatten().tolist() == list(range(8))


def test_result_turns_with_the_ring_of_angles():
    grid = (3, 11, 4)
    inputs = draw(grid, 1)
    straight = sparse_attention(*inputs, grid, CARD, None)

    def turn(part):
        return part.unflatten(2, grid).roll(4, dims=3).flatten(2, 4)

    turned = sparse_attention(*(turn(part) for part in inputs), grid, CARD, None)
    assert torch.allclose(turned, turn(straight), atol=1e-12)


def test_routing_keeps_the_highest_scores_of_each_query():
    scores = torch.tensor([[[[3.0, 1.0, 2.0, -torch.inf], [0.0, 4.0, 5.0, 6.0]]]])
    visible = torch.isfinite(scores)[0, 0]
    kept = route(scores, visible, visible.sum(dim=-1), Routing(0.5, 32, per_head=True))
    assert kept[0, 0].tolist() == [[True, False, True, False], [False, False, True, True]]
    kept = route(scores, visible, visible.sum(dim=-1), Routing(1.0, 1, per_head=True))
    assert kept[0, 0].tolist() == [[True, False, False, False], [False, False, False, True]]


def test_tables_grow_linearly_with_the_number_of_tokens():
    def size(grid):
        tables = build_tables(grid, CARD, torch.device("cpu"))
        return tables.visible.numel() + tables.key.numel() + tables.query.numel()

    for smaller, larger in [((16, 32, 32), (32, 32, 32)), ((12, 32, 32), (12, 64, 32)), ((12, 32, 32), (12, 32, 64))]:
        assert size(larger) < 2.35 * size(smaller)
