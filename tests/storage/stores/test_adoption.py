"""Stores that plain xarray copied, cut or appended to become stores of ours again."""

import shutil
import sys

import numpy as np
import pytest
import xarray as xr
import zarr

from storage.__main__ import main
from storage.errors import StorageError
from storage.stores.adoption import adopt_store
from storage.stores.csi_store import open_store, write_store
from storage.stores.inspection import check_store
from tests.storage.example import make_dataset, small_shards


@pytest.fixture(autouse=True, scope="module")
def _small_shards():
    with small_shards():
        yield


@pytest.fixture(params=["paths", "csi", "angle_delay"])
def kind(request):
    return request.param


@pytest.fixture
def store(tmp_path, kind):
    write_store(tmp_path / "ours.zarr", make_dataset(15, kind=kind), kind)
    return tmp_path / "ours.zarr"


def files(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def plain(path):
    """The store as anybody with xarray opens it."""
    return xr.open_zarr(path, consolidated=False, chunks=None)


def test_a_copy_by_xarray_becomes_the_store_it_was(store, kind, tmp_path):
    plain(store).load().drop_encoding().to_zarr(tmp_path / "copy.zarr", zarr_format=3)
    with pytest.raises(StorageError, match=r"python -m storage adopt .*copy\.zarr NEW\.zarr"):
        open_store(tmp_path / "copy.zarr", kind)
    assert adopt_store(tmp_path / "copy.zarr", tmp_path / "again.zarr") == 15
    assert files(tmp_path / "again.zarr") == files(store)


def test_chunks_of_zeros_that_xarray_leaves_out_are_zeros(store, kind, tmp_path):
    """Users 0 and 3 are in the split train, code 0, and their chunk of `split` is no file."""
    cut = plain(store).load().isel(sample=slice(0, 3))
    cut.drop_encoding().to_zarr(tmp_path / "cut.zarr", zarr_format=3, consolidated=False)
    assert not (tmp_path / "cut.zarr/split/c").exists()
    adopt_store(tmp_path / "cut.zarr", tmp_path / "again.zarr")
    write_store(tmp_path / "expected.zarr", make_dataset(3, kind=kind), kind)
    assert files(tmp_path / "again.zarr") == files(tmp_path / "expected.zarr")


def test_a_store_that_xarray_appended_to(store, kind, tmp_path):
    more = make_dataset(6, kind=kind, first=15).assign_attrs(plain(store).attrs)
    more.to_zarr(store, append_dim="sample", consolidated=False)
    with pytest.raises(StorageError, match="python -m storage adopt"):
        open_store(store, kind)
    adopt_store(store, store)  # in its place
    assert check_store(store).faults == []
    expected = make_dataset(21, kind=kind)
    found = open_store(store, kind)
    for name in expected.variables:
        np.testing.assert_array_equal(found[name].values, expected[name].values)


def test_a_store_that_lost_its_attributes_to_what_was_appended(store, kind, tmp_path):
    attributes = plain(store).attrs
    more = make_dataset(6, kind=kind, first=15)
    more.attrs.clear()
    more.to_zarr(store, append_dim="sample", consolidated=False)
    for use in (lambda: open_store(store, kind), lambda: adopt_store(store, tmp_path / "new.zarr")):
        with pytest.raises(StorageError, match=r"'schema' is missing, .*python -m storage adopt .*store.* NEW\.zarr"):
            use()
    zarr.open_group(store, mode="r+", use_consolidated=False).attrs.update(attributes)
    assert adopt_store(store, tmp_path / "new.zarr") == 21
    assert check_store(tmp_path / "new.zarr").faults == []


def test_what_is_no_store_of_ours_is_refused_and_nothing_written(store, tmp_path):
    dataset = plain(store).load().drop_encoding()
    dataset.drop_vars("trajectory").to_zarr(tmp_path / "less.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(StorageError, match="'trajectory' is missing"):
        adopt_store(tmp_path / "less.zarr", tmp_path / "new.zarr")
    dataset.attrs.pop("schema")
    dataset.to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(StorageError, match="the attribute 'schema' is missing"):
        adopt_store(tmp_path / "other.zarr", tmp_path / "new.zarr")
    assert not (tmp_path / "new.zarr").exists()


@pytest.mark.parametrize("kind", ["csi"], indirect=True)
def test_missing_data_and_other_stores_are_refused(store, tmp_path):
    before = files(store)
    with pytest.raises(StorageError, match="is there already"):
        adopt_store(store, shutil.copytree(store, tmp_path / "other.zarr"))
    (tmp_path / "other.zarr/csi/c/1/0/0/0").unlink()
    with pytest.raises(StorageError, match="'csi' is damaged or cut short: chunks are missing"):
        adopt_store(tmp_path / "other.zarr", tmp_path / "new.zarr")
    assert not (tmp_path / "new.zarr").exists()
    assert files(store) == before


@pytest.mark.parametrize("kind", ["csi"], indirect=True)
def test_a_new_store_inside_of_its_source_is_refused(store, tmp_path):
    before = files(store)
    (tmp_path / "link.zarr").symlink_to(store)
    for folder in (store, tmp_path / "link.zarr"):
        with pytest.raises(StorageError, match=r"sub\.zarr: lies inside of .*ours\.zarr"):
            adopt_store(store, folder / "sub.zarr")
    assert files(store) == before


@pytest.mark.parametrize("kind", ["csi"], indirect=True)
def test_the_command(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["storage", "adopt", str(store), str(tmp_path / "new.zarr")])
    assert main() == 0
    assert capsys.readouterr().out == f"{tmp_path / 'new.zarr'}: 15 samples of {store}\n"
    assert main() == 1
    assert "is there already" in capsys.readouterr().err
