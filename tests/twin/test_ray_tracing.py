"""Traced paths are those of physics, and CSI made of them is sionna-rt's own."""

import pickle

import numpy as np
import pytest
import torch

from wavefoundry.csi.options import OFDM
from wavefoundry.csi.path_response import frequency_response, path_response
from wavefoundry.csi.tracks import Tracks, evolve
from wavefoundry.errors import InputError
from wavefoundry.twin.array import element_positions, from_sionna_order, rotation_matrix
from wavefoundry.twin.dataset import ray_traced_dataset
from wavefoundry.twin.key_positions import trace
from wavefoundry.twin.ray_tracing import Vehicles, trace_links, trace_points
from wavefoundry.twin.traffic import Trajectories as Motion

SPEED_OF_LIGHT = 299792458.0
WAVELENGTH = SPEED_OF_LIGHT / 3.5e9
# On the axis of the canyon, round the corner, behind the base station.
START = np.array([[10.0, 0.5, 1.5], [25.0, -30.0, 1.5], [-70.0, -6.0, 1.5], [-10.0, 50.0, 1.5]])
VELOCITY = np.array([[12.0, 3.0, 0.0], [-5.0, 8.0, 0.0], [0.0, -14.0, 0.5], [1.0, 1.0, 0.0]])
STATION = np.array([-33.0, 0.0, 20.0])
# Both ends polarised alike, the same in all directions; only the direct path.
PLAIN = {"base_stations__0__orientation": [0.0, 0.0, 0.0], "array__pattern": "iso", "tracing__diffraction": False}


def one_by_one(function, arguments):
    return (function(*one) for one in arguments)


def key_positions(twin, start=START, velocity=VELOCITY):
    times = np.array(twin.key_slots()) * twin.site.sampling.slot_duration
    return start[:, None] + velocity[:, None] * times[:, None]


def traced(twin, start=START, velocity=VELOCITY, vehicles=None, seed=1):
    return trace_links(twin, 0, twin.key_slots(), key_positions(twin, start, velocity), velocity, seed, vehicles)


def directions(paths):
    zenith, azimuth = paths.zenith.astype(float), paths.azimuth.astype(float)
    return np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=-1)


def motion(start, velocity, twin):
    """One window for each user."""
    times = np.arange(twin.site.sampling.slots) * twin.site.sampling.slot_duration
    position = start[:, None] + velocity[:, None] * times[:, None]
    return Motion(position[:, None], velocity[:, None], np.linalg.norm(velocity, axis=-1))


def test_csi_equals_that_of_sionna(canyon):
    from wavefoundry.twin.scene import load_radio_scene, mi, rt

    twin = canyon(array__polarisation="cross")
    array, sampling = twin.array, twin.site.sampling
    offsets = (np.arange(7) - 3) * 400e3
    scene = load_radio_scene(twin, twin.base_stations[0])
    spacing = {"vertical_spacing": array.spacing, "horizontal_spacing": array.spacing}
    scene.tx_array = rt.PlanarArray(
        num_rows=array.rows, num_cols=array.columns, pattern=array.pattern, polarization="cross", **spacing
    )
    for index, (position, velocity) in enumerate(zip(START.tolist(), VELOCITY.tolist(), strict=True)):
        scene.add(rt.Receiver(str(index), mi.Point3f(position), velocity=mi.Vector3f(velocity)))
    found = rt.PathSolver()(
        scene,
        max_depth=twin.tracing.max_depth,
        samples_per_src=twin.tracing.samples_per_source,
        refraction=False,
        diffraction=True,
        seed=1,
    )
    expected = found.cfr(
        frequencies=mi.Float(offsets.tolist()),
        sampling_frequency=1 / sampling.slot_duration,
        num_time_steps=sampling.slots,
        normalize_delays=False,
        out_type="numpy",
    )
    # (rx, rx antenna, tx, tx antenna, time, subcarrier) -> (link, time, antenna, subcarrier)
    expected = expected[:, 0, 0][:, from_sionna_order(array)].swapaxes(1, 2)

    paths = traced(twin).paths
    assert (paths.valid.sum(2) > 3).all()
    # Of the first key alone, from which sionna-rt goes on by the Doppler shifts.
    values = (paths.amplitude, paths.delay.astype(float), paths.doppler.astype(float), directions(paths), paths.valid)
    tracks = Tracks(*(torch.from_numpy(value[:, :1]) for value in values))
    times = torch.arange(sampling.slots, dtype=torch.float64) * sampling.slot_duration
    evolution = evolve(tracks, torch.zeros(1, dtype=torch.float64), times, twin.carrier_frequency)
    elements = torch.from_numpy(element_positions(array)[:6])
    ours = path_response(evolution, elements, torch.from_numpy(offsets)).numpy()
    error = np.linalg.norm((ours - expected).reshape(4, -1), axis=1) / np.linalg.norm(expected.reshape(4, -1), axis=1)
    assert error.max() <= 1e-4
    # The comparison says something: the channel does change over time, antennas and subcarriers.
    for axis in (1, 2, 3):
        assert np.abs(np.diff(expected, axis=axis)).max() > 0.05 * np.abs(expected).max()


