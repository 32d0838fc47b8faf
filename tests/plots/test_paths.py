"""The animation has a frame for each window that the user was reached in, and the same bytes again."""

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from wavefoundry.errors import InputError
from wavefoundry.plots.paths import animate_paths


@pytest.fixture
def paths():
    """User 4 reached in two windows by station 1 and in one by station 0, at the second key only in one of them."""
    generator = np.random.default_rng(0)
    valid = generator.random((4, 2, 5)) < 0.8
    valid[1, 0] = False
    amplitude = generator.normal(size=(4, 2, 5, 2)) + 1j * generator.normal(size=(4, 2, 5, 2))
    keys = ("sample", "key", "path")
    values = {name: (keys, np.where(valid, generator.random((4, 2, 5)), 0)) for name in ("delay", "doppler", "azimuth")}
    return xr.Dataset(
        {
            "amplitude": ((*keys, "polarisation"), np.where(valid[..., None], amplitude, 0)),
            "valid": (keys, valid),
            "trajectory": ("sample", [4, 4, 4, 2]),
            "base_station": ("sample", [0, 1, 1, 1]),
            "window": ("sample", [0, 2, 1, 0]),
            "position": (("sample", "time", "xyz"), generator.normal(size=(4, 3, 3))),
            **values,
        },
        attrs={"base_station_positions": [0.0, 0.0, 10.0, 5.0, 5.0, 10.0]},
    )


def test_frames_and_bytes(tmp_path, paths):
    for name in ("one", "two"):
        animate_paths(paths, 4, "user 4", tmp_path / name / "paths.gif")
    one, two = ((tmp_path / name / "paths.gif").read_bytes() for name in ("one", "two"))
    assert one == two
    with Image.open(tmp_path / "one" / "paths.gif") as picture:
        assert picture.n_frames == 2


def test_user_without_a_path_is_refused(tmp_path, paths):
    with pytest.raises(InputError, match="user 3"):
        animate_paths(paths, 3, "user 3", tmp_path / "paths.gif")
