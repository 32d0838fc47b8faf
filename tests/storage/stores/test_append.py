"""Appended samples: the bytes of one writing, full shards untouched, nothing lost, nothing foreign let in."""

import os
import shutil

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.digests import digest
from storage.errors import StorageError
from storage.stores.csi_store import append_store, open_store, write_store
from storage.stores.schema import KINDS, windows_total
from tests.storage.example import make_dataset, small_shards


@pytest.fixture(autouse=True, scope="module")
def _small_shards():
    with small_shards():
        yield


def shard_files(path):
    return {file: (file.stat().st_ino, file.read_bytes()) for file in path.rglob("c/**/*") if file.is_file()}


@given(
    before=st.integers(1, 13), added=st.lists(st.integers(1, 9), min_size=1, max_size=2), kind=st.sampled_from([*KINDS])
)
@settings(max_examples=8, deadline=None)
def test_appending_gives_the_bytes_of_one_writing(tmp_path_factory, before, added, kind):
    folder = tmp_path_factory.mktemp("append")
    write_store(folder / "grown.zarr", make_dataset(before, kind=kind), kind)
    total = before
    for samples in added:
        append_store(folder / "grown.zarr", make_dataset(samples, kind=kind, first=total), kind)
        total += samples
    write_store(folder / "whole.zarr", make_dataset(total, kind=kind), kind)
    assert digest(folder / "grown.zarr") == digest(folder / "whole.zarr")
    xr.testing.assert_equal(open_store(folder / "grown.zarr", kind).load(), make_dataset(total, kind=kind))


def test_full_shards_stay_the_same_files(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(10), "csi")
    before = shard_files(path)
    append_store(path, make_dataset(7, first=10), "csi")
    after = shard_files(path)
    # 4 samples of the CSI to a shard, 2 chunks of 3 of small variables; the last shard of each had room.
    for name, full in {
        "csi/c/0/0/0/0": 1,
        "csi/c/1/0/0/0": 1,
        "csi/c/2/0/0/0": 0,
        "speed/c/0": 1,
        "speed/c/1": 0,
    }.items():
        assert (before[path / name] == after[path / name]) == bool(full), name
    assert (path / "csi/c/4/0/0/0").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_a_store_of_links_into_a_cache_grows_and_leaves_the_cache_alone(tmp_path):
    path, cache = tmp_path / "a.zarr", tmp_path / "cache"
    write_store(path, make_dataset(10), "csi")
    shutil.copytree(path, cache)
    for file in [file for file in path.rglob("*") if file.is_file()]:
        file.unlink()
        file.symlink_to(cache / file.relative_to(path))
    kept = digest(cache)
    append_store(path, make_dataset(7, first=10), "csi")
    xr.testing.assert_equal(open_store(path, "csi").load(), make_dataset(17))
    assert digest(cache) == kept
    assert not any(file.is_symlink() for file in path.rglob("*"))


def test_hard_links_that_the_file_system_refuses_become_copies(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(10), "csi")

    def refuse(source, target):
        raise OSError("links are not supported")

    monkeypatch.setattr(os, "link", refuse)
    append_store(path, make_dataset(7, first=10), "csi")
    xr.testing.assert_equal(open_store(path, "csi").load(), make_dataset(17))


def changed(**options):
    return make_dataset(6, first=12, **options)


DISAGREEMENTS = {
    "attribute 'carrier_frequency' of the new samples is 28.*before 35": changed().assign_attrs(carrier_frequency=28e9),
    "attribute 'bandwidth' of the new samples is 1.0, of the samples before missing": changed().assign_attrs(
        bandwidth=1.0
    ),
    "coordinate 'time' of the new samples is not": changed().assign_coords(
        time=("time", np.arange(4) * 1e-3, {"units": "s", "long_name": "time"})
    ),
    "size of 'csi' of the new samples is .*'subcarrier': 5": changed().isel(subcarrier=slice(5)),
    "type of 'speed' of the new samples is float64": changed().assign(
        speed=("sample", np.ones(6), {"units": "m s-1", "long_name": "speed"})
    ),
    "unit of 'speed' of the new samples is km/h": changed().assign(
        speed=("sample", np.ones(6, np.float32), {"units": "km/h", "long_name": "speed"})
    ),
    "'base_station' only in the new samples or in those before": changed().assign(
        base_station=("sample", np.zeros(6, np.int32), {"units": "1", "long_name": "base station"})
    ),
    "trajectory 3 is in more than one split": make_dataset(6, first=9).assign(
        split=lambda d: d["split"].copy(data=(d["split"].values + 1) % 3)
    ),
    "'csi' has NaN or infinite values, first in sample 19": changed().assign(
        csi=lambda d: d["csi"].copy(
            data=np.where(np.arange(6)[:, None, None, None] == 4, np.nan, d["csi"]).astype("c8")
        )
    ),
}


