"""The flow runs what DVC would run, independent stages at the same time, and says what happened."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from dvc.repo import Repo
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import TaskRunSort

from flows import pipeline as module
from flows.bookkeeping import Node, UnknownTargetError, plan
from flows.pipeline import by_way_to_the_end, next_to_start, pipeline, with_marks_that_count
from flows.processes import Processes
from flows.results import metrics_tables, stage_page, tables
from flows.servers import ServerError

TOP = Path(__file__).parents[2]
# make@a and make@b read src.txt; join reads both; late reads join's folder; side reads b only.
DAG = """
stages:
  late:
    cmd: cat joined/c.txt > late.txt
    deps: [joined]
    outs: [late.txt]
  join:
    cmd: mkdir -p joined && cat a.txt b.txt > joined/c.txt && echo '{"x":{"y":1,"z":{"w":2}},"n":3}' > m.json
    deps: [a.txt, b.txt]
    outs: [joined/c.txt]
    metrics: [m.json: {cache: false}]
  make:
    foreach: {a: 1, b: 2}
    do:
      cmd: python -c "print('making ${key}'); open('${key}.txt', 'w').write('${item}')"
      deps: [src.txt]
      outs: ["${key}.txt"]
  side:
    cmd: cat b.txt > side.txt
    deps: [b.txt]
    outs: [side.txt]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    Path("dvc.yaml").write_text(DAG)
    Path("src.txt").write_text("0")
    return tmp_path


def run(*targets, parallel=2):
    """The flow's state, and the names of its tasks' states on the server, in the order of their time."""
    state = pipeline(targets, parallel, return_state=True)
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    deadline = time.monotonic() + 20
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_task_runs(flow_run_filter=wanted, sort=TaskRunSort.NAME_ASC, limit=50)
            settled = [task for task in found if task.state.is_final() or task.state.name == "NotReady"]
            if len(settled) == len(plan(targets)):
                return state, {task.name: task.state.name for task in sorted(settled, key=lambda t: t.state.timestamp)}
            # The server takes up the states of tasks a moment later.
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


def pages_of(state):
    wanted = {"artifacts": {"flow_run_id": {"any_": [str(state.state_details.flow_run_id)]}}}
    with get_client(sync_client=True) as client:
        return client.request("POST", "/artifacts/filter", json=wanted).json()


def test_plan_is_dvcs_graph_in_topological_order(project):
    nodes = {node.name: set(node.dependencies) for node in plan()}
    assert nodes == {
        "make@a": set(),
        "make@b": set(),
        "join": {"make@a", "make@b"},
        "late": {"join"},
        "side": {"make@b"},
    }
    seen = set()
    for node in plan():
        assert set(node.dependencies) <= seen
        seen.add(node.name)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["side"], ["make@b", "side"]),
        (["make"], ["make@a", "make@b"]),
        (["join"], ["make@a", "make@b", "join"]),
        (["side", "make@a"], ["make@a", "make@b", "side"]),
    ],
)
def test_targets_bring_their_ancestors_only(project, targets, expected):
    assert sorted(node.name for node in plan(targets)) == sorted(expected)


def test_unknown_target_is_named(project):
    with pytest.raises(UnknownTargetError, match="nonsense"):
        plan(["nonsense"])


def test_a_group_without_entries_is_no_stage_and_no_error(server, project):
    """A study may have no students; DVC would take a target that has no stages for all stages."""
    Path("params.yaml").write_text("students: {}\n")
    Path("dvc.yaml").write_text(f"{DAG}  distill:\n    foreach: ${{students}}\n    do: {{cmd: 'false'}}\n")
    assert plan(["distill"]) == []
    assert [node.name for node in plan(["distill", "side"])] == ["make@b", "side"]
    state = pipeline(["distill"], force=["distill"], return_state=True)
    assert (state.is_completed(), state.message) == (True, "stages run: 0, up to date: 0")
    state = pipeline(["side"], force=["distill", "side"], return_state=True)
    assert state.message == "stages run: 2, up to date: 0"
    state = pipeline(["side"], force=["distill", "side"], return_state=True)
    assert state.message == "stages run: 1, up to date: 1"


