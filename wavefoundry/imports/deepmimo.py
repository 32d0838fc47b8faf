"""Path data of a DeepMIMO v4 scenario folder as a data set of kind "paths".

Only the path data are taken (power, phase, delay, angles). The channels that DeepMIMO computes from them lack the phase
of propagation where the ray tracer does not put it into the phase, and its Doppler shifts have the wrong sign.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from wavefoundry.errors import InputError
from wavefoundry.imports.config import ImportedDeepMIMO
from wavefoundry.imports.files import open_array
from wavefoundry.twin.array import element_positions, rotation_matrix

SPEED_OF_LIGHT = 299792458.0  # [m/s]
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


def read_deepmimo(section: ImportedDeepMIMO, seed: int) -> xr.Dataset:
    """Draw users among the receivers of a scenario, and give them a motion.

    The Doppler shift of a path is nu = v . u / wavelength, u towards where the path comes from.

    Args:
        section: the folder, what of it is taken, and the motion of the users.
        seed: of users, headings and speeds.

    Returns:
        Data set of kind "paths" (docs/data-contract.md) with one key and one polarisation, without `split`: one sample
        for every base station and user that a path joins.

    Raises:
        InputError: the folder is no static DeepMIMO v4 scenario, lacks a set or file, has another carrier, or too few
            receivers are reached.
    """
    folder = Path(section.files)
    points = _points(section, folder)
    stations = [_rays(section, folder, number) for number in range(points)]
    generator = np.random.default_rng(seed)
    reached = np.any([np.isfinite(rays.power).any(1) for rays in stations], axis=0)
    if reached.sum() < section.users:
        raise InputError(f"{folder}: {reached.sum()} receivers are reached by a path, users is {section.users}")
    users = np.sort(generator.choice(np.flatnonzero(reached), section.users, replace=False))
    speed, heading = generator.uniform(*section.speed, len(users)), generator.uniform(0, 2 * np.pi, len(users))
    velocity = speed[:, None] * np.stack([np.cos(heading), np.sin(heading), np.zeros(len(users))], axis=-1)
    samples = [
        (station, user)
        for station, rays in enumerate(stations)
        for user in np.flatnonzero(np.isfinite(rays.power[users]).any(1))
    ]
    station, user = np.array(samples).T
    taken = [
        _taken(section, rays, users[user[station == number]], velocity[user[station == number]])
        for number, rays in enumerate(stations)
    ]
    most = max(part["delay"].shape[1] for part in taken)
    paths = {
        name: np.concatenate([_padded(part[name], most) for part in taken])
        for name in taken[0]
        if name != "line_of_sight"
    }
    line_of_sight = np.concatenate([part["line_of_sight"] for part in taken])
    places = stations[0].rx_pos[users].astype(float)
    return _dataset(section, paths, line_of_sight, (station, user), (places, velocity, speed), stations, seed)


def _points(section: ImportedDeepMIMO, folder: Path) -> int:
    """Number of base stations, after the scenario's own parameters were checked."""
    file = folder / PARAMETERS
    try:
        parameters = json.loads(file.read_text())
        sets, scenes = parameters["txrx_sets"], parameters["scene"]["num_scenes"]
        frequency = float(np.ravel(parameters["rt_params"]["frequency"])[0])
    except OSError:
        raise InputError(f"{file}: no such file; files must be the folder of a DeepMIMO v4 scenario") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{file}: no parameters of a DeepMIMO v4 scenario ({error})") from None
    if scenes != 1:
        raise InputError(f"{folder}: {scenes} scenes; only static scenarios are imported")
    if not np.isclose(frequency, section.carrier_frequency, rtol=1e-6):
        raise InputError(
            f"{file}: the paths were traced at {frequency:g} Hz, carrier_frequency is {section.carrier_frequency:g} Hz"
        )
    by_id = {entry["id"]: entry for entry in sets.values()}
    for key, number, role in (
        ("transmitters", section.transmitters, "is_tx"),
        ("receivers", section.receivers, "is_rx"),
    ):
        able = sorted(index for index, entry in by_id.items() if entry[role])
        if number not in able:
            raise InputError(f"{file}: {key} is {number}, allowed: {', '.join(map(str, able))}")
    return by_id[section.transmitters]["num_points"]


def _rays(section: ImportedDeepMIMO, folder: Path, point: int) -> _Rays:
    fields = {}
    for name in _Rays.__dataclass_fields__:
        stem = f"{name}_t{section.transmitters:03}_tx{point:03}_r{section.receivers:03}"
        kind = next((kind for kind in ("npz", "mat") if (folder / f"{stem}.{kind}").exists()), None)
        if kind is None:
            raise InputError(f"{folder}: neither {stem}.npz nor {stem}.mat is there")
        with open_array(kind, folder / f"{stem}.{kind}", name) as array:
            fields[name] = array.read(0, slice(None))
    shape = fields["power"].shape
    for name, values in fields.items():
        expected = {"rx_pos": (shape[0], 3), "tx_pos": (1, 3)}.get(name, shape)
        if values.shape != expected:
            raise InputError(f"{folder}: {name} of transmitter {point} has shape {values.shape}, expected {expected}")
    return _Rays(**fields)


