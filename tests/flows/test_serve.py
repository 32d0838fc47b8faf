"""Runs started as from the UI: parameters are checked first, other ones leave the project alone, and a run can be
cancelled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from dvc.repo import Repo
from prefect import get_client
from prefect.settings import PREFECT_API_URL

from stages.yaml_files import read
from tests.parameters import FILE, tiny_parameters
from tests.waiting import wait_for

TOP = Path(__file__).parents[2]
# No stage `pretrain`, and no entry of `distill`.
DAG = """
vars: [students: {}]
stages:
  scenario:
    foreach: ${scenarios}
    do:
      cmd: echo ${key} ${seed} > ${key}.txt
      params: [seed]
      outs: ["${key}.txt"]
  teach:
    cmd: >-
      trap 'touch asked; exit 1' INT; echo half > model;
      while test -e slow; do sleep 0.1; done; cat canyon.txt > model
    deps: [canyon.txt]
    outs: [model]
  distill:
    foreach: ${students}
    do:
      cmd: 'false'
      deps: [model]
      outs: ["${key}"]
  evaluate_teach:
    cmd: cat model > scores
    deps: [model]
    outs: [scores]
  register:
    cmd: cat scores > registered
    deps: [scores]
    outs: [registered]
  report:
    cmd: cat scores > report.html
    deps: [scores]
    outs: [report.html]
"""


@pytest.fixture(scope="module")
def project(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "dvc.yaml").write_text(DAG)
    shutil.copy(FILE, folder)
    Repo.init(str(folder), no_scm=True).close()
    environment = os.environ | {"PYTHONPATH": str(TOP), "PREFECT_API_URL": PREFECT_API_URL.value()}
    with open(folder / "serve.log", "w") as log:
        served = subprocess.Popen(
            [sys.executable, "-m", "flows.serve"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    wait_for(lambda: api("GET", "/deployments/name/watch/changes").is_success or served.poll() is not None)
    yield folder
    served.terminate()
    served.wait(30)


def api(method, path, **content):
    """A call by Prefect's own client, which repeats it while a busy server is unavailable."""
    with get_client(sync_client=True) as client:
        try:
            return client.request(method, path, json=content or None)
        except httpx.HTTPStatusError as error:
            return error.response


def start(name, **parameters):
    deployment = api("GET", f"/deployments/name/wavefoundry/{name}").json()["id"]
    return api("POST", f"/deployments/{deployment}/create_flow_run", parameters=parameters)


def state(run):
    return api("GET", f"/flow_runs/{run}").json()["state"]


def begin(name, **parameters):
    answer = start(name, **parameters)
    assert answer.is_success, answer.text
    return answer.json()["id"]


def ended(run):
    wait_for(lambda: state(run)["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"))
    return state(run)


def stage_states(run):
    """The states of the stages of a run that has ended, by their names; the server takes them up a moment later."""
    wanted = {"flow_runs": {"id": {"any_": [run]}}}
    return {stage["name"]: stage["state_type"] for stage in api("POST", "/task_runs/filter", **wanted).json()}


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"seed": "many"}, "seed"),
        ({"seed": -1}, "seed"),
        ({"study": "nonsense"}, "study"),
        ({"parallel": 0}, "parallel"),
        ({"scenarios": "munich"}, "scenarios"),
        ({"seeds": 1}, "'seeds' is not one of ['targets', 'parallel', 'force', 'study', 'scenarios', 'seed', "),
    ],
)
def test_parameters_of_a_wrong_type_or_name_are_refused_at_once(project, parameters, word):
    answer = start("full", **parameters)
    assert answer.is_client_error
    assert word in answer.json()["detail"]


def test_wrong_values_touch_nothing(project):
    before = {path: path.stat().st_mtime_ns for path in project.iterdir() if path.is_file() and path.suffix != ".log"}
    runs = {
        "there is no entry 'berlin'": begin("full", scenarios=["berlin"]),
        "nowhere": begin("full", targets=["nowhere"]),
    }
    for message, run in runs.items():
        assert ended(run)["type"] == "FAILED"
        assert message in state(run)["message"]
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not (project / ".prefect").exists()


def test_nobody_looks_for_changes_unasked(project):
    """The schedule is there, to be switched on; the deployment itself is not paused, which would hide that switch."""
    changes = api("GET", "/deployments/name/watch/changes").json()
    assert [schedule["active"] for schedule in changes["schedules"]] == [False]
    assert not changes["paused"]


def test_other_parameters_work_in_their_own_folder(project):
    before = (project / "params.yaml").read_bytes()
    run = begin("full", seed=7, scenarios=["uma_nlos", "canyon"])
    assert ended(run)["type"] == "COMPLETED", state(run)["message"]
    assert api("GET", f"/flow_runs/{run}").json()["name"] == "all stages (uma_nlos+canyon_seed-7)"
    assert (project / "params.yaml").read_bytes() == before
    assert not (project / "dvc.lock").exists()
    assert not (project / "scores").exists()
    folder = project / ".prefect/runs/uma_nlos+canyon_seed-7"
    assert (folder / "registered").read_text() == "canyon 7\n"
    parameters = read(folder / "params.yaml")
    assert parameters["seed"] == 7
    assert list(parameters["scenarios"]) == ["uma_nlos", "canyon"]
    # Taken over: nothing has to run.
    for name in ("params.yaml", "dvc.lock"):
        shutil.copy(folder / name, project)
    subprocess.run([sys.executable, "-m", "dvc", "checkout", "-q"], cwd=project, check=True)
    assert (project / "scores").read_text() == "canyon 7\n"
    (project / "params.yaml").write_bytes(before)


def test_cancelled_in_mid_run(project):
    (project / "slow").touch()
    (project / "model").unlink(missing_ok=True)
    run = begin("full", force=["teach"])
    wait_for(lambda: (project / "model").exists() and (project / "model").read_text() == "half\n")
    api("POST", f"/flow_runs/{run}/set_state", state={"type": "CANCELLING"}).raise_for_status()
    assert ended(run)["type"] == "CANCELLED"
    wait_for(lambda: stage_states(run)["teach"] == "CANCELLED")
    assert (project / "asked").exists()
    assert not (project / "model").exists()
    (project / "slow").unlink()
    run = begin("evaluate")
    assert ended(run)["type"] == "COMPLETED", state(run)["message"]
    assert (project / "registered").read_text() == "canyon 0\n"


def test_trainings_that_the_dag_lacks_break_no_deployment(project):
    """Retrained is what there is: of the trainings the stage `teach` alone, and `distill`, which has no entries."""
    found = api("GET", "/deployments/name/wavefoundry/retrain").json()
    assert found["parameters"] == {"force": ["teach", "distill"]}
    assert ended(begin("full"))["type"] == "COMPLETED"
    run = begin("retrain")
    assert ended(run)["type"] == "COMPLETED", state(run)["message"]
    # teach, evaluate_teach, register and report.
    assert state(run)["message"] == f"stages run: 4, up to date: {len(tiny_parameters()['scenarios'])}"
