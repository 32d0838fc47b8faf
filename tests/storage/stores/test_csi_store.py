"""The store keeps values, refuses what breaks the contract and names what is damaged."""

import errno
import itertools
import pathlib
import shutil
import tracemalloc

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.digests import digest
from storage.errors import StorageError
from storage.stores import shards
from storage.stores.adoption import adopt_store
from storage.stores.csi_store import (
    array_shape,
    assign_splits,
    open_store,
    read_array,
    split_indices,
    stored_kind,
    write_store,
)
from storage.stores.schema import KINDS
from tests.storage.example import make_dataset, small_shards


def cut(dataset, bounds):
    """The data set in parts that end at `bounds`."""
    edges = [0, *sorted(bounds), dataset.sizes["sample"]]
    return (dataset.isel(sample=slice(a, b)) for a, b in itertools.pairwise(edges))


@pytest.fixture(autouse=True, scope="module")
def _small_shards():
    with small_shards():
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_attributes_come_back(tmp_path, kind):
    dataset = make_dataset(11, kind=kind)
    write_store(tmp_path / "a.zarr", dataset, kind)
    opened = open_store(tmp_path / "a.zarr", kind)
    for name, variable in dataset.variables.items():
        assert opened[name].attrs == variable.attrs and opened[name].dtype == variable.dtype
    assert opened.attrs == {**dataset.attrs, "schema": kind, "schema_version": 2}
    xr.testing.assert_equal(opened.load(), dataset)


@given(samples=st.integers(1, 25), bounds=st.data())
@settings(max_examples=10, deadline=None)
def test_the_bytes_do_not_depend_on_the_cut_into_parts(tmp_path_factory, samples, bounds):
    folder = tmp_path_factory.mktemp("cut")
    dataset = make_dataset(samples)
    write_store(folder / "whole.zarr", dataset, "csi")
    parts = cut(dataset, bounds.draw(st.lists(st.integers(0, samples), max_size=6)))
    write_store(folder / "parts.zarr", parts, "csi")
    assert digest(folder / "whole.zarr") == digest(folder / "parts.zarr")


def test_shards_hold_a_number_of_samples_that_depends_on_the_sample_alone(tmp_path):
    for samples in (1, 9):
        write_store(tmp_path / f"{samples}.zarr", make_dataset(samples), "csi")
        array = zarr.open_group(tmp_path / f"{samples}.zarr", mode="r")["csi"]
        assert (array.chunks[0], array.shards[0]) == (2, 4)
    # The last shard is no longer than its samples need: 1 of 2 chunks of 2 samples, and two checksums and the index.
    assert (tmp_path / "1.zarr" / "csi" / "c/0/0/0/0").stat().st_size == 2 * 384 + 4 + 2 * 16 + 4


