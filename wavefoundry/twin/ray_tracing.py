"""Propagation paths from the base station to moving users, traced by sionna-rt."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from wavefoundry.twin.array import rotation_matrix
from wavefoundry.twin.config import RayTracedTwin

# sionna.rt.InteractionType.NONE; all interactions of a direct path are this.
NO_INTERACTION = 0


@dataclass(frozen=True)
class Paths:
    """Strongest paths of links, by falling power; entries that are not `valid` are 0.

    Attributes:
        amplitude: (link, path) complex64, with the carrier phase exp(-j 2 pi f_c delay).
        delay: (link, path) float32 [s].
        doppler: (link, path) float32 [Hz].
        zenith, azimuth: (link, path) float32, departure in the frame of the base station [rad].
        valid: (link, path) bool.
        line_of_sight: (link,) bool.
        power_kept: (link,) share of the power of all paths that these carry, 0 without a path.
    """

    amplitude: np.ndarray
    delay: np.ndarray
    doppler: np.ndarray
    zenith: np.ndarray
    azimuth: np.ndarray
    valid: np.ndarray
    line_of_sight: np.ndarray
    power_kept: np.ndarray


def trace(twin: RayTracedTwin, position: np.ndarray, velocity: np.ndarray, seed: int) -> Iterator[Paths]:
    """Trace paths to receivers, `users_per_call` at a time.

    Buildings are opaque (no refraction): what a wall lets through is far below the paths around it.

    Args:
        twin: scene, base station and tracing options.
        position: (link, 3) [m].
        velocity: (link, 3) [m/s].
        seed: of the directions in which rays are shot.

    Yields:
        The paths of the next links, in order.

    Raises:
        InputError: a material of the scene is not defined at the carrier frequency.
    """
    from wavefoundry.twin.scene import load_radio_scene, mi, rt

    scene, solver = load_radio_scene(twin), rt.PathSolver()
    tracing = twin.tracing
    for first in range(0, len(position), tracing.users_per_call):
        links = range(first, min(first + tracing.users_per_call, len(position)))
        for name in list(scene.receivers):
            scene.remove(name)
        for link in links:
            at, moving = (mi.Point3f(array[link].astype(float).tolist()) for array in (position, velocity))
            scene.add(rt.Receiver(f"user_{link}", at, velocity=mi.Vector3f(moving)))
        found = solver(
            scene,
            max_depth=tracing.max_depth,
            samples_per_src=tracing.samples_per_source,
            refraction=False,
            diffuse_reflection=tracing.diffuse_reflection,
            diffraction=tracing.diffraction,
            seed=seed,
        )
        yield _strongest(_read(found, twin.base_station.orientation), tracing.max_paths)


def _read(found, orientation: list[float]) -> dict[str, np.ndarray]:
    """All paths (link, path) of one call; single antennas at both ends, so sionna-rt's antenna axes are dropped."""
    # With the carrier phase as sionna-rt rounds it, so that CSI equals its own.
    real, imaginary = (part[:, 0, 0, 0, :, 0] for part in _carrier_phased(found))
    zenith, azimuth = _local_angles(found.theta_t.numpy()[:, 0], found.phi_t.numpy()[:, 0], orientation)
    return {
        "amplitude": (real + 1j * imaginary).astype(np.complex64),
        "delay": found.tau.numpy()[:, 0],
        "doppler": found.doppler.numpy()[:, 0],
        "zenith": zenith,
        "azimuth": azimuth,
        "valid": found.valid.numpy()[:, 0].astype(bool),
        "direct": (found.interactions.numpy()[:, :, 0] == NO_INTERACTION).all(0),
    }


def _carrier_phased(found) -> list[np.ndarray]:
    amplitude, _ = found.cir(normalize_delays=False, num_time_steps=1, out_type="drjit")
    return [part.numpy() for part in amplitude]


def _local_angles(zenith: np.ndarray, azimuth: np.ndarray, orientation) -> tuple[np.ndarray, np.ndarray]:
    """Zenith and azimuth [rad] seen in the frame of the base station."""
    zenith, azimuth = zenith.astype(float), azimuth.astype(float)
    direction = np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=-1)
    x, y, z = np.moveaxis(direction @ rotation_matrix(orientation), -1, 0)
    return np.arctan2(np.hypot(x, y), z).astype(np.float32), np.arctan2(y, x).astype(np.float32)


def _strongest(found: dict[str, np.ndarray], count: int) -> Paths:
    """The strongest `count` paths of every link, padded with zeros; equal powers are ordered by delay, then angle."""
    valid = found["valid"]
    power = np.where(valid, np.abs(found["amplitude"].astype(complex)) ** 2, 0.0)
    order = np.lexsort((found["azimuth"], found["zenith"], found["delay"], -power, ~valid), axis=-1)[:, :count]
    padding = ((0, 0), (0, count - order.shape[1]))

    def pick(values: np.ndarray) -> np.ndarray:
        kept = np.take_along_axis(np.where(valid, values, values.dtype.type(0)), order, axis=-1)
        return np.pad(kept, padding)

    total = power.sum(-1)
    return Paths(
        **{name: pick(values) for name, values in found.items() if name != "direct"},
        line_of_sight=(valid & found["direct"]).any(-1),
        power_kept=np.divide(pick(power).sum(-1), total, out=np.zeros_like(total), where=total > 0),
    )


def concatenate(parts: list[Paths]) -> Paths:
    """All links of several calls."""
    names = [field.name for field in fields(Paths)]
    return Paths(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
