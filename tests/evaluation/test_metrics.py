"""Scores of predictions: what they do not see, and what they are in closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.errors import InputError
from wavefoundry.evaluation.metrics import nmse, nmse_by_step, ratio_of_sums, spectral_efficiency


def channel(seed, samples=3, slots=4, antennas=5, subcarriers=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, slots, antennas, subcarriers, dtype=torch.complex64, generator=generator)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_steps_weighed_by_their_power_are_the_whole(seed):
    predicted, target = channel(seed), channel(seed + 100) * torch.arange(1.0, 4.0)[:, None, None, None]
    power = target.to(torch.complex128).abs().square().sum((2, 3))
    by_step = nmse_by_step(predicted, target)
    torch.testing.assert_close((by_step * power).sum(1) / power.sum(1), nmse(predicted, target))
    whole = power.sum(1)
    assert ratio_of_sums(predicted, target) == pytest.approx(
        ((nmse(predicted, target) * whole).sum() / whole.sum()).item()
    )


def test_perfect_beams_add_the_gain_of_the_array():
    # Every antenna has the same power: sixteen of them carry log2(1 + 16 x 10).
    phases = torch.exp(2j * torch.pi * torch.rand(2, 3, 16, 4, generator=torch.Generator().manual_seed(0)))
    found = spectral_efficiency(phases, phases, 10.0)
    torch.testing.assert_close(found, torch.full((2,), np.log2(161.0), dtype=torch.float64), rtol=1e-6, atol=0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), scale=st.floats(1e-3, 1e3), angle=st.floats(0, 6.28))
def test_beams_know_no_scale_and_no_phase_and_the_channel_is_the_best_of_all(seed, scale, angle):
    predicted, target = channel(seed), channel(seed + 100)
    own = spectral_efficiency(predicted, target, 10.0)
    turned = spectral_efficiency(predicted * scale * np.exp(1j * angle), target, 10.0)
    torch.testing.assert_close(turned, own, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(spectral_efficiency(predicted, 7 * target, 10.0), own, rtol=1e-5, atol=1e-6)
    assert (own <= spectral_efficiency(target, target, 10.0) + 1e-9).all()


def test_silence_and_an_orthogonal_beam_carry_nothing():
    target = torch.zeros(1, 1, 2, 1, dtype=torch.complex64)
    target[0, 0, 0] = 1
    orthogonal = target.flip(2)
    assert spectral_efficiency(orthogonal, target, 10.0).item() == 0
    assert spectral_efficiency(torch.zeros_like(target), target, 10.0).item() == 0


def test_a_silent_target_has_no_nmse_and_is_named():
    target = channel(0)
    target[1] = 0
    with pytest.raises(InputError, match="target of sample 1 is zero throughout: it has no NMSE"):
        nmse(channel(1), target)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), places=st.sets(st.integers(0, 11), max_size=11))
def test_silent_slots_have_no_nmse_and_the_others_keep_theirs(seed, places):
    predicted, target = channel(seed), channel(seed + 100)
    full = nmse_by_step(predicted, target)
    places = sorted(places)
    target.flatten(0, 1)[places] = 0
    found = nmse_by_step(predicted, target).flatten()
    assert found.isnan().nonzero().flatten().tolist() == places
    assert torch.equal(found[~found.isnan()], full.flatten()[~found.isnan()])
    # A prediction that is no number is not taken for silence, nor hidden by it.
    assert nmse(torch.full_like(predicted, torch.nan), channel(seed)).isnan().all()
