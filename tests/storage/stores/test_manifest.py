"""What is exchanged, lost, changed or added in a store is one line: of `check`, and where it shows of `open`."""

import json
import shutil
import warnings

import numpy as np
import pytest
import xarray as xr

from storage.errors import StorageError
from storage.stores import writing
from storage.stores.csi_store import append_store, open_store, write_store
from storage.stores.inspection import check_store
from storage.stores.manifest import FILE, read_manifest
from tests.storage.example import make_dataset, small_shards

CHUNK = 2 * 384 + 4  # bytes of 2 samples of CSI and their checksum
ALIEN = "is not the file that was written here (its digest differs)"


@pytest.fixture(autouse=True, scope="module")
def _small_shards():
    with small_shards():
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two stores of equal shapes, each written once for all tests."""
    folder = tmp_path_factory.mktemp("written")
    for seed, name in enumerate(("a.zarr", "b.zarr")):
        write_store(folder / name, make_dataset(15, seed=seed), "csi")
    return folder


@pytest.fixture
def path(written, tmp_path):
    shutil.copytree(written / "a.zarr", tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


def exchange(first, second):
    first_content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(first_content)


def exchange_variables(path):
    exchange(path / "position/c/0/0/0", path / "velocity/c/1/0/0")


def take_from_another_store(path):
    other = path.parent / "b.zarr"
    write_store(other, make_dataset(15, seed=1), "csi")
    shutil.copy(other / "csi/c/2/0/0/0", path / "csi/c/2/0/0/0")


def exchange_chunks(path):
    shard = path / "csi/c/1/0/0/0"
    content = shard.read_bytes()
    shard.write_bytes(content[CHUNK : 2 * CHUNK] + content[:CHUNK] + content[2 * CHUNK :])


def lose_a_variable(path):
    shutil.rmtree(path / "speed")


def change_a_text(path):
    metadata = path / "speed/zarr.json"
    metadata.write_text(metadata.read_text().replace("m s-1", "km/h "))


def change_an_attribute(path):
    metadata = path / "zarr.json"
    metadata.write_text(metadata.read_text().replace("3500000000", "2400000000"))


def add_a_file(path):
    (path / "csi/c/1/notes.txt").write_text("by hand")


def add_a_file_at_the_top(path):
    (path / ".DS_Store").write_bytes(b"")


def add_a_variable(path):
    shutil.copytree(path / "speed", path / "pace")


def exchange_coordinates(path):
    other = path.parent / "b.zarr"
    later = make_dataset(3).assign_coords(time=lambda dataset: dataset["time"] + 1e-3)
    later["time"].attrs = make_dataset(1)["time"].attrs
    write_store(other, later, "csi")
    shutil.copy(other / "time/c/0", path / "time/c/0")


# What is done, what `check` says, how many samples that costs, and whether opening shows it.
CASES = [
    (exchange_variables, [f"position/c/0/0/0: {ALIEN}; samples 0 to 5 lost",
                          f"velocity/c/1/0/0: {ALIEN}; samples 6 to 11 lost"], 12, False),
    (take_from_another_store, [f"csi/c/2/0/0/0: {ALIEN}; samples 8 to 11 lost"], 4, False),
    (exchange_chunks, [f"csi/c/1/0/0/0: {ALIEN}; samples 4 to 7 lost"], 4, False),
    (lose_a_variable, ["speed is missing; all samples lost"], 15, True),
    (change_a_text, [f"speed/zarr.json {ALIEN}; all samples lost"], 15, True),
    (change_an_attribute, [f"zarr.json {ALIEN}; all samples lost"], 15, True),
    (add_a_file, ["csi/c/1/notes.txt does not belong to the store, move it elsewhere"], 0, True),
    (add_a_file_at_the_top, [".DS_Store does not belong to the store, move it elsewhere"], 0, True),
    (add_a_variable, ["pace does not belong to the store, move it elsewhere"], 0, True),
    (exchange_coordinates, [f"time/c/0: {ALIEN}; all samples lost"], 15, False),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "told", "lost", "seen_by_open"), CASES, ids=[case[0].__name__ for case in CASES])
def test_every_harm_is_told_by_check_and_what_the_list_shows_by_open(path, harm, told, lost, seen_by_open):
    harm(path)
    result = check_store(path)
    assert result.faults == [f"{path}: {line}" for line in told]
    assert result.lost == lost
    if seen_by_open:
        fault = told[0].partition(";")[0]
        with pytest.raises(StorageError) as refusal:
            open_store(path, "csi")
        assert str(refusal.value) == f"{path}: {fault} (python -m storage check {path} names what is lost)"
    else:
        open_store(path, "csi")


def test_a_file_of_another_length_or_gone_is_told_by_open(path):
    shard = path / "csi/c/1/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(StorageError, match=r"csi/c/1/0/0/0 has 1579 bytes, expected 1580 \(python -m storage check"):
        open_store(path, "csi")
    shard.unlink()
    (path / "split/c/0").unlink()
    with pytest.raises(StorageError, match=r"csi/c/1/0/0/0 is missing, and 1 more faults \(python -m storage check"):
        open_store(path, "csi")


def test_links_to_files_are_as_good_as_files_and_links_to_folders_are_not(path):
    place, cached = "csi/c/1/0/0/0", path.parent / "cached"
    shutil.move(path / place, cached)
    (path / place).symlink_to(cached)
    open_store(path, "csi")
    (path / "csi/again").symlink_to(path / "csi")
    with pytest.raises(StorageError, match="csi/again does not belong to the store"):
        open_store(path, "csi")
    (path / "csi/again").unlink()
    cached.unlink()
    with pytest.raises(StorageError, match=f"{place} is missing"):
        open_store(path, "csi")


def test_a_store_without_its_list_is_refused(path, written, tmp_path):
    shutil.rmtree(path / "manifest")
    for read in (lambda: open_store(path, "csi"), lambda: check_store(path), lambda: append_store(path, [], "csi")):
        with pytest.raises(StorageError, match=r"manifest/zarr.json is missing.*\(dvc repro\).*\(kind: zarr\)"):
            read()
    # Another program's store of the same schema.
    plain = open_store(written / "a.zarr", "csi").load().drop_encoding()
    plain.to_zarr(tmp_path / "plain.zarr", consolidated=False, zarr_format=3)
    with pytest.raises(StorageError, match=r"plain.zarr: manifest/zarr.json is missing"):
        open_store(tmp_path / "plain.zarr", "csi")


def test_any_damage_of_the_list_itself_is_told(path):
    content = (path / FILE).read_bytes()
    generator = np.random.default_rng(0)
    harms = [b"", b"[]", b"{}", b'{"attributes": {"files": 3}}', b"[" * 100_000, content[:-30]]
    for position in generator.integers(content.index(b"files"), len(content) - 3, 40).tolist():
        harms.append(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    for harm in harms:
        (path / FILE).write_bytes(harm)
        for read in (lambda: open_store(path, "csi"), lambda: check_store(path)):
            with pytest.raises(StorageError, match=r"manifest/zarr.json is damaged: ") as refusal:
                read()
            assert "\n" not in str(refusal.value)


def test_damage_that_nobody_has_seen_is_still_told_after_an_append(path):
    take_from_another_store(path)
    append_store(path, make_dataset(6, first=15), "csi")
    assert check_store(path).faults == [f"{path}: csi/c/2/0/0/0: {ALIEN}; samples 8 to 11 lost"]


def test_an_append_that_is_interrupted_at_its_last_step_leaves_the_store_as_it_was(path, monkeypatch):
    before = read_manifest(path)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(writing, "write_manifest", interrupted)
        append_store(path, make_dataset(6, first=15), "csi")
    assert open_store(path, "csi").sizes["sample"] == 15 and read_manifest(path) == before
    append_store(path, make_dataset(6, first=15), "csi")
    assert open_store(path, "csi").sizes["sample"] == 21 and not check_store(path).faults


def test_other_readers_pass_the_list_over(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(path, consolidated=False)
        assert "manifest" not in dataset.variables
        xr.testing.assert_equal(dataset.load(), make_dataset(15))
    listed = json.loads((path / FILE).read_text())["attributes"]["files"]
    assert listed["csi/c/0/0/0/0"][0] == (path / "csi/c/0/0/0/0").stat().st_size
