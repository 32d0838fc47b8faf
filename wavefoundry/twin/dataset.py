"""The xarray Dataset of a twin: path variables with what is known of each sample (docs/data-contract.md)."""

import json
from importlib.metadata import version

import numpy as np
import xarray as xr

from wavefoundry.twin.array import element_positions
from wavefoundry.twin.config import Array, RayTracedTwin, StatisticalTwin
from wavefoundry.twin.ray_tracing import Paths
from wavefoundry.twin.statistical import Clusters
from wavefoundry.twin.traffic import Tracks

AMPLITUDE = "complex gain of the path at the first slot, with element pattern and carrier phase"
FRAME = "frame of the base station"


def ray_traced_dataset(twin: RayTracedTwin, tracks: Tracks, paths: Paths, seed: int) -> xr.Dataset:
    """One sample for every window that a path reaches; `paths` holds all (user, window), row by row."""
    kept = np.flatnonzero(paths.valid.any(-1))
    variables = {
        "amplitude": (("sample", "path"), paths.amplitude[kept], _describe("1", AMPLITUDE)),
        "delay": (("sample", "path"), paths.delay[kept], _describe("s", "propagation delay of the path")),
        "doppler": (("sample", "path"), paths.doppler[kept], _describe("Hz", "Doppler shift of the path")),
        "zenith": (("sample", "path"), paths.zenith[kept], _describe("rad", f"zenith angle of departure, {FRAME}")),
        "azimuth": (("sample", "path"), paths.azimuth[kept], _describe("rad", f"azimuth angle of departure, {FRAME}")),
        "valid": (("sample", "path"), paths.valid[kept], _describe("1", "whether the entry is a path")),
    }
    time = np.arange(twin.sampling.slots) * twin.sampling.slot_duration
    array = twin.base_station.array
    dataset = _with_samples(variables, tracks, kept, paths.line_of_sight, time, array)
    return dataset.assign_attrs(
        _attributes(twin, array, "sionna-rt", seed),
        base_station_position=twin.base_station.position,
        base_station_orientation=twin.base_station.orientation,
    )


def statistical_dataset(twin: StatisticalTwin, tracks: Tracks, clusters: Clusters, seed: int) -> xr.Dataset:
    """One sample for every user."""
    variables = {
        "coefficient": (
            ("sample", "path", "antenna", "time"),
            clusters.coefficient,
            _describe("1", "complex gain of the path, with path loss, shadowing, array and Doppler"),
        ),
        "delay": (
            ("sample", "key", "path"),
            clusters.delay[:, None],
            _describe("s", "delay of the path relative to the first one"),
        ),
        "valid": (("sample", "key", "path"), clusters.valid[:, None], _describe("1", "whether the entry is a path")),
    }
    line_of_sight = np.full(twin.users, twin.line_of_sight)
    time = np.arange(twin.slots) * twin.slot_duration
    dataset = _with_samples(variables, tracks, np.arange(twin.users), line_of_sight, time, twin.array)
    dataset = dataset.assign_coords(key_time=(("key",), np.zeros(1), _describe("s", "time of the key position")))
    return dataset.assign(
        base_station=(("sample",), np.zeros(twin.users, np.int32), _describe("1", "index of the base station"))
    ).assign_attrs(
        _attributes(twin, twin.array, "sionna", seed),
        base_station_positions=[0.0, 0.0, twin.base_station_height],
        base_station_orientations=[0.0, 0.0, 0.0],
    )


def _describe(units: str, long_name: str) -> dict:
    return {"units": units, "long_name": long_name}


def _with_samples(variables, tracks: Tracks, kept, line_of_sight, time, array: Array) -> xr.Dataset:
    """The path variables with what is known of each sample; `kept` indexes (user, window), row by row."""
    users, windows, slots = tracks.position.shape[:3]
    user, window = np.divmod(kept, windows)
    velocity = np.broadcast_to(tracks.velocity[:, :, None], (users, windows, slots, 3))
    elements = element_positions(array)
    return xr.Dataset(
        {
            **variables,
            "position": (
                ("sample", "time", "xyz"),
                tracks.position[user, window],
                _describe("m", "position of the user"),
            ),
            "velocity": (("sample", "time", "xyz"), velocity[user, window], _describe("m s-1", "velocity of the user")),
            "speed": (("sample",), tracks.speed[user], _describe("m s-1", "speed of the user")),
            "los": (("sample",), line_of_sight[kept], _describe("1", "line of sight at the first slot")),
            "trajectory": (("sample",), user.astype(np.int32), _describe("1", "index of the user")),
            "window": (("sample",), window.astype(np.int32), _describe("1", "index of the window of the user")),
        },
        coords={
            "time": (("time",), time, _describe("s", "time from the first slot of the sample")),
            "antenna": (("antenna",), np.arange(len(elements), dtype=np.int32), _describe("1", "antenna index")),
            "element_position": (
                ("antenna", "xyz"),
                elements,
                _describe("1", "position of the antenna element in wavelengths, frame of the base station"),
            ),
        },
    )


def _attributes(twin: RayTracedTwin | StatisticalTwin, array: Array, generator: str, seed: int) -> dict:
    return {
        "carrier_frequency": twin.carrier_frequency,
        "array_rows": array.rows,
        "array_columns": array.columns,
        "array_spacing": array.spacing,
        "array_pattern": array.pattern,
        "polarisation": "V",
        "generator": generator,
        "generator_version": version(generator),
        "seed": seed,
        "parameters": json.dumps(twin.model_dump(), sort_keys=True),
    }
