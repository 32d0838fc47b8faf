"""Propagation paths from a base station to moving users, traced by sionna-rt at the key positions of their windows.

The functions here are units of work: they may run in any process and order, and give the same bits wherever they run.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from wavefoundry.twin.array import rotation_matrix
from wavefoundry.twin.continuation import Paths, continue_paths, evolve_paths
from wavefoundry.twin.options import RayTracedTwin

# Of sionna-rt's table of the paths that a call has found. Two paths that fall on one place of it pass for one: with its
# default size, 1e6, one path in twenty of 100 users is lost that way. A power of two, because its hash (FNV-1a) then
# gives all receivers of one path different places.
TABLE_SIZE = 2**24
# Height of sionna-rt's model of a car [m], and the name of what it is made of.
VEHICLE_HEIGHT, METAL = 1.5, "vehicle_metal"
# Interaction types of sionna-rt are less than this.
INTERACTION_TYPES = 32


@dataclass(frozen=True)
class Traced:
    """Paths of links with what is known of all of them.

    Attributes:
        paths: `max_paths` strongest ones, (link, key, path).
        line_of_sight: (link,) bool, at the first key.
        power_kept: (link,) share of the energy of all paths that these carry, 0 without a path.
    """

    paths: Paths
    line_of_sight: np.ndarray
    power_kept: np.ndarray


@dataclass(frozen=True)
class Vehicles:
    """Vehicles of one window.

    Attributes:
        position: (vehicle, key, 3) of the ground under each of them [m].
        velocity: (vehicle, 3) [m/s].
    """

    position: np.ndarray
    velocity: np.ndarray


def trace_links(
    twin: RayTracedTwin,
    station: int,
    slots: list[int],
    position: np.ndarray,
    velocity: np.ndarray,
    seed: int,
    vehicles: Vehicles | None,
) -> Traced:
    """Trace the tracks of paths of links; all their key positions are receivers of one call.

    Buildings are opaque (no refraction): what a wall lets through is far below the paths around it.

    Args:
        twin: scene, base stations and tracing options.
        station: index of the base station.
        slots: at which the keys are.
        position: (link, key, 3) [m].
        velocity: (link, 3) [m/s].
        seed: of the directions in which rays are shot.
        vehicles: moving objects of the scene, the same for all links; the scene is traced anew for each key then.

    Raises:
        InputError: see `wavefoundry.twin.scene.load_radio_scene`.
    """
    links, keys = position.shape[:2]
    if vehicles is None:
        found = _solve(twin, station, position.reshape(-1, 3), np.repeat(velocity, keys, axis=0), seed)
        found = Paths(**{name: values.reshape(links, keys, *values.shape[2:]) for name, values in vars(found).items()})
    else:
        found = _by_key(twin, station, position, velocity, seed, vehicles)
    key_times = np.array(slots) * twin.site.sampling.slot_duration
    paths, power_kept = continue_paths(found, key_times, twin.carrier_frequency, twin.tracing.max_paths)
    return Traced(paths, _line_of_sight(found), power_kept)


def trace_windows(
    twin: RayTracedTwin,
    station: int,
    slots: list[int],
    position: np.ndarray,
    velocity: np.ndarray,
    seed: int,
    vehicles: Vehicles | None,
) -> Traced:
    """`trace_links`, with the tracks evolved from their keys to every slot of the window."""
    traced = trace_links(twin, station, slots, position, velocity, seed, vehicles)
    times = np.arange(twin.site.sampling.slots) * twin.site.sampling.slot_duration
    if len(slots) == len(times):
        return traced
    return replace(traced, paths=evolve_paths(traced.paths, times[slots], times, twin.carrier_frequency))


def trace_points(twin: RayTracedTwin, station: int, position: np.ndarray, seed: int) -> Traced:
    """Trace the paths to receivers that stand still.

    Args:
        position: (point, 3) [m].

    Returns:
        Paths with one key: points in the place of links.
    """
    found = _solve(twin, station, position, np.zeros_like(position), seed)
    paths, power_kept = continue_paths(found, np.zeros(1), twin.carrier_frequency, twin.tracing.max_paths)
    return Traced(paths, _line_of_sight(found), power_kept)


def concatenate(parts: list[Traced], order: np.ndarray) -> Traced:
    """All links of several units, taken in the given order of their rows."""

    def join(values: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(values)[order]

    paths = Paths(**{field.name: join([getattr(part.paths, field.name) for part in parts]) for field in fields(Paths)})
    return Traced(paths, *(join([getattr(part, name) for part in parts]) for name in ("line_of_sight", "power_kept")))


@lru_cache(maxsize=2)
def _radio_scene(twin: str, station: int):
    """Scene and solver, loaded once in a process for the units of a base station. `twin` is JSON: it can be hashed."""
    from sionna.rt.path_solvers.sb_candidate_generator import SBCandidateGenerator

    from wavefoundry.twin.scene import load_radio_scene, rt

    SBCandidateGenerator.MIN_SPEC_COUNT_SIZE = TABLE_SIZE
    settings = RayTracedTwin.model_validate_json(twin)
    return load_radio_scene(settings, settings.base_stations[station]), rt.PathSolver()


def _solve(twin: RayTracedTwin, station: int, position: np.ndarray, velocity: np.ndarray, seed: int) -> Paths:
    """All paths to receivers, (receiver, key, path) with one key."""
    from wavefoundry.twin.scene import mi, rt

    scene, solver = _radio_scene(twin.model_dump_json(), station)
    scene.remove(list(scene.receivers))
    for index, (place, moving) in enumerate(zip(position, velocity, strict=True)):
        scene.add(rt.Receiver(f"user_{index}", mi.Point3f(_array(place)), velocity=mi.Vector3f(_array(moving))))
    tracing = twin.tracing
    found = solver(
        scene,
        max_depth=tracing.max_depth,
        samples_per_src=tracing.samples_per_source,
        refraction=False,
        diffuse_reflection=tracing.diffuse_reflection,
        diffraction=tracing.diffraction,
        seed=seed,
    )
    return _read(found, twin.base_stations[station].orientation)


def _array(vector: np.ndarray) -> np.ndarray:
    """The vector as an array of one: plain numbers would become part of the ray tracer's program, which would then be
    compiled anew for every call."""
    return vector[:, None].astype(np.float32)


def _read(found, orientation: list[float]) -> Paths:
    """With one transmitter and one receiving antenna, so that these axes of sionna-rt are dropped."""
    # With the carrier phase as sionna-rt rounds it, so that CSI equals its own.
    real, imaginary = (part.numpy()[:, 0, 0, :, :, 0] for part in found.cir(normalize_delays=False)[0])
    valid = found.valid.numpy()[:, 0].astype(bool)
    zenith, azimuth = _local_angles(found.theta_t.numpy()[:, 0], found.phi_t.numpy()[:, 0], orientation)
    interactions = found.interactions.numpy()[:, :, 0].astype(np.int64)
    place = INTERACTION_TYPES ** np.arange(len(interactions), dtype=np.int64)
    values = {
        "amplitude": (real + 1j * imaginary).astype(np.complex64).swapaxes(1, 2),
        "delay": found.tau.numpy()[:, 0],
        "doppler": found.doppler.numpy()[:, 0],
        "zenith": zenith,
        "azimuth": azimuth,
        "kind": np.tensordot(place, interactions, axes=1),
    }
    values = {
        name: np.where(valid[..., None] if value.ndim == 3 else valid, value, value.dtype.type(0))
        for name, value in values.items()
    }
    return Paths(**{name: value[:, None] for name, value in (values | {"valid": valid}).items()})


def _local_angles(zenith: np.ndarray, azimuth: np.ndarray, orientation) -> tuple[np.ndarray, np.ndarray]:
    """Zenith and azimuth [rad] seen in the frame of the base station."""
    zenith, azimuth = zenith.astype(float), azimuth.astype(float)
    direction = np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=-1)
    x, y, z = np.moveaxis(direction @ rotation_matrix(orientation), -1, 0)
    return np.arctan2(np.hypot(x, y), z).astype(np.float32), np.arctan2(y, x).astype(np.float32)


def _line_of_sight(found: Paths) -> np.ndarray:
    return (found.valid & (found.kind == 0))[:, 0].any(-1)


def _by_key(twin, station, position, velocity, seed, vehicles: Vehicles) -> Paths:
    """Trace key by key, vehicles where they are then."""
    scene, _ = _radio_scene(twin.model_dump_json(), station)
    parts: list[Paths] = []
    present: list = []
    try:
        for key in range(position.shape[1]):
            models = _vehicle_models(scene, vehicles.position[:, key], vehicles.velocity)
            # New objects in place of old ones: to move one rebuilds the scene for each of them.
            scene.edit(add=models, remove=present)
            present = models
            parts.append(_solve(twin, station, position[:, key], velocity, seed))
    finally:
        scene.edit(remove=present)
    width = max(part.valid.shape[-1] for part in parts)
    names = [field.name for field in fields(Paths)]
    return Paths(
        **{name: np.concatenate([_padded(getattr(part, name), width) for part in parts], axis=1) for name in names}
    )


def _padded(values: np.ndarray, width: int) -> np.ndarray:
    padding = [(0, 0)] * values.ndim
    padding[2] = (0, width - values.shape[2])
    return np.pad(values, padding)


def _vehicle_models(scene, ground: np.ndarray, velocity: np.ndarray) -> list:
    """Cars of metal that stand on the ground, turned along their velocity."""
    from wavefoundry.twin.scene import mi, rt

    metal = scene.get(METAL) or rt.ITURadioMaterial(METAL, "metal", thickness=0.01)
    across = np.hypot(velocity[:, 0], velocity[:, 1])
    yaw, pitch = np.arctan2(velocity[:, 1], velocity[:, 0]), -np.arctan2(velocity[:, 2], across)
    angles = np.stack([yaw, pitch, np.zeros_like(yaw)], axis=-1)
    middle = ground + np.array([0.0, 0.0, VEHICLE_HEIGHT / 2])
    return [
        rt.SceneObject(
            fname=rt.scene.low_poly_car,
            name=f"vehicle_{index}",
            radio_material=metal,
            position=mi.Point3f(_array(middle[index])),
            orientation=mi.Point3f(_array(angles[index])),
            velocity=mi.Vector3f(_array(velocity[index])),
        )
        for index in range(len(ground))
    ]
