"""CSI of paths: the sum of its definition, and what a single path must look like."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.csi.paths import ENTRY, departure, draw_paths, ofdm
from wavefoundry.csi.path_response import cluster_response, frequency_response, path_response, subcarrier_offsets
from wavefoundry.csi.tracks import Evolution


def one_path(delay=6e-7, doppler=120.0, zenith=1.3, azimuth=0.5) -> xr.Dataset:
    dataset = draw_paths(0, 1, 1, 6, 5)
    elements = np.zeros((5, 3))
    elements[:, 1] = np.arange(5) * 0.5
    values = {"delay": delay, "doppler": doppler, "zenith": zenith, "azimuth": azimuth}
    dataset = dataset.assign({name: (ENTRY, np.full((1, 1, 1), value, np.float32)) for name, value in values.items()})
    return dataset.assign_coords(element_position=(("antenna", "xyz"), elements))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4),
    st.integers(1, 2), st.booleans(),
)  # fmt: skip
def test_response_is_the_sum_over_paths(seed, links, paths, slots, antennas, polarisations, moving):
    generator = np.random.default_rng(seed)
    shape = (links, slots if moving else 1, paths)
    gain = generator.normal(size=(links, slots, paths, polarisations, 2)).astype(np.float32).view(np.complex64)[..., 0]
    direction = generator.normal(size=(*shape, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    # A delay changes by no more than a wavelength or so in a window.
    delay = generator.uniform(0, 5e-6, (links, 1, paths)) + generator.uniform(0, 1e-9, shape)
    elements, offsets = generator.uniform(-4, 4, (antennas, 3)), subcarrier_offsets(ofdm(subcarriers=3))
    expected = np.zeros((links, slots, polarisations, antennas, 3), complex)
    for link, path, t, q, n, k in np.ndindex(links, paths, slots, polarisations, antennas, 3):
        s = t if moving else 0
        turns = elements[n] @ direction[link, s, path] - offsets[k] * delay[link, s, path]
        expected[link, t, q, n, k] += gain[link, t, path, q] * np.exp(2j * np.pi * turns)
    evolution = Evolution(*(torch.from_numpy(values) for values in (gain, delay, direction)))
    found = path_response(evolution, torch.from_numpy(elements), torch.from_numpy(offsets))
    assert found.dtype == torch.complex64
    np.testing.assert_allclose(found.numpy(), expected.reshape(found.shape), atol=2e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_clusters_are_summed_with_their_delays(seed, paths):
    generator = np.random.default_rng(seed)
    coefficient = (generator.normal(size=(2, paths, 3, 4)) + 1j * generator.normal(size=(2, paths, 3, 4))).astype("c8")
    delay, offsets = generator.uniform(0, 3e-6, (2, paths)), subcarrier_offsets(ofdm())
    expected = np.einsum("lpnt,lpk->ltnk", coefficient, np.exp(-2j * np.pi * delay[:, :, None] * offsets))
    found = cluster_response(*(torch.from_numpy(values) for values in (coefficient, delay, offsets)))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 3e-6), st.floats(-300, 300), st.floats(0.2, 2.9), st.floats(-1.5, 1.5))
def test_one_path_is_flat_with_linear_phases(delay, doppler, zenith, azimuth):
    section = ofdm(timing_advance=3e-7)
    csi = frequency_response(one_path(delay, doppler, zenith, azimuth), section)[0].numpy().astype(complex)
    np.testing.assert_allclose(np.abs(csi), np.abs(csi[0, 0, 0]), rtol=1e-5)

    def slope(axis, expected_turns):
        ratio = np.diff(np.unwrap(np.angle(csi), axis=axis), axis=axis) / (2 * np.pi)
        difference = ratio - expected_turns
        np.testing.assert_allclose(difference - np.round(difference), 0, atol=1e-5)

    slope(0, np.float32(doppler) * 5e-4)
    slope(1, 0.5 * np.sin(zenith) * np.sin(azimuth))
    # The only path is the first: it arrives at the timing advance.
    slope(2, -180e3 * 3e-7)


def test_subcarrier_grid():
    np.testing.assert_array_equal(subcarrier_offsets(ofdm(subcarriers=4)), np.array([-2, -1, 0, 1]) * 180e3)
    np.testing.assert_array_equal(subcarrier_offsets(ofdm(subcarriers=3)), np.array([-1, 0, 1]) * 180e3)


@pytest.mark.parametrize("keys", [1, 3])
def test_timing_advance_is_one_rotation_of_the_subcarriers(keys):
    data = draw_paths(3, 4, 6, 5, 3, keys, 2)
    early, late = (frequency_response(data, ofdm(timing_advance=advance)) for advance in (0.0, 4e-7))
    rotation = np.exp(-2j * np.pi * subcarrier_offsets(ofdm()) * 4e-7)
    np.testing.assert_allclose(late.numpy(), early.numpy() * rotation, atol=2e-5)


def test_static_response_has_the_power_of_its_paths_on_orthogonal_subcarriers():
    """Paths whose delays are bins of the delay axis are orthogonal over the subcarriers: powers add up."""
    data = draw_paths(5, 3, 4, 2, 2)
    bins = np.array([0, 2, 3, 7]) / (8 * 180e3)
    data["delay"][:] = np.where(data["valid"], bins, 0)
    csi = frequency_response(data, ofdm(timing_advance=0.0)).numpy()
    expected = (np.abs(data["amplitude"].values.astype(complex)) ** 2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose((np.abs(csi.astype(complex)) ** 2).mean(-1)[:, 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("block", [1, 3, 7])
@pytest.mark.parametrize("keys", [1, 2])
def test_blocks_change_nothing_but_rounding(monkeypatch, block, keys):
    data = draw_paths(1, 7, 9, 4, 5, keys)
    whole = frequency_response(data, ofdm())
    monkeypatch.setattr("wavefoundry.csi.path_response.BLOCK", block)
    torch.testing.assert_close(whole, frequency_response(data, ofdm()), rtol=0, atol=2e-6)


def test_directions_of_the_data_set_are_those_of_departure():
    data = draw_paths(8, 1, 1, 2, 4)
    csi = frequency_response(data, ofdm(timing_advance=0.0))[0, 0, :, 0].numpy()
    expected = np.exp(2j * np.pi * data["element_position"].values @ departure(data)[0, 0, 0])
    np.testing.assert_allclose(csi / csi[0], expected / expected[0], atol=1e-5)
