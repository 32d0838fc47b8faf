import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.csi.augmentation import random_amplitude, random_noise, random_phase, random_symmetry

SHAPE = (8, 6, 16)


def path(doppler: float, angle: float, delay: float) -> torch.Tensor:
    """One path; all three in cycles per step of their axis."""
    phase = (
        doppler * torch.arange(SHAPE[0])[:, None, None]
        + angle * torch.arange(SHAPE[1])[:, None]
        - delay * torch.arange(SHAPE[2])
    )
    return torch.polar(torch.ones(SHAPE), 2 * math.pi * phase)[None]


def same_up_to_phase(one: torch.Tensor, other: torch.Tensor) -> bool:
    overlap = (one.conj() * other).mean().abs()
    return math.isclose(overlap, 1, abs_tol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    doppler=st.floats(-0.4, 0.4),
    angle=st.floats(-0.5, 0.5),
    delay=st.floats(0.0, 0.9),
)
def test_a_path_stays_a_path_of_the_same_delay_with_mirrored_doppler_and_angle(seed, doppler, angle, delay):
    varied = random_symmetry(path(doppler, angle, delay), torch.Generator().manual_seed(seed))
    torch.testing.assert_close(varied.abs(), torch.ones(1, *SHAPE))
    mirrors = [path(i * doppler, j * angle, delay) for i in (1, -1) for j in (1, -1)]
    assert any(same_up_to_phase(varied, mirror) for mirror in mirrors)


def test_all_mirrors_and_phases_occur():
    seen, phases = set(), []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        varied = random_symmetry(path(0.1, 0.2, 0.05).expand(3, -1, -1, -1), generator)
        for i in (1, -1):
            for j in (1, -1):
                if same_up_to_phase(varied[:1], path(0.1 * i, 0.2 * j, 0.05)):
                    seen.add((i, j))
        phases += varied[:, 0, 0, 0].angle().tolist()
    assert len(seen) == 4
    # Per sample, all around the circle.
    assert len({round(phase, 3) for phase in phases}) > 100
    assert abs(torch.polar(torch.ones(120), torch.tensor(phases)).mean()) < 0.3


def noise_like_maps(samples: int) -> torch.Tensor:
    return torch.randn(samples, 4, 3, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))


def share_changed(before: torch.Tensor, after: torch.Tensor) -> float:
    return (before != after).flatten(1).any(dim=1).double().mean().item()


def test_each_augmentation_hits_its_share_of_the_samples_and_leaves_the_others_alone():
    maps = noise_like_maps(4000)
    for probability in (0.0, 0.3, 1.0):
        for varied in (
            random_phase(maps, probability, torch.Generator().manual_seed(2)),
            random_amplitude(maps, probability, (-6.0, 3.0), torch.Generator().manual_seed(3)),
            random_noise(maps, probability, (0.0, 20.0), torch.Generator().manual_seed(4)),
        ):
            assert math.isclose(share_changed(maps, varied), probability, abs_tol=0.03)


def test_phase_is_one_uniform_turn_for_a_whole_sample():
    maps = noise_like_maps(500)
    turns = random_phase(maps, 1.0, torch.Generator().manual_seed(0)) / maps
    torch.testing.assert_close(turns.abs(), torch.ones(turns.shape))
    torch.testing.assert_close(turns, turns[:, :1, :1, :1].expand(turns.shape))
    assert turns[:, 0, 0, 0].mean().abs() < 0.15


def test_amplitude_is_one_factor_for_a_whole_sample_within_its_range():
    maps = noise_like_maps(500)
    factors = random_amplitude(maps, 1.0, (-6.0, 3.0), torch.Generator().manual_seed(0)) / maps
    torch.testing.assert_close(factors, factors[:, :1, :1, :1].expand(factors.shape))
    power_db = 20 * factors[:, 0, 0, 0].real.log10()
    assert -6.001 < power_db.min() < -5.8 and 2.8 < power_db.max() < 3.001


def test_noise_has_the_drawn_ratio_to_the_power_of_its_sample():
    maps = noise_like_maps(300).repeat(1, 5, 5, 5) * torch.linspace(0.01, 10, 300)[:, None, None, None]
    noise = random_noise(maps, 1.0, (5.0, 15.0), torch.Generator().manual_seed(0)) - maps
    power, noise_power = (part.abs().square().mean(dim=(1, 2, 3)) for part in (maps, noise))
    snr_db = 10 * (power / noise_power).log10()
    assert 4.5 < snr_db.min() < 5.5 and 14.5 < snr_db.max() < 15.5
