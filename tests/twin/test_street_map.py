"""The map of open ground that is found in a scene."""

import numpy as np
import pytest

from wavefoundry.errors import InputError
from wavefoundry.twin.street_map import survey

# Middle of a building, of the street along it, of a side street.
BUILDING, STREET, SIDE_STREET = [-45.0, 22.0], [-45.0, 0.0], [-24.0, 25.0]


def test_streets_are_walkable_and_buildings_are_not(canyon):
    street_map = survey(canyon())
    np.testing.assert_array_equal(
        street_map.is_walkable(np.array([BUILDING, STREET, SIDE_STREET])), [False, True, True]
    )
    assert not (street_map.walkable & ~street_map.open).any()
    np.testing.assert_allclose(street_map.height(np.array([STREET])), -0.03, atol=0.01)


def test_clearance_and_radius_are_kept(canyon):
    from scipy.ndimage import binary_dilation

    twin = canyon(traffic__clearance=3.0, traffic__radius=40.0)
    street_map = survey(twin)
    cells = np.argwhere(street_map.walkable)
    centres = street_map.origin + cells * street_map.cell_size
    assert np.linalg.norm(centres - twin.base_station.position[:2], axis=1).max() <= 40.0
    three_cells = binary_dilation(~street_map.open, iterations=3)
    assert not (three_cells & street_map.walkable).any()


def test_points_off_the_map_are_not_walkable(canyon):
    assert not survey(canyon()).is_walkable(np.array([[1e4, 0.0], [-1e4, 5.0]])).any()


def test_scene_without_open_ground_is_refused(canyon):
    with pytest.raises(InputError, match=r"base_station\.position"):
        survey(canyon(base_station__position=[5000.0, 0.0, 20.0]))
    with pytest.raises(InputError, match="clearance"):
        survey(canyon(traffic__clearance=70.0))
