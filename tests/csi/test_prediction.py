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


class Whitening:
    """Computes with powers in single precision, which those of loud and of faint channels do not fit."""

    @checked
    def predict(self, known, slots, subcarriers):
        return self.predict_with_error(known, slots, subcarriers)[0]

    @checked
    def predict_with_error(self, known, slots, subcarriers):
        power = known.abs().square().mean((1, 2, 3), keepdim=True)
        assert 0.1 < power.max() < 10
        return (known / power.sqrt() * power.sqrt())[:, :1].expand(-1, slots, -1, -1), power[:, 0].expand(-1, slots, 1)


@given(power=st.integers(-90, 126), seed=st.integers(0, 99))
def test_a_power_of_two_of_the_input_is_one_of_the_prediction_to_the_bit(power, seed):
    known = torch.randn(3, 2, 4, 2, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
    factor = 2.0**power
    known = known / known.abs().max()
    plain, error = Whitening().predict_with_error(known, 2, 0)
    found, louder = Whitening().predict_with_error(factor * known, 2, 0)
    assert torch.equal(found, factor * plain) and torch.equal(Whitening().predict(factor * known, 2, 0), found)
    if abs(power) < 60:
        assert torch.equal(louder, factor**2 * error)


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


@given(
    at=st.lists(st.tuples(*[st.integers(0, size - 1) for size in (5, 2, 3, 4)]), min_size=1, max_size=3),
    value=st.sampled_from([float("nan"), float("inf"), complex(0, float("-inf")), complex(1, float("nan")), 1e39]),
)
def test_values_that_are_not_finite_are_one_clear_error_that_names_the_first_sample(at, value):
    """1e39 is beyond single precision."""
    known = torch.ones(5, 2, 3, 4, dtype=torch.complex128)
    for place in at:
        known[place] = value
    with pytest.raises(InputError) as error:
        Shouting().predict(known, 1, 0)
    assert str(error.value) == (
        f"csi has values that are not finite, first in sample {min(at)[0]}; allowed: finite values of single precision"
    )
