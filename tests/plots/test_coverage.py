"""The picture of a scene shows each window's strongest base station, and is the same every time."""

import numpy as np
import pytest
import xarray as xr

from wavefoundry.plots.scene import best_gain, draw_scene
from wavefoundry.twin.build import Built
from wavefoundry.twin.street_map import StreetMap, measure_room
from wavefoundry.twin.traffic import Trajectories

# (station, user, window) of the samples, and two paths each with two polarisations.
LINKS = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1]])
AMPLITUDE = np.array([1e-4, 2e-5, 5e-5, 3e-5])


@pytest.fixture
def paths() -> xr.Dataset:
    """Paths that keep their power; that of a link is 2 |a|^2."""
    phase = np.exp(1j * np.arange(4 * 3 * 2 * 2).reshape(4, 3, 2, 2))
    return xr.Dataset(
        {
            "amplitude": (("sample", "key", "path", "polarisation"), AMPLITUDE[:, None, None, None] * phase),
            "base_station": (("sample",), LINKS[:, 0]),
            "trajectory": (("sample",), LINKS[:, 1]),
            "window": (("sample",), LINKS[:, 2]),
        },
        attrs={"base_station_positions": [5.0, 20.0, 10.0, 35.0, 20.0, 10.0]},
    )


def test_gain_is_that_of_the_strongest_base_station(paths):
    gain, station = best_gain(paths, (2, 2, 2))
    expected = 10 * np.log10(2 * AMPLITUDE**2)
    np.testing.assert_allclose(gain, [[expected[0], expected[3]], [np.nan, expected[1]]])
    np.testing.assert_array_equal(station, [[0, 1], [0, 0]])


def test_same_twin_gives_the_same_bytes(paths, tmp_path):
    is_open = np.zeros((40, 40), bool)
    is_open[:, 14:27] = True
    height = 5.0 * np.sin(np.arange(40) / 8)[:, None] * np.ones((40, 40))
    street_map = StreetMap(
        origin=np.zeros(2),
        cell_size=1.0,
        centre=np.array([20.0, 20.0]),
        radius=18.0,
        clearance=1.0,
        lane_offset=2.0,
        surface=np.where(is_open, height, height + 12.0),
        ground=height,
        open=is_open,
        room=measure_room(is_open, 1.0, 1.0),
    )
    velocity = np.tile([[[8.0, 0.0, 0.0]]], (2, 2, 1))
    start = np.array([[[8.0, 18.0, 1.5], [16.0, 18.0, 1.5]], [[10.0, 22.0, 1.5], [18.0, 22.0, 1.5]]])
    trajectories = Trajectories(np.repeat(start[:, :, None], 3, axis=2), velocity, np.full(2, 8.0))
    reached = np.zeros((2, 2, 2), bool)
    reached[tuple(LINKS.T)] = True
    built = Built(paths, {}, trajectories, reached, reached & (np.arange(2) == 0), street_map)
    for name in ("one.png", "two.png"):
        draw_scene(built, "town", tmp_path / "figures" / name)
    one, two = ((tmp_path / "figures" / name).read_bytes() for name in ("one.png", "two.png"))
    assert one == two and one.startswith(b"\x89PNG")
