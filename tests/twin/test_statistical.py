"""Drops of TR 38.901: where users are, and that their channels have the statistics of the report.

Tables are those of TR 38.901 V19.2, 7.4.1-1 (path loss) and 7.5-6 (spreads, K-factor, cross-polarisation).
"""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.constants import speed_of_light
from scipy.special import j0

from wavefoundry.csi.options import OFDM
from wavefoundry.csi.path_response import cluster_response, subcarrier_offsets
from wavefoundry.twin.array import element_positions
from wavefoundry.twin.options import StatisticalTwin
from wavefoundry.twin.statistical import HALF_SECTOR, collect, drop, generate, units

CARRIER = 2.4e9
# Base station over users at 1.5 m [m] (TR 38.901 Table 7.2-1 to 7.2-3).
HEIGHT = {"umi": 10.0, "uma": 25.0, "rma": 35.0, "inh": 3.0}
SINGLE = {"rows": 1, "columns": 1, "spacing": 0.5, "pattern": "iso", "polarisation": "V"}


def twin(**changes) -> StatisticalTwin:
    values = {
        "kind": "tr38901",
        "model": "uma",
        "line_of_sight": False,
        "carrier_frequency": CARRIER,
        "array": SINGLE,
        "base_station_height": HEIGHT.get(changes.get("model", "uma"), 8.0),
        "user_height": 1.5,
        "users": 200,
        "area": {"kind": "sector", "distance": [50.0, 250.0]},
        "speed": [2.0, 14.0],
        "test_speeds": None,
        "slots": 2,
        "slot_duration": 5e-4,
        "users_per_call": 100,
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
    }
    return StatisticalTwin.model_validate(values | changes)


def place(twin, seed=0):
    return drop(twin, np.zeros(twin.users, bool), np.random.default_rng(seed))


def channels(twin, seed=0):
    trajectories = place(twin, seed)
    return trajectories, collect((generate(*unit) for unit in units(twin, trajectories, seed)), twin.users)


def power(clusters):
    """(link, antenna), mean over time of the sum over paths."""
    return (np.abs(clusters.coefficient.astype(complex)) ** 2).sum(1).mean(-1)


def decibel(ratio):
    return 10 * np.log10(ratio)


def direct(twin, trajectories):
    """Unit vectors (link, 3) from the users to the base station."""
    vector = [0.0, 0.0, twin.base_station_height] - trajectories.position[:, 0, 0]
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)


def direct_amplitude(twin, trajectories, clusters):
    """(link, antenna): what rotates with the Doppler shift of the direct path, averaged over the window."""
    doppler = (trajectories.velocity[:, 0] * direct(twin, trajectories)).sum(1) * CARRIER / speed_of_light
    time = np.arange(twin.slots) * twin.slot_duration
    taper = np.hanning(twin.slots) / np.hanning(twin.slots).sum()
    return np.einsum("lat,lt->la", clusters.coefficient[:, 0], taper * np.exp(-2j * np.pi * doppler[:, None] * time))


def test_users_are_in_the_sector_at_constant_velocity():
    sector = twin(users=500, slots=4)
    trajectories = place(sector)
    start = trajectories.position[:, 0, 0]
    distance = np.hypot(start[:, 0], start[:, 1])
    assert distance.min() >= 50 and distance.max() <= 250
    assert np.abs(np.arctan2(start[:, 1], start[:, 0])).max() <= HALF_SECTOR
    # Uniform over the area: the squared distance is uniform.
    np.testing.assert_allclose((distance**2).mean(), (50**2 + 250**2) / 2, rtol=0.06)
    np.testing.assert_allclose(np.linalg.norm(trajectories.velocity[:, 0], axis=1), trajectories.speed)
    steps = np.diff(trajectories.position[:, 0], axis=1) / sector.slot_duration
    np.testing.assert_allclose(steps, np.broadcast_to(trajectories.velocity, steps.shape), atol=1e-6)


def test_users_are_on_a_ring_around_the_spot():
    spot = twin(users=500, area={"kind": "spot", "centre_distance": 200.0, "radius": [20.0, 50.0]})
    offset = place(spot).position[:, 0, 0, :2] - [200.0, 0.0]
    radius = np.linalg.norm(offset, axis=1)
    assert radius.min() >= 20 and radius.max() <= 50
    np.testing.assert_allclose((radius**2).mean(), (20**2 + 50**2) / 2, rtol=0.06)
    np.testing.assert_allclose(offset.mean(0), 0, atol=6)


