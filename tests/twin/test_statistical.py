"""Drops of TR 38.901: where users are, what their channels weigh, and that seeds repeat."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from wavefoundry.twin.build import build
from wavefoundry.twin.statistical import HALF_SECTOR, drop

torch.set_num_threads(1)


def gain_db(built):
    coefficient = built.paths["coefficient"].values.astype(complex)
    return 10 * np.log10((np.abs(coefficient) ** 2).sum(1).mean(axis=(1, 2)))


def test_users_are_in_the_sector_at_constant_velocity(drop_twin):
    twin = drop_twin(users=500)
    tracks = drop(twin, np.random.default_rng(0))
    start = tracks.position[:, 0, 0]
    distance = np.hypot(start[:, 0], start[:, 1])
    assert distance.min() >= 50 and distance.max() <= 250
    assert np.abs(np.arctan2(start[:, 1], start[:, 0])).max() <= HALF_SECTOR
    # Uniform over the area: the squared distance is uniform.
    np.testing.assert_allclose((distance**2).mean(), (50**2 + 250**2) / 2, rtol=0.06)
    np.testing.assert_allclose(np.linalg.norm(tracks.velocity[:, 0], axis=1), tracks.speed)
    steps = np.diff(tracks.position[:, 0], axis=1) / twin.slot_duration
    np.testing.assert_allclose(steps, np.broadcast_to(tracks.velocity, steps.shape), atol=1e-6)


def test_shapes_and_flags(drop_twin):
    for flag in (False, True):
        built = build(drop_twin(line_of_sight=flag), seed=5)
        coefficient = built.paths["coefficient"]
        assert coefficient.dims == ("sample", "path", "antenna", "time")
        assert coefficient.shape[0] == 25 and coefficient.shape[2:] == (6, 4)
        assert coefficient.dtype == np.complex64
        assert (built.paths["los"].values == flag).all()
        valid = built.paths["valid"].values
        assert (coefficient.values[~valid] == 0).all() and (built.paths["delay"].values[~valid] == 0).all()
        assert valid.any(1).all() and built.paths["delay"].values.max() < 1e-4


def test_mean_gain_is_the_path_loss_of_the_model(drop_twin):
    twin = drop_twin(users=400, users_per_call=200, distance=[199.0, 201.0], array__rows=1, array__columns=1)
    blocked = gain_db(build(twin, seed=1))
    seen = gain_db(build(twin.model_copy(update={"line_of_sight": True}), seed=1))
    distance = np.hypot(200.0, twin.base_station_height - twin.user_height)
    # TR 38.901 Table 7.4.1-1, UMa, in dB.
    frequency = 20 * np.log10(twin.carrier_frequency / 1e9)
    path_loss = 13.54 + 39.08 * np.log10(distance) + frequency
    free = 28.0 + 22 * np.log10(distance) + frequency
    # 400 users with 6 dB of shadowing: 0.3 dB standard error; fading of the sum takes a little more.
    assert abs(blocked.mean() + path_loss) < 2.5
    assert abs(seen.mean() + free) < 2.5
    assert 4 < blocked.std() < 8.5


@pytest.mark.parametrize("model", ["umi", "rma"])
def test_other_models(drop_twin, model):
    built = build(drop_twin(model=model, users=6), seed=2)
    assert built.paths.sizes["sample"] == 6 and np.isfinite(gain_db(built)).all()


def test_seeds_repeat_to_the_bit(drop_twin):
    first, again, other = (build(drop_twin(), seed=seed).paths for seed in (7, 7, 8))
    for name in first.variables:
        np.testing.assert_array_equal(first[name].values, again[name].values)
    assert (first["coefficient"].values != other["coefficient"].values).any()


def test_impossible_drops_are_refused(drop_twin):
    with pytest.raises(ValidationError, match=r"TR 38\.901 uma holds from 10 to 5000 m"):
        drop_twin(distance=[2.0, 100.0])
    with pytest.raises(ValidationError, match="user_height"):
        drop_twin(model="rma", user_height=15.0)
