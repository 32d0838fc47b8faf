"""Small data sets of every kind, and shards so small that a few samples fill several."""

from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr

from storage.stores import shards
from storage.stores.csi_store import split_attributes

UNITS = {"units": "1", "long_name": "test values"}
SHAPE = (4, 2, 6)  # time, antenna, subcarrier
WINDOWS = 3  # of a trajectory


@contextmanager
def small_shards(chunk_bytes=2 * 384, shard_bytes=4 * 384):
    """By default 2 samples of `make_dataset` to a chunk and 4 to a shard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(shards, "SHARD_BYTES", shard_bytes)
        patch.setattr(shards, "CHUNK_SAMPLES", 3)
        patch.setattr(shards, "SHARD_CHUNKS", 2)
        yield


def make_dataset(samples=12, seed=0, kind="csi", first=0) -> xr.Dataset:
    """Samples `first`, `first` + 1, ...: which values they have does not depend on where the data set begins."""
    generators = [np.random.default_rng([seed, first + sample]) for sample in range(samples)]
    axes = ("antenna", "subcarrier") if kind == "csi" else ("angle", "delay")
    csi = np.stack([generator.standard_normal((*SHAPE, 2)) for generator in generators]) if samples else 0
    csi = np.asarray(csi, np.float32).reshape(samples, *SHAPE, 2).view(np.complex64)[..., 0]
    motion = np.arange(first, first + samples, dtype=np.float32)[:, None, None] * np.ones((1, 4, 3), np.float32)
    trajectory = np.arange(first, first + samples, dtype=np.int32) // WINDOWS
    variables = {
        "position": (("sample", "time", "xyz"), motion, {"units": "m", "long_name": "position"}),
        "velocity": (("sample", "time", "xyz"), motion, {"units": "m s-1", "long_name": "velocity"}),
        "speed": ("sample", np.ones(samples, np.float32), {"units": "m s-1", "long_name": "speed"}),
        "los": ("sample", np.arange(first, first + samples) % 4 == 0, UNITS),
        "split": ("sample", (trajectory % 3).astype(np.int8), split_attributes()),
        "trajectory": ("sample", trajectory, UNITS),
    }
    if kind == "paths":
        amplitude = csi[:, :2, :, :2].reshape(samples, 2, 2, 2)
        plane = ("sample", "key", "path")
        numbers = np.abs(csi.real[:, :2, :, 2])
        variables |= {
            "amplitude": ((*plane, "polarisation"), amplitude, UNITS),
            **{name: (plane, numbers, UNITS) for name in ("doppler", "zenith", "azimuth")},
            "delay": (plane, numbers * 1e-7, {"units": "s", "long_name": "delay"}),
            "valid": (plane, np.ones(numbers.shape, bool), UNITS),
            "base_station": ("sample", np.zeros(samples, np.int32), UNITS),
        }
    else:
        variables["csi"] = (("sample", "time", *axes), csi, UNITS)
    if kind == "angle_delay":
        variables["scale"] = ("sample", np.ones(samples, np.float32), UNITS)
        variables["energy_kept"] = ("sample", np.full(samples, 0.9, np.float32), UNITS)
    coordinates = {"time": ("time", np.arange(4) * 5e-4, {"units": "s", "long_name": "time in the window"})}
    if kind == "paths":
        coordinates["key_time"] = ("key", np.array([0.0, 1e-3]), {"units": "s", "long_name": "time of the key"})
    return xr.Dataset(variables, coordinates, {"carrier_frequency": 3.5e9, "seed": seed})
