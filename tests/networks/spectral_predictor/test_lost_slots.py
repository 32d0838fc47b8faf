"""Lost slots: against a plain least-squares solution, against the truth, and what they must not change."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.spectral_predictor.example import gaussian_channels, spectral_predictor
from wavefoundry.csi.bins import to_bins
from wavefoundry.csi.linear_prediction import lattice
from wavefoundry.networks.spectral_predictor.lost_slots import ORDER, interpolate, with_lost_slots

MODEL = spectral_predictor().eval()
slots = st.integers(2, 9)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def without(csi: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
    return csi.masked_fill(lost[:, :, None, None], 0)


def some_lost(samples: int, length: int, seed: int) -> torch.Tensor:
    """bool (sample, slot); at least one slot of every sample has arrived."""
    drawn = torch.rand(samples, length, generator=torch.Generator().manual_seed(seed))
    return (drawn < 0.4) & (drawn > drawn.min(1, keepdim=True).values)


def errors_of(coefficients: np.ndarray, length: int) -> np.ndarray:
    """Forward and backward prediction errors as rows of a matrix that a series is multiplied by."""
    order, rows = len(coefficients) - 1, []
    for start in range(length - order):
        for taps in (coefficients[::-1], coefficients.conj()):
            rows.append(np.concatenate([np.zeros(start), taps, np.zeros(length - order - 1 - start)]))
    return np.array(rows)


@settings(max_examples=30, deadline=None)
@given(length=slots, seed=st.integers(0, 99))
def test_lost_entries_are_those_with_the_least_square_errors(length, seed):
    csi, lost = noise(2, length, 3, 4, seed=seed), some_lost(2, length, seed)
    series = to_bins(without(csi, lost).to(torch.complex128), "time")
    (filters,), _ = lattice(series, [min(ORDER, length // 2)], ~lost)
    found = interpolate(series, lost).numpy()
    for sample, row, column in np.ndindex(2, 3, 4):
        matrix = errors_of(filters[sample, row, column].numpy(), length)
        missing = lost[sample].numpy()
        given_part = matrix[:, ~missing] @ series[sample, row, column].numpy()[~missing]
        expected, *_ = np.linalg.lstsq(matrix[:, missing], -given_part, rcond=None)
        np.testing.assert_allclose(found[sample, row, column][missing], expected, rtol=1e-6, atol=1e-8)


def slow_channel(length: int) -> torch.Tensor:
    """A slow channel of a dozen paths, nearly without noise: equations of a large condition number."""
    generator = torch.Generator().manual_seed(1)
    gains = torch.randn(12, dtype=torch.complex64, generator=generator)
    turns = 0.02 * torch.cos(2 * torch.pi * torch.rand(12, generator=generator))
    places = torch.rand(2, 12, generator=generator)
    paths = [
        torch.polar(torch.ones(12, size), 2 * torch.pi * turn[:, None] * torch.arange(size))
        for turn, size in ((turns, length), (places[0], 4), (places[1], 8))
    ]
    csi = torch.einsum("p,pt,pa,ps->tas", gains, *paths)[None]
    return csi + 1e-3 * csi.abs().mean() * noise(1, length, 4, 8)


def test_a_long_gap_is_filled_by_the_equations_whoever_is_beside():
    csi = slow_channel(32)
    lost = torch.zeros(1, 32, dtype=torch.bool)
    lost[0, 4:28] = True
    given = without(csi, lost)
    series = to_bins(given.to(torch.complex128), "time")
    (filters,), _ = lattice(series, [ORDER], ~lost)
    matrix = errors_of(filters[0, 1, 2].numpy(), 32)
    missing = lost[0].numpy()
    expected, *_ = np.linalg.lstsq(
        matrix[:, missing], -matrix[:, ~missing] @ series[0, 1, 2].numpy()[~missing], rcond=None
    )
    found = interpolate(series, lost)[0, 1, 2].numpy()[missing]
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    beside = 1e-20 * csi
    beside[:, 2:] = 0
    together = with_lost_slots(torch.cat([given, beside]))
    alone = [with_lost_slots(given), with_lost_slots(beside)]
    for one, other in zip(together, alone, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@settings(max_examples=30, deadline=None)
@given(length=slots, seed=st.integers(0, 99))
def test_what_has_arrived_stays_to_the_bit(length, seed):
    csi, lost = noise(3, length, 2, 5, seed=seed), some_lost(3, length, seed)
    lost[0] = False
    found = with_lost_slots(without(csi, lost))
    assert torch.equal(found[~lost], csi[~lost]) and found.dtype == csi.dtype
    assert found[lost].isfinite().all()


def test_nothing_is_done_where_nothing_is_lost_and_nothing_made_of_silence():
    csi = noise(2, 4, 2, 3)
    assert with_lost_slots(csi) is csi
    csi[1] = 0
    assert with_lost_slots(csi) is csi


def test_a_slot_with_a_single_value_has_arrived():
    csi = noise(1, 6, 2, 3)
    csi[:, 2] = 0
    csi[:, 2, 1, 1] = 1e-20
    assert with_lost_slots(csi) is csi


@pytest.mark.parametrize("places", [[0], [3], [7], [3, 4], [0, 5]])
def test_a_channel_of_few_paths_is_put_in_nearly_as_it_was(places):
    csi = gaussian_channels(40, seed=3)[:, :8]
    lost = torch.zeros(40, 8, dtype=torch.bool)
    lost[:, places] = True
    found = with_lost_slots(without(csi, lost))
    error = (found - csi)[lost].abs().square().mean() / csi[lost].abs().square().mean()
    assert error < 0.1, error


@settings(max_examples=20, deadline=None)
@given(level=st.floats(-9, 9), angle=st.floats(0, 6.28), seed=st.integers(0, 99))
def test_a_complex_factor_of_the_known_slots_is_one_of_those_put_in(level, angle, seed):
    csi, factor = without(noise(2, 6, 3, 4, seed=seed), some_lost(2, 6, seed)), 10**level * np.exp(1j * angle)
    expected = factor * with_lost_slots(csi)
    assert (with_lost_slots(factor * csi) - expected).abs().max() <= 1e-4 * expected.abs().max()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_a_slot_put_in_does_not_depend_on_who_else_is_in_the_batch(seed):
    levels = torch.tensor([1.0, 1e-18, 1e10])[:, None, None, None]
    csi = without(levels * noise(3, 7, 3, 4, seed=seed), some_lost(3, 7, seed))
    together = with_lost_slots(csi)
    for index in range(3):
        alone = with_lost_slots(csi[index, None])[0]
        assert (together[index] - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_a_prediction_from_nearly_all_slots_is_nearly_as_good_as_from_all():
    csi = gaussian_channels(60, seed=5)
    known, target = csi[:, :8], csi[:, 8:]
    lost = torch.zeros(60, 8, dtype=torch.bool)
    lost[torch.arange(60), torch.arange(60) % 8] = True
    errors = [
        (MODEL.predict(seen, 4, 0) - target).abs().square().sum() / target.abs().square().sum()
        for seen in (known, without(known, lost))
    ]
    assert errors[0] < errors[1] < 2 * errors[0]
