import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.csi.augmentation import random_symmetry

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
