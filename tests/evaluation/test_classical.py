"""Classical predictors on channels whose continuation is known."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.evaluation.classical import Autoregression, SampleAndHold, burg
from wavefoundry.evaluation.metrics import nmse


def on_grid_paths(steps=16, antennas=8, subcarriers=8, seed=0):
    """Paths on distinct angle-delay bins, each with a Doppler of its own: every tap is one exponential."""
    generator = torch.Generator().manual_seed(seed)
    csi = torch.zeros(1, steps, antennas, subcarriers, dtype=torch.complex128)
    for angle, delay in [(0, 0), (3, 2), (6, 5)]:
        doppler = torch.rand(1, generator=generator).item() - 0.5
        grids = torch.meshgrid(torch.arange(steps), torch.arange(antennas), torch.arange(subcarriers), indexing="ij")
        phase = 0.2 * doppler * grids[0] + angle * grids[1] / antennas - delay * grids[2] / subcarriers
        csi += torch.exp(2j * math.pi * phase)
    return csi


@settings(max_examples=20)
@given(st.integers(0, 99))
def test_autoregression_continues_exponentials_in_time(seed):
    csi = on_grid_paths(seed=seed)
    predicted = Autoregression(2).predict(csi[:, :8], "time", 8)
    assert nmse(predicted, csi[:, 8:]).item() < 1e-4


@given(st.integers(0, 999), st.integers(1, 5))
def test_burg_filters_are_stable(seed, order):
    series = torch.randn(3, 2, 12, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
    for coefficients in burg(series, order):
        assert np.abs(np.roots(coefficients.numpy())).max() <= 1 + 1e-9


def test_autoregression_continues_exponentials_in_frequency():
    csi = on_grid_paths(subcarriers=24)
    predicted = Autoregression(2).predict(csi[..., :12], "frequency", 12)
    assert nmse(predicted, csi[..., 12:]).item() < 1e-4


def test_sample_and_hold_repeats_the_last_known_value():
    csi = on_grid_paths()
    assert torch.equal(SampleAndHold().predict(csi[:, :8], "time", 2), csi[:, [7, 7]])
    assert torch.equal(SampleAndHold().predict(csi[..., :5], "frequency", 2), csi[..., [4, 4]])


def test_nmse_by_hand():
    target = torch.tensor([[3.0 + 4.0j, 0.0], [1.0, 1.0]])
    predicted = torch.tensor([[3.0 + 4.0j, 5.0], [0.0, 0.0]])
    assert nmse(predicted, target).tolist() == [1.0, 1.0]