def _taken(section: ImportedDeepMIMO, rays: _Rays, receivers: np.ndarray, velocity: np.ndarray) -> dict:
    """The strongest paths of some receivers, 0 where there is none."""
    power = np.nan_to_num(rays.power[receivers].astype(float), nan=-np.inf)
    order = np.argsort(-power, axis=1, kind="stable")[:, : section.max_paths]

    def chosen(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values[receivers].astype(float), order, axis=1)

    valid = np.isfinite(np.take_along_axis(power, order, axis=1))
    delay = chosen(rays.delay)
    # The phase of many turns in double precision.
    turns = chosen(rays.phase) / 360 - (0.0 if section.carrier_phase else section.carrier_frequency * delay)
    amplitude = 10 ** (np.take_along_axis(power, order, axis=1) / 20) * np.exp(2j * np.pi * turns)
    arrival = _direction(chosen(rays.aoa_el), chosen(rays.aoa_az))
    departure = _direction(chosen(rays.aod_el), chosen(rays.aod_az)) @ rotation_matrix(section.orientation)
    doppler = (arrival * velocity[:, None]).sum(-1) * section.carrier_frequency / SPEED_OF_LIGHT
    values = {
        "amplitude": amplitude.astype(np.complex64)[..., None],
        "delay": delay,
        "doppler": doppler,
        "zenith": np.arccos(np.clip(departure[..., 2], -1, 1)),
        "azimuth": np.arctan2(departure[..., 1], departure[..., 0]),
    }
    cleared = {
        name: np.where(valid.reshape(*valid.shape, *[1] * (part.ndim - 2)), part, 0) for name, part in values.items()
    }
    for name, part in cleared.items():
        if not np.isfinite(part).all():
            raise InputError(f"{section.files}: {name} of a path of receiver {receivers[0]} or after is not finite")
    direct = valid & (chosen(rays.inter) == LINE_OF_SIGHT)
    return cleared | {"valid": valid, "line_of_sight": direct.any(1)}


def _direction(zenith: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Unit vectors (..., xyz) of angles in degrees."""
    zenith, azimuth = np.radians(zenith), np.radians(azimuth)
    return np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)], axis=-1)


def _padded(values: np.ndarray, paths: int) -> np.ndarray:
    """(sample, path, ...) filled up with 0 to the given number of paths."""
    missing = [(0, 0), (0, paths - values.shape[1])] + [(0, 0)] * (values.ndim - 2)
    return np.pad(values, missing)


def _dataset(section, paths: dict, line_of_sight, index, motion, stations: list[_Rays], seed: int) -> xr.Dataset:
    station, user = index
    places, velocity, speed = motion
    time = np.arange(section.slots) * section.slot_duration
    elements = element_positions(section.array)
    described = {
        "amplitude": ("1", "complex gain of the path at the key, with carrier phase"),
        "delay": ("s", "propagation delay of the path"),
        "doppler": ("Hz", "Doppler shift of the path"),
        "zenith": ("rad", "zenith angle of departure, frame of the base station"),
        "azimuth": ("rad", "azimuth angle of departure, frame of the base station"),
        "valid": ("1", "whether the path exists at the key"),
    }
    dimensions = ("sample", "key", "path", "polarisation")
    variables = {
        name: (dimensions[: paths[name].ndim + 1], paths[name][:, None], _describe(*description))
        for name, description in described.items()
    }
    position = places[user][:, None] + velocity[user][:, None] * time[:, None]
    variables |= {
        "position": (("sample", "time", "xyz"), position, _describe("m", "position of the user")),
        "velocity": (
            ("sample", "time", "xyz"),
            np.broadcast_to(velocity[user][:, None], position.shape),
            _describe("m s-1", "velocity of the user"),
        ),
        "speed": (("sample",), speed[user], _describe("m s-1", "speed of the user")),
        "los": (("sample",), line_of_sight, _describe("1", "line of sight at the first slot")),
        "trajectory": (("sample",), user.astype(np.int32), _describe("1", "index of the user")),
        "base_station": (("sample",), station.astype(np.int32), _describe("1", "index of the base station")),
    }
    coordinates = {
        "time": (("time",), time, _describe("s", "time from the first slot of the sample")),
        "key_time": (("key",), np.zeros(1), _describe("s", "time of the key position")),
        "antenna": (("antenna",), np.arange(len(elements), dtype=np.int32), _describe("1", "antenna index")),
        "element_position": (
            ("antenna", "xyz"),
            elements,
            _describe("1", "position of the antenna element in wavelengths, frame of the base station"),
        ),
    }
    attributes = {
        "carrier_frequency": section.carrier_frequency,
        "array_rows": section.array.rows,
        "array_columns": section.array.columns,
        "array_spacing": section.array.spacing,
        "array_pattern": section.array.pattern,
        "polarisation": section.array.polarisation,
        "base_station_positions": np.concatenate([rays.tx_pos[0] for rays in stations]).astype(float).tolist(),
        "base_station_orientations": [angle for _ in stations for angle in section.orientation],
        "generator": "import (deepmimo)",
        "generator_version": "unknown",
        "seed": seed,
        "windows_total": len(stations) * section.users,
        "parameters": json.dumps(section.model_dump(), sort_keys=True),
    }
    return xr.Dataset(variables, coordinates, attributes)


def _describe(units: str, long_name: str) -> dict:
    return {"units": units, "long_name": long_name}