def test_line_of_sight_path_at_every_key(canyon):
    # Turned around the vertical only: both ends stay polarised alike.
    twin = canyon(**PLAIN | {"base_stations__0__orientation": [0.4, 0.0, 0.0], "tracing__max_depth": 0})
    found = traced(twin)
    seen, paths = np.flatnonzero(found.line_of_sight), found.paths
    assert len(seen) >= 2 and not found.line_of_sight.all()
    np.testing.assert_array_equal(paths.valid.sum(2), np.repeat(found.line_of_sight[:, None], 2, axis=1))

    way = key_positions(twin)[seen] - STATION
    distance = np.linalg.norm(way, axis=-1)
    np.testing.assert_allclose(paths.delay[seen, :, 0], distance / SPEED_OF_LIGHT, rtol=1e-6)
    # Free space: lambda / (4 pi d), and the phase of the carrier over the way.
    gain = WAVELENGTH / (4 * np.pi * distance) * np.exp(-2j * np.pi * distance / WAVELENGTH)
    np.testing.assert_allclose(np.abs(paths.amplitude[seen, :, 0, 0]), np.abs(gain), rtol=1e-3)
    assert np.abs(np.angle(paths.amplitude[seen, :, 0, 0] / gain)).max() < 0.02
    # Towards the base station the frequency rises.
    doppler = -(VELOCITY[seen][:, None] * way).sum(-1) / distance / WAVELENGTH
    np.testing.assert_allclose(paths.doppler[seen, :, 0], doppler, atol=0.2)
    local = (way / distance[..., None]) @ rotation_matrix(twin.base_stations[0].orientation)
    np.testing.assert_allclose(directions(paths)[seen, :, 0], local, atol=1e-5)


def test_reflections_are_those_of_the_image_method(canyon):
    """User and base station stand in a street between two walls, on a floor."""
    from wavefoundry.twin.scene import load_geometry

    # Walls of building 4 (north) and building 6 (south) of sionna-rt's street canyon.
    boxes = {name: item.mi_mesh.bbox() for name, item in load_geometry("simple_street_canyon").objects.items()}
    north, south, floor = boxes["building_4"].min.y, boxes["building_6"].max.y, boxes["floor"].max.z
    station, user = np.array([-5.0, 1.0, 8.0]), np.array([[5.0, -3.0, 1.5]])
    velocity = np.array([[3.0, 4.0, 0.0]])
    twin = canyon(**PLAIN | {"base_stations__0__position": station.tolist(), "tracing__max_depth": 1})
    paths = traced(twin, user, velocity).paths
    images = np.array([station] * 4)
    images[1, 1], images[2, 1], images[3, 2] = 2 * north - station[1], 2 * south - station[1], 2 * floor - station[2]

    way = key_positions(twin, user, velocity)[0, :, None] - images
    distance = np.linalg.norm(way, axis=-1)
    order = np.argsort(distance[0])
    mine = np.argsort(np.where(paths.valid[0, 0], paths.delay[0, 0], np.inf))[:4]
    assert (paths.valid[0].sum(-1) == 4).all()
    np.testing.assert_allclose(paths.delay[0][:, mine], distance[:, order] / SPEED_OF_LIGHT, rtol=1e-6)
    doppler = -(way @ velocity[0]) / distance / WAVELENGTH
    np.testing.assert_allclose(paths.doppler[0][:, mine], doppler[:, order], atol=0.05)
    # A wall gives back less than it gets.
    gain = np.abs(paths.amplitude[0, :, mine, 0]).T * 4 * np.pi * distance[:, order] / WAVELENGTH
    assert (gain[:, 1:] < 1).all() and (gain[:, 1:] > 0.05).all()
    # The departure is mirrored with the image.
    expected = (way / distance[..., None])[:, order]
    expected = np.where(np.abs(images[order] - station) > 0, -expected, expected)
    np.testing.assert_allclose(directions(paths)[0][:, mine], expected, atol=1e-4)


