import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from wavefoundry.networks.snapshots.token_parts import ROWS, in_parts


@given(tokens=st.integers(1, 3 * ROWS), batch=st.sampled_from([1, 2, 100, 2 * ROWS]), dim=st.sampled_from([0, 1]))
def test_parts_give_what_the_whole_gives(tokens, batch, dim):
    layer = nn.LayerNorm(2)
    shape = (tokens, batch, 2) if dim == 0 else (batch, tokens, 2)
    one, other = torch.randn(2, *shape, generator=torch.Generator().manual_seed(tokens))

    def function(a, b):
        return layer(a + 2 * b)

    torch.testing.assert_close(in_parts(function, one, other, dim=dim), function(one, other))


@pytest.mark.parametrize("dim", [0, 1])
def test_no_part_is_larger_than_the_cache_is_meant_for(dim):
    sizes = []
    in_parts(lambda part: sizes.append(part.shape[0] * part.shape[1]) or part, torch.zeros(300, 300, 1), dim=dim)
    assert max(sizes) <= 300 and sum(sizes) == 300 * 300
