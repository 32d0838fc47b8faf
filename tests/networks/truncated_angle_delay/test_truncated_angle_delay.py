"""Feedback of the strongest angle-delay coefficients: its arithmetic of bits, and channels that it knows exactly."""

from itertools import combinations, pairwise
from math import comb

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.feedback.codecs import check_a_sample_is_coded_alone, check_promises
from tests.networks.facts import facts
from tests.networks.lmmse.example import smooth
from tests.networks.truncated_angle_delay.example import options, truncated_angle_delay
from wavefoundry.evaluation.metrics import nmse
from wavefoundry.networks.truncated_angle_delay.model import HEADER, MOST_BITS, coefficients
from wavefoundry.networks.truncated_angle_delay.subsets import number_of, subset_bits, subset_of


@pytest.mark.parametrize(("size", "chosen"), [(6, 3), (7, 1), (5, 5), (8, 4), (1, 1), (9, 2)])
def test_subsets_are_numbered_without_a_gap(size, chosen):
    subsets = [list(subset) for subset in combinations(range(size), chosen)]
    assert sorted(map(number_of, subsets)) == list(range(comb(size, chosen)))
    assert all(subset_of(number_of(subset), size, chosen) == subset for subset in subsets)
    assert 2 ** subset_bits(size, chosen) >= comb(size, chosen) > 2 ** subset_bits(size, chosen) // 2


@given(st.sets(st.integers(0, 2047), min_size=1, max_size=40))
def test_large_subsets_come_back(subset):
    assert subset_of(number_of(sorted(subset)), 2048, len(subset)) == sorted(subset)


def test_a_number_that_no_subset_has_stands_for_one_all_the_same():
    assert subset_of(10**9, 6, 3) == [3, 4, 5]


@given(st.integers(16, 2048), st.integers(1, 2048), st.integers(1, MOST_BITS))
def test_as_many_coefficients_as_there_is_room_for(size, room, width):
    count = coefficients(size, room, width)
    if count:
        assert HEADER + subset_bits(size, count) + 2 * width * count <= room
    if count < size // 2:
        assert HEADER + subset_bits(size, count + 1) + 2 * width * (count + 1) > room


def test_it_keeps_the_promises_of_codecs():
    for shape in ((4, 16), (5, 7), (16, 32)):
        csi = smooth(6, 1, *shape, seed=3)[:, 0]
        check_promises(truncated_angle_delay(), csi)
        check_a_sample_is_coded_alone(truncated_angle_delay(), csi)


def test_a_path_on_the_grid_is_one_coefficient():
    """One beam, one delay: everything goes into the bits of its amplitude. The scale has 8 bits, a part 8 more."""
    antenna, subcarrier = torch.arange(8)[:, None], torch.arange(16)
    path = torch.polar(torch.ones(8, 16), 2 * torch.pi * (3 * antenna / 8 - 5 * subcarrier / 16) + 0.7)[None]
    codec = truncated_angle_delay()
    found = codec.decode(codec.encode(path, 12), (8, 16))
    spectrum = torch.fft.ifft(torch.fft.fft(found[0], dim=0), dim=1).abs()
    assert spectrum.argmax() == 3 * 16 + 5
    assert nmse(found, path).item() < 1e-4


def test_more_bits_are_better():
    codec, csi = truncated_angle_delay(), smooth(50, 1, 8, 16)[:, 0]
    unit = csi / csi.abs().square().mean((1, 2), keepdim=True).sqrt()
    errors = [nmse(codec.decode(codec.encode(csi, rate), (8, 16)), unit).mean().item() for rate in range(1, 13)]
    assert errors[0] == 1  # 8 bits are less than the header
    assert all(after <= before for before, after in pairwise(errors))
    assert errors[-1] < 0.2 * errors[0]


def test_every_size_is_fed_back_but_the_smallest():
    assert options().why_not_feed_back(facts(antennas=3, subcarriers=7)) is None
    assert "less than the 16 entries" in options().why_not(facts(antennas=3, subcarriers=5))
