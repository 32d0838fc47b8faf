"""Path data of a DeepMIMO v4 scenario folder as a data set of kind "paths".

Only the path data are taken (power, phase, delay, angles). The channels that DeepMIMO computes from them lack the phase
of propagation where the ray tracer does not put it into the phase, and its Doppler shifts have the wrong sign.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.constants import c

from wavefoundry.errors import InputError
from wavefoundry.imports.files import open_array
from wavefoundry.imports.limits import QUOTED, sizes
from wavefoundry.imports.options import ImportedDeepMIMO
from wavefoundry.twin.array import rotation_matrix
from wavefoundry.twin.continuation import Paths
from wavefoundry.twin.dataset import paths_dataset, signal_attributes
from wavefoundry.twin.traffic import Trajectories

PARAMETERS = "params.json"
# Interaction code of a path without interactions.
LINE_OF_SIGHT = 0


@dataclass(frozen=True)
class _Rays:
    """Paths from one base station to all receivers, (receiver, path); entries that are no path are NaN."""

    power: np.ndarray  # [dB], received over transmitted
    phase: np.ndarray  # [degree]
    delay: np.ndarray  # [s]
    aoa_az: np.ndarray  # [degree], towards where the path comes from
    aoa_el: np.ndarray  # [degree], from the zenith
    aod_az: np.ndarray  # [degree]
    aod_el: np.ndarray  # [degree], from the zenith
    inter: np.ndarray  # interaction code
    rx_pos: np.ndarray  # (receiver, xyz) [m]
    tx_pos: np.ndarray  # (1, xyz) [m]


def read_deepmimo(section: ImportedDeepMIMO, seed: int) -> tuple[xr.Dataset, dict[str, int]]:
    """Draw users among the receivers of a scenario that a path reaches, and give them a motion.

    The Doppler shift of a path is nu = v . u / wavelength, u towards where the path comes from.

    Args:
        section: the folder, what of it is taken, and the motion of the users.
        seed: of users, headings and speeds.

    Returns:
        Data set of kind "paths" (docs/data-contract.md) with one key and one polarisation, without `split`: one sample
        for every base station and user that a path joins. And how many `receivers` the scenario has, and of them
        `receivers_reached`, among which the users were drawn.

    Raises:
        InputError: the folder is no static DeepMIMO v4 scenario, lacks a set or file, has another carrier, or too few
            receivers are reached.
    """
    folder = Path(section.files)
    stations = [_rays(section, folder, number) for number in range(_points(section, folder))]
    generator = np.random.default_rng(seed)
    reached = np.flatnonzero(np.any([np.isfinite(rays.power).any(1) for rays in stations], axis=0))
    if len(reached) < section.users:
        raise InputError(f"{folder}: {len(reached)} receivers are reached by a path, users is {section.users}")
    users = np.sort(generator.choice(reached, section.users, replace=False))
    time = np.arange(section.slots) * section.slot_duration
    tracks = _motion(section, stations[0].rx_pos[users].astype(float), time, generator)
    parts = [_strongest(section, rays, users, tracks.velocity[:, 0]) for rays in stations]
    paths = Paths(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Paths)))
    if not all(np.isfinite(getattr(paths, field.name)).all() for field in fields(Paths)):
        raise InputError(f"{folder}: a path with power has a phase, delay or angle that is NaN or infinite")
    line_of_sight = (paths.valid & (paths.kind == LINE_OF_SIGHT)).any((1, 2))
    dataset = paths_dataset(paths, tracks, line_of_sight, time, np.zeros(1), section.array)
    dataset = dataset.assign_attrs(
        signal_attributes(section.carrier_frequency, section.array),
        base_station_positions=np.concatenate([rays.tx_pos[0] for rays in stations]).astype(float).tolist(),
        base_station_orientations=[angle for _ in stations for angle in section.orientation],
        generator="import of deepmimo",
        generator_version="unknown",
        seed=seed,
        parameters=json.dumps(section.model_dump(), sort_keys=True),
    )
    return dataset, {"receivers": len(stations[0].power), "receivers_reached": len(reached)}


def _points(section: ImportedDeepMIMO, folder: Path) -> int:
    """Number of base stations, after the scenario's own parameters were checked."""
    file = folder / PARAMETERS
    try:
        parameters = json.loads(file.read_text())
        by_id = {
            entry["id"]: (int(entry["num_points"]), {role: entry[role] for role in ("is_tx", "is_rx")})
            for entry in parameters["txrx_sets"].values()
        }
        scenes = parameters["scene"]["num_scenes"]
        frequency = float(np.ravel(parameters["rt_params"]["frequency"])[0])
    except OSError:
        raise InputError(f"{file}: no such file; files must be the folder of a DeepMIMO v4 scenario") from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{file}: no parameters of a DeepMIMO v4 scenario ({str(error)[:QUOTED]})") from None
    if scenes != 1:
        raise InputError(f"{folder}: {scenes} scenes; only static scenarios are imported")
    if not np.isclose(frequency, section.carrier_frequency, rtol=1e-6):
        raise InputError(
            f"{file}: the paths were traced at {frequency:g} Hz, carrier_frequency is {section.carrier_frequency:g} Hz"
        )
    for key, number, role in (
        ("transmitters", section.transmitters, "is_tx"),
        ("receivers", section.receivers, "is_rx"),
    ):
        able = sorted((index for index, (_, roles) in by_id.items() if roles[role]), key=str)
        if number not in able:
            raise InputError(f"{file}: {key} is {number}, allowed: {', '.join(map(str, able))}")
    points = by_id[section.transmitters][0]
    if points < 1:
        raise InputError(f"{file}: set {section.transmitters} has {points} points, expected at least 1")
    return points


