"""dvc.lock, entry by entry, is what DVC itself writes."""

import pytest
from dvc.utils.serialize import loads_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.flow_stress import make_project, serial_lock
from flows.lock_file import LockFile
from storage.errors import StorageError

# Stages of the graph of benchmarks.flow_stress.
COUNT = 12


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A dvc.lock as `dvc repro` has written it: its text and its entries."""
    folder = tmp_path_factory.mktemp("serial")
    make_project(folder)
    text = serial_lock(folder).decode()
    return text, loads_yaml(text)["stages"]


@settings(max_examples=10)
@given(order=st.permutations(range(COUNT)))
def test_entries_in_any_order(written, tmp_path_factory, order):
    text, entries = written
    names = list(entries)
    assert len(names) == COUNT
    path = tmp_path_factory.mktemp("lock") / "dvc.lock"
    lock_file = LockFile(path)
    for place in order:
        lock_file.put(names[place], entries[names[place]], set(names[place:]))
    assert path.read_text() == text
    # What stands there is replaced in its place.
    first = names[order[0]]
    lock_file.put(first, entries[first], set())
    assert path.read_text() == text
    assert lock_file.names() == names


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


def test_entries_need_not_stand_last(tmp_path):
    path = tmp_path / "dvc.lock"
    path.write_text("stages:\n  one:\n    cmd: first\nschema: '2.0'\n")
    LockFile(path).put("two", {"cmd": "second"}, set())
    assert loads_yaml(path.read_text())["stages"] == {"one": {"cmd": "first"}, "two": {"cmd": "second"}}


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
