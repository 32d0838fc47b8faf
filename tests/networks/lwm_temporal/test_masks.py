"""Share and structure of the masks of masked channel modelling."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.networks.lwm_temporal.masks import LONGEST_COMB, STRATEGIES, draw_mask

grids = st.tuples(st.integers(1, 9), st.integers(2, 9), st.integers(2, 9))
ratios = st.floats(0.1, 0.9)


@given(st.sampled_from(STRATEGIES), grids, ratios, st.integers(0, 999))
def test_masks_hide_something_and_leave_something(strategy, grid, ratio, seed):
    mask = draw_mask(strategy, grid, ratio, torch.Generator().manual_seed(seed))
    assert mask.shape == grid
    assert mask.any() and not mask.all()
    assert torch.equal(mask, draw_mask(strategy, grid, ratio, torch.Generator().manual_seed(seed)))


@given(st.sampled_from(["random", "rect", "tube"]), grids, ratios, st.integers(0, 999))
def test_ratio_is_met_exactly(strategy, grid, ratio, seed):
    mask = draw_mask(strategy, grid, ratio, torch.Generator().manual_seed(seed))
    per_frame = grid[1] * grid[2]
    if strategy == "random":
        tokens = grid[0] * per_frame
        assert int(mask.sum()) == min(max(1, round(tokens * ratio)), tokens - 1)
    else:
        assert (mask.sum(dim=(1, 2)) == min(max(1, round(per_frame * ratio)), per_frame - 1)).all()


@given(st.integers(0, 999))
def test_tube_follows_one_motion(seed):
    mask = draw_mask("tube", (6, 8, 8), 0.4, torch.Generator().manual_seed(seed))
    for before, after in pairwise(mask):
        shifts = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
        assert any(torch.equal(before.roll(shift, dims=(0, 1)), after) for shift in shifts)


@given(st.integers(0, 999), ratios)
def test_comb_is_periodic_on_some_axis(seed, ratio):
    mask = draw_mask("comb", (24, 24, 24), ratio, torch.Generator().manual_seed(seed))
    repeats = [
        all(torch.equal(mask.narrow(axis, 0, 24 - period), mask.narrow(axis, period, 24 - period)) for axis in range(3))
        for period in range(2, LONGEST_COMB + 1)
    ]
    assert any(repeats)


def test_every_token_can_be_hidden():
    hidden = torch.zeros(3, 4, 5, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        hidden |= draw_mask("random", (3, 4, 5), 0.4, generator)
    assert hidden.all()


def test_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="rect, tube, comb, random"):
        draw_mask("stripes", (2, 2, 2), 0.5, torch.Generator())
