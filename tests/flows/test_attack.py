"""A web page of another origin, opened while a server runs, changes nothing and reads nothing.

The attack: the page puts a step that runs a shell script into the deployment `full`, then starts a run of it.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from dvc.repo import Repo
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.flows.made_ui import TOP, made_ui
from tests.waiting import wait_for

FOREIGN = "http://foreign.example"
# What a browser lets a page send without asking the server first.
SIMPLE = {"Content-Type": "text/plain;charset=UTF-8"}
DAG = """
stages:
  slow:
    cmd: while test ! -e go; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    """Addresses of Prefect and MLflow of `make ui`, in a project with one stage."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "dvc.yaml").write_text(DAG)
    Repo.init(str(folder), no_scm=True).close()
    with made_ui(folder) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """Address of the server of a run for itself, which is under way, and the process of the run."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "dvc.yaml").write_text(DAG)
    Repo.init(str(folder), no_scm=True).close()
    others = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    environment |= {
        "PYTHONPATH": str(TOP),
        "PREFECT_HOME": str(folder / ".prefect"),
    }
    log = folder / "log"
    with open(log, "w") as file:
        run = subprocess.Popen(
            [sys.executable, "-m", "flows.pipeline"], cwd=folder, env=environment, stdout=file, stderr=file
        )
    try:
        wait_for(lambda: address_of(run) or run.poll() is not None)
        assert run.poll() is None, log.read_text()
        address = address_of(run)
        wait_for(lambda: answers(address) or run.poll() is not None, 120)
        yield address
        (folder / "go").touch()
        assert run.wait(60) == 0, log.read_text()
        assert "stages run: 1" in log.read_text()
    finally:
        run.kill()


def address_of(run: subprocess.Popen) -> str | None:
    """Where the temporary server of a run listens."""
    with suppress(psutil.Error):  # one of them has just ended
        for process in psutil.Process(run.pid).children(recursive=True):
            command = process.cmdline()
            if "--port" in command:
                return f"http://127.0.0.1:{command[command.index('--port') + 1]}"
    return None


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/health").is_success
    except httpx.HTTPError:
        return False


def own(address: str) -> dict[str, str]:
    """Headers of a page of the server itself."""
    token = httpx.get(f"{address}/api/csrf-token", params={"client": "test"}).raise_for_status().json()["token"]
    return {"Origin": address, "Prefect-Csrf-Client": "test", "Prefect-Csrf-Token": token}


def deployment(address: str) -> dict:
    found = httpx.get(f"{address}/api/deployments/name/wavefoundry/full").raise_for_status().json()
    return {key: found[key] for key in ("id", "flow_id", "pull_steps", "description", "updated")}


def runs(address: str) -> list:
    headers = own(address)
    return httpx.post(f"{address}/api/flow_runs/filter", headers=headers, json={}).raise_for_status().json()


def attack(address: str, headers: dict[str, str], victim: dict, mark: Path) -> list[httpx.Response]:
    """Both posts; `mark` would be there if a run of the attacked deployment had begun."""
    step = {"prefect.deployments.steps.run_shell_script": {"script": f"touch {mark}"}}
    changed = {"name": "full", "flow_id": victim["flow_id"], "pull_steps": [step]}
    posts = {"/deployments/": changed, f"/deployments/{victim['id']}/create_flow_run": {}}
    return [
        httpx.post(f"{address}/api{path}", headers=SIMPLE | headers, content=json.dumps(content))
        for path, content in posts.items()
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": FOREIGN},
        {"Origin": "null"},
        {},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": FOREIGN, "Prefect-Csrf-Client": "test", "Prefect-Csrf-Token": "guessed"},
    ],
)
def test_a_foreign_page_cannot_change_a_deployment_or_start_a_run(ui, tmp_path, headers):
    prefect, _ = ui
    before, number = deployment(prefect), len(runs(prefect))
    answers = attack(prefect, headers, before, tmp_path / "mark")
    assert [answer.status_code for answer in answers] == [403, 403]
    assert all("access-control-allow-origin" not in answer.headers for answer in answers)
    assert deployment(prefect) == before
    assert len([run for run in runs(prefect) if run["deployment_id"] == before["id"]]) == 0 <= number
    assert not (tmp_path / "mark").exists()


