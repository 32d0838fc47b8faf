"""Users move as told: on their lanes and pavements, at their speeds, and never through a wall."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from wavefoundry.errors import InputError
from wavefoundry.twin.options import BUILT_IN_SCENES, Sampling, Traffic
from wavefoundry.twin.street_map import StreetMap, measure_room, survey
from wavefoundry.twin.streets import find_pavements, find_streets, length
from wavefoundry.twin.traffic import drive, simulate, stroll

SAMPLING = Sampling(windows=8, window_interval=0.7, slots=10, slot_duration=1e-3)
CENTRES = {"munich": [8.5, 21.0], "simple_street_canyon": [-33.0, 0.0], "simple_street_canyon_with_cars": [-33.0, 0.0]}


def traffic(**changes) -> Traffic:
    values = {
        "vehicles": 6,
        "pedestrians": 4,
        "vehicle_speed": [5.0, 15.0],
        "pedestrian_speed": [0.5, 2.0],
        "turn_probability": 0.3,
        "vehicle_height": 1.8,
        "pedestrian_height": 1.4,
        "cell_size": 1.0,
        "clearance": 1.0,
        "lane_offset": 2.0,
    }
    return Traffic(**(values | changes))


def crossroads(slope=0.0, half_width=6) -> StreetMap:
    """Two streets that cross at (60, 60); the ground rises with x."""
    is_open = np.zeros((121, 121), bool)
    is_open[60 - half_width : 61 + half_width, 2:119] = is_open[2:119, 60 - half_width : 61 + half_width] = True
    ground = slope * np.arange(121)[:, None] * np.ones((121, 121))
    return StreetMap(
        origin=np.zeros(2),
        cell_size=1.0,
        centre=np.array([60.0, 60.0]),
        radius=1e3,
        clearance=1.0,
        lane_offset=2.0,
        surface=np.where(is_open, ground, ground + 15.0),
        ground=ground,
        open=is_open,
        room=measure_room(is_open, 1.0, 1.0),
    )


def run(street_map, seed=0, sampling=SAMPLING, **changes):
    return simulate(street_map, traffic(**changes), sampling, np.random.default_rng(seed))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    turns=st.floats(0, 1),
    top_speed=st.floats(5, 40),
    slots=st.integers(2, 40),
    slope=st.floats(-0.3, 0.3),
)
def test_nobody_leaves_the_street(seed, turns, top_speed, slots, slope):
    street_map = crossroads(slope)
    sampling = Sampling(windows=6, window_interval=0.7, slots=slots, slot_duration=1e-3)
    trajectories = run(street_map, seed, sampling, turn_probability=turns, vehicle_speed=[5.0, top_speed])
    assert street_map.is_walkable(trajectories.position[..., :2]).all()


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), slope=st.floats(-0.3, 0.3))
def test_speed_is_distance_over_time(seed, slope):
    """Inside a window exactly; from window to window the way is as long as the speed says, straight or longer."""
    trajectories = run(crossroads(slope), seed)
    np.testing.assert_allclose(
        np.linalg.norm(trajectories.velocity, axis=-1), np.tile(trajectories.speed[:, None], (1, 8))
    )
    steps = np.diff(trajectories.position, axis=2) / SAMPLING.slot_duration
    np.testing.assert_allclose(steps, np.broadcast_to(trajectories.velocity[:, :, None], steps.shape), atol=1e-6)
    assert (
        (trajectories.speed[:6] >= 5).all()
        and (trajectories.speed[:6] <= 15).all()
        and (trajectories.speed[6:] <= 2).all()
    )
    leaps = np.linalg.norm(np.diff(trajectories.position[:, :, 0], axis=1), axis=-1)
    farthest = np.broadcast_to(trajectories.speed[:, None] * SAMPLING.window_interval, leaps.shape)
    assert (leaps <= farthest + 1e-9).all()
    # Away from crossings and dead ends vehicles drive straight on: the same distance.
    straight = np.abs(trajectories.velocity[:6, :-1, :2] / trajectories.speed[:6, None, None]).max(-1) > 0.95
    assert np.median((leaps / farthest)[:6][straight]) == pytest.approx(1, abs=0.01)


def test_windows_of_a_user_lie_on_one_way():
    """Windows close in time are stations of one drive: each begins where the last one, driven on, has led."""
    sampling = Sampling(windows=200, window_interval=0.05, slots=2, slot_duration=1e-3)
    street_map = crossroads()
    trajectories = run(street_map, sampling=sampling)
    expected = trajectories.position[:, :-1, 0] + trajectories.velocity[:, :-1] * 0.05
    gap = np.linalg.norm(trajectories.position[:, 1:, 0] - expected, axis=-1)
    assert np.quantile(gap, 0.9) < 0.02 and gap.max() < 2 * trajectories.speed.max() * 0.05
    # Far longer than any street: they have turned round at its end.
    assert (np.ptp(trajectories.position[:, :, 0, :2], axis=1) < 121).all()


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.4, 1.0])
def test_turns_at_a_crossing_are_as_frequent_as_told(probability):
    """Each lane leads straight on, left and right; three standard deviations of a binomial count are allowed."""
    streets, generator = find_streets(crossroads()), np.random.default_rng(1)
    passed = turned = left = 0
    for _ in range(60):
        way = drive(streets, probability, generator, 1500.0)
        # A passage is a visit of the square around the crossing; the ends of the way may lie in it.
        inside = np.abs(way - 60).max(1) < 14
        labels, count = ndimage.label(inside)
        for visit in range(1, count + 1):
            indices = np.flatnonzero(labels == visit)
            if indices[0] < 2 or indices[-1] > len(way) - 3:
                continue
            before, after = way[indices[0]] - way[indices[0] - 2], way[indices[-1] + 2] - way[indices[-1]]
            sine = (before[0] * after[1] - before[1] * after[0]) / np.linalg.norm(before) / np.linalg.norm(after)
            passed, turned, left = passed + 1, turned + (abs(sine) > 0.7), left + (sine > 0.7)
    assert passed > 500
    assert abs(turned - passed * probability) <= 3 * np.sqrt(passed * probability * (1 - probability))
    assert abs(left - turned / 2) <= 3 * np.sqrt(turned / 4)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_vehicles_keep_to_the_right_and_pedestrians_to_the_walls(seed):
    """The walls of the street along x are at y = 53.5 and y = 66.5."""
    trajectories = run(crossroads(), seed, turn_probability=0.0, vehicles=20, pedestrians=20)
    position, velocity = trajectories.position[:, :, 0], trajectories.velocity
    for axis, side in ((0, -1), (1, 1)):
        across = 1 - axis
        # In the street along this axis, away from the crossing and the dead ends, and along it.
        along = np.abs(position[..., axis] - 60)
        chosen = (along > 18) & (along < 48) & (np.abs(position[..., across] - 60) < 7)
        chosen[:20] &= np.abs(velocity[:20, :, across]) < 0.1
        offset = (position[..., across] - 60) * np.sign(velocity[..., axis]) * side
        np.testing.assert_allclose(offset[:20][chosen[:20]], 2.0, atol=0.3)
        wall = 6.5 - np.abs(position[20:, :, across][chosen[20:]] - 60)
        assert (wall >= 1.0).all() and (wall <= 3.0).all()


def test_nobody_starts_where_somebody_else_does():
    start = run(crossroads(), vehicles=150, pedestrians=150).position[:, 0, 0, :2]
    distance = np.linalg.norm(start[:, None] - start, axis=-1)[np.triu_indices(300, 1)]
    # Anywhere on some 1500 m of lanes and pavements, not at the points that they are drawn through.
    assert distance.min() > 0 and (distance < 0.01).sum() < 10


def test_users_follow_the_slope_of_the_ground():
    trajectories = run(crossroads(slope=0.2))
    height = np.repeat([1.8, 1.4], [6, 4])[:, None, None]
    np.testing.assert_allclose(trajectories.position[..., 2], 0.2 * trajectories.position[..., 0] + height, atol=1e-6)
    np.testing.assert_allclose(trajectories.velocity[..., 2], 0.2 * trajectories.velocity[..., 0], atol=1e-6)
    assert (np.abs(trajectories.velocity[..., 2]) > 0.3).any()


def test_who_stands_still_stays():
    trajectories = run(crossroads(), vehicle_speed=[0.0, 0.0])
    assert np.ptp(trajectories.position[:6], axis=(1, 2)).max() == 0 and (trajectories.velocity[:6] == 0).all()


def test_seed_decides():
    street_map = crossroads()
    np.testing.assert_array_equal(run(street_map, 3).position, run(street_map, 3).position)
    assert (run(street_map, 3).position != run(street_map, 4).position).any()


def test_streets_without_room_for_the_traffic_are_refused():
    alley = crossroads(half_width=1)
    with pytest.raises(InputError, match=r"traffic\.vehicles 6: .*no street wide enough.*allowed: 0, less"):
        run(alley)
    with pytest.raises(InputError, match=r"traffic\.pedestrians 4: .*allowed: 0"):
        run(alley, vehicles=0)


def test_windows_too_long_for_the_bends_are_refused():
    slow = Sampling(windows=3, window_interval=20.0, slots=2, slot_duration=9.0)
    with pytest.raises(InputError, match=r"windows of .* m .*too long.*allowed"):
        run(crossroads(), sampling=slow, vehicle_speed=[30.0, 40.0])


@pytest.mark.parametrize("scene", BUILT_IN_SCENES)
def test_nobody_goes_through_a_building(canyon, scene):
    """Every half metre of many ways, against the meshes of the scene themselves."""
    from wavefoundry.twin.scene import load_geometry, mi

    site = canyon(site__scene=scene, site__centre=CENTRES.get(scene, [0.0, 0.0]), site__radius=120.0).site
    street_map, generator = survey(site), np.random.default_rng(0)
    streets, pavements = find_streets(street_map), find_pavements(street_map)
    ways = [drive(streets, 0.5, generator, 200.0) for _ in range(20)]
    ways += [stroll(pavements, generator, 100.0) for _ in range(20)]
    assert min(length(way) for way in ways) >= 100
    points = np.concatenate([way[:400] for way in ways])
    assert np.linalg.norm(points - site.centre, axis=1).max() <= site.radius
    position = np.column_stack([points, street_map.height_at(points) + 1.0])
    geometry = load_geometry(scene).mi_scene
    origin = mi.Point3f(*(mi.Float(axis) for axis in position.T.astype(np.float32)))

    def look(towards):
        ray = mi.Ray3f(origin, mi.Vector3f([float(axis) for axis in towards]))
        return geometry.ray_intersect_preliminary(ray).t.numpy()

    # Open sky above, the ground below, also on the hills of San Francisco.
    assert (np.ptp(position[:, 2]) > 10) == (scene == "san_francisco")
    assert np.isinf(look((0, 0, 1))).all()
    np.testing.assert_allclose(look((0, 0, -1)), 1.0, atol=0.2)
    for turn in np.arange(16) * np.pi / 8:
        direction = np.array([np.cos(turn), np.sin(turn), 0.0])
        near = np.minimum(look(direction), 10.0)
        met = position + near[:, None] * direction
        # Up a slope the ray meets the ground itself.
        wall = met[:, 2] - street_map.height_at(met[:, :2]) > 0.3
        assert near[wall].min() >= site.traffic.clearance
