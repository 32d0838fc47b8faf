"""What may be asked of a predictor, and that silence is kept from it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.csi.prediction import checked
from wavefoundry.errors import InputError


class Shouting:
    """Answers every sample with the number of those that it sees."""

    @checked
    def predict(self, known, slots, subcarriers):
        assert known.dtype == torch.complex64
        return torch.full((len(known), slots, 1, 1), len(known), dtype=torch.complex64)


KNOWN = torch.ones(1, 2, 1, 1, dtype=torch.complex64)


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_something_must_be_asked_for_and_nothing_negative(slots, subcarriers):
    if min(slots, subcarriers) >= 0 and max(slots, subcarriers) > 0:
        assert Shouting().predict(KNOWN, slots, subcarriers).shape == (1, slots, 1, 1)
        return
    with pytest.raises(InputError) as error:
        Shouting().predict(KNOWN, slots, subcarriers)
    assert f"slots is {slots} and subcarriers is {subcarriers}; allowed: " in str(error.value)
    assert "\n" not in str(error.value)


def test_silent_samples_are_answered_by_zeros_and_not_seen():
    known = torch.tensor([1.0, 0.0, 1e-30, 0.0], dtype=torch.complex128)[:, None, None, None].expand(-1, 2, 1, 1)
    assert Shouting().predict(known, 3, 0)[:, :, 0, 0].tolist() == [[2] * 3, [0] * 3, [2] * 3, [0] * 3]
    assert not Shouting().predict(known[1::2], 3, 0).any()


@pytest.mark.parametrize(
    ("known", "found"),
    [
        (KNOWN[0], r"csi is complex64 of shape \(2, 1, 1\)"),
        (KNOWN.real, r"csi is float32 of shape \(1, 2, 1, 1\)"),
        (KNOWN.numpy(), "csi is a ndarray"),
    ],
)
def test_what_is_no_channel_is_one_clear_error(known, found):
    with pytest.raises(InputError, match=rf"{found}; allowed: a complex tensor \(batch, time, antenna, subcarrier\)"):
        Shouting().predict(known, 1, 0)