def test_reciprocity(canyon):
    """With the ends swapped, paths have the same delays and gains."""
    ends = np.array([[-20.0, 3.0, 9.0], [12.0, -4.0, 2.0]])
    spectra = []
    for station, user in (ends, ends[::-1]):
        twin = canyon(**PLAIN | {"base_stations__0__position": station.tolist(), "tracing__max_depth": 3})
        paths = traced(twin, user[None], np.zeros((1, 3))).paths
        order = np.argsort(paths.delay[0, 0][paths.valid[0, 0]])
        spectra.append([values[0, 0][paths.valid[0, 0]][order] for values in (paths.delay, paths.amplitude[..., 0])])
    assert len(spectra[0][0]) >= 10
    np.testing.assert_allclose(spectra[0][0], spectra[1][0], rtol=1e-6)
    np.testing.assert_allclose(np.abs(spectra[0][1]), np.abs(spectra[1][1]), rtol=2e-3)


def test_tracks_move_on_by_their_doppler_shift(canyon):
    twin = canyon()
    paths = traced(twin).paths
    both = paths.valid.all(1)
    assert both.sum() > 0.95 * paths.valid.any(1).sum()
    first, last = (np.moveaxis(np.where(both[:, None], values, 0), 1, 0) for values in (paths.delay, paths.doppler))
    duration = twin.key_slots()[-1] * twin.site.sampling.slot_duration
    turns = last.astype(float).mean(0) * duration
    change = paths.amplitude[:, 1, :, 0] * paths.amplitude[:, 0, :, 0].conj() * np.exp(-2j * np.pi * turns)
    strong = both & (np.abs(paths.amplitude[:, 0, :, 0]) > 0.03 * np.abs(paths.amplitude[:, 0, :1, 0]))
    assert np.abs(np.angle(change[strong])).max() < 2 * np.pi * 0.02
    np.testing.assert_allclose((first[1].astype(float) - first[0])[both], -turns[both] / 3.5e9, atol=0.01 / 3.5e9)
    # Doppler is bounded by the speed.
    bound = np.linalg.norm(VELOCITY, axis=1) / WAVELENGTH
    assert (np.abs(paths.doppler) <= bound[:, None, None] * (1 + 1e-5)).all()


def test_csi_between_keys_is_that_of_every_slot(canyon):
    """Traced at the first and last of 16 slots, users at 30 m/s: within -25 dB of tracing them all."""
    generator = np.random.default_rng(2)
    users = 12
    start = np.stack([generator.uniform(-70, 50, users), generator.uniform(-5, 5, users), np.full(users, 1.5)], axis=-1)
    velocity = np.zeros((users, 3))
    velocity[:, 0], velocity[:, 1] = (
        np.where(generator.random(users) < 0.5, 29.7, -29.7),
        generator.uniform(-3, 3, users),
    )
    ofdm = OFDM(subcarriers=8, subcarrier_spacing=1e6, timing_advance=2e-7, links_per_call=100)

    def csi(keys):
        sampling = {"windows": 1, "window_interval": 0.5, "slots": 16, "slot_duration": 5e-4}
        twin = canyon(site__sampling=sampling, tracing__keys=keys, tracing__users_per_call=64)
        tracks = motion(start, velocity, twin)
        return frequency_response(ray_traced_dataset(twin, tracks, trace(twin, tracks, Flat(), 1, one_by_one), 1), ofdm)

    every = csi({"kind": "continuous", "interval": 1})

    def nmse(found):
        return float(((found - every).abs() ** 2).sum((1, 2, 3)).div((every.abs() ** 2).sum((1, 2, 3))).mean())

    assert nmse(csi({"kind": "continuous", "interval": 15})) <= 10**-2.5
    # The grid does not see the phase turn.
    assert nmse(csi({"kind": "discrete", "spacing": 0.5})) > 0.5