def _rays(section: ImportedDeepMIMO, folder: Path, point: int) -> _Rays:
    matrices = {}
    for name in (field.name for field in fields(_Rays)):
        stem = f"{name}_t{section.transmitters:03}_tx{point:03}_r{section.receivers:03}"
        kind = next((kind for kind in ("npz", "mat") if (folder / f"{stem}.{kind}").exists()), None)
        if kind is None:
            raise InputError(f"{folder}: neither {stem}.npz nor {stem}.mat is there")
        with open_array(kind, folder / f"{stem}.{kind}", name) as array:
            if array.complex or len(array.shape) != 2:
                found = f"{'complex' if array.complex else 'real'} numbers of shape {sizes(array.shape)}"
                raise InputError(f"{array.name} holds {found}, expected real ones on two axes")
            matrices[name] = array.read(0, slice(None))
    shape = matrices["power"].shape
    for name, values in matrices.items():
        expected = {"rx_pos": (shape[0], 3), "tx_pos": (1, 3)}.get(name, shape)
        if values.shape != expected:
            raise InputError(f"{folder}: {name} of transmitter {point} has shape {values.shape}, expected {expected}")
    return _Rays(**matrices)


def _motion(
    section: ImportedDeepMIMO, places: np.ndarray, time: np.ndarray, generator: np.random.Generator
) -> Trajectories:
    """One window of constant velocity from each place (user, xyz)."""
    low, high = section.speed
    speed, heading = generator.uniform(low, high, len(places)), generator.uniform(0, 2 * np.pi, len(places))
    velocity = speed[:, None] * np.stack([np.cos(heading), np.sin(heading), np.zeros(len(places))], axis=-1)
    return Trajectories((places[:, None] + velocity[:, None] * time[:, None])[:, None], velocity[:, None], speed)


def _strongest(section: ImportedDeepMIMO, rays: _Rays, receivers: np.ndarray, velocity: np.ndarray) -> Paths:
    """The `max_paths` strongest paths from one base station to receivers with the velocities (receiver, xyz)."""
    power = np.nan_to_num(rays.power[receivers].astype(float), nan=-np.inf)
    order = np.argsort(-power, axis=1, kind="stable")[:, : section.max_paths]
    # Stations can have different numbers of paths.
    missing = [(0, 0), (0, section.max_paths - order.shape[1])]

    def chosen(values: np.ndarray) -> np.ndarray:
        return np.pad(np.take_along_axis(values, order, axis=1), missing, constant_values=np.nan)

    power, phase, delay, kind, *angles = (
        chosen(values[receivers].astype(float))
        for values in (
            rays.power,
            rays.phase,
            rays.delay,
            rays.inter,
            rays.aoa_el,
            rays.aoa_az,
            rays.aod_el,
            rays.aod_az,
        )
    )
    valid = np.isfinite(power)
    # Many turns, so in double precision.
    turns = phase / 360 - (0.0 if section.carrier_phase else section.carrier_frequency * delay)
    arrival, departure = _direction(*angles[:2]), _direction(*angles[2:]) @ rotation_matrix(section.orientation)
    values = {
        "amplitude": (10 ** (power / 20) * np.exp(2j * np.pi * turns))[..., None].astype(np.complex64),
        "delay": delay.astype(np.float32),
        "doppler": ((arrival @ velocity[:, :, None])[..., 0] * section.carrier_frequency / c).astype(np.float32),
        "zenith": np.arccos(np.clip(departure[..., 2], -1, 1)).astype(np.float32),
        "azimuth": np.arctan2(departure[..., 1], departure[..., 0]).astype(np.float32),
        "kind": kind,
    }
    cleared = {name: np.where(valid[..., None] if part.ndim == 3 else valid, part, 0) for name, part in values.items()}
    cleared = {name: part.astype(values[name].dtype)[:, None] for name, part in cleared.items()}
    return Paths(**cleared | {"kind": cleared["kind"].astype(np.int64)}, valid=valid[:, None])


def _direction(zenith: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Unit vectors (..., xyz) of angles in degrees."""
    zenith, azimuth = np.radians(zenith), np.radians(azimuth)
    return np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=-1)
