"""Users move as told and never through a wall."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.errors import InputError
from wavefoundry.twin.config import Sampling, Traffic
from wavefoundry.twin.street_map import StreetMap, survey
from wavefoundry.twin.traffic import simulate


def traffic(**changes) -> Traffic:
    values = {
        "vehicles": 6,
        "pedestrians": 4,
        "vehicle_speed": [5.0, 15.0],
        "pedestrian_speed": [0.5, 2.0],
        "turn_probability": 0.3,
        "user_height": 1.5,
        "radius": 100.0,
        "cell_size": 1.0,
        "clearance": 1.0,
    }
    return Traffic(**(values | changes))


SAMPLING = Sampling(windows=8, window_interval=0.7, slots=10, slot_duration=1e-3)


def plain_map(walkable: np.ndarray, slope=0.0) -> StreetMap:
    ground = slope * np.arange(walkable.shape[0])[:, None] * np.ones(walkable.shape)
    return StreetMap(np.array([-20.0, 5.0]), 1.0, walkable, walkable, ground)


def crossing() -> np.ndarray:
    """Two streets, 9 m wide, that cross."""
    walkable = np.zeros((80, 80), bool)
    walkable[35:44] = walkable[:, 20:29] = True
    return walkable


def run(street_map, seed=0, sampling=SAMPLING, **changes):
    return simulate(street_map, traffic(**changes), sampling, np.random.default_rng(seed))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), turns=st.floats(0, 1), top_speed=st.floats(5, 25))
def test_nobody_leaves_the_street(seed, turns, top_speed):
    street_map = plain_map(crossing())
    tracks = run(street_map, seed, turn_probability=turns, vehicle_speed=[5.0, top_speed])
    assert street_map.is_walkable(tracks.position[..., :2]).all()


def test_speed_is_constant_and_motion_uniform_inside_a_window():
    tracks = run(plain_map(crossing(), slope=0.1))
    np.testing.assert_allclose(np.linalg.norm(tracks.velocity, axis=-1), np.tile(tracks.speed[:, None], (1, 8)))
    steps = np.diff(tracks.position, axis=2) / SAMPLING.slot_duration
    np.testing.assert_allclose(steps, np.broadcast_to(tracks.velocity[:, :, None], steps.shape), atol=1e-6)
    assert (tracks.speed[:6] >= 5).all() and (tracks.speed[6:] <= 2).all()


def test_nobody_covers_more_than_the_speed_allows():
    tracks = run(plain_map(crossing()))
    leaps = np.linalg.norm(np.diff(tracks.position[:, :, 0, :2], axis=1), axis=-1)
    assert (leaps <= tracks.speed[:, None] * SAMPLING.window_interval * (1 + 1e-9)).all()
    assert (leaps > 0).any(axis=1).all()


def test_without_turns_an_open_field_is_crossed_straight():
    tracks = run(plain_map(np.ones((400, 400), bool)), turn_probability=0.0, vehicle_speed=[1.0, 1.0])
    ways = np.diff(tracks.position[:, :, 0, :2], axis=1)
    np.testing.assert_allclose(ways, np.tile(ways[:, :1], (1, 7, 1)), atol=1e-9)


def test_turns_happen_where_a_street_is_open():
    straight, turning = (run(plain_map(crossing()), turn_probability=chance) for chance in (0.0, 1.0))

    def turned(tracks):
        heading = np.unwrap(np.arctan2(tracks.velocity[..., 1], tracks.velocity[..., 0]), axis=1)
        return (np.abs(np.diff(heading, axis=1)) > 0.7).mean()

    assert turned(turning) > turned(straight)


def test_users_follow_the_slope_of_the_ground():
    tracks = run(plain_map(crossing(), slope=0.2))
    expected = 0.2 * (tracks.position[..., 0] + 20.0) + 1.5
    np.testing.assert_allclose(tracks.position[..., 2], expected, atol=0.05)


def test_seed_decides():
    street_map = plain_map(crossing())
    np.testing.assert_array_equal(run(street_map, 3).position, run(street_map, 3).position)
    assert (run(street_map, 3).position != run(street_map, 4).position).any()


def test_speed_that_does_not_fit_is_refused():
    slow = Sampling(windows=3, window_interval=20.0, slots=2, slot_duration=9.0)
    with pytest.raises(InputError, match="no room"):
        run(plain_map(np.ones((6, 6), bool)), sampling=slow, vehicle_speed=[30.0, 40.0])


@pytest.mark.parametrize("scene, station", [("simple_street_canyon", [-33.0, 0.0, 20.0]),
                                            ("san_francisco", [0.0, 0.0, 120.0])])  # fmt: skip
def test_nobody_is_inside_a_building_of_a_scene(canyon, scene, station):
    from wavefoundry.twin.scene import load_geometry, mi

    twin = canyon(scene=scene, base_station__position=station, traffic__vehicles=40)
    tracks = simulate(survey(twin), twin.traffic, twin.sampling, np.random.default_rng(0))
    position = tracks.position.reshape(-1, 3)
    geometry = load_geometry(scene).mi_scene

    def distance(towards):
        origin = mi.Point3f(*(mi.Float(axis) for axis in position.T.astype(np.float32)))
        direction = mi.Vector3f([float(axis) for axis in towards])
        return geometry.ray_intersect(mi.Ray3f(origin, direction)).t.numpy()

    # Open sky above, the ground at the height of the user below, no wall nearer than the clearance.
    assert np.isinf(distance((0, 0, 1))).all()
    np.testing.assert_allclose(distance((0, 0, -1)), twin.traffic.user_height, atol=0.6)
    walls = np.min([distance((np.cos(turn), np.sin(turn), 0)) for turn in np.arange(8) * np.pi / 4], axis=0)
    if scene == "simple_street_canyon":
        assert walls.min() > twin.traffic.clearance - np.sqrt(2) * twin.traffic.cell_size / 2
    horizontal = np.linalg.norm(position[:, :2] - station[:2], axis=1)
    assert horizontal.max() <= twin.traffic.radius + twin.traffic.cell_size