class Flat:
    """Ground at height 0."""

    def height_at(self, points):
        return np.zeros(points.shape[:-1])


def test_path_that_ends_at_the_edge_of_a_shadow(canyon):
    """The user comes round a corner: the direct path is there at one key only, in or out of the shadow."""
    twin = canyon(**PLAIN | {"tracing__max_depth": 0})
    # Building 4 hides what is behind its corner; the ray from the base station through the corner ...
    corner = np.array([16.0025, 9.57156])
    edge = STATION[:2] + (corner - STATION[:2]) * 1.3
    # ... is crossed half-way between the keys, out of the shadow and into it.
    duration = twin.key_slots()[-1] * twin.site.sampling.slot_duration
    velocity = np.array([[0.0, -20.0, 0.0], [0.0, 20.0, 0.0]])
    start = np.append(edge, 1.5) - velocity * duration / 2
    found = traced(twin, start, velocity)
    np.testing.assert_array_equal(found.paths.valid[:, :, 0], [[False, True], [True, False]])
    np.testing.assert_array_equal(found.line_of_sight, [False, True])
    np.testing.assert_array_equal(found.paths.delay > 0, found.paths.valid)


def test_edge_of_a_shadow_is_sharp(canyon):
    """Traced at the first and the last of 16 slots, the direct path ends within two slots of where it does."""
    sampling = {"windows": 1, "window_interval": 0.5, "slots": 16, "slot_duration": 5e-4}
    twin = canyon(**PLAIN | {"tracing__max_depth": 0, "site__sampling": sampling, "tracing__keys__interval": 15})
    edge = STATION[:2] + (np.array([16.0025, 9.57156]) - STATION[:2]) * 1.3
    velocity = np.array([[0.0, 20.0, 0.0]])
    for slot in (3.5, 9.5):
        start = np.append(edge, 1.5)[None] - velocity * slot * 5e-4
        paths = trace(twin, motion(start, velocity, twin), Flat(), 1, one_by_one).paths
        amplitude = np.abs(paths.amplitude[0, :, 0, 0])
        before, after = np.arange(16) <= slot - 2, np.arange(16) >= slot + 2
        np.testing.assert_allclose(amplitude[before], amplitude[0], rtol=1e-2)
        assert (amplitude[after] == 0).all() and not paths.valid[0, after].any()


def test_reflection_by_a_driving_vehicle(canyon):
    """Base station and user beside each other, a car drives away: its echo has twice its Doppler shift."""
    station, user = np.array([-10.0, 0.0, 0.4]), np.array([[-10.0, 1.0, 0.4]])
    vehicle, velocity = np.array([[8.0, 0.5, -0.03]]), np.array([[12.0, 0.0, 0.0]])
    twin = canyon(**PLAIN | {"base_stations__0__position": station.tolist(), "tracing__max_depth": 1})
    vehicles = Vehicles(key_positions(twin, vehicle, velocity), velocity)
    still = np.zeros((1, 3))
    paths, without = traced(twin, user, still, vehicles).paths, traced(twin, user, still).paths
    # The model of a car reaches 2.2 m behind its middle; the echo is mirrored at that plane.
    image = np.stack([2 * (vehicles.position[0, :, 0] - 2.2) - station[0], np.zeros(2), np.full(2, 0.4)], axis=-1)
    way = user - image
    distance = np.linalg.norm(way, axis=-1)
    echo = np.flatnonzero(np.abs(paths.delay[0, 0] - distance[0] / SPEED_OF_LIGHT) * SPEED_OF_LIGHT < 0.05)
    assert len(echo) == 1 and paths.valid[0, :, echo[0]].all()
    np.testing.assert_allclose(paths.delay[0, :, echo[0]], distance / SPEED_OF_LIGHT, atol=0.02 / SPEED_OF_LIGHT)
    towards = -way[:, 0] / distance
    np.testing.assert_allclose(paths.doppler[0, :, echo[0]], -2 * 12.0 * np.abs(towards) / WAVELENGTH, rtol=1e-3)
    # Metal: as much comes back as from a mirror.
    mirrored = WAVELENGTH / (4 * np.pi * distance)
    np.testing.assert_allclose(np.abs(paths.amplitude[0, :, echo[0], 0]), mirrored, rtol=0.02)
    # All else stands still, also when the car has been taken out of the scene again.
    assert (without.doppler == 0).all() and without.valid.sum() < paths.valid.sum()


