"""Which samples are zero throughout."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.csi.silence import silent


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.sampled_from([1e-38, 1.0, 1e30]), st.integers(0, 11))
def test_one_value_of_any_size_is_enough_to_be_heard(expected, size, place):
    csi = torch.zeros(len(expected), 2, 3, 2, dtype=torch.complex64)
    for sample, nothing in zip(csi, expected, strict=True):
        sample.view(-1)[place] = 0 if nothing else size * 1j
    assert silent(csi).tolist() == expected


def test_what_is_not_a_number_is_no_silence():
    assert silent(torch.full((1, 2), torch.nan, dtype=torch.complex64)).tolist() == [False]
