"""The xarray Dataset of a twin: path variables with what is known of each sample (docs/data-contract.md)."""

import json
from importlib.metadata import version

import numpy as np
import xarray as xr

from wavefoundry.twin.array import element_positions
from wavefoundry.twin.continuation import Paths
from wavefoundry.twin.options import Array, RayTracedTwin, StatisticalTwin
from wavefoundry.twin.ray_tracing import Traced
from wavefoundry.twin.statistical import Clusters
from wavefoundry.twin.traffic import Trajectories

FRAME = "frame of the base station"


def ray_traced_dataset(twin: RayTracedTwin, trajectories: Trajectories, traced: Traced, seed: int) -> xr.Dataset:
    """One sample for every window that a path reaches; `traced` holds all (station, user, window), row by row."""
    sampling = twin.site.sampling
    time = np.arange(sampling.slots) * sampling.slot_duration
    dataset = paths_dataset(traced.paths, trajectories, traced.line_of_sight, time, time, twin.array)
    return dataset.assign_attrs(
        _attributes(twin, "sionna-rt", seed),
        base_station_positions=[value for station in twin.base_stations for value in station.position],
        base_station_orientations=[value for station in twin.base_stations for value in station.orientation],
    )


def statistical_dataset(twin: StatisticalTwin, trajectories: Trajectories, clusters: Clusters, seed: int) -> xr.Dataset:
    """One sample for every user."""
    variables = {
        "coefficient": (
            ("sample", "path", "antenna", "time"),
            clusters.coefficient,
            describe("1", "complex gain of the path, with path loss, shadowing, array and Doppler"),
        ),
        "delay": (
            ("sample", "key", "path"),
            clusters.delay[:, None],
            describe("s", "delay of the path relative to the first one"),
        ),
        "valid": (("sample", "key", "path"), clusters.valid[:, None], describe("1", "whether the entry is a path")),
    }
    line_of_sight = np.full(twin.users, twin.line_of_sight)
    time = np.arange(twin.slots) * twin.slot_duration
    dataset = _with_samples(variables, trajectories, np.arange(twin.users), line_of_sight, time, twin.array)
    return _with_keys(dataset, np.zeros(1)).assign_attrs(
        _attributes(twin, "sionna", seed),
        base_station_positions=[0.0, 0.0, twin.base_station_height],
        base_station_orientations=[0.0, 0.0, 0.0],
        windows_total=twin.users,
    )


def paths_dataset(
    paths: Paths,
    trajectories: Trajectories,
    line_of_sight: np.ndarray,
    time: np.ndarray,
    key_times: np.ndarray,
    array: Array,
) -> xr.Dataset:
    """One sample for every window that a path reaches, without attributes of its origin.

    Args:
        paths: of all links (station, user, window), row by row.
        trajectories: motion of the users.
        line_of_sight: (link,) bool.
        time: (slot,) [s].
        key_times: (key,) [s].
        array: of the base stations.
    """
    kept = np.flatnonzero(paths.valid.any((1, 2)))
    described = {
        "amplitude": ("1", "complex gain of the path at the key, with element pattern and carrier phase"),
        "delay": ("s", "propagation delay of the path"),
        "doppler": ("Hz", "Doppler shift of the path"),
        "zenith": ("rad", f"zenith angle of departure, {FRAME}"),
        "azimuth": ("rad", f"azimuth angle of departure, {FRAME}"),
        "valid": ("1", "whether the path exists at the key"),
    }
    dimensions = ("sample", "key", "path", "polarisation")
    variables = {
        name: (dimensions[: getattr(paths, name).ndim], getattr(paths, name)[kept], describe(*description))
        for name, description in described.items()
    }
    dataset = _with_samples(variables, trajectories, kept, line_of_sight, time, array)
    return _with_keys(dataset, key_times).assign_attrs(windows_total=len(paths.valid))


def describe(units: str, long_name: str) -> dict:
    """Attributes of a variable."""
    return {"units": units, "long_name": long_name}


def _with_samples(variables, trajectories: Trajectories, kept, line_of_sight, time, array: Array) -> xr.Dataset:
    """The path variables with what is known of each sample; `kept` indexes (station, user, window), row by row."""
    users, windows, slots = trajectories.position.shape[:3]
    station, user_window = np.divmod(kept, users * windows)
    user, window = np.divmod(user_window, windows)
    velocity = np.broadcast_to(trajectories.velocity[:, :, None], (users, windows, slots, 3))
    return xr.Dataset(
        {
            **variables,
            "position": (
                ("sample", "time", "xyz"),
                trajectories.position[user, window],
                describe("m", "position of the user"),
            ),
            "velocity": (("sample", "time", "xyz"), velocity[user, window], describe("m s-1", "velocity of the user")),
            "speed": (("sample",), trajectories.speed[user], describe("m s-1", "speed of the user")),
            "los": (("sample",), line_of_sight[kept], describe("1", "line of sight at the first slot")),
            "trajectory": (("sample",), user.astype(np.int32), describe("1", "index of the user")),
            "base_station": (("sample",), station.astype(np.int32), describe("1", "index of the base station")),
            "window": (("sample",), window.astype(np.int32), describe("1", "index of the window of the user")),
        },
        coords=sample_coordinates(time, array),
    )


def sample_coordinates(time: np.ndarray, array: Array) -> dict:
    """Coordinates of samples with the given slots (time,) [s] and array."""
    elements = element_positions(array)
    return {
        "time": (("time",), time, describe("s", "time from the first slot of the sample")),
        "antenna": (("antenna",), np.arange(len(elements), dtype=np.int32), describe("1", "antenna index")),
        "element_position": (
            ("antenna", "xyz"),
            elements,
            describe("1", "position of the antenna element in wavelengths, frame of the base station"),
        ),
    }


def _with_keys(dataset: xr.Dataset, key_times: np.ndarray) -> xr.Dataset:
    return dataset.assign_coords(
        key_time=(("key",), key_times, describe("s", "time of the key position from the first slot of the sample"))
    )


def _attributes(twin: RayTracedTwin | StatisticalTwin, generator: str, seed: int) -> dict:
    return signal_attributes(twin.carrier_frequency, twin.array) | {
        "generator": generator,
        "generator_version": version(generator),
        "seed": seed,
        "parameters": json.dumps(twin.model_dump(), sort_keys=True),
    }


def signal_attributes(carrier_frequency: float, array: Array) -> dict:
    """What a store says of the carrier [Hz] and the array."""
    return {
        "carrier_frequency": carrier_frequency,
        "array_rows": array.rows,
        "array_columns": array.columns,
        "array_spacing": array.spacing,
        "array_pattern": array.pattern,
        "polarisation": array.polarisation,
    }
