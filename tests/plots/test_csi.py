"""Profiles of CSI: a single path shows as a peak where it is."""

import numpy as np
import pytest

from wavefoundry.plots.csi import draw_csi, power_profiles

SLOT, SPACING = 1e-3, 200e3


def path(delay, turns, doppler, array_shape=(2, 2, 8), slots=16, subcarriers=32):
    """CSI of one path: delay [s], turns from antenna to antenna along a row, Doppler shift [Hz]."""
    polarisations, rows, columns = array_shape
    time = np.exp(2j * np.pi * doppler * np.arange(slots) * SLOT)
    antenna = np.tile(np.exp(2j * np.pi * turns * np.arange(columns)), polarisations * rows)
    subcarrier = np.exp(-2j * np.pi * delay * (np.arange(subcarriers) - subcarriers // 2) * SPACING)
    return (time[:, None, None] * antenna[:, None] * subcarrier)[None]


@pytest.mark.parametrize(("bin_", "turns", "doppler"), [(3, 0.25, 125.0), (0, -0.375, -250.0)])
def test_a_path_is_where_it_is(bin_, turns, doppler):
    delay = bin_ / (32 * SPACING)
    profiles = power_profiles(path(delay, turns, doppler), (2, 2, 8), (SLOT, SPACING))
    peaks = [positions[np.argmax(power)] for positions, power in profiles.values()]
    np.testing.assert_allclose(peaks, [delay * 1e6, turns, doppler], atol=1e-9)
    for positions, power in profiles.values():
        assert (np.diff(positions) > 0).all() and power.max() / power.sum() > 0.999


def test_samples_weigh_the_same():
    loud, quiet = path(0.0, 0.0, 0.0), 1e-6 * path(10 / (32 * SPACING), 0.0, 0.0)
    power = power_profiles(np.concatenate([loud, quiet]), (2, 2, 8), (SLOT, SPACING))["delay in µs"][1]
    np.testing.assert_allclose(power[0], power[10])


def test_the_picture_repeats_to_the_byte(tmp_path):
    csi = np.concatenate([path(1e-6, 0.1, 50.0), 0.1 * path(2e-6, -0.2, 10.0)])
    for name in ("one.png", "other.png"):
        draw_csi(csi, (2, 2, 8), (SLOT, SPACING), "two paths", tmp_path / "new" / name)
    first, second = ((tmp_path / "new" / name).read_bytes() for name in ("one.png", "other.png"))
    assert first == second and first.startswith(b"\x89PNG")
