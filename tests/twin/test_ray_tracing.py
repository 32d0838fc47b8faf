"""Traced paths are those of physics, and CSI made of them is sionna-rt's own."""

from dataclasses import fields

import numpy as np
import pytest

from wavefoundry.csi.path_response import path_response
from wavefoundry.errors import InputError
from wavefoundry.twin.array import element_positions, from_sionna_order, rotation_matrix
from wavefoundry.twin.build import build
from wavefoundry.twin.ray_tracing import concatenate, trace

SPEED_OF_LIGHT = 299792458.0
# On the axis of the canyon, round the corner, behind the base station.
POSITION = np.array([[10.0, 0.5, 1.5], [25.0, -30.0, 1.5], [-70.0, -6.0, 1.5], [-10.0, 50.0, 1.5]])
VELOCITY = np.array([[12.0, 3.0, 0.0], [-5.0, 8.0, 0.0], [0.0, -14.0, 0.5], [1.0, 1.0, 0.0]])


def traced(twin, seed=1):
    return concatenate(list(trace(twin, POSITION, VELOCITY, seed)))


def directions(paths):
    zenith, azimuth = paths.zenith.astype(float), paths.azimuth.astype(float)
    return np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=-1)


def test_csi_equals_that_of_sionna(canyon):
    from wavefoundry.twin.scene import load_radio_scene, mi, rt

    twin = canyon()
    array, sampling = twin.base_station.array, twin.sampling
    offsets = (np.arange(7) - 3) * 400e3

    scene = load_radio_scene(twin)
    spacing = {"vertical_spacing": array.spacing, "horizontal_spacing": array.spacing}
    scene.tx_array = rt.PlanarArray(
        num_rows=array.rows, num_cols=array.columns, pattern=array.pattern, polarization="V", **spacing
    )
    for index, (position, velocity) in enumerate(zip(POSITION.tolist(), VELOCITY.tolist(), strict=True)):
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

    paths = traced(twin)
    assert (paths.valid.sum(1) > 3).all()
    times = np.arange(sampling.slots) * sampling.slot_duration
    ours = path_response(
        paths.amplitude, paths.doppler, directions(paths), paths.delay, times, element_positions(array), offsets
    )
    error = np.linalg.norm((ours - expected).reshape(4, -1), axis=1) / np.linalg.norm(expected.reshape(4, -1), axis=1)
    assert error.max() <= 1e-4
    # The comparison says something: the channel does change over time, antennas and subcarriers.
    for axis in (1, 2, 3):
        assert np.abs(np.diff(expected, axis=axis)).max() > 0.05 * np.abs(expected).max()


def test_line_of_sight_path(canyon):
    # Turned around the vertical only: both ends stay polarised alike.
    station = {"base_station__orientation": [0.4, 0.0, 0.0], "base_station__array__pattern": "iso"}
    twin = canyon(tracing__max_depth=0, tracing__diffraction=False, **station)
    paths = traced(twin)
    seen = np.flatnonzero(paths.line_of_sight)
    assert len(seen) >= 2 and not paths.line_of_sight.all()
    way = POSITION[seen] - np.array(twin.base_station.position)
    distance = np.linalg.norm(way, axis=1)
    wavelength = SPEED_OF_LIGHT / twin.carrier_frequency
    np.testing.assert_array_equal(paths.valid.sum(1), paths.line_of_sight)
    np.testing.assert_allclose(paths.delay[seen, 0], distance / SPEED_OF_LIGHT, rtol=1e-6)
    np.testing.assert_allclose(np.abs(paths.amplitude[seen, 0]), wavelength / (4 * np.pi * distance), rtol=1e-3)
    # Towards the base station the frequency rises.
    doppler = -(VELOCITY[seen] * way).sum(1) / distance / wavelength
    np.testing.assert_allclose(paths.doppler[seen, 0], doppler, atol=0.2)
    local = (way / distance[:, None]) @ rotation_matrix(twin.base_station.orientation)
    np.testing.assert_allclose(directions(paths)[seen, 0], local, atol=1e-5)


def test_strongest_paths_come_first_and_the_rest_is_cut(canyon):
    paths, few = traced(canyon()), traced(canyon(tracing__max_paths=3))
    power = np.abs(paths.amplitude) ** 2
    assert (np.diff(power, axis=1) <= 0).all()
    assert (power[~paths.valid] == 0).all() and (power[paths.valid] > 0).all()
    np.testing.assert_array_equal(few.amplitude, paths.amplitude[:, :3])
    np.testing.assert_allclose(paths.power_kept, 1)
    np.testing.assert_allclose(few.power_kept, power[:, :3].sum(1) / power.sum(1), rtol=1e-5)


def test_doppler_is_bounded_by_the_speed(canyon):
    twin = canyon()
    bound = np.linalg.norm(VELOCITY, axis=1) * twin.carrier_frequency / SPEED_OF_LIGHT
    assert (np.abs(traced(twin).doppler) <= bound[:, None] * (1 + 1e-5)).all()


def test_bits_repeat_and_do_not_depend_on_the_calls(canyon):
    first, again, single = traced(canyon()), traced(canyon()), traced(canyon(tracing__users_per_call=1))
    for field in fields(first):
        values = getattr(first, field.name)
        np.testing.assert_array_equal(values, getattr(again, field.name))
        if values.dtype == bool:
            np.testing.assert_array_equal(values, getattr(single, field.name))
        else:
            np.testing.assert_allclose(values, getattr(single, field.name), rtol=1e-4, atol=1e-7)


def test_unreachable_scene_is_refused(canyon):
    inside = {"base_station__position": [-45.0, 22.0, 5.0], "tracing__diffraction": False}
    with pytest.raises(InputError, match="no path reaches any user"):
        build(canyon(**inside), seed=1)


def test_carrier_outside_the_materials_is_refused(canyon):
    with pytest.raises(InputError, match="carrier_frequency"):
        build(canyon(carrier_frequency=500e9), seed=1)
