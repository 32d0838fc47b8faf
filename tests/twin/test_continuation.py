"""Paths from known image sources are found again as tracks, however they are ordered at each key."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.twin.continuation import Paths, continue_paths, evolve_paths

SPEED_OF_LIGHT = 299792458.0
CARRIER = 3.5e9
KEY_TIMES = np.array([0.0, 0.004, 0.0075])
LINKS, SOURCES = 3, 6


def exact_paths(generator, velocity, sources, times):
    """Exact parameters (link, time, source) of paths of users (link, 3) that come from image sources."""
    links = len(velocity)
    place = generator.uniform(-100, 100, (links, sources, 3)) + np.array([0, 0, 150.0])
    gain = generator.uniform(0.5, 2.0, (links, sources)) * np.exp(2j * np.pi * generator.random((links, sources)))
    way = velocity[:, None, None] * times[None, :, None, None] - place[:, None]
    distance = np.linalg.norm(way, axis=-1)
    delay = distance / SPEED_OF_LIGHT
    return {
        "amplitude": gain[:, None] / distance * np.exp(-2j * np.pi * CARRIER * delay),
        "delay": delay,
        "doppler": -(way / distance[..., None] @ velocity[:, None, :, None])[..., 0] * CARRIER / SPEED_OF_LIGHT,
        "zenith": np.arccos(way[..., 2] / distance),
        "azimuth": np.arctan2(way[..., 1], way[..., 0]),
        "kind": np.broadcast_to(np.arange(sources) % 2, distance.shape),
    }


def image_paths(generator, velocity, present, shuffle=True):
    """Those of them that are present (link, key, source), in any order at every key.

    Returns:
        The paths, and the source (link, key, path) of each of them, -1 where there is none.
    """
    exact = exact_paths(generator, velocity, present.shape[-1], KEY_TIMES[: present.shape[1]])
    order = np.broadcast_to(np.arange(present.shape[-1]), present.shape)
    if shuffle:
        order = generator.permuted(order, axis=-1)
    there = np.take_along_axis(present, order, axis=-1)
    types = {"amplitude": np.complex64, "kind": np.int64}
    values = {
        name: np.where(there, np.take_along_axis(value, order, axis=-1), 0).astype(types.get(name, np.float32))
        for name, value in exact.items()
    }
    return Paths(**values | {"amplitude": values["amplitude"][..., None], "valid": there}), np.where(there, order, -1)


def sources_of(tracks, found, source):
    """Source (link, key, track) of every entry of the tracks, by its delay, which no two sources share."""
    same = (tracks.delay[..., :, None] == found.delay[..., None, :]) & tracks.valid[..., None] & found.valid[:, :, None]
    assert (same.sum(-1) == tracks.valid).all()
    return np.where(tracks.valid, np.take_along_axis(source, same.argmax(-1), axis=-1), -1)


@given(seed=st.integers(0, 10**6), speed=st.floats(0, 30))
def test_tracks_follow_their_sources_through_birth_and_death(seed, speed):
    generator = np.random.default_rng(seed)
    heading = generator.normal(size=(LINKS, 3))
    velocity = speed * heading / np.linalg.norm(heading, axis=-1, keepdims=True)
    present = generator.random((LINKS, len(KEY_TIMES), SOURCES)) < 0.7
    found, source = image_paths(generator, velocity, present)
    tracks, kept = continue_paths(found, KEY_TIMES, CARRIER, count=2 * SOURCES)

    np.testing.assert_allclose(kept, present.any((1, 2)))
    assert tracks.valid.sum() == present.sum()
    origin = sources_of(tracks, found, source)
    for link in range(LINKS):
        for track in origin[link].T:
            # One source, on one run of keys ...
            there = np.flatnonzero(track >= 0)
            assert len(set(track[there])) <= 1 and (np.diff(there) == 1).all()
        for key in range(len(KEY_TIMES) - 1):
            # ... and wherever a source is seen twice in a row, its track goes on.
            now, then = (set(zip(np.arange(2 * SOURCES), origin[link, k], strict=True)) for k in (key, key + 1))
            going_on = {one for _, one in now & then if one >= 0}
            assert going_on == set(np.flatnonzero(present[link, key] & present[link, key + 1]))


def test_strongest_by_energy_come_first_and_the_rest_is_cut():
    generator = np.random.default_rng(5)
    present = np.ones((LINKS, 2, SOURCES), bool)
    present[:, 0, :2] = False
    found, _ = image_paths(generator, np.full((LINKS, 3), 5.0), present)
    all_tracks, _ = continue_paths(found, KEY_TIMES[:2], CARRIER, count=10)
    few, kept = continue_paths(found, KEY_TIMES[:2], CARRIER, count=3)
    energy = all_tracks.power.sum(1)
    assert (np.diff(energy, axis=-1) <= 0).all() and (energy[:, SOURCES:] == 0).all()
    for name, values in vars(few).items():
        np.testing.assert_array_equal(values, getattr(all_tracks, name)[:, :, :3])
    np.testing.assert_allclose(kept, energy[:, :3].sum(1) / energy.sum(1))


def test_other_interactions_or_a_change_of_sign_end_a_track():
    generator = np.random.default_rng(1)
    present = np.ones((1, 2, 3), bool)
    found, _ = image_paths(generator, np.full((1, 3), 10.0), present, shuffle=False)
    found.kind[0, 1, 0] = 8
    found.amplitude[0, 1, 1] *= -1
    tracks, _ = continue_paths(found, KEY_TIMES[:2], CARRIER, count=6)
    runs = [tuple(run) for run in tracks.valid[0].T.tolist()]
    assert sorted(runs) == [(False, False)] + [(False, True)] * 2 + [(True, False)] * 2 + [(True, True)]
    both = tracks.valid[0].all(0)
    np.testing.assert_array_equal(tracks.delay[0][:, both][:, 0], found.delay[0, :, 2])


def test_equal_paths_go_on_one_to_one():
    """Two walls in one plane give the same path twice."""
    generator = np.random.default_rng(2)
    once, _ = image_paths(generator, np.full((1, 3), 10.0), np.ones((1, 2, 1), bool))
    twice = Paths(**{name: np.concatenate([values, values], axis=2) for name, values in vars(once).items()})
    tracks, _ = continue_paths(twice, KEY_TIMES[:2], CARRIER, count=4)
    np.testing.assert_array_equal(tracks.valid[0], [[True, True, False, False]] * 2)


def test_no_path_at_all():
    found, _ = image_paths(np.random.default_rng(3), np.zeros((2, 3)), np.zeros((2, 3, 4), bool))
    tracks, kept = continue_paths(found, KEY_TIMES, CARRIER, count=5)
    assert not tracks.valid.any() and (kept == 0).all() and tracks.amplitude.shape == (2, 3, 5, 1)


def test_evolved_tracks_are_those_of_the_sources():
    """Between the keys, a path that goes on is where its source puts it; one that dies fades and keeps its rates."""
    times = np.array([0.0, 0.002, 0.004, 0.0055, 0.0075])
    velocity = np.full((1, 3), 15.0)
    present = np.ones((1, 3, 4), bool)
    present[0, 1:, 0] = False
    found, source = image_paths(np.random.default_rng(4), velocity, present, shuffle=False)
    tracks, _ = continue_paths(found, KEY_TIMES, CARRIER, count=4)
    names = sources_of(tracks, found, source)[0].max(0)
    evolved = evolve_paths(tracks, KEY_TIMES, times, CARRIER)
    exact = {name: values[0] for name, values in exact_paths(np.random.default_rng(4), velocity, 4, times).items()}
    for track, name in enumerate(names):
        alive = evolved.valid[0, :, track]
        np.testing.assert_array_equal(alive, [True, True, False, False, False] if name == 0 else [True] * 5)
        gain = evolved.amplitude[0, alive, track, 0] / exact["amplitude"][alive, name]
        fade = [1.0, 0.5] if name == 0 else np.ones(5)
        np.testing.assert_allclose(np.abs(gain), fade, rtol=1e-3)
        assert np.abs(np.angle(gain)).max() < 2 * np.pi * 5e-3
        np.testing.assert_allclose(evolved.delay[0, alive, track], exact["delay"][alive, name], rtol=1e-6)
        np.testing.assert_allclose(evolved.doppler[0, alive, track], exact["doppler"][alive, name], atol=0.2)
        np.testing.assert_allclose(evolved.azimuth[0, alive, track], exact["azimuth"][alive, name], atol=1e-3)
        assert (evolved.kind[0, alive, track] == name % 2).all()
    # At the keys nothing changes.
    for name in ("delay", "doppler", "valid", "kind"):
        np.testing.assert_array_equal(getattr(evolved, name)[:, [0, 2, 4]], getattr(tracks, name))
