"""Writers that meet, and writers that are killed: the store is always the old one or the new one."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import xarray as xr

from storage.digests import digest
from storage.errors import StorageError
from storage.replacement import replace_file
from storage.stores.csi_store import append_store, open_store, write_store
from storage.stores.inspection import check_store
from tests.storage.example import make_dataset

SOURCE = Path(__file__).parents[2]


def run(script, path):
    """A writer in a process of its own; `script` sees path, make_dataset and the writing functions."""
    header = """
        import os, signal, sys, time
        from pathlib import Path
        from storage.stores.csi_store import append_store, write_store
        from tests.storage.example import make_dataset
        path = Path(sys.argv[1])
    """
    code = textwrap.dedent(header) + textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=SOURCE)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("writer", ["write_store", "append_store"])
def test_a_writer_killed_in_mid_write_changes_nothing_and_is_taken_over(tmp_path, writer):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(12), "csi")
    before = digest(path)
    process = run(
        f"""
        def parts():
            yield make_dataset(60, first=12)
            Path(sys.argv[1] + ".ready").touch()
            time.sleep(60)
        {writer}(path, parts(), "csi")
        """,
        path,
    )
    ready = tmp_path / "a.zarr.ready"
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    with pytest.raises(StorageError, match=r"a\.zarr: another process is writing it"):
        write_store(path, make_dataset(3), "csi")
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    ready.unlink()
    assert digest(path) == before and not check_store(path).faults
    assert names(tmp_path) == [".a.zarr.partial", "a.zarr"]
    append_store(path, make_dataset(6, first=12), "csi")
    assert names(tmp_path) == ["a.zarr"]
    xr.testing.assert_equal(open_store(path, "csi").load(), make_dataset(18))


@pytest.mark.parametrize("finder", ["reader", "writer", "appender"])
def test_a_crash_between_the_two_renames_is_undone(tmp_path, finder):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(12), "csi")
    before = digest(path)
    process = run(
        """
        rename = os.rename
        def rename_and_die(source, target):
            rename(source, target)
            os.kill(os.getpid(), signal.SIGKILL)
        os.rename = rename_and_die
        write_store(path, make_dataset(3), "csi")
        """,
        path,
    )
    assert process.wait() == -signal.SIGKILL
    assert names(tmp_path) == [".a.zarr.partial", ".a.zarr.previous.partial"]
    if finder == "reader":
        xr.testing.assert_equal(open_store(path, "csi").load(), make_dataset(12))
        assert digest(path) == before
    elif finder == "writer":
        # Fails, and what it found is still there.
        with pytest.raises(StorageError, match="no samples"):
            write_store(path, [], "csi")
        assert digest(path) == before
    else:
        append_store(path, make_dataset(6, first=12), "csi")
        xr.testing.assert_equal(open_store(path, "csi").load(), make_dataset(18))
    assert names(tmp_path) == ["a.zarr"]


def test_a_crash_before_the_old_store_is_deleted_leaves_the_new_one(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_dataset(12), "csi")
    process = run(
        """
        import shutil
        remove = shutil.rmtree
        def die(folder, *rest, **options):
            if "previous" in str(folder):
                os.kill(os.getpid(), signal.SIGKILL)
            remove(folder, *rest, **options)
        shutil.rmtree = die
        write_store(path, make_dataset(3), "csi")
        """,
        path,
    )
    assert process.wait() == -signal.SIGKILL
    xr.testing.assert_equal(open_store(path, "csi").load(), make_dataset(3))
    write_store(path, make_dataset(6), "csi")
    assert names(tmp_path) == ["a.zarr"]


def test_two_writers_in_one_process(tmp_path):
    path = tmp_path / "a.zarr"

    def parts():
        yield make_dataset(3)
        with pytest.raises(StorageError, match="another process is writing it"):
            write_store(path, make_dataset(6), "csi")
        yield make_dataset(3, first=3)

    write_store(path, parts(), "csi")
    xr.testing.assert_equal(open_store(path, "csi").load(), make_dataset(6))
    assert names(tmp_path) == ["a.zarr"]


def test_of_many_writers_at_once_each_succeeds_or_is_told(tmp_path):
    path = tmp_path / "a.zarr"
    results = []

    def write(samples):
        try:
            write_store(path, make_dataset(samples), "csi")
            results.append(samples)
        except StorageError as error:
            results.append(str(error))

    threads = [threading.Thread(target=write, args=(samples,)) for samples in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [result for result in results if isinstance(result, int)]
    assert written and all("another process" in result for result in results if isinstance(result, str))
    assert open_store(path, "csi").sizes["sample"] in written
    assert not check_store(path).faults
    assert names(tmp_path) == ["a.zarr"]


def test_a_store_that_is_a_link_grows_where_it_lies(tmp_path):
    link, store = tmp_path / "a.zarr", tmp_path / "disk/b.zarr"
    write_store(store, make_dataset(6), "csi")
    link.symlink_to(store)
    for first in (6, 12):
        append_store(link, make_dataset(6, first=first), "csi")
    assert link.is_symlink() and names(tmp_path / "disk") == ["b.zarr"]
    xr.testing.assert_equal(open_store(store, "csi").load(), make_dataset(18))


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_whatever_was_left_beside_a_store_is_no_obstacle(tmp_path, kind):
    left = tmp_path / ".a.zarr.previous.partial"
    if kind == "file":
        left.write_text("left")
    else:
        (tmp_path / "kept").mkdir()
        left.symlink_to(tmp_path / ("kept" if kind == "link" else "gone"))
    write_store(tmp_path / "b.zarr", make_dataset(3), "csi")
    (tmp_path / "b.zarr").rename(tmp_path / "a.zarr")
    write_store(tmp_path / "a.zarr", make_dataset(6), "csi")
    assert names(tmp_path) == ["a.zarr"] + ["kept"] * (kind != "file")


def test_of_many_writers_of_one_file_each_writes_all_of_it(tmp_path):
    path, faults = tmp_path / "a.json", []
    contents = [str(digit) * size for digit, size in enumerate((10, 100_000, 1000, 300_000))]

    def write(content):
        try:
            for _ in range(100):
                replace_file(path, content)
                assert path.read_text() in contents
        except (StorageError, AssertionError) as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and names(tmp_path) == ["a.json"]
