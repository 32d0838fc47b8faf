"""What a run leaves in dvc.lock and in DVC's own files, whatever else goes on and however runs end."""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import psutil
import pytest
from dvc.lock import LockError
from dvc.repo import Repo
from prefect.settings import PREFECT_API_URL

from benchmarks.flow_stress import forget, make_project, serial_lock, stress
from flows import bookkeeping as module
from flows.bookkeeping import DVC_VERSION, UNFINISHED, DVCVersionError, bookkeeping, changes, plan
from flows.pipeline import pipeline
from flows.processes import Processes
from tests.waiting import TO_CLOSE_A_RECORD, wait_for, wait_for_end

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def lock(tmp_path_factory):
    """dvc.lock after `dvc repro` from nothing."""
    folder = tmp_path_factory.mktemp("serial")
    make_project(folder)
    return serial_lock(folder)


def do(book, name):
    """One stage, without Prefect; whether it had to run."""
    work = book.prepare(name)
    if work is None:
        return False
    for command in work.commands:
        assert Processes().run(command, work.folder, work.environment, print) == 0
    book.record(name)
    return True


def backwards(nodes):
    """An order that dependencies allow and that is as far as possible from the serial one."""
    left, done = list(nodes), []
    while left:
        ready = [node for node in left if not {other.name for other in left} & set(node.dependencies)]
        done.append(ready[-1])
        left.remove(ready[-1])
    return [node.name for node in done]


def test_lock_does_not_depend_on_the_order_of_completion(project, lock):
    with bookkeeping((), print) as book:
        order = backwards(book.nodes)
        assert order != [node.name for node in book.nodes]
        assert all([do(book, name) for name in order])
        book.finish()
    assert Path("dvc.lock").read_bytes() == lock
    with Repo(".") as repo:
        assert not repo.status()
    with bookkeeping((), print) as book:
        assert not any(do(book, node.name) for node in book.nodes)


def test_a_broken_off_run_continued_ends_as_an_unbroken_one(project, lock):
    with bookkeeping((), print) as book:
        order = backwards(book.nodes)
        for name in order[:5]:
            do(book, name)
    for name in order[:5]:
        assert name in Path("dvc.lock").read_text()
    with bookkeeping((), print) as book:
        assert [name for name in order if do(book, name)] == order[5:]
        book.finish()
    assert Path("dvc.lock").read_bytes() == lock
    assert not Path(".dvc/tmp", UNFINISHED).exists()


def test_entries_keep_their_place_and_new_ones_are_appended(project):
    """As `dvc repro` of one target and then, after a change, of all."""

    def change():
        Path("params.yaml").write_text(Path("params.yaml").read_text().replace("name: three", "name: drei"))

    original = Path("params.yaml").read_text()
    dvc = [sys.executable, "-m", "dvc", "repro", "-q"]
    subprocess.run([*dvc, "pair@ef"], check=True)
    begun = Path("dvc.lock").read_bytes()
    change()
    subprocess.run(dvc, check=True)
    expected = Path("dvc.lock").read_bytes()

    forget(project)
    Path("params.yaml").write_text(original)
    Path("dvc.lock").write_bytes(begun)
    change()
    with bookkeeping((), print) as book:
        for name in backwards(book.nodes):
            do(book, name)
        book.finish()
    assert Path("dvc.lock").read_bytes() == expected


def test_outputs_come_from_dvcs_run_cache(project):
    with bookkeeping(["make@a"], print) as book:
        do(book, "make@a")
    recorded = Path("dvc.lock").read_bytes()
    Path("made/a.txt").unlink()
    Path("dvc.lock").unlink()
    with bookkeeping(["make@a"], print) as book:
        assert book.prepare("make@a").commands == ()
        book.record("make@a")
    assert Path("dvc.lock").read_bytes() == recorded
    assert Path("made/a.txt").read_text() == "0\none\n"


def test_a_stage_that_does_not_come_to_its_end_leaves_the_outputs_that_stood_before(project):
    """Files and folders, when it is stopped and when it fails; a second try of the same run is no less a try."""
    with bookkeeping(["pair@ab"], print) as book:
        assert all([do(book, node.name) for node in book.nodes])
        book.finish()
    Path("pairs/ab/by-hand").touch()
    Path("source.txt").write_text("1\n")
    with bookkeeping(["pair@ab"], print) as book:
        assert book.prepare("make@a").commands
        assert not Path("made/a.txt").exists()
        Path("made/a.txt").write_text("half")
        book.discard("make@a")
        assert Path("made/a.txt").read_text() == "0\none\n"
        assert do(book, "make@a")
        assert Path("made/a.txt").read_text() == "1\none\n"
        # What is not as dvc.lock has it is in no cache.
        assert book.prepare("pair@ab").commands
        book.discard("pair@ab")
        assert not Path("pairs/ab").exists()
    with Repo(".") as repo:
        assert "pair@ab" in repo.status(["pair@ab"])


def test_who_reads_is_let_in_and_who_writes_is_not(project):
    dvc = [sys.executable, "-m", "dvc"]
    with bookkeeping((), print) as book:
        do(book, "make@a")
        status = subprocess.run([*dvc, "status"], capture_output=True, text=True)
        assert status.returncode == 0, status.stderr
        assert "pair@ab" in status.stdout
        repro = subprocess.run([*dvc, "repro", "make@b"], capture_output=True, text=True)
        assert repro.returncode != 0
        assert str(os.getpid()) in repro.stderr
        assert not Path("made/b.txt").exists()
    subprocess.run([*dvc, "repro", "-q", "make@b"], check=True)


