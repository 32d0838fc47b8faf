"""A whole twin: which link is which, whoever does the work; what is equal between twins; what its summary says."""

import numpy as np
import pytest
from pydantic import ValidationError

from wavefoundry.errors import InputError
from wavefoundry.twin.build import build
from wavefoundry.twin.key_positions import trace
from wavefoundry.twin.street_map import survey
from wavefoundry.twin.summary import why_not_reached
from wavefoundry.twin.traffic import Trajectories

STATIONS = [
    {"position": [-33.0, 0.0, 20.0], "orientation": [0.4, 0.1, -0.2]},
    {"position": [25.0, 2.0, 15.0], "orientation": [0.0, 0.0, 0.0]},
]
USERS = np.zeros(8, bool)


def one_by_one(function, arguments):
    return [function(*one) for one in arguments]


def last_first(function, arguments):
    return [function(*one) for one in arguments[::-1]][::-1]


def built(twin, motion_seed=1, channel_seed=2, map_units=one_by_one):
    return build(twin, USERS, motion_seed, channel_seed, map_units)


def test_links_of_several_base_stations(canyon):
    """A sample is (base station, user, window), in this order, with the paths of that link."""
    twin = canyon(base_stations=STATIONS)
    found = built(twin)
    paths, windows = found.paths, twin.site.sampling.windows
    index = paths["base_station"].values, paths["trajectory"].values, paths["window"].values
    rank = np.ravel_multi_index(index, found.reached.shape)
    assert (np.diff(rank) > 0).all() and set(index[0]) == {0, 1}
    np.testing.assert_array_equal(np.flatnonzero(found.reached), rank)
    np.testing.assert_array_equal(paths["los"].values, found.line_of_sight[index])
    np.testing.assert_array_equal(paths["position"].values, found.trajectories.position[index[1:]])
    assert paths.attrs["windows_total"] == 2 * len(USERS) * windows
    assert paths.attrs["base_station_positions"] == STATIONS[0]["position"] + STATIONS[1]["position"]
    np.testing.assert_array_equal(paths["key_time"].values, paths["time"].values)

    # The direct path is as long as the way from that base station to that user, at every slot.
    seen = np.flatnonzero(paths["los"].values)
    station = np.array([station["position"] for station in STATIONS])[index[0][seen]]
    distance = np.linalg.norm(paths["position"].values[seen] - station[:, None], axis=-1)
    shortest = np.where(paths["valid"].values[seen], paths["delay"].values[seen], np.inf).min(-1)
    np.testing.assert_allclose(shortest[:, 0] * 299792458.0, distance[:, 0], rtol=1e-5)
    alive = np.isfinite(shortest)
    assert (shortest[alive] * 299792458.0 >= distance[alive] * (1 - 1e-5)).all()
    assert (shortest[alive] * 299792458.0 <= distance[alive] * (1 + 1e-5)).mean() > 0.9


def test_snapshots_are_the_first_slots_of_longer_windows(canyon):
    """One slot is traced once; delay and direct path are those with which the window of several slots begins."""
    snapshots, windows = (built(canyon(site__sampling__slots=slots, tracing__diffraction=False)) for slots in (1, 6))
    assert snapshots.paths.sizes["key"] == snapshots.paths.sizes["time"] == 1
    np.testing.assert_array_equal(snapshots.trajectories.position[:, :, 0], windows.trajectories.position[:, :, 0])
    keys = ("base_station", "trajectory", "window")
    shortest = [
        dict(zip(zip(*(one.paths[key].values for key in keys), strict=True), _shortest(one.paths), strict=True))
        for one in (snapshots, windows)
    ]
    assert shortest[0].keys() <= shortest[1].keys() and len(shortest[0]) > 10
    for link, delay in shortest[0].items():
        np.testing.assert_allclose(delay, shortest[1][link], rtol=1e-6)


def _shortest(paths):
    """Shortest delay of each sample at the first key [s], infinite where no path is there yet."""
    return np.where(paths["valid"].values, paths["delay"].values, np.inf).min(-1)[:, 0]


def test_paths_do_not_depend_on_who_traced_them(canyon):
    twin = canyon(base_stations=STATIONS, tracing__users_per_call=7)
    first, again = built(twin), built(twin, map_units=last_first)
    assert first.summary == again.summary
    assert first.paths.identical(again.paths)


def test_equal_sites_have_equal_users(canyon):
    """Other carriers, arrays, base stations and fading: the same users on the same ways."""
    quick = {"tracing__max_depth": 0, "tracing__diffraction": False}
    other = canyon(carrier_frequency=28e9, array__columns=5, base_stations=STATIONS[1:], **quick)
    first, second = built(canyon(**quick)), built(other, channel_seed=77)
    np.testing.assert_array_equal(first.trajectories.position, second.trajectories.position)
    assert (first.trajectories.position != built(canyon(**quick), motion_seed=5).trajectories.position).any()


