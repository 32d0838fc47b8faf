"""Beam labels: a plane wave is served by the beam of its direction, whatever else there is weaker or fading."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.errors import InputError
from wavefoundry.evaluation.downstream.labels import best_beams, dft_codebook


def wave(turns: float, antennas: int = 16, subcarriers: int = 4) -> torch.Tensor:
    """Plane wave of `turns` cycles per element, with a phase of its own at each subcarrier."""
    phase = 2 * math.pi * (turns * torch.arange(antennas)[:, None] + 0.3 * torch.arange(subcarriers))
    return torch.polar(torch.ones_like(phase), phase)


@given(beam=st.integers(0, 31), offset=st.floats(-0.49, 0.49))
def test_a_plane_wave_gives_the_beam_of_its_direction(beam, offset):
    csi = wave((beam + offset) / 32)[None]
    assert best_beams(csi, 32).tolist() == [beam]


@given(angle=st.floats(-1.5, 1.5))
def test_directions_of_a_half_wavelength_array(angle):
    """Spatial frequency of elements d apart at angle theta from broadside: d sin(theta) cycles, here d = 1/2."""
    turns = 0.5 * math.sin(angle)
    distance = (best_beams(wave(turns)[None], 64) / 64 - turns) % 1
    assert min(distance.item(), 1 - distance.item()) <= 0.5 / 64 + 1e-6


def test_the_power_of_all_subcarriers_counts():
    """The stronger of two waves wins, though the other one is stronger on a subcarrier."""
    csi = 0.8 * wave(3 / 16)
    csi[:, 0] = wave(9 / 16)[:, 0]
    assert best_beams(csi[None], 16).tolist() == [3]


def test_beams_share_out_the_power_of_any_channel():
    """With as many beams as antennas the codebook is unitary; with twice as many each power counts twice."""
    csi = torch.randn(5, 16, 3, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    for beams in (16, 32):
        received = (dft_codebook(16, beams).conj() @ csi).abs().square().sum((1, 2))
        torch.testing.assert_close(received, beams / 16 * csi.abs().square().sum((1, 2)))


def test_too_few_beams_are_refused():
    with pytest.raises(InputError, match="beams is 8, it must be at least the 16 antennas"):
        dft_codebook(16, 8)