def test_test_users_take_their_speeds_in_turn():
    speeds = [3.0, 30.0, 300.0]
    test_users = np.arange(40) % 4 == 1
    some, none = twin(users=40, test_speeds=speeds), twin(users=40)
    trajectories, free = (drop(one, test_users, np.random.default_rng(3)) for one in (some, none))
    np.testing.assert_array_equal(trajectories.speed[test_users], np.resize(speeds, 10))
    np.testing.assert_array_equal(trajectories.speed[~test_users], free.speed[~test_users])
    np.testing.assert_array_equal(trajectories.position[:, 0, 0], free.position[:, 0, 0])
    np.testing.assert_allclose(np.linalg.norm(trajectories.velocity[:, 0], axis=1), trajectories.speed)


def test_impossible_drops_are_refused():
    with pytest.raises(ValidationError, match=r"distance \[2\.0, 100\.0\] m: TR 38\.901 uma holds from 10 to 5000 m"):
        twin(area={"kind": "sector", "distance": [2.0, 100.0]})
    with pytest.raises(ValidationError, match="distance"):
        twin(area={"kind": "spot", "centre_distance": 40.0, "radius": [0.0, 35.0]})
    with pytest.raises(ValidationError, match="user_height"):
        twin(model="rma", user_height=15.0)
    with pytest.raises(ValidationError, match="distance"):
        twin(model="inh")


def test_a_unit_does_not_depend_on_the_others():
    drops = twin(users=25, users_per_call=10, array=SINGLE | {"columns": 3})
    trajectories = place(drops)
    calls = units(drops, trajectories, seed=5)
    assert [len(call[1]) for call in calls] == [10, 10, 5]
    forward, backward = [generate(*call) for call in calls], [generate(*call) for call in calls[::-1]][::-1]
    for one, other in zip(forward, backward, strict=True):
        for name in vars(one):
            np.testing.assert_array_equal(vars(one)[name], vars(other)[name])
    again = units(drops, trajectories, seed=6)[0]
    assert (generate(*again).coefficient != forward[0].coefficient).any()
    assert (forward[0].coefficient != forward[1].coefficient).any()


@pytest.mark.parametrize(
    ("model", "line_of_sight"),
    [("umi", True), ("rma", False), ("inh", False), ("inf_sl", True), ("inf_dl", False), ("inf_sh", False)],
)
def test_shapes_and_flags(model, line_of_sight):
    area = {"kind": "sector", "distance": [10.0, 60.0]}
    drops = twin(model=model, line_of_sight=line_of_sight, users=7, users_per_call=5, area=area)
    clusters = channels(drops)[1]
    coefficient, delay, valid = clusters.coefficient, clusters.delay, clusters.valid
    assert coefficient.shape == (*valid.shape, 1, 2) and len(coefficient) == 7
    assert coefficient.dtype == np.complex64 and delay.dtype == np.float32
    assert (coefficient[~valid] == 0).all() and (delay[~valid] == 0).all()
    assert valid.any(1).all() and 0 < delay.max() < 1e-4 and np.isfinite(decibel(power(clusters))).all()


@pytest.mark.parametrize(
    ("model", "line_of_sight", "path_loss", "shadowing"),
    [
        # Constant, factor of log10(distance), factor of log10(GHz); all closer than the breakpoint.
        ("uma", False, (13.54, 39.08, 20.0), 6.0),
        ("uma", True, (28.0, 22.0, 20.0), 4.0),
        ("umi", False, (22.4, 35.3, 21.3), 7.82),
        ("umi", True, (32.4, 21.0, 20.0), 4.0),
    ],
)
def test_mean_gain_is_the_path_loss_of_the_model(model, line_of_sight, path_loss, shadowing):
    area = {"kind": "sector", "distance": [99.0, 101.0]}
    drops = twin(model=model, line_of_sight=line_of_sight, users=400, users_per_call=200, area=area)
    gain = decibel(power(channels(drops)[1])[:, 0])
    distance = np.hypot(100.0, drops.base_station_height - drops.user_height)
    expected = np.dot(path_loss, [1.0, np.log10(distance), np.log10(CARRIER / 1e9)])
    # Standard error of 400 users: at most 0.4 dB; fading of the sum takes a little more.
    assert abs(gain.mean() + expected) < 1.5
    assert abs(gain.std() - shadowing) < 1.5


