"""A flow that is killed in each kind of stage: nothing stays behind, and the next run goes on to the same dvc.lock.

Behind a company's proxy, which knows nothing of this machine.
"""

import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import psutil

from tests.pipeline.conftest import Study, study_parameters
from tests.pipeline.test_dag import is_measured
from tests.waiting import TO_CLOSE_A_RECORD, is_gone, wait_for, wait_for_end

# One module each.
KINDS = {
    f"stages.{name}"
    for name in (
        "params", "scenario", "import_data", "csi", "angle_delay", "inputs", "train", "distill", "evaluate_prediction",
        "evaluate_downstream", "evaluate_feedback", "evaluate_efficiency", "compare", "register", "report",
    )
}  # fmt: skip
# A stage of the tiny study takes a few seconds, most of them to begin [s].
INTO_A_STAGE = 2.0
# From one kill to the next stage, with all that runs in between [s].
PATIENCE = 400.0


def test_a_flow_killed_in_each_kind_of_stage_leaves_nothing_behind_and_the_same_lock(
    study, server, tmp_path, monkeypatch
):
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    generator = random.Random(0)
    other, left = Study(tmp_path, study_parameters()), set(KINDS)
    while kinds := kill_in(other, left, generator.uniform(0.0, INTO_A_STAGE)):
        left -= kinds
        # The first flow was killed with a server of its own, which takes seconds to begin.
        other.server = server
    assert not left
    other.server = None
    other.flow()
    expected, found = (
        {path: md5 for path, md5 in one.digests().items() if not is_measured(path)} for one in (study, other)
    )
    assert found == expected
    assert other.repro() == []


def kill_in(study: Study, kinds: set[str], seconds: float) -> set[str]:
    """Kill a run so long after it has started a stage of one of these kinds; of which, none if the run has ended."""
    with study.start("-m", "flows.pipeline") as flow, ThreadPoolExecutor(1) as reader:
        output = reader.submit(flow.stdout.read)
        started: dict[int, psutil.Process] = {}
        met: set[str] = set()
        wait_for(lambda: flow.poll() is not None or met.update(at_work(kinds, flow, started)) or bool(met), PATIENCE)
        time.sleep(seconds)
        note_children(flow, started)
        flow.kill()
    wait_for_end(*started, seconds=TO_CLOSE_A_RECORD)
    assert met or flow.returncode == 0, output.result()
    # That of a stage which began with the kill is closed by a process that nobody has seen.
    wait_for(lambda: not unfinished_records(study))
    return met


def at_work(kinds: set[str], flow, started: dict[int, psutil.Process]) -> set[str]:
    """Those of the kinds of which a process is under way."""
    note_children(flow, started)
    words = {word for process in started.values() if not is_gone(process.pid) for word in command_of(process)}
    return kinds & words


def note_children(flow, started: dict[int, psutil.Process]) -> None:
    with suppress(psutil.NoSuchProcess):
        started |= {process.pid: process for process in psutil.Process(flow.pid).children(recursive=True)}


def command_of(process: psutil.Process) -> list[str]:
    """Its words; what was split off has them in one."""
    try:
        return " ".join(process.cmdline()).split()
    except psutil.Error:
        return []


def unfinished_records(study: Study) -> list[str]:
    """Names of the runs that MLflow shows as under way."""
    database = study.folder / ".mlflow/mlflow.db"
    if not database.exists():
        return []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        if not connection.execute("select 1 from sqlite_master where name = 'runs'").fetchone():
            return []
        return [name for (name,) in connection.execute("select name from runs where status = 'RUNNING'")]
