import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import layer_norm

from wavefoundry.networks.axis_positions import (
    CONTENT_POWER,
    HEAD_START,
    PositionSpace,
    carry_contents,
    pass_contents_on,
    position_encoding,
)

WIDTHS = {2: (32, 32), 3: (42, 42, 44)}
HEAD_WIDTH = 16
SPACES = {axes: PositionSpace(widths) for axes, widths in WIDTHS.items()}
grids = st.one_of(
    st.tuples(st.integers(3, 16), st.integers(3, 16)),
    st.tuples(st.integers(3, 8), st.integers(3, 8), st.integers(3, 8)),
)


def tokens(grid: tuple[int, ...], content_power: float = CONTENT_POWER, seed: int = 0) -> torch.Tensor:
    """Normalised tokens (token, size) of a grid, with random contents of one power beside their positions."""
    positions, contents = position_encoding(grid, WIDTHS[len(grid)]), SPACES[len(grid)].contents
    drawn = torch.randn(len(positions), len(contents), generator=torch.Generator().manual_seed(seed))
    drawn = drawn * (content_power * positions.shape[1] / drawn.square().sum(1, keepdim=True)) ** 0.5
    return layer_norm(positions + drawn @ contents, positions.shape[1:])


@settings(max_examples=40, deadline=None)
@given(grids, st.data(), st.floats(0.0, 1.0), st.integers(0, 99))
def test_a_head_looks_at_the_token_beside_whatever_tokens_carry(grid, data, content_power, seed):
    axis, steps = data.draw(st.integers(0, len(grid) - 1)), data.draw(st.sampled_from([-2, -1, 1, 2]))
    seen = tokens(grid, content_power, seed)
    compared = SPACES[len(grid)].beside(axis, steps, HEAD_WIDTH)
    logits = (seen @ compared.query.T) @ (seen @ compared.key.T).T
    places = torch.cartesian_prod(*(torch.arange(size) for size in grid))
    target = places.clone()
    target[:, axis] += steps
    inside = (target[:, axis] >= 0) & (target[:, axis] < grid[axis])
    assert torch.equal(places[logits.argmax(dim=1)][inside], target[inside])


@settings(max_examples=20, deadline=None)
@given(grids, st.data())
def test_a_head_sees_all_tokens_at_its_place_along_the_axes_compared(grid, data):
    """Along an axis that is not compared all tokens are alike."""
    axis = data.draw(st.integers(0, len(grid) - 1))
    compared = SPACES[len(grid)].along([other for other in range(len(grid)) if other != axis], HEAD_WIDTH)
    seen = tokens(grid)
    logits = ((seen @ compared.query.T) @ (seen @ compared.key.T).T / HEAD_WIDTH**0.5).unflatten(-1, grid)
    logits = logits.movedim(1 + axis, -1).flatten(1, -2)  # (query, line along the axis, place on it)
    places = torch.cartesian_prod(*(torch.arange(size) for size in grid))
    lines = torch.arange(logits.shape[1]).reshape([size for other, size in enumerate(grid) if other != axis])
    own = lines[tuple(places[:, other] for other in range(len(grid)) if other != axis)]
    assert torch.equal(logits.mean(-1).argmax(dim=1), own)


@pytest.mark.parametrize("widths", WIDTHS.values())
def test_contents_are_free_of_positions_and_of_the_mean(widths):
    contents = PositionSpace(widths).contents
    torch.testing.assert_close(contents @ contents.T, torch.eye(len(contents)), rtol=0, atol=1e-5)
    assert contents.sum(1).abs().max() < 1e-4
    positions = position_encoding([8] * len(widths), widths)
    centred = positions - positions.mean(1, keepdim=True)
    assert (centred @ contents.T).square().sum() < 1e-3 * centred.square().sum()


def test_what_comes_in_goes_out_again_and_has_half_of_the_power():
    contents = SPACES[2].contents
    embedding, head = torch.empty(64, 32), torch.empty(32, 64)
    carry_contents(contents, embedding, head)
    torch.testing.assert_close(head @ embedding, HEAD_START * torch.eye(32), rtol=0, atol=1e-5)
    values = torch.randn(2000, 32, generator=torch.Generator().manual_seed(0)) / 2**0.5
    assert (values @ embedding.T).square().mean().item() == pytest.approx(CONTENT_POWER, rel=0.05)


def test_attention_passes_on_contents_and_nothing_else():
    contents, size = SPACES[2].contents, 64
    value, out = torch.empty(size, size), torch.empty(size, size)
    pass_contents_on(contents, value, out, 0.25)
    torch.testing.assert_close(out @ value, 0.25 * contents.T @ contents, rtol=0, atol=1e-5)


@pytest.mark.parametrize("widths", [(2, 2), (4, 4), (2, 2, 4), (4, 4, 8)])
def test_axes_with_few_features_compare_what_they_have(widths):
    """Sines and cosines in pairs, of the axis itself and of no other."""
    space = PositionSpace(widths)
    for axis, width in enumerate(widths):
        assert len(space.along([axis], 16).query) == 2 * min(width // 2, 3)
        compared = space.beside(axis, 0, 16)
        torch.testing.assert_close(compared.query, compared.key)
    query, key = torch.full((3, sum(widths)), 2.0), torch.zeros(3, sum(widths))
    space.along([0, 1], 3).start(query, key)
    assert (query[2] == 1.0).all() and not (query[:2] == 1.0).all()
