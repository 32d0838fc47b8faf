"""The uplink against closed forms, and bits against arithmetic."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.errors import InputError
from wavefoundry.feedback.bits import from_bits, to_bits
from wavefoundry.feedback.options import UplinkOptions
from wavefoundry.feedback.rates import feedback_bits
from wavefoundry.feedback.uplink import bit_error_rate, transmit


def uplink(snr_db=10.0, modulation="qpsk", repetitions=1) -> UplinkOptions:
    return UplinkOptions(snr_db=snr_db, modulation=modulation, repetitions=repetitions)


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_at_10_db_uncoded_qpsk_has_the_textbook_error_rate():
    """Q(sqrt(Es / N0)) = Q(sqrt(10)) = 7.827e-4."""
    assert bit_error_rate(uplink()) == pytest.approx(7.827e-4, rel=1e-3)
    # Two symbols added up have twice the SNR.
    doubled = uplink(snr_db=10 + 10 * math.log10(2))
    assert bit_error_rate(uplink(repetitions=2)) == pytest.approx(bit_error_rate(doubled))


@pytest.mark.parametrize("modulation", ["qpsk", "16qam"])
@pytest.mark.parametrize(("snr_db", "repetitions"), [(10.0, 1), (4.0, 2), (0.0, 1)])
def test_a_simulation_has_the_error_rate_of_the_closed_form(modulation, snr_db, repetitions):
    chosen, count = uplink(snr_db, modulation, repetitions), 2_000_000
    bits = torch.randint(2, (20, count // 20), generator=seeded(1), dtype=torch.uint8)
    found = (transmit(bits, chosen, seeded(2)) != bits).double().mean().item()
    expected = bit_error_rate(chosen)
    # Five deviations; the bits of a 16-QAM axis are wrong together at times, hence the factor.
    assert abs(found - expected) < 5 * math.sqrt(2 * expected / count)


def test_a_good_uplink_changes_nothing_and_draws_from_its_generator_alone():
    for modulation in ("qpsk", "16qam"):
        bits = torch.randint(2, (7, 33), generator=seeded(), dtype=torch.uint8)
        assert torch.equal(transmit(bits, uplink(60.0, modulation), seeded()), bits)
        bad = uplink(0.0, modulation)
        assert torch.equal(transmit(bits, bad, seeded()), transmit(bits, bad, seeded()))
        assert not torch.equal(transmit(bits, bad, seeded()), transmit(bits, bad, seeded(1)))


@given(st.lists(st.integers(0, 2**12 - 1), min_size=1), st.just(12))
def test_bits_are_those_of_the_number(numbers, width):
    bits = to_bits(torch.tensor(numbers), width)
    assert ["".join(map(str, row)) for row in bits.tolist()] == [f"{number:012b}" for number in numbers]
    assert from_bits(bits).tolist() == numbers


@given(st.integers(1, 12), st.integers(4, 64), st.integers(4, 64))
def test_a_rate_is_bits_for_16_entries(rate, antennas, subcarriers):
    assert feedback_bits(rate, antennas, subcarriers) == rate * antennas * subcarriers // 16


@pytest.mark.parametrize("rate", [0, -1, 13])
def test_other_rates_are_one_clear_error(rate):
    with pytest.raises(InputError, match=f"^{rate} bits for 16 channel entries; allowed: 1 to 12$"):
        feedback_bits(rate, 8, 8)


def test_a_channel_smaller_than_a_rate_is_one_clear_error():
    with pytest.raises(InputError, match="3 antennas x 5 subcarriers has less than the 16 entries"):
        feedback_bits(3, 3, 5)
