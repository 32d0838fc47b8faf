"""CSI of paths: the sum of its definition, and what a single path must look like."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.csi.config import OFDM
from wavefoundry.csi.path_response import cluster_response, frequency_response, path_response, subcarrier_offsets


def ofdm(**changes) -> OFDM:
    values = {"subcarriers": 8, "subcarrier_spacing": 180e3, "timing_advance": 2e-7, "links_per_call": 100}
    return OFDM(**(values | changes))


def draw(seed: int, links: int, paths: int, times: int, antennas: int) -> xr.Dataset:
    """A paths store of random ray-traced paths, some entries empty."""
    generator = np.random.default_rng(seed)
    shape = (links, paths)
    valid = generator.random(shape) < 0.7
    valid[:, 0] = True
    amplitude = generator.normal(size=shape) + 1j * generator.normal(size=shape)
    path_variables = {
        "amplitude": np.where(valid, amplitude, 0).astype(np.complex64),
        "delay": np.where(valid, generator.uniform(1e-7, 5e-6, shape), 0).astype(np.float32),
        "doppler": np.where(valid, generator.uniform(-400, 400, shape), 0).astype(np.float32),
        "zenith": np.where(valid, generator.uniform(0, np.pi, shape), 0).astype(np.float32),
        "azimuth": np.where(valid, generator.uniform(-np.pi, np.pi, shape), 0).astype(np.float32),
        "valid": valid,
    }
    return xr.Dataset(
        {name: (("sample", "path"), values) for name, values in path_variables.items()},
        coords={
            "time": np.arange(times) * 5e-4,
            "antenna": np.arange(antennas),
            "element_position": (("antenna", "xyz"), generator.uniform(-4, 4, (antennas, 3))),
        },
    )


def one_path(delay=6e-7, doppler=120.0, zenith=1.3, azimuth=0.5) -> xr.Dataset:
    dataset = draw(0, 1, 1, 6, 5)
    elements = np.zeros((5, 3))
    elements[:, 1] = np.arange(5) * 0.5
    values = {"delay": delay, "doppler": doppler, "zenith": zenith, "azimuth": azimuth}
    dataset = dataset.assign(
        {name: (("sample", "path"), np.full((1, 1), value, np.float32)) for name, value in values.items()}
    )
    return dataset.assign_coords(element_position=(("antenna", "xyz"), elements))


def departure(data: xr.Dataset) -> np.ndarray:
    zenith, azimuth = data["zenith"].values.astype(float), data["azimuth"].values.astype(float)
    return np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], -1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
def test_response_is_the_sum_over_paths(seed, links, paths, times, antennas):
    data, offsets = draw(seed, links, paths, times, antennas), subcarrier_offsets(ofdm(subcarriers=3))
    direction = departure(data)
    expected = np.zeros((links, times, antennas, 3), complex)
    for link, path, t, n, k in np.ndindex(links, paths, times, antennas, 3):
        turns = (
            data["doppler"].values[link, path].astype(float) * data["time"].values[t]
            + data["element_position"].values[n] @ direction[link, path]
            - offsets[k] * data["delay"].values[link, path].astype(float)
        )
        expected[link, t, n, k] += data["amplitude"].values[link, path] * np.exp(2j * np.pi * turns)
    found = path_response(
        data["amplitude"].values,
        data["doppler"].values,
        direction,
        data["delay"].values,
        data["time"].values,
        data["element_position"].values,
        offsets,
    )
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_clusters_are_summed_with_their_delays(seed, paths):
    generator = np.random.default_rng(seed)
    coefficient = generator.normal(size=(2, paths, 3, 4)) + 1j * generator.normal(size=(2, paths, 3, 4))
    delay, offsets = generator.uniform(0, 3e-6, (2, paths)), subcarrier_offsets(ofdm())
    expected = np.einsum("lpnt,lpk->ltnk", coefficient, np.exp(-2j * np.pi * delay[:, :, None] * offsets))
    found = cluster_response(coefficient, delay, offsets)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 3e-6), st.floats(-300, 300), st.floats(0.2, 2.9), st.floats(-1.5, 1.5))
def test_one_path_is_flat_with_linear_phases(delay, doppler, zenith, azimuth):
    section = ofdm(timing_advance=3e-7)
    csi = frequency_response(one_path(delay, doppler, zenith, azimuth), section)[0].astype(complex)
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


def test_timing_advance_is_one_rotation_of_the_subcarriers():
    data = draw(3, 4, 6, 5, 3)
    early, late = (frequency_response(data, ofdm(timing_advance=advance)) for advance in (0.0, 4e-7))
    rotation = np.exp(-2j * np.pi * subcarrier_offsets(ofdm()) * 4e-7)
    np.testing.assert_allclose(late, early * rotation, atol=1e-5)
    # Relative delays and Doppler stay: the power of every entry is that without any shift.
    direction = departure(data)
    unshifted = path_response(
        data["amplitude"].values,
        data["doppler"].values,
        direction,
        data["delay"].values,
        data["time"].values,
        data["element_position"].values,
        subcarrier_offsets(ofdm()),
    )
    np.testing.assert_allclose(np.abs(early), np.abs(unshifted), atol=1e-5)


@pytest.mark.parametrize("links_per_call", [1, 3, 7])
def test_chunking_changes_nothing(links_per_call):
    data = draw(1, 7, 9, 4, 5)
    whole, parts = (frequency_response(data, ofdm(links_per_call=size)) for size in (100, links_per_call))
    np.testing.assert_array_equal(whole, parts)