def test_dual_polarised_ports_share_the_power():
    """A vertical user: the other port gets the cross-polarised part, slanted ports half of both (eq. 7.5-22)."""
    single, both = SINGLE, {"rows": 2, "columns": 2}
    vertical, horizontal = (
        power(channels(twin(array=single | {"polarisation": one}, users=400))[1]).mean() for one in "VH"
    )
    pair = power(channels(twin(array=single | both | {"polarisation": "VH"}, users=400))[1]).mean(0)
    slanted = power(channels(twin(array=single | both | {"polarisation": "cross"}, users=400))[1]).mean(0)
    # XPR of UMa NLoS: normal in dB, mean 7, deviation 3.
    decibels = np.log(10) / 10
    cross_polarised = np.exp(-7 * decibels + (3 * decibels) ** 2 / 2)
    assert pair.shape == slanted.shape == (8,)
    np.testing.assert_allclose(horizontal / vertical, cross_polarised, rtol=0.1)
    np.testing.assert_allclose(pair[4:].mean() / pair[:4].mean(), cross_polarised, rtol=0.1)
    np.testing.assert_allclose(slanted[4:].mean() / slanted[:4].mean(), 1, rtol=0.1)
    np.testing.assert_allclose(slanted.sum() / pair.sum(), 1, rtol=0.1)


@pytest.mark.parametrize(("model", "k_factor"), [("uma", 9.0), ("umi", 9.0), ("rma", 7.0), ("inh", 7.0)])
def test_ricean_k_factor(model, k_factor):
    area = {"kind": "sector", "distance": [20.0, 100.0]}
    drops = twin(model=model, line_of_sight=True, slots=200, users=100, speed=[30.0, 30.0], area=area)
    trajectories, clusters = channels(drops)
    seen = np.abs(direct_amplitude(drops, trajectories, clusters)[:, 0]) ** 2
    rest = np.maximum(power(clusters)[:, 0] - seen, 1e-3 * seen)
    # The table's deviation of 3.5 to 5 dB is 0.5 dB for 100 users; rays beside the direct path count as part of it.
    assert abs(np.median(decibel(seen / rest)) - k_factor) < 2


# Delay, angle, Doppler


@pytest.mark.parametrize(
    ("model", "line_of_sight", "mean", "deviation"),
    [
        ("umi", True, -7.28 - 0.18 * np.log10(1 + 2.4), 0.39),
        ("umi", False, -6.87 - 0.22 * np.log10(1 + 2.4), 0.22 + 0.19 * np.log10(1 + 2.4)),
        # UMa takes 6 GHz for carriers below it, and so does InH.
        ("uma", True, -7.067 - 0.0794 * np.log10(6), 0.57 + 0.026 * np.log10(6)),
        ("uma", False, -6.47 - 0.134 * np.log10(6), 0.39),
        ("rma", True, -7.49, 0.55),
        ("rma", False, -7.43, 0.48),
        ("inh", True, -7.692 - 0.01 * np.log10(1 + 6), 0.18),
        ("inh", False, -7.173 - 0.28 * np.log10(1 + 6), 0.055 + 0.1 * np.log10(1 + 6)),
    ],
)
def test_delay_spread(model, line_of_sight, mean, deviation):
    area = {"kind": "sector", "distance": [20.0, 100.0]}
    clusters = channels(twin(model=model, line_of_sight=line_of_sight, users=600, users_per_call=300, area=area))[1]
    weight = (np.abs(clusters.coefficient.astype(complex)) ** 2).mean((2, 3))
    weight /= weight.sum(1, keepdims=True)
    centred = clusters.delay - (weight * clusters.delay).sum(1, keepdims=True)
    spread = np.log10(np.sqrt((weight * centred**2).sum(1)))
    # The power of each cluster is shadowed (eq. 7.5-5), which takes a little off the drawn spread.
    assert abs(spread.mean() - mean) < 0.12
    assert abs(spread.std() - deviation) < 0.12


@pytest.mark.parametrize(("model", "mean"), [("uma", 1.09), ("umi", 1.54 - 0.24 * np.log10(1 + 2.4)), ("rma", 0.95)])
def test_angle_spread_of_departure(model, mean):
    """Seen by a line of 64 antennas in front of users that are straight ahead."""
    array = SINGLE | {"columns": 64}
    area = {"kind": "spot", "centre_distance": 300.0, "radius": [0.0, 20.0]}
    clusters = channels(twin(model=model, array=array, area=area, users=150, users_per_call=50))[1]
    bins = 1024
    spectrum = np.fft.fft(clusters.coefficient * np.hanning(64)[:, None], bins, axis=2)
    weight = (np.abs(spectrum) ** 2).sum((1, 3))
    sine = 2 * np.fft.fftfreq(bins)
    azimuth = np.arcsin(sine)
    # Circular spread (TR 38.901 annex A).
    centre = (weight * np.exp(1j * azimuth)).sum(1) / weight.sum(1)
    spread = np.degrees(np.sqrt(-2 * np.log(np.abs(centre))))
    # Deviations up to 0.45 are 0.04 for 150 users.
    assert abs(np.log10(spread).mean() - mean) < 0.12


