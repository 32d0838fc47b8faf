"""Outputs of entries that are gone: told, removed when asked, and back from DVC's cache when their entry is."""

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from filelock import FileLock

from flows.bookkeeping import bookkeeping
from flows.leftovers import in_a_line
from flows.workspace import workspace
from stages.running import LOCK
from tests.flows.test_bookkeeping import do

# Two data sets and a stage that reads the folder of both.
DAG = """
stages:
  csi:
    foreach: ${sets}
    do:
      cmd: mkdir -p csi/${key} && echo ${item} > csi/${key}/data && echo ${item} > ${key}.json
      deps: [checked]
      outs: ["csi/${key}", "${key}.json"]
  inputs:
    cmd: ls csi > inputs.txt
    deps: [csi]
    outs: [inputs.txt]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The entry b is gone from params.yaml, and what it has written is there."""
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    Path("dvc.yaml").write_text(DAG)
    Path("checked").touch()
    Path("params.yaml").write_text("sets: {a: 1, b: 2}\n")
    run()
    Path("params.yaml").write_text("sets: {a: 1}\n")
    Path("csi/mine").mkdir()
    return tmp_path


def run():
    """What a run does, and what it finds left over."""
    with bookkeeping((), print) as book:
        found = book.leftovers()
        for node in book.nodes:
            do(book, node.name)
        book.finish()
    return found


def command(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "flows.leftovers", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_a_run_tells_what_is_left_over_and_nothing_else(project):
    assert run() == [Path("b.json"), Path("csi/b")]
    assert in_a_line([Path(str(number)) for number in range(5)]).startswith(
        "left over from entries that params.yaml does not have any more: 0, 1, 2 and 2 more"
    )


def test_removed_when_asked_and_back_with_their_entry(project):
    assert command() == (0, ["b.json", "csi/b", "2 left over; --remove removes them"])
    assert Path("csi/b/data").exists()
    assert command("--remove") == (0, ["b.json", "csi/b", "removed: 2"])
    assert not Path("csi/b").exists() and not Path("b.json").exists()
    assert Path("csi/a/data").exists() and Path("csi/mine").exists()
    assert command() == (0, ["0 left over; --remove removes them"])
    Path("params.yaml").write_text("sets: {a: 1, b: 2}\n")
    with bookkeeping((), print) as book:
        assert book.prepare("csi@b").commands == ()
    assert Path("csi/b/data").read_text() == "2\n"


def test_what_has_been_changed_is_kept(project):
    Path("csi/b/more").touch()
    assert command("--remove") == (0, ["b.json", "kept, for it is not what dvc.lock has: csi/b", "removed: 1"])
    assert Path("csi/b/more").exists()


def test_nothing_is_removed_beside_a_run(project):
    with FileLock(LOCK):
        assert command("--remove") == (1, ["a run is under way; try again when it has ended"])
    assert Path("b.json").exists()


def test_a_run_with_other_parameters_does_not_copy_them(project):
    with workspace("other", "sets: {a: 3}\n") as folder:
        assert (folder / "csi/mine").exists()
        assert not (folder / "csi/b").exists() and not (folder / "b.json").exists()
