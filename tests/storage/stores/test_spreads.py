"""Spreads of known channels."""

import numpy as np
import pytest

from storage.stores.spreads import delay_spread, direction_spread

SPACING = 180e3


def waves(turns, weights, length):
    """(sample, length): sums of waves with these turns from one neighbour to the next, random phases."""
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (50, len(turns)))
    return (np.sqrt(weights) * np.exp(1j * phases)) @ np.exp(2j * np.pi * np.outer(turns, np.arange(length)))


@pytest.mark.parametrize("first", [0.0, 3e-7])
def test_two_paths_of_unlike_power(first):
    """Energy 3 : 1 at two delays that are d apart has the RMS d sqrt(3) / 4, wherever the first one lies."""
    distance = 1 / (512 * SPACING) * 13
    delays = first + np.array([0, distance])
    csi = waves(-delays * SPACING, [3, 1], 513)[:, None, None]
    np.testing.assert_allclose(delay_spread(csi, SPACING), distance * 3**0.5 / 4, rtol=1e-2)


def test_one_path_has_no_spread():
    csi = waves([-0.2], [1], 32)[:, None, None]
    np.testing.assert_allclose(delay_spread(csi, SPACING), 0, atol=1e-13)
    np.testing.assert_allclose(direction_spread(csi.swapaxes(2, 3), (1, 1, 32)), 0, atol=1e-7)


@pytest.mark.parametrize(("array", "order"), [((1, 1, 256), "row"), ((1, 256, 1), "column"), ((2, 1, 256), "both")])
def test_two_directions(array, order):
    csi = waves([0.1, 0.1 + 10 / 255], [1, 1], 256)[:, None, :, None]
    if array[0] == 2:
        csi = np.concatenate([csi, 1j * csi], axis=2)
    np.testing.assert_allclose(direction_spread(csi, array), 5 / 255, rtol=1e-2)


def test_a_single_antenna_has_no_direction():
    assert direction_spread(np.ones((3, 2, 1, 4), complex), (1, 1, 1)) is None


def test_scale_does_not_matter():
    csi = waves([-0.2, -0.22, -0.3], [1, 1, 2], 64)[:, None, None]
    np.testing.assert_allclose(delay_spread(csi * 1e-9, SPACING), delay_spread(csi, SPACING))