def test_time_correlation_is_that_of_clarke():
    """Many users, each in a random direction, low zenith spread: J0(2 pi f_d tau)."""
    area = {"kind": "sector", "distance": [500.0, 1000.0]}
    drops = twin(model="rma", users=600, users_per_call=300, slots=24, speed=[20.0, 20.0], area=area)
    response = channels(drops)[1].coefficient[:, :, 0].sum(1)
    response = response / np.sqrt((np.abs(response) ** 2).mean(1, keepdims=True))
    for lag in range(24):
        found = (response[:, lag:] * response[:, : 24 - lag].conj()).mean()
        expected = j0(2 * np.pi * 20.0 * CARRIER / speed_of_light * lag * drops.slot_duration)
        assert abs(found - expected) < 0.08, f"lag {lag}: {found} instead of {expected}"


@pytest.mark.parametrize("line_of_sight", [False, True])
def test_no_doppler_beyond_the_speed(line_of_sight):
    drops = twin(line_of_sight=line_of_sight, users=60, users_per_call=30, slots=256, speed=[5.0, 40.0])
    trajectories, clusters = channels(drops)
    response = clusters.coefficient[:, :, 0].sum(1) * np.blackman(256)
    spectrum = np.abs(np.fft.fft(response, axis=1)) ** 2
    frequency = np.fft.fftfreq(256, drops.slot_duration)
    # The main lobe of the window is three bins wide on each side.
    bound = trajectories.speed[:, None] * CARRIER / speed_of_light + 3 * frequency[1]
    beyond = (spectrum * (np.abs(frequency) > bound)).sum(1) / spectrum.sum(1)
    assert beyond.max() < 1e-4


def test_direct_path_crosses_the_array_as_a_plane_wave():
    """Phases over a planar array: order of antennas, sign of angles, sign of Doppler."""
    array = {"rows": 2, "columns": 3, "spacing": 0.6, "pattern": "iso", "polarisation": "VH"}
    area = {"kind": "sector", "distance": [20.0, 60.0]}
    motion = {"slots": 120, "speed": [40.0, 40.0], "area": area}
    drops = twin(model="uma", line_of_sight=True, users=40, users_per_call=40, array=array, **motion)
    trajectories, clusters = channels(drops)
    found = direct_amplitude(drops, trajectories, clusters)[:, :6]
    steering = np.exp(-2j * np.pi * direct(drops, trajectories) @ element_positions(drops.array)[:6].T)
    match = np.abs((found * steering.conj()).sum(1)) / np.linalg.norm(found, axis=1) / np.sqrt(6)
    # The users with the least direct power, or with rays beside the direct path, are left out.
    assert np.quantile(match, 0.2) > 0.99


def test_bands_are_cuts_of_one_channel():
    """Frequency division: 96 subcarriers hold the band of the uplink and, next to it, that of the downlink."""
    numerology = {"subcarrier_spacing": 180e3, "timing_advance": 0.0, "links_per_call": 1}
    clusters = channels(twin(users=5, users_per_call=5))[1]
    delay, coefficient = torch.from_numpy(clusters.delay.astype(float)), torch.from_numpy(clusters.coefficient)
    narrow, wide = (torch.from_numpy(subcarrier_offsets(OFDM(subcarriers=count, **numerology))) for count in (48, 96))
    both = cluster_response(coefficient, delay, wide)
    # Both entries have their carrier on subcarrier number K // 2.
    torch.testing.assert_close(both[..., 24:72], cluster_response(coefficient, delay, narrow))
    # The halves are the narrow entry on carriers 24 subcarriers below and above.
    for half, shift in ((both[..., :48], -24), (both[..., 48:], 24)):
        turns = torch.exp(-2j * torch.pi * shift * 180e3 * delay)[:, :, None, None]
        moved = cluster_response((coefficient * turns).to(torch.complex64), delay, narrow)
        assert (half - moved).abs().max() < 1e-5 * both.abs().max()