def test_windows_traced_among_vehicles_are_in_their_place(canyon):
    """Vehicles that are far away change nothing: all links are those of the empty street."""
    plain = canyon(site__sampling__windows=2, tracing__diffraction=False, tracing__users_per_call=3)
    among = canyon(
        site__sampling__windows=2, tracing__diffraction=False, tracing__users_per_call=3, tracing__vehicles_scatter=True
    )
    street_map = survey(plain.site)
    generator = np.random.default_rng(3)
    start = np.stack([generator.uniform(-60, 40, (8, 2)), generator.uniform(-4, 4, (8, 2)), np.full((8, 2), 1.6)], -1)
    # Not on any way of a path, but where the base station can see them.
    start[:5] = [0.0, 0.0, 500.0]
    start[:5, :, 0] += 20 * np.arange(5)[:, None]
    velocity = np.broadcast_to([10.0, 0.0, 0.0], (8, 2, 3))
    times = np.arange(6) * 1e-3
    trajectories = Trajectories(start[:, :, None] + velocity[:, :, None] * times[:, None], velocity, np.full(8, 10.0))
    expected = trace(plain, trajectories, street_map, 2, one_by_one).paths
    found = trace(among, trajectories, street_map, 2, one_by_one).paths
    # The first ten links are the vehicles themselves; the others also see the far vehicles' reflections.
    for link in range(10, 16):
        for key in (0, 5):
            mine, others = (paths.delay[link, key][paths.valid[link, key]] for paths in (expected, found))
            near = others[others < 400 / 3e8]
            np.testing.assert_allclose(np.sort(near), np.sort(mine), rtol=1e-5)


def test_slots_take_the_paths_of_their_grid_point(canyon):
    spacing = 0.05
    twin = canyon(tracing__keys={"kind": "discrete", "spacing": spacing}, site__sampling__windows=1)
    calls = []

    def counting(function, arguments):
        calls.extend(arguments)
        return one_by_one(function, arguments)

    found = built(twin, map_units=counting)
    points = np.concatenate([position for _, _, position, _ in calls])
    # Half a diagonal of the grid away at most, and as high over the ground.
    apart = np.abs(found.trajectories.position.reshape(-1, 1, 3) - points).min(1)
    assert apart[:, :2].max() <= spacing / 2 + 1e-9 and apart[:, 2].max() < 0.02
    paths = found.paths
    assert paths.sizes["key"] == paths.sizes["time"] and (paths["doppler"] == 0).all()
    # Slot by slot the direct path is that of a point nearby, and stays where the user does not leave it.
    seen = np.flatnonzero(paths["los"].values)
    distance = np.linalg.norm(paths["position"].values[seen] - STATIONS[0]["position"], axis=-1)
    shortest = np.where(paths["valid"].values[seen], paths["delay"].values[seen], np.inf).min(-1) * 299792458.0
    assert np.abs(shortest - distance)[np.isfinite(shortest)].max() < spacing
    assert len(np.unique(points, axis=0)) < found.trajectories.position[..., 0].size


def test_unreachable_users_are_refused(canyon):
    # Behind a building, from where the users of a small street are out of sight.
    hidden = [{"position": [47.0, 55.0, 2.0], "orientation": [0.0, 0.0, 0.0]}]
    twin = canyon(base_stations=hidden, site__radius=25.0, tracing__max_depth=0, tracing__diffraction=False)
    with pytest.raises(InputError, match=r"base_stations \[47.0, 55.0, 2.0\]: no path reaches any user"):
        built(twin)


def test_summary_says_why_users_are_not_reached(canyon):
    twin = canyon(base_stations=STATIONS)
    start = np.zeros((10, 1, 1, 3))
    start[:, 0, 0, 0] = STATIONS[0]["position"][0] + np.array([30.0] * 8 + [90.0] * 2)
    start[..., 2] = 20.0
    trajectories = Trajectories(start, np.zeros((10, 1, 3)), np.zeros(10))
    reached = np.zeros((2, 10, 1), bool)
    reached[0, :8] = True
    twin = twin.model_copy(update={"base_stations": twin.base_stations[:1]})
    sentence = why_not_reached(twin, trajectories, reached[:1])["why_not_reached"]
    assert (
        sentence.startswith("20 % of the users")
        and "90 m from the nearest" in sentence
        and "others at 30 m" in sentence
    )
    reached[0, 8:] = True
    assert why_not_reached(twin, trajectories, reached[:1]) == {}


def test_moving_scatterers_on_a_grid_are_refused(canyon):
    with pytest.raises(ValidationError, match="vehicles_scatter must be false"):
        canyon(tracing__keys={"kind": "discrete", "spacing": 1.0}, tracing__vehicles_scatter=True)