def test_a_run_waits_for_who_writes(project):
    """Somebody else's `dvc repro` is under way with one output; the run says so and begins when that is done."""
    other = subprocess.Popen(["sleep", "100"])
    entry = {"pid": other.pid, "cmd": "dvc repro"}
    Path(".dvc/tmp/rwlock").write_text(json.dumps({"write": {str(project / "made/a.txt"): entry}}))
    reasons = []

    def log(reason):
        reasons.append(reason)
        other.kill()
        other.wait()

    with bookkeeping((), log) as book:
        assert do(book, "make@a")
    (reason,) = reasons
    assert "dvc repro" in reason
    assert str(other.pid) in reason


def test_cut_off_files_of_a_killed_process_are_no_obstacle(project):
    Path(".dvc/tmp/rwlock").write_text('{"read": {"/some')
    Path(".dvc/tmp", UNFINISHED).write_text('{"')
    with bookkeeping(["make@a"], print) as book:
        assert do(book, "make@a")
        book.finish()
    (entry,) = Path(".dvc/cache/runs").glob("*/*/*")
    entry.unlink()
    Path("dvc.lock").unlink()
    with bookkeeping(["make@a"], print) as book:
        assert do(book, "make@a")
        book.finish()
    assert entry.exists()
    assert not Path(".dvc/tmp", UNFINISHED).exists()


def test_lock_of_dvc_is_left_free_in_between(project):
    """Somebody who tries every half second gets it within three seconds, however busy the run is."""
    from dvc.lock import make_lock

    from flows.bookkeeping import _open_repo

    code = "import time; from dvc.lock import make_lock; start = time.monotonic(); made = make_lock('.dvc/tmp/lock')\n"
    code += "print('trying', flush=True)\nfor _ in range(3):\n    made.lock(); made.unlock()\nprint('got it')"
    command = [sys.executable, "-c", code]
    with _open_repo() as (_, moment), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        while other.poll() is None:
            with moment():
                with pytest.raises(LockError):
                    make_lock(".dvc/tmp/lock")._do_lock()
                time.sleep(0.3)
        assert other.stdout.read() == "got it\n"


def test_killed_in_mid_run(server, project, lock):
    """A plain new run completes, dvc.lock is that of an unbroken run, and nothing of the first run is left."""
    # A `wc` that comes first on the path and waits: the stage's command, and so its entry in dvc.lock, is the same.
    Path("bin").mkdir()
    Path("bin/wc").write_text("#!/bin/sh\necho half > count.txt\necho $$ > slow.pid\nsleep 100\n")
    Path("bin/wc").chmod(0o755)
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT),
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PATH": f"{project}/bin:{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "flows.pipeline", "--parallel", "3"]
    with open("log", "w") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as first:
        slow = Path("slow.pid")
        wait_for(lambda: first.poll() is not None or (slow.exists() and slow.read_text().endswith("\n")))
        assert first.poll() is None, Path("log").read_text()
        mine = psutil.Process(first.pid).children(recursive=True)
        assert int(slow.read_text()) in [process.pid for process in mine]
        first.kill()
    wait_for_end(*(process.pid for process in mine), seconds=TO_CLOSE_A_RECORD)
    assert "count:" not in Path("dvc.lock").read_text()

    state = pipeline((), 3, return_state=True)
    assert state.is_completed(), state.message
    assert Path("dvc.lock").read_bytes() == lock


def test_stress(server, tmp_path):
    make_project(tmp_path)
    result = stress(tmp_path, runs=2, parallel=4)
    assert not result["messages"]
    assert (result["incomplete"], result["other_locks"], result["failed_statuses"]) == (0, 0, 0)
    assert result["statuses"] >= 2


@pytest.mark.parametrize("found", ["3.67.2", None])
def test_another_version_of_dvc_is_refused_before_anything_is_touched(server, project, monkeypatch, found):
    def version(_):
        if found is None:
            raise PackageNotFoundError
        return found

    monkeypatch.setattr(module, "version", version)
    before = sorted(Path().rglob("*"))
    message = f"dvc: found {f'version {found}' if found else 'no version'}, allowed: {DVC_VERSION}"
    for refused in (plan, changes, bookkeeping((), print).__enter__):
        with pytest.raises(DVCVersionError, match=re.escape(message)) as error:
            refused()
        assert "\n" not in str(error.value)
        assert f"pip install dvc=={DVC_VERSION}" in str(error.value)
    state = pipeline(seed=7, return_state=True)
    assert state.is_failed()
    assert message in state.message
    assert sorted(Path().rglob("*")) == before


def test_the_project_asks_for_the_version_of_dvc_that_is_allowed():
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"dvc=={DVC_VERSION}" in wanted
    assert f"dvc=={DVC_VERSION}" in (PROJECT / "requirements.lock").read_text().splitlines()


def test_plan_is_in_the_order_of_dvc_repro(project, lock):
    from ruamel.yaml import YAML

    assert list(YAML(typ="safe").load(lock)["stages"]) == [node.name for node in plan()]
