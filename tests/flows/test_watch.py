"""Changes start one run, of exactly the stages that they touch."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from dvc.repo import Repo
from filelock import FileLock
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from flows import watch as module
from flows.bookkeeping import UnknownTargetError, bookkeeping, changes
from flows.pipeline import pipeline
from flows.processes import Processes
from flows.serve import deployments
from flows.watch import watch
from stages.running import LOCK

# Two imported files, each with its branch; what both lead to.
DAG = """
stages:
  import:
    foreach: {a: mine/a.csv, b: mine/b}
    do:
      cmd: cat $(find ${item} -type f) > ${key}.txt
      deps: ["${item}"]
      outs: ["${key}.txt"]
  turn:
    foreach: [a, b]
    do:
      cmd: rev ${item}.txt > ${item}.turned && cat params.yaml >> ${item}.turned
      deps: ["${item}.txt"]
      params: [speed]
      outs: ["${item}.turned"]
  teach:
    cmd: cat a.turned b.turned > model
    deps: [a.turned, b.turned]
    outs: [model]
"""
BRANCH = ["import@b", "turn@b", "teach"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Everything is up to date."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "QUIET", 0.3)
    Repo.init(no_scm=True).close()
    Path("dvc.yaml").write_text(DAG)
    Path("params.yaml").write_text("speed: 1\n")
    Path("mine/b").mkdir(parents=True)
    Path("mine/a.csv").write_text("1")
    Path("mine/b/1.csv").write_text("2")
    with bookkeeping((), print) as book:
        for node in book.nodes:
            work = book.prepare(node.name)
            for command in work.commands:
                assert Processes().run(command, work.folder, work.environment, print) == 0
            book.record(node.name)
        book.finish()
    return tmp_path


@pytest.fixture
def served(server, project):
    """The deployments are known to the server, and nothing that earlier tests started waits there."""
    for deployment in deployments():
        deployment.apply()
    with get_client(sync_client=True) as client:
        for run in waiting():
            client.delete_flow_run(run.id)
    return project


def waiting():
    """Runs of the flow that a server would now start."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=50)
    return [run for run in runs if run.deployment_id and run.state.is_scheduled() and "auto-scheduled" not in run.tags]


def look():
    state = watch(return_state=True)
    assert state.is_completed(), state.message
    return state


def test_a_changed_file_starts_its_branch_once(served):
    assert look().message == "nothing has changed"
    Path("mine/b/2.csv").write_text("3")
    state = look()
    assert ", ".join(BRANCH) in state.message
    (run,) = waiting()
    assert run.parameters == {"targets": BRANCH}
    assert run.name == ", ".join(BRANCH)

    # The same inputs are tried once, though that run has not come to its end.
    assert run.name in look().message
    assert len(waiting()) == 1

    done = pipeline(**run.parameters, return_state=True)
    assert done.is_completed()
    assert done.message == "stages run: 3, up to date: 2"
    assert look().message == "nothing has changed"
    Path("params.yaml").write_text("speed: 2\n")
    assert "turn@a, turn@b, teach" in look().message


def test_two_changes_at_once_give_one_run_and_none_beside_another(served, monkeypatch):
    changes = module.changes

    def change_again():
        """After the first look."""
        found = changes()
        Path("mine/a.csv").write_text("4")
        return found

    Path("mine/b/1.csv").write_text("5")
    with FileLock(LOCK):
        assert "under way" in look().message
    assert not waiting()
    monkeypatch.setattr(module, "changes", change_again)
    state = look()
    (run,) = waiting()
    assert run.parameters == {"targets": ["import@a", "import@b", "turn@a", "turn@b", "teach"]}
    assert run.name in state.message


def test_the_server_plans_the_looks_when_they_are_switched_on(server):
    """With SQLAlchemy 2.1 a Prefect 3.8 server makes no runs of a schedule, and says so in its log alone."""
    look_for_changes = deployments(timedelta(minutes=10))[-1].apply()
    with get_client(sync_client=True) as client:
        switch(client, look_for_changes, on=True)
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": look_for_changes}).raise_for_status()
        runs = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200)
    planned = [run.expected_start_time for run in runs if run.deployment_id == look_for_changes and run.auto_scheduled]
    assert len(planned) > 1
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(planned)} == {600.0}


def switch(client, deployment, on):
    """As the UI does it."""
    (schedule,) = client.read_deployment(deployment).schedules
    client.update_deployment_schedule(deployment, schedule.id, active=on)


def test_a_look_that_was_planned_before_the_schedule_was_paused_starts_nothing(served, monkeypatch):
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("watch/changes").id
        planned = FlowRun(flow_id=uuid4(), deployment_id=deployment, tags=[module.PLANNED])
        monkeypatch.setattr(module, "flow_run", lambda: planned)
        Path("mine/b/2.csv").write_text("3")
        state = look()
        assert (state.name, state.message) == ("Skipped", "the schedule has been paused meanwhile")
        assert not waiting()
        switch(client, deployment, on=True)
        assert "started" in look().message
        assert len(waiting()) == 1
        switch(client, deployment, on=False)


def test_looks_that_start_nothing_leave_one_line_in_the_list_of_runs(served):
    def looks():
        with get_client(sync_client=True) as client:
            return [
                run
                for run in client.read_flow_runs(sort=FlowRunSort.ID_DESC, limit=200)
                if run.name == "look for changes" and run.state.is_final()
            ]

    with get_client(sync_client=True) as client:
        for _ in range(3):
            # As if the schedule had planned it.
            client.update_flow_run(look().state_details.flow_run_id, tags=[module.PLANNED])
            assert len([run for run in looks() if module.PLANNED in run.tags]) == 1
    by_hand = look().state_details.flow_run_id
    look()
    assert by_hand in [run.id for run in looks()]


def test_causes_are_named(project):
    Path("params.yaml").write_text("speed: 3\n")
    Path("mine/a.csv").unlink()
    found = changes()
    assert found.causes["import@a"] == ("mine/a.csv deleted",)
    assert found.causes["turn@b"] == ("params.yaml speed modified",)
    assert found.affected == ("import@a", "turn@a", "turn@b", "teach")
    assert found.inputs != changes_after("speed: 4\n").inputs
    assert found.inputs == changes_after("speed: 3\n").inputs


def changes_after(parameters):
    Path("params.yaml").write_text(parameters)
    return changes()


def test_a_broken_graph_is_named(project):
    Path("dvc.yaml").write_text("stages: {a: {outs: [x]}}")
    with pytest.raises(UnknownTargetError, match=r"dvc\.yaml"):
        changes()