@pytest.mark.parametrize("message", DISAGREEMENTS)
def test_samples_of_another_signal_are_refused_and_the_store_stays(tmp_path, message):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(12), "csi")
    before, files = digest(path), shard_files(path)
    with pytest.raises(StorageError, match=message):
        append_store(path, [make_dataset(3, first=12), DISAGREEMENTS[message]], "csi")
    assert digest(path) == before and shard_files(path) == files
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("small", [True, False])
def test_samples_that_the_store_holds_are_refused_also_as_other_users(tmp_path, kind, small):
    def without_motion(dataset):
        return dataset if small or kind == "paths" else dataset.drop_vars(["position", "velocity", "speed", "los"])

    path = tmp_path / "a.zarr"
    write_store(path, without_motion(make_dataset(10, kind=kind)), kind)
    before = digest(path)
    twice = make_dataset(6, kind=kind, first=7)  # of its samples 7 to 12 the store holds 7, 8 and 9
    twice["trajectory"] = twice["trajectory"].copy(data=twice["trajectory"].values + 100)
    with pytest.raises(StorageError, match=r"new sample 0 is the same as sample 7 of the store.*\(3 in all\)"):
        append_store(path, without_motion(twice), kind)
    assert digest(path) == before
    append_store(path, without_motion(twice.isel(sample=slice(3, None))), kind)
    assert open_store(path, kind).sizes["sample"] == 13


def test_new_users_are_numbered_on_from_what_the_store_holds_when_it_is_written(tmp_path):
    """Another append that was done after the source was opened, before this one: none of the three shares a user."""
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(6), "csi")

    def parts():
        with pytest.raises(StorageError, match="another process is writing it"):
            append_store(path, make_dataset(6, seed=2), "csi", new_users=True)
        yield make_dataset(3, seed=1)
        yield make_dataset(3, seed=1, first=3)

    assert append_store(path, parts(), "csi", new_users=True) == 6
    assert append_store(path, make_dataset(6, seed=2), "csi", new_users=True) == 12
    assert open_store(path, "csi")["trajectory"].values.tolist() == np.arange(6).repeat(3).tolist()


@pytest.mark.parametrize(("held", "new"), [(2**31 - 2, 1), (0, -1), (5, 2**31 - 1)])
def test_new_users_whose_numbers_do_not_fit_are_refused(tmp_path, held, new):
    """Rather than wrapped around to those of other users."""

    def of_user(number, seed):
        return make_dataset(3, seed).assign(
            trajectory=lambda d: d["trajectory"].copy(data=np.full(3, number, np.int32))
        )

    path = tmp_path / "a.zarr"
    write_store(path, of_user(held, seed=0), "csi")
    before = digest(path)
    with pytest.raises(StorageError, match=f"new trajectories {new} to {new} cannot be numbered on from {held + 1}"):
        append_store(path, of_user(new, seed=1), "csi", new_users=True)
    assert digest(path) == before


def test_silent_samples_are_not_taken_for_one_another(tmp_path):
    silent = make_dataset(6).drop_vars(["position", "velocity", "speed", "los"])
    silent["csi"] = silent["csi"] * np.complex64(0)
    silent["csi"].attrs = make_dataset(6)["csi"].attrs
    write_store(tmp_path / "a.zarr", silent, "csi")
    append_store(tmp_path / "a.zarr", silent, "csi")
    assert open_store(tmp_path / "a.zarr", "csi").sizes["sample"] == 12


def test_where_appended_samples_come_from_is_kept(tmp_path):
    first = make_dataset(6).assign_attrs(windows_total=8, parameters="{}")
    more = make_dataset(6, first=6).assign_attrs(windows_total=7, parameters="{}", seed=5)
    write_store(tmp_path / "grown.zarr", first, "csi")
    append_store(tmp_path / "grown.zarr", more, "csi")
    attributes = open_store(tmp_path / "grown.zarr", "csi").attrs
    assert (attributes["seed"], attributes["windows_total"]) == (0, 8)
    assert attributes["appended"] == [{"seed": 5, "parameters": "{}", "windows_total": 7}]
    assert windows_total(attributes) == 15
    write_store(tmp_path / "whole.zarr", [first, more], "csi")
    assert digest(tmp_path / "grown.zarr") == digest(tmp_path / "whole.zarr")


def test_appending_to_nothing_or_to_a_damaged_shard_is_refused(tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(StorageError, match="no csi store there"):
        append_store(path, make_dataset(), "csi")
    assert not list(tmp_path.iterdir())
    write_store(path, make_dataset(10), "csi")
    shard = path / "csi/c/2/0/0/0"
    content = bytearray(shard.read_bytes())
    content[0] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StorageError, match=r"csi/c/2/0/0/0: checksum of chunk 0 disagrees; samples 8 to 9 lost"):
        append_store(path, make_dataset(first=12), "csi")
    assert shard.read_bytes() == content
