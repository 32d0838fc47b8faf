"""The map of open ground that is found in a scene."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wavefoundry.errors import InputError
from wavefoundry.twin.street_map import find_ground, measure_room, survey

# Middle of a building, of the street along it, of a side street.
BUILDING, STREET, SIDE_STREET = [-45.0, 22.0], [-45.0, 0.0], [-24.0, 25.0]
GROUND, ROOF, OTHER = 0, 1, 2


def test_streets_are_walkable_and_buildings_are_not(canyon):
    street_map = survey(canyon().site)
    np.testing.assert_array_equal(
        street_map.is_walkable(np.array([BUILDING, STREET, SIDE_STREET])), [False, True, True]
    )
    np.testing.assert_allclose(street_map.height_at(np.array([STREET])), -0.03, atol=0.01)


def test_clearance_and_radius_are_kept(canyon):
    """The walls of the street are at y = -8.6 and y = 9.6."""
    site = canyon(site__traffic__clearance=3.0, site__radius=40.0).site
    y = np.linspace(-12, 12, 2401)
    walkable = survey(site).is_walkable(np.stack([np.full_like(y, -45.0), y], axis=-1))
    assert y[walkable].min() >= -8.6 + 3.0 and y[walkable].max() <= 9.6 - 3.0
    # And not much more than the clearance.
    assert y[walkable].min() <= -8.6 + 3.0 + 1.5 and y[walkable].max() >= 9.6 - 3.0 - 1.5
    x = np.linspace(-90, 30, 2401)
    walkable = survey(site).is_walkable(np.stack([x, np.zeros_like(x)], axis=-1))
    np.testing.assert_allclose([x[walkable].min(), x[walkable].max()], [-73.0, 7.0], atol=0.1)


def test_points_off_the_map_are_not_walkable(canyon):
    assert not survey(canyon().site).is_walkable(np.array([[1e4, 0.0], [-1e4, 5.0]])).any()


def test_scene_without_open_ground_is_refused(canyon):
    with pytest.raises(InputError, match=r"centre \[3500.0, 0.0\].*simple_street_canyon"):
        survey(canyon(site__centre=[3500.0, 0.0]).site)
    with pytest.raises(InputError, match="clearance"):
        survey(canyon(site__traffic__clearance=70.0).site)


@settings(max_examples=30)
@given(arrays(bool, (12, 9), elements=st.booleans()), st.sampled_from([0.5, 1.0, 2.0]))
def test_room_is_never_more_than_the_distance_to_a_wall(is_open, cell_size):
    """Whatever is not seen as open may reach as far as the next cell centres around it."""
    room = measure_room(is_open, cell_size, clearance=0.0)
    cells = np.argwhere(np.ones((14, 11), bool)) - 1
    walls = cells[~np.pad(is_open, 1)[tuple((cells + 1).T)]]
    for cell in np.argwhere(room > 0):
        beside = np.maximum(np.abs(walls - cell) - 1, 0)
        assert room[tuple(cell)] <= np.linalg.norm(beside, axis=1).min() * cell_size + 1e-9


def test_only_the_largest_connected_part_has_room():
    is_open = np.zeros((40, 20), bool)
    is_open[2:25, 2:18] = is_open[28:38, 2:18] = True
    room = measure_room(is_open, 1.0, clearance=2.0)
    assert room[12, 10] == 7.0 and (room[26:] < 0).all() and (room[~is_open] < 0).all()


def test_nobody_is_inside_a_wall_even_without_clearance(canyon):
    street_map = survey(canyon(site__traffic__clearance=0.0).site)
    np.testing.assert_array_equal(street_map.is_walkable(np.array([BUILDING, STREET])), [False, True])


def town(slope=0.0):
    """Two blocks, one with a courtyard, on ground that may be sloping; heights [m] and objects."""
    x = np.arange(60)[:, None]
    ground = slope * x + np.zeros((60, 40))
    height, shape = ground.copy(), np.full(ground.shape, GROUND)
    for block in (np.s_[8:26, 8:32], np.s_[34:52, 8:32]):
        height[block], shape[block] = 30.0, ROOF
    height[40:46, 16:24], shape[40:46, 16:24] = ground[40:46, 16:24], GROUND
    return height, shape


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_ground_is_below_the_roofs(slope):
    height, shape = town(slope)
    expected = shape == GROUND
    expected[40:46, 16:24] = False
    np.testing.assert_array_equal(find_ground(height, shape, 1.0), expected)


def test_ground_is_found_whatever_the_objects_are():
    """All merged into one mesh; roads and pavements of their own; a large flat roof; a car even with the street."""
    height, shape = town()
    expected = find_ground(height, shape, 1.0)
    np.testing.assert_array_equal(find_ground(height, np.zeros_like(shape), 1.0), expected)
    roads = np.where((shape == GROUND) & (np.arange(40) < 5), OTHER, shape)
    np.testing.assert_array_equal(find_ground(height, roads, 1.0), expected)
    roof = height.copy()
    roof[6:55, 6:35] = 12.0
    np.testing.assert_array_equal(find_ground(roof, (roof > 0).astype(int), 1.0), roof == 0)
    car, objects = height.copy(), shape.copy()
    car[2:7, 2:4], objects[2:7, 2:4] = [[0.4], [0.9], [1.5], [1.5], [1.5]], OTHER
    found = find_ground(car, objects, 1.0)
    assert not found[2:7, 2:4].any() and found[2:7, 5].all()


def test_where_nothing_rises_there_are_no_streets():
    height = np.zeros((20, 20))
    height[:, 15:] = np.nan
    assert not find_ground(height, np.zeros((20, 20), int), 1.0).any()