def test_a_long_stream_of_parts_needs_little_memory(tmp_path, monkeypatch):
    part_bytes = 1024 * 384
    part = make_dataset(1024)

    def parts():
        for number in range(32):
            # Trajectories of another part have the splits of this one.
            yield part.assign(csi=part["csi"] + number)

    monkeypatch.setattr(shards, "SHARD_BYTES", part_bytes)
    monkeypatch.setattr(shards, "CHUNK_BYTES", part_bytes // 8)
    monkeypatch.setattr(shards, "CHUNK_SAMPLES", 128)
    monkeypatch.setattr(shards, "SHARD_CHUNKS", 8)
    write_store(tmp_path / "a.zarr", part, "csi")
    tracemalloc.start()
    write_store(tmp_path / "a.zarr", parts(), "csi")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The part, one on its way in, and what checking for finite values needs; all of them would be 32.
    assert peak < 4 * part_bytes


def test_a_full_disk_is_one_clear_error_and_the_old_store_stays(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(), "csi")
    before = digest(path)
    real_open = pathlib.Path.open
    shards_opened = 0

    def open_on_small_disk(self, mode="r", *rest, **options):
        nonlocal shards_opened
        if mode == "wb" and "csi" in self.parts:
            shards_opened += 1
            # The third shard of the CSI meets a full disk in mid-write.
            if shards_opened == 3:
                return real_open(pathlib.Path("/dev/full"), "wb", buffering=0)
        return real_open(self, mode, *rest, **options)

    monkeypatch.setattr(pathlib.Path, "open", open_on_small_disk)
    with pytest.raises(StorageError, match=r"a\.zarr: cannot be written \(No space left on device\)") as caught:
        write_store(path, make_dataset(seed=1), "csi")
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert digest(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_a_fault_in_the_source_of_the_parts_passes_through_and_leaves_the_old_store(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(), "csi")
    before = digest(path)

    def parts():
        yield make_dataset(7, seed=1)
        raise FileNotFoundError("scene.xml")

    with pytest.raises(FileNotFoundError, match=r"scene\.xml"):
        write_store(path, parts(), "csi")
    assert digest(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_a_trajectory_in_two_splits_is_refused_across_parts_too(tmp_path):
    dataset = make_dataset()
    dataset["split"].values[2] = 1
    with pytest.raises(StorageError, match="trajectory 0 is in more than one split"):
        write_store(tmp_path / "a.zarr", dataset, "csi")
    with pytest.raises(StorageError, match="trajectory 0 is in more than one split"):
        write_store(tmp_path / "a.zarr", cut(dataset, [2]), "csi")
    dataset["split"].values[:3] = 3
    with pytest.raises(StorageError, match="'split' must be 0 to 2"):
        write_store(tmp_path / "a.zarr", dataset, "csi")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["csi", "position"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_their_sample(tmp_path, name, value):
    dataset = make_dataset()
    dataset[name].values[7, 2, 1] = value
    with pytest.raises(StorageError, match=f"{name!r} has NaN or infinite values, first in sample 7"):
        write_store(tmp_path / "a.zarr", cut(dataset, [5]), "csi")
    assert not list(tmp_path.iterdir())


def test_coordinates_that_are_not_finite_are_refused(tmp_path):
    dataset = make_dataset().assign_coords(time=("time", [0, 1, np.nan, 3], {"units": "s", "long_name": "time"}))
    with pytest.raises(StorageError, match="'time' has NaN or infinite values"):
        write_store(tmp_path / "a.zarr", dataset, "csi")


def test_schema_faults_are_named(tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(StorageError, match="'speed' is missing"):
        write_store(path, make_dataset(kind="paths").drop_vars("speed"), "paths")
    with pytest.raises(StorageError, match="'split' is missing"):
        write_store(path, make_dataset().drop_vars("split"), "csi")
    with pytest.raises(StorageError, match="complex128, expected complex64"):
        write_store(path, make_dataset().assign(csi=lambda d: d["csi"].astype(complex)), "csi")
    with pytest.raises(StorageError, match=r"'csi' has dimensions \('time', 'sample'"):
        write_store(path, make_dataset().transpose("time", ...), "csi")
    with pytest.raises(StorageError, match="'csi' has no attribute 'units'"):
        write_store(path, make_dataset().assign(csi=lambda d: d["csi"].drop_attrs()), "csi")
    with pytest.raises(StorageError, match="only numbers are stored"):
        write_store(path, make_dataset().assign(name=("sample", np.array(["x"] * 12))), "csi")
    with pytest.raises(StorageError, match="'energy_kept' is missing; a angle_delay store"):
        write_store(path, make_dataset(kind="angle_delay").drop_vars("energy_kept"), "angle_delay")
    with pytest.raises(StorageError, match="'base_station' is missing"):
        write_store(path, make_dataset(kind="paths").drop_vars("base_station"), "paths")
    with pytest.raises(StorageError, match="one of the variables amplitude and coefficient"):
        write_store(path, make_dataset(kind="paths").drop_vars("amplitude"), "paths")
    with pytest.raises(StorageError, match="no kind of store is called 'csv'"):
        write_store(path, make_dataset(), "csv")
    with pytest.raises(StorageError, match="no samples to write"):
        write_store(path, [], "csi")
    assert not path.exists()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"array_rows": "x", "array_columns": 1}, "array_rows 'x', array_columns 1; allowed: whole numbers above 0"),
        ({"array_rows": 1, "array_columns": 0}, "array_columns 0; allowed: whole numbers above 0"),
        ({"array_rows": 1}, "array_rows 1, array_columns 'missing'; allowed"),
        ({"array_rows": 3, "array_columns": 1}, "array_rows 3, array_columns 1 do not divide the size of '{}', 2"),
        ({"appended": 5}, "'appended' is 5, expected a list with a mapping for each source"),
        ({"appended": [1]}, r"'appended' is \[1\], expected a list with a mapping for each source"),
    ],
)
@pytest.mark.parametrize(("kind", "axis"), [("csi", "antenna"), ("angle_delay", "angle")])
def test_attributes_that_say_nothing_are_refused_when_written_and_adopted(tmp_path, attributes, message, kind, axis):
    path = tmp_path / "a.zarr"
    with pytest.raises(StorageError, match=message.format(axis)):
        write_store(path, make_dataset(kind=kind).assign_attrs(attributes), kind)
    write_store(path, make_dataset(kind=kind), kind)
    zarr.open_group(path, mode="r+", use_consolidated=False).attrs.update(attributes)
    with pytest.raises(StorageError, match=message.format(axis)):
        adopt_store(path, path)


@pytest.mark.parametrize("name", ["split", "trajectory"])
def test_numbers_of_splits_and_of_users_are_whole(tmp_path, name):
    with pytest.raises(StorageError, match=f"'{name}' is float64, expected whole numbers"):
        write_store(tmp_path / "a.zarr", make_dataset().assign({name: lambda d: d[name].astype(float)}), "csi")


def test_a_kind_that_is_no_name_is_refused(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(), "csi")
    zarr.open_group(path, mode="r+", use_consolidated=False).attrs["schema"] = ["csi"]
    with pytest.raises(StorageError, match=r"attribute 'schema' is \['csi'\], expected one of paths, csi, angle_delay"):
        stored_kind(path)


def test_a_store_without_rows_and_columns_has_no_shape_of_its_array(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(), "csi")
    with pytest.raises(StorageError, match=r"a\.zarr: the attributes array_rows and array_columns are missing"):
        array_shape(open_store(path, "csi"))


def test_missing_foreign_and_incomplete_stores_are_refused(tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(StorageError, match="no csi store there"):
        open_store(path, "csi")
    write_store(path, make_dataset(), "csi")
    with pytest.raises(StorageError, match="'csi' version 2, expected 'angle_delay'"):
        open_store(path, "angle_delay")
    shutil.rmtree(path / "csi" / "c" / "1")
    with pytest.raises(StorageError, match="csi/c/1/0/0/0 is missing"):
        open_store(path, "csi")


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_shard_is_an_error_and_never_data(tmp_path, damage):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(), "csi")
    shard = path / "csi" / "c/1/0/0/0"
    content = bytearray(shard.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[100] ^= 1
    store = open_store(path, "csi")
    shard.write_bytes(content)
    with pytest.raises(StorageError, match="'csi' is damaged or cut short"):
        read_array(path, store, "csi")
    # The other shards can still be had.
    assert np.array_equal(read_array(path, store.isel(sample=slice(4)), "csi"), make_dataset(4)["csi"].values)


def test_a_shard_that_vanishes_after_opening_is_an_error_and_never_zeros(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(), "csi")
    opened = open_store(path, "csi")
    shutil.rmtree(path / "csi" / "c")
    with pytest.raises(StorageError, match="'csi' is damaged or cut short: chunks are missing"):
        read_array(path, opened, "csi")


def test_splits_are_disjoint_cover_all_and_follow_the_shares(tmp_path):
    dataset = make_dataset(300)
    codes = assign_splits(100, (0.5, 0.25, 0.25), np.random.default_rng(0))
    dataset["split"].values[:] = codes[dataset["trajectory"].values]
    write_store(tmp_path / "a.zarr", dataset, "csi")
    opened = open_store(tmp_path / "a.zarr", "csi")
    parts = [split_indices(opened, split) for split in ("train", "validation", "test")]
    assert sorted(np.concatenate(parts)) == list(range(300))
    assert [len(part) for part in parts] == [150, 75, 75]
    train, validation, test = (set(opened["trajectory"].values[part]) for part in parts)
    assert not (train & validation or train & test or validation & test)


def test_every_split_gets_a_trajectory_or_the_error_says_why():
    codes = assign_splits(3, (0.98, 0.01, 0.01), np.random.default_rng(0))
    assert sorted(codes) == [0, 1, 2]
    with pytest.raises(StorageError, match="2 trajectories"):
        assign_splits(2, (0.8, 0.1, 0.1), np.random.default_rng(0))
