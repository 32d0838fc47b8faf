"""Streets are found from the map, with lanes on their right sides that lead on at crossings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from wavefoundry.twin.street_map import StreetMap, measure_room
from wavefoundry.twin.streets import find_pavements, find_streets, length

CLEARANCE, LANE_OFFSET = 1.0, 2.0


def ground_map(is_open: np.ndarray, slope=0.0, radius=1e3, clearance=CLEARANCE) -> StreetMap:
    """Cells of 1 m; cell [i, j] has its centre at (i, j)."""
    ground = slope * np.arange(len(is_open))[:, None] * np.ones(is_open.shape)
    return StreetMap(
        origin=np.zeros(2),
        cell_size=1.0,
        centre=np.array(is_open.shape) / 2,
        radius=radius,
        clearance=clearance,
        lane_offset=LANE_OFFSET,
        surface=np.where(is_open, ground, ground + 15.0),
        ground=ground,
        open=is_open,
        room=measure_room(is_open, 1.0, clearance),
    )


def elbow() -> np.ndarray:
    """One street, 13 m wide, along y = 15 up to x = 85 and from there up along x = 85."""
    is_open = np.zeros((100, 100), bool)
    is_open[5:92, 9:22] = is_open[79:92, 9:95] = True
    return is_open


def crossroads() -> np.ndarray:
    """Two streets, 13 m wide, that cross at (60, 60)."""
    is_open = np.zeros((121, 121), bool)
    is_open[54:67, 2:119] = is_open[2:119, 54:67] = True
    return is_open


def headings(way: np.ndarray) -> np.ndarray:
    step = np.diff(way, axis=0)
    return np.arctan2(step[:, 1], step[:, 0])


def test_an_elbow_is_one_street_with_a_lane_on_either_side():
    streets = find_streets(ground_map(elbow()))
    assert len(streets.middle) == 1 and len(streets.lanes) == 2
    (middle,) = streets.middle
    assert length(middle) == pytest.approx(70 + 70, abs=15)
    along, up = middle[(middle[:, 0] > 20) & (middle[:, 0] < 70)], middle[(middle[:, 1] > 30) & (middle[:, 1] < 80)]
    np.testing.assert_allclose(along[:, 1], 15, atol=0.5)
    np.testing.assert_allclose(up[:, 0], 85, atol=0.5)


def test_traffic_keeps_to_the_right():
    """Eastwards below the middle line, northwards beyond it, by the lane offset."""
    for lane in find_streets(ground_map(elbow())).lanes:
        east, north = lane[-1] - lane[0] > 0
        straight = lane[(lane[:, 0] > 30) & (lane[:, 0] < 65) & (lane[:, 1] < 30)]
        np.testing.assert_allclose(straight[:, 1], 15 - LANE_OFFSET if east else 15 + LANE_OFFSET, atol=0.3)
        straight = lane[(lane[:, 1] > 35) & (lane[:, 1] < 75)]
        np.testing.assert_allclose(straight[:, 0], 85 + LANE_OFFSET if north else 85 - LANE_OFFSET, atol=0.3)


def test_dead_ends_lead_back_on_the_other_lane():
    streets = find_streets(ground_map(elbow()))
    for one, turns in enumerate(streets.turns):
        (turn,) = turns
        assert turn.lane == 1 - one and abs(turn.angle) == pytest.approx(np.pi, abs=0.2)
        # To the left, as one does where traffic keeps to the right.
        way = np.concatenate([streets.lanes[one][-2:], turn.way, streets.lanes[turn.lane][:2]])
        turned = np.unwrap(headings(way))
        assert turned[-1] - turned[0] == pytest.approx(np.pi, abs=0.2)


def test_crossing_leads_from_each_lane_into_the_three_other_streets():
    streets = find_streets(ground_map(crossroads()))
    assert len(streets.middle) == 4 and len(streets.lanes) == 8
    inward = [lane for lane, way in enumerate(streets.lanes) if np.linalg.norm(way[-1] - 60) < 20]
    assert len(inward) == 4
    for lane in inward:
        angles = sorted(turn.angle for turn in streets.turns[lane])
        np.testing.assert_allclose(angles, [-np.pi / 2, 0, np.pi / 2], atol=0.15)
        for turn in streets.turns[lane]:
            assert np.linalg.norm(streets.lanes[turn.lane][0] - 60) < 20


def test_lanes_of_a_narrow_street_are_nearer_to_its_middle():
    """Between walls 7 m apart, with a clearance of 1 m, there is no room for lanes 4 m apart."""
    is_open = np.zeros((80, 21), bool)
    is_open[2:78, 7:14] = True
    streets = find_streets(ground_map(is_open))
    assert len(streets.lanes) == 2
    distance = np.abs(np.concatenate(streets.lanes)[:, 1] - 10)
    assert distance.max() <= 3.5 - CLEARANCE and 0.3 < np.median(distance) < LANE_OFFSET


def test_alleys_are_for_pedestrians_only():
    is_open = np.zeros((80, 21), bool)
    is_open[2:78, 8:13] = True
    street_map = ground_map(is_open, clearance=1.6)
    assert not find_streets(street_map).lanes and find_pavements(street_map)


def test_streets_end_where_the_site_ends():
    street_map = ground_map(crossroads(), radius=40.0)
    streets = find_streets(street_map)
    ways = [*streets.lanes, *(turn.way for turns in streets.turns for turn in turns), *find_pavements(street_map)]
    distance = np.linalg.norm(np.concatenate(ways) - street_map.centre, axis=1)
    assert 37 < distance.max() <= 40
    assert all(streets.turns)


def test_pavements_follow_the_walls_and_not_the_edge_of_the_scene():
    is_open = np.ones((80, 80), bool)
    is_open[30:50, 30:50] = is_open[:15] = False
    street_map = ground_map(is_open, radius=35.0)
    street_map.surface[:15] = np.nan
    assert find_pavements(street_map)
    for way in find_pavements(street_map):
        np.testing.assert_array_equal(way[0], way[-1])
        outside = np.maximum(np.maximum(29.5 - way, way - 49.5), 0)
        distance = np.linalg.norm(outside, axis=1)
        assert distance.min() >= CLEARANCE and distance.max() <= CLEARANCE + 3


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), radius=st.floats(20, 60))
def test_every_way_is_walkable_and_leads_on(seed, radius):
    """Towns of random blocks of about 14 m with streets and squares of random widths between them."""
    generator = np.random.default_rng(seed)
    blocks = generator.choice(3, size=(6, 6), p=generator.dirichlet([4, 1, 1])).astype(float)
    street_map = ground_map(ndimage.zoom(blocks, 14, order=1) < 1, radius=radius)
    streets = find_streets(street_map)
    assert len(streets.turns) == len(streets.lanes)
    for lane, turns in zip(streets.lanes, streets.turns, strict=True):
        assert turns
        for turn in turns:
            way = np.concatenate([lane, turn.way, streets.lanes[turn.lane]])
            assert np.linalg.norm(np.diff(way, axis=0), axis=1).max() < 1.0
            assert street_map.is_walkable(densely(way)).all()
    for pavement in find_pavements(street_map):
        assert street_map.is_walkable(densely(pavement)).all()


def densely(way: np.ndarray) -> np.ndarray:
    """The way with points in between."""
    between = np.linspace(0, 1, 5)[:, None, None]
    return ((1 - between) * way[:-1] + between * way[1:]).reshape(-1, 2)