def test_a_foreign_page_gets_no_token(ui):
    prefect, _ = ui
    asked = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "prefect-csrf-token"
    for answer in (
        httpx.options(f"{prefect}/api/deployments/", headers=asked),
        httpx.get(f"{prefect}/api/csrf-token", params={"client": "test"}, headers={"Origin": FOREIGN}),
    ):
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_a_name_that_was_pointed_here_is_not_answered(ui, tmp_path):
    """DNS rebinding: for the browser the page has the server's own origin, and it could read a token."""
    prefect, mlflow = ui
    before = deployment(prefect)
    rebound = {"Host": "foreign.example", "Origin": FOREIGN}
    for path in ("/", "/api/csrf-token?client=test", "/api/health"):
        assert httpx.get(f"{prefect}{path}", headers=rebound).status_code == 400
    answers = attack(prefect, own(prefect) | rebound, before, tmp_path / "mark")
    assert [answer.status_code for answer in answers] == [400, 400]
    assert deployment(prefect) == before
    for name in ("foreign.example", "10.foreign.example"):
        answer = httpx.get(f"{mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": name})
        assert answer.status_code == 403


@pytest.mark.parametrize("path", ["events/out", "events/in", "logs/out"])
def test_a_foreign_page_cannot_listen(ui, path):
    prefect, _ = ui
    address = f"{prefect.replace('http', 'ws')}/api/{path}"
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, origin=FOREIGN, subprotocols=["prefect"])
    with connect(address, origin=prefect, subprotocols=["prefect"]) as listening:
        listening.send(json.dumps({"type": "auth", "token": None}))
        assert json.loads(listening.recv(timeout=30)) == {"type": "auth_success"}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_the_server_itself_is_answered(ui, name):
    """What is refused above is refused for its origin alone: both of the server's names are let in with a token."""
    prefect, mlflow = ui
    page = prefect.replace("127.0.0.1", name)
    answer = httpx.get(f"{prefect}/api/csrf-token", params={"client": "test"}, headers={"Origin": page})
    assert answer.headers["access-control-allow-origin"] == page
    headers = own(prefect) | {"Origin": page}
    posts = httpx.post(f"{prefect}/api/deployments/filter", headers=headers, json={}).raise_for_status().json()
    assert {"full", "retrain", "evaluate", "changes"} <= {post["name"] for post in posts}
    port = mlflow.rsplit(":", 1)[1]
    answer = httpx.get(f"{mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": f"{name}:{port}"})
    assert answer.is_success


def test_a_foreign_page_cannot_change_mlflow(ui):
    _, mlflow = ui
    path = f"{mlflow}/api/2.0/mlflow/experiments/create"
    answer = httpx.post(path, headers=SIMPLE | {"Origin": FOREIGN}, content='{"name": "foreign"}')
    assert answer.status_code == 403
    found = httpx.get(f"{mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=foreign")
    assert found.status_code == 404


def test_a_server_with_authentication(tmp_path):
    """As docs/orchestration.md says: the same words for the server and for those who use it."""
    (tmp_path / "dvc.yaml").write_text(DAG)
    Repo.init(str(tmp_path), no_scm=True).close()
    words = {"PREFECT_SERVER_API_AUTH_STRING": "team:secret", "PREFECT_API_AUTH_STRING": "team:secret"}
    with made_ui(tmp_path, **words) as (prefect, _):
        path = f"{prefect}/api/deployments/name/wavefoundry/full"
        assert httpx.get(path).status_code == 401
        assert httpx.get(path, auth=("team", "guessed")).status_code == 401
        assert httpx.get(path, auth=("team", "secret")).is_success


def test_the_temporary_server_lets_nobody_in(temporary, tmp_path):
    """Neither a foreign page nor one under a rebound name, to which every origin is its own."""
    victim = {"id": "00000000-0000-0000-0000-000000000000", "flow_id": "00000000-0000-0000-0000-000000000000"}
    for headers in ({"Origin": FOREIGN}, {}, {"Origin": temporary}):
        answers = attack(temporary, headers, victim, tmp_path / "mark")
        assert [answer.status_code for answer in answers] == [403, 403]
    for headers, refused in (({"Host": "foreign.example"}, 400), ({}, 401)):
        for path in ("csrf-token?client=test", "admin/version", "admin/settings"):
            assert httpx.get(f"{temporary}/api/{path}", headers=headers).status_code == refused
    address = f"{temporary.replace('http', 'ws')}/api/events/out"
    with pytest.raises(InvalidStatus), connect(address, origin=FOREIGN, subprotocols=["prefect"]):
        pass
    with connect(address, subprotocols=["prefect"]) as listening:
        listening.send(json.dumps({"type": "auth", "token": "guessed"}))
        with pytest.raises(Exception, match="Invalid token"):
            listening.recv(timeout=30)