def test_power_of_two_polarisations(canyon):
    """Slanted elements share the power of the direct path; a horizontal one does not see a vertical antenna."""
    power = {}
    for polarisation in ("V", "VH", "cross"):
        twin = canyon(**PLAIN | {"tracing__max_depth": 0, "array__polarisation": polarisation})
        found = traced(twin)
        power[polarisation] = np.abs(found.paths.amplitude[found.line_of_sight, 0, 0]) ** 2
    np.testing.assert_allclose(power["VH"][:, :1], power["V"], rtol=1e-4)
    assert (power["VH"][:, 1] < 1e-6 * power["VH"][:, 0]).all()
    np.testing.assert_allclose(power["cross"], np.repeat(power["V"] / 2, 2, axis=1), rtol=1e-4)


def test_strongest_paths_come_first_and_the_rest_is_cut(canyon):
    found, few = traced(canyon()), traced(canyon(tracing__max_paths=3))
    energy = found.paths.power.sum(1)
    assert (np.diff(energy, axis=1) <= 0).all()
    np.testing.assert_array_equal(found.paths.power > 0, found.paths.valid)
    np.testing.assert_array_equal(few.paths.amplitude, found.paths.amplitude[:, :, :3])
    np.testing.assert_allclose(found.power_kept, 1)
    np.testing.assert_allclose(few.power_kept, energy[:, :3].sum(1) / energy.sum(1), rtol=1e-5)


def test_bits_repeat_and_do_not_depend_on_the_calls_before(canyon):
    twin = canyon()
    first = traced(twin)
    traced(twin, START + 1.0, -VELOCITY)
    again = traced(pickle.loads(pickle.dumps(twin)))
    single = [traced(twin, START[[link]], VELOCITY[[link]]) for link in range(4)]
    for name, values in vars(first.paths).items():
        np.testing.assert_array_equal(values, getattr(again.paths, name))
        alone = np.concatenate([getattr(one.paths, name) for one in single])
        if values.dtype.kind in "bi":
            np.testing.assert_array_equal(values, alone)
        else:
            np.testing.assert_allclose(values, alone, rtol=1e-4, atol=1e-7)


def test_points_are_traced_as_users_that_stand_still(canyon):
    twin = canyon()
    points, users = trace_points(twin, 0, START, 1), traced(twin, START, np.zeros((4, 3)))
    np.testing.assert_array_equal(points.line_of_sight, users.line_of_sight)
    assert (points.paths.doppler == 0).all()
    np.testing.assert_array_equal(points.paths.valid.sum(2)[:, 0], users.paths.valid[:, 0].sum(1))


def test_vehicles_higher_than_their_antennas_are_refused(canyon):
    twin = canyon(site__traffic__vehicle_height=1.4, tracing__vehicles_scatter=True)
    with pytest.raises(InputError, match=r"vehicle_height 1.4 m.*roofs"):
        trace(twin, motion(START, VELOCITY, twin), Flat(), 1, one_by_one)


def test_carrier_outside_the_materials_is_refused(canyon):
    with pytest.raises(InputError, match="carrier_frequency"):
        traced(canyon(carrier_frequency=500e9))