@pytest.mark.parametrize("folder", ["missing", "empty", "filled"])
def test_a_project_needs_no_studies(tmp_path, folder):
    """In a copy of the packages, with its own folder of studies or none, null is always allowed."""
    for name in ("storage", "stages", "wavefoundry"):
        (tmp_path / name).symlink_to(TOP / name)
    shutil.copytree(TOP / "flows", tmp_path / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    if folder != "missing":
        (tmp_path / "studies").mkdir()
    if folder == "filled":
        (tmp_path / "studies/large.yaml").write_text("seed: 1\n")
    code = """
from flows.pipeline import pipeline
for study in (None, "large", "nonsense"):
    try:
        print(pipeline.validate_parameters({"study": study})["study"])
    except Exception as error:
        print(type(error).__name__)
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    refused = "ParameterTypeError"
    assert done.stdout.split() == ["None", "large" if folder == "filled" else refused, refused]


def test_bad_dag_is_a_clear_error(project):
    Path("dvc.yaml").write_text("stages: {a: {outs: [x]}}")
    with pytest.raises(UnknownTargetError, match=r"dvc\.yaml"):
        plan()


def test_first_run_then_cached_then_only_what_changed(server, project, monkeypatch):
    state, tasks = run("join")
    assert state.is_completed()
    assert tasks == {"make@a": "Completed", "make@b": "Completed", "join": "Completed"}
    assert list(tasks)[-1] == "join"
    assert Path("joined/c.txt").read_text() == "12"
    pages = {page["key"]: page["data"] for page in pages_of(state)}
    assert pages.keys() == {"join", "metrics"}
    assert all("| x | 1 | 2 |" in page for page in pages.values())
    with Repo(".") as repo:
        assert not repo.status(["join"])
        assert repo.status(["side"])

    with monkeypatch.context() as patch:
        patch.setattr(Processes, "run", None)  # up to date: no process is started
        state, tasks = run("join")
        assert set(tasks.values()) == {"Cached"}
        assert state.message == "stages run: 0, up to date: 3"

    Path("dvc.yaml").write_text(DAG.replace("b: 2}", "b: 5}"))
    _, tasks = run()
    assert tasks == {
        "make@a": "Cached",
        "make@b": "Completed",
        "join": "Completed",
        "late": "Completed",
        "side": "Completed",
    }
    assert Path("late.txt").read_text() == "15"
    with Repo(".") as repo:
        assert not repo.status()


def test_failure_quotes_the_stage_and_stops_its_dependants_only(server, project):
    Path("fail.py").write_text("print('on the way'); raise SystemExit('out of cheese')")
    Path("dvc.yaml").write_text(DAG.replace("mkdir -p joined", "python fail.py && mkdir -p joined"))
    state, tasks = run()
    assert state.is_failed()
    assert "stage join failed" in state.message
    assert "out of cheese" in state.message
    assert tasks == {
        "make@a": "Completed",
        "make@b": "Completed",
        "join": "Failed",
        "late": "NotReady",
        "side": "Completed",
    }
    assert not Path("late.txt").exists()


def test_metrics_become_a_table(project):
    Path("m.json").write_text(json.dumps({"x": {"y": 1, "z": {"w": 2}}, "n": 3}))
    assert metrics_tables().splitlines() == [
        "| m.json | y | z.w | value |",
        "|---|---|---|---|",
        "| x | 1 | 2 |  |",
        "| n |  |  | 3 |",
    ]


def test_metrics_of_entries_become_a_table_for_each_section_with_a_row_for_each_entry():
    content = {"time": {"a": {"db": 1}, "b": {"db": 2, "spread": 3}}, "costs": {"a": {"flops": 4}}, "none": {}, "n": 5}
    assert tables("m.json", content).splitlines() == [
        "| m.json: time | db | spread |",
        "|---|---|---|",
        "| a | 1 |  |",
        "| b | 2 | 3 |",
        "",
        "| m.json: costs | flops |",
        "|---|---|",
        "| a | 4 |",
        "",
        "| m.json | value |",
        "|---|---|",
        "| n | 5 |",
    ]


def test_limits_of_stages_at_the_same_time(server, project):
    """Each stage says when it began and ended; those that share a mark never overlap, and never more than the limit."""
    Path("dvc.yaml").write_text("""
stages:
  free:
    foreach: [a, b, c]
    do:
      cmd: date +%s.%N > free${item} && sleep 1.2 && date +%s.%N >> free${item}
      outs: ["free${item}"]
  marked:
    foreach: [a, b]
    do:
      cmd: date +%s.%N > marked${item} && sleep 1.2 && date +%s.%N >> marked${item}
      meta: {one_at_a_time: training}
      outs: ["marked${item}"]
""")
    state, _ = run(parallel=3)
    assert state.is_completed(), state.message
    times = {path.name: [float(t) for t in path.read_text().split()] for path in Path().glob("*d[ab]")}
    times |= {path.name: [float(t) for t in path.read_text().split()] for path in Path().glob("free?")}
    assert len(times) == 5
    first, second = sorted([times["markeda"], times["markedb"]])
    assert first[1] <= second[0]
    at_once = [sum(begin <= start < end for begin, end in times.values()) for start, _ in times.values()]
    assert 2 <= max(at_once) <= 3


@pytest.mark.parametrize("gpu", [True, False])
def test_what_uses_the_gpu_runs_alone_where_there_is_one(server, project, monkeypatch, gpu):
    """Each of two trainings looks for some seconds whether the other one is there."""
    monkeypatch.setattr(module, "has_gpu", lambda: gpu)
    Path("dvc.yaml").write_text("""
stages:
  teach:
    foreach: {a: b, b: a}
    do:
      cmd: >-
        touch here.${key};
        for n in $(seq 25); do
        if test -e here.${item}; then touch met; fi; if test -e met; then break; fi; sleep 0.1; done;
        rm here.${key}; touch ${key}
      meta: {one_at_a_time: gpu}
      outs: ["${key}"]
""")
    state, _ = run(parallel=2)
    assert state.is_completed(), state.message
    assert Path("met").exists() != gpu


def test_a_stage_marked_alone_runs_beside_no_other_and_after_those_that_are_ready(server, project):
    """Each stage says when it began and ended; `measured` comes first in the graph and would be started first."""
    Path("dvc.yaml").write_text("""
stages:
  measured:
    foreach: [a, b]
    do:
      cmd: date +%s.%N > measured${item} && sleep 0.7 && date +%s.%N >> measured${item}
      meta: {alone: true}
      outs: ["measured${item}"]
  free:
    foreach: [a, b, c]
    do:
      cmd: date +%s.%N > free${item} && sleep 0.7 && date +%s.%N >> free${item}
      outs: ["free${item}"]
""")
    assert [node.alone for node in plan()] == [True, True, False, False, False]
    state, _ = run(parallel=3)
    assert state.is_completed(), state.message
    times = {path.name: [float(t) for t in path.read_text().split()] for path in Path().glob("*d[ab]")}
    times |= {path.name: [float(t) for t in path.read_text().split()] for path in Path().glob("free?")}
    assert len(times) == 5
    measured = [times.pop("measureda"), times.pop("measuredb")]
    (_, first_ended), (second_began, _) = sorted(measured)
    assert first_ended <= second_began
    assert max(end for _, end in times.values()) <= min(begin for begin, _ in measured)


def test_which_stage_starts_next():
    measured, free, after = Node("measured", (), alone=True), Node("free", ()), Node("after", ("free",))
    marked = [Node(name, (), one_at_a_time="gpu") for name in ("one", "two")]

    def next_of(waiting, running=(), done=(), parallel=2):
        node = next_to_start(waiting, running, set(done), parallel)
        return node and node.name

    # Others go first, ...
    assert next_of([measured, free]) == "free"
    assert next_of([measured, after], [free]) is None
    assert next_of([measured, after], done=["free"]) == "after"
    # ... and nothing runs beside it.
    assert next_of([measured, after]) == "measured"
    assert next_of([free], [measured]) is None
    assert next_of([measured], [measured]) is None
    assert next_of(marked, parallel=1) == "one"
    assert next_of([marked[1], free], [marked[0]]) == "free"
    assert next_of([marked[1], measured], [marked[0]]) is None
    assert next_of([free], [after], parallel=1) is None
    assert next_of([]) is None


@pytest.mark.parametrize(
    ("elsewhere", "gpu", "marks"),
    [(False, True, ("gpu", True)), (False, False, (None, True)), (True, True, (None, False))],
)
def test_marks_count_where_stages_share_a_machine(elsewhere, gpu, marks):
    node = with_marks_that_count(Node("a", (), "gpu", True), elsewhere, gpu)
    assert (node.one_at_a_time, node.alone) == marks
    assert with_marks_that_count(Node("a", (), "pairs"), False, gpu).one_at_a_time == "pairs"


def test_the_longest_way_to_the_end_comes_first():
    def node(name, *dependencies):
        return Node(name, dependencies)

    nodes = [node("a"), node("b"), node("c"), node("d", "c"), node("e", "a", "d"), node("f", "b"), node("g", "e")]
    assert [found.name for found in by_way_to_the_end(nodes)] == ["c", "a", "d", "b", "e", "f", "g"]
    nodes[5] = replace(nodes[5], first=True)
    assert [found.name for found in by_way_to_the_end(nodes)] == ["f", "c", "a", "d", "b", "e", "g"]


@pytest.mark.parametrize("parallel", [0, -1, "many"])
def test_bad_limit_is_refused(server, project, parallel):
    with pytest.raises(Exception, match="parallel"):
        pipeline((), parallel)


def test_a_missing_output_fails_its_stage(server, project):
    Path("dvc.yaml").write_text(DAG.replace("cat b.txt > side.txt", "cat b.txt"))
    state, tasks = run()
    assert state.is_failed()
    assert "stage side failed" in state.message
    assert "side.txt" in state.message
    assert tasks["late"] == "Completed"


def test_forced_stages_and_what_follows_run_though_nothing_changed(server, project):
    run()
    state = pipeline(force=["make@a"], return_state=True)
    assert state.message == "stages run: 3, up to date: 2"  # make@a, join, late
    state = pipeline(["side"], force=["make"], return_state=True)
    assert state.message == "stages run: 2, up to date: 0"
    state = pipeline(force=["made"], return_state=True)
    assert state.is_failed()
    assert "made" in state.message


def test_a_killed_stage_is_tried_once_more_and_a_failed_one_is_not(server, project, monkeypatch):
    monkeypatch.setattr(module.run_stage, "retry_delay_seconds", 0)
    dag = """
stages:
  killed:
    cmd: echo x >> tries.txt; echo half > out.txt; test $(wc -l < tries.txt) -ge {survives} || kill -9 $$
    outs: [out.txt]
"""
    Path("dvc.yaml").write_text(dag.format(survives=2))
    assert pipeline(return_state=True).is_completed()
    assert Path("tries.txt").read_text() == "x\nx\n"
    Path("dvc.yaml").write_text(dag.format(survives=9))
    state = pipeline(return_state=True)
    assert state.is_failed()
    assert "exit code 137" in state.message
    assert Path("tries.txt").read_text() == "x\nx\n" * 2
    assert Path("out.txt").exists()  # that of the run before
    Path("tries.txt").unlink()
    Path("dvc.yaml").write_text(dag.format(survives=9).replace("kill -9 $$", "exit 1"))
    assert pipeline(return_state=True).is_failed()
    assert Path("tries.txt").read_text() == "x\n"


def test_without_its_server_a_run_completes_what_is_under_way_and_no_more(server, project, monkeypatch):
    calls = iter([None])

    def check_alive():
        if next(calls, "gone"):
            raise ServerError("the server is gone")

    monkeypatch.setattr(module, "check_alive", check_alive)
    monkeypatch.setattr(module, "PULSE", 0)
    Path("dvc.yaml").write_text(DAG.replace("python -c", "sleep 1 && python -c"))
    with pytest.raises(ServerError):
        pipeline(parallel=2)
    with Repo(".") as repo:
        assert sorted(repo.status()) == ["join", "late", "make@b", "side"]
    assert not Path("b.txt").exists()


def test_a_stage_shows_what_it_made(tmp_path, monkeypatch):
    from PIL import Image

    Image.new("RGB", (2000, 1000), "red").save(tmp_path / "large.png")
    (tmp_path / "m.json").write_text(json.dumps({"x": {"y": 1}}))
    page = stage_page([tmp_path], [tmp_path / "m.json"], ["https://there/#/1", "abc"])
    assert "[MLflow run](https://there/#/1)" in page
    assert "MLflow run `abc`" in page
    assert "| x | 1 |" in page
    data = re.search(r"!\[large\]\(data:image/png;base64,(.*)\)", page)[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (900, 450)
    monkeypatch.setenv("MLFLOW_UI_URL", "http://127.0.0.1:1")
    assert stage_page([], [], ["abc"]) == "[MLflow run](http://127.0.0.1:1/#/runs/abc)"
    assert stage_page([], [], []) == ""


def test_a_run_is_called_by_what_it_does_in_mlflow_too(server, project, monkeypatch):
    names = []

    class Writer(module.MLflowParent):
        def __init__(self):
            super().__init__()
            names.append(self._run.name)

    monkeypatch.setattr(module, "MLflowParent", Writer)
    state = pipeline(["make"], force=["make@a"], return_state=True)
    with get_client(sync_client=True) as client:
        names.append(client.read_flow_run(state.state_details.flow_run_id).name)
    assert names == 2 * ["make, anew: make@a"]


def test_tags_name_branch_and_commit(server, project):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run([*git, "init", "-q", "-b", "trunk"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    state, _ = run("side")
    with get_client(sync_client=True) as client:
        tags = client.read_flow_run(state.state_details.flow_run_id).tags
    assert {"branch:trunk", f"commit:{commit}"} <= set(tags)
