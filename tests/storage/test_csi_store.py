"""The store keeps values, refuses what breaks the contract and names what is damaged."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from storage.csi_store import assign_splits, open_store, read_array, split_attributes, split_indices, write_store
from storage.digests import digest
from storage.errors import StorageError

UNITS = {"units": "1", "long_name": "test values"}


def make_dataset(samples=12, windows=3, seed=0) -> xr.Dataset:
    generator = np.random.default_rng(seed)
    trajectory = np.arange(samples, dtype=np.int32) // windows
    splits = assign_splits(samples // windows, (0.5, 0.25, 0.25), generator)
    shape = (samples, 4, 2, 6)
    csi = (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(np.complex64)
    motion = generator.standard_normal((samples, 4, 3)).astype(np.float32)
    return xr.Dataset(
        {
            "csi": (("sample", "time", "antenna", "subcarrier"), csi, UNITS),
            "position": (("sample", "time", "xyz"), motion, {"units": "m", "long_name": "position"}),
            "velocity": (("sample", "time", "xyz"), motion, {"units": "m/s", "long_name": "velocity"}),
            "speed": ("sample", np.ones(samples, np.float32), {"units": "m/s", "long_name": "speed"}),
            "los": ("sample", np.zeros(samples, bool), UNITS),
            "split": ("sample", splits[trajectory], split_attributes()),
            "trajectory": ("sample", trajectory, UNITS),
        },
        coords={"time": ("time", np.arange(4) * 5e-4, {"units": "s", "long_name": "time in the window"})},
    )


def test_values_and_attributes_come_back(tmp_path):
    dataset = make_dataset()
    write_store(tmp_path / "a.zarr", dataset, "csi")
    opened = open_store(tmp_path / "a.zarr", "csi")
    xr.testing.assert_identical(opened.load().drop_attrs(deep=False), dataset)
    assert opened["time"].attrs["units"] == "s"


def test_the_same_data_give_the_same_bytes(tmp_path):
    for name in ("a.zarr", "b.zarr"):
        write_store(tmp_path / name, make_dataset(), "csi")
    assert digest(tmp_path / "a.zarr") == digest(tmp_path / "b.zarr")


def test_a_failed_write_leaves_the_old_store(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(), "csi")
    before = digest(path)

    def fail(self, target, **options):
        Path(target).mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_zarr", fail)
    with pytest.raises(OSError, match="No space"):
        write_store(path, make_dataset(seed=1), "csi")
    assert digest(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_a_trajectory_in_two_splits_is_refused(tmp_path):
    dataset = make_dataset()
    dataset["split"].values[:3] = [0, 1, 0]
    with pytest.raises(StorageError, match="trajectory 0 is in more than one split"):
        write_store(tmp_path / "a.zarr", dataset, "csi")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    dataset = make_dataset()
    dataset["csi"].values[1, 2, 0, 3] = value
    with pytest.raises(StorageError, match="'csi' has NaN or infinite"):
        write_store(tmp_path / "a.zarr", dataset, "csi")
    assert not (tmp_path / "a.zarr").exists()


def test_schema_faults_are_named(tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(StorageError, match="'speed' is missing"):
        write_store(path, make_dataset().drop_vars("speed"), "csi")
    with pytest.raises(StorageError, match="complex128, expected complex64"):
        write_store(path, make_dataset().assign(csi=lambda d: d["csi"].astype(complex)), "csi")
    with pytest.raises(StorageError, match="dimensions"):
        write_store(path, make_dataset().transpose("time", ...), "csi")
    with pytest.raises(StorageError, match="'csi' has no attribute 'units'"):
        write_store(path, make_dataset().drop_attrs(), "csi")


def test_missing_foreign_and_incomplete_stores_are_refused(tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(StorageError, match="no csi store there"):
        open_store(path, "csi")
    write_store(path, make_dataset(), "csi")
    with pytest.raises(StorageError, match="'csi' version 1, expected 'angle_delay'"):
        open_store(path, "angle_delay")
    shutil.rmtree(path / "csi" / "c")
    with pytest.raises(StorageError, match="'csi' has 0 of 1 files"):
        open_store(path, "csi")


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_shard_is_an_error_and_never_data(tmp_path, damage):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(), "csi")
    shard = next(file for file in (path / "csi" / "c").rglob("*") if file.is_file())
    content = bytearray(shard.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StorageError, match="'csi' is damaged or cut short"):
        read_array(path, open_store(path, "csi"), "csi")


def test_a_shard_that_vanishes_after_opening_is_an_error_and_never_zeros(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(), "csi")
    opened = open_store(path, "csi")
    shutil.rmtree(path / "csi" / "c")
    with pytest.raises(StorageError, match="'csi' is damaged or cut short: chunks are missing"):
        read_array(path, opened, "csi")


def test_splits_are_disjoint_cover_all_and_follow_the_shares(tmp_path):
    write_store(tmp_path / "a.zarr", make_dataset(samples=300), "csi")
    opened = open_store(tmp_path / "a.zarr", "csi")
    parts = [split_indices(opened, split) for split in ("train", "validation", "test")]
    assert sorted(np.concatenate(parts)) == list(range(300))
    assert [len(part) for part in parts] == [150, 75, 75]
    trajectories = [set(opened["trajectory"].values[part]) for part in parts]
    assert not (
        trajectories[0] & trajectories[1] or trajectories[0] & trajectories[2] or trajectories[1] & trajectories[2]
    )


def test_every_split_gets_a_trajectory_or_the_error_says_why():
    codes = assign_splits(3, (0.98, 0.01, 0.01), np.random.default_rng(0))
    assert sorted(codes) == [0, 1, 2]
    with pytest.raises(StorageError, match="2 trajectories"):
        assign_splits(2, (0.8, 0.1, 0.1), np.random.default_rng(0))
