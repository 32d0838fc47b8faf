"""dvc.lock, entry by entry, is what DVC itself writes."""

from pathlib import Path

import pytest
from dvc.utils.serialize import loads_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.lock_file import LockFile
from storage.errors import StorageError

# The first entries of the project, as DVC has written them.
COUNT = 8
WHOLE = (Path(__file__).parents[2] / "dvc.lock").read_text()
ENTRIES = loads_yaml(WHOLE)["stages"]
NAMES = list(ENTRIES)[:COUNT]
WRITTEN = WHOLE[: WHOLE.index(f"\n  {list(ENTRIES)[COUNT]}:\n") + 1]


@settings(max_examples=10)
@given(order=st.permutations(NAMES))
def test_entries_of_the_project_in_any_order(tmp_path_factory, order):
    path = tmp_path_factory.mktemp("lock") / "dvc.lock"
    lock_file = LockFile(path)
    for name in order:
        lock_file.put(name, ENTRIES[name], set(NAMES[NAMES.index(name) :]))
    assert path.read_text() == WRITTEN
    # What stands there is replaced in its place.
    lock_file.put(order[0], ENTRIES[order[0]], set())
    assert path.read_text() == WRITTEN
    assert lock_file.names() == NAMES


def test_shared_values_are_written_out(tmp_path):
    path = tmp_path / "dvc.lock"
    shared = [1, 2]
    lock_file = LockFile(path)
    for name in ("one", "two"):
        lock_file.put(name, {"params": {"params.yaml": {"values": shared}}}, set())
    assert "&" not in path.read_text()


def test_changes_of_others_are_kept(tmp_path):
    path = tmp_path / "dvc.lock"
    lock_file = LockFile(path)
    lock_file.put("one", {"cmd": "first"}, set())
    path.write_text(path.read_text().replace("first", "first  # by hand"))
    lock_file.put("two", {"cmd": "second"}, set())
    assert path.read_text() == "schema: '2.0'\nstages:\n  one:\n    cmd: first  # by hand\n  two:\n    cmd: second\n"
    path.unlink()
    assert lock_file.names() == []


def test_an_entry_that_could_not_be_written_is_not_there(tmp_path):
    path = tmp_path / "dvc.lock"
    lock_file = LockFile(path)
    lock_file.put("one", {"cmd": "first"}, set())
    before = path.read_text()
    partial = tmp_path / ".dvc.lock.partial"
    partial.mkdir()
    with pytest.raises(StorageError, match=r"dvc\.lock"):
        lock_file.put("two", {"cmd": "second"}, set())
    assert path.read_text() == before
    partial.rmdir()
    lock_file.put("three", {"cmd": "third"}, set())
    assert lock_file.names() == ["one", "three"]
