"""What is wrong with a server or a port is said in one line, and a server ends with who started it."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import prefect
import pytest
from prefect.settings import (
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    temporary_settings,
)

from flows import loopback, server
from flows.server import check_database, check_server, temporary_server
from flows.servers import ServerError
from flows.ui import free_port
from storage.proxies import keep_loopback_direct
from tests.flows.shell import number_in
from tests.waiting import wait_for_end


def test_servers_tell_nobody_of_their_use():
    """Neither this process nor those that it starts, whatever way the flow is begun."""
    code = "import os, flows.serve; from prefect.settings import get_current_settings as settings; "
    code += "print(settings().server.analytics_enabled, settings().client.max_retries, os.environ['DO_NOT_TRACK'])"
    ours = ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED", "PREFECT_CLIENT_MAX_RETRIES")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.stdout == "False 3 1\n", result.stderr


def test_servers_are_closed_to_foreign_pages_whatever_the_environment_says():
    code = "import flows.serve; from prefect.settings import get_current_settings as settings; "
    code += "api = settings().server.api; print(api.csrf_protection_enabled, api.cors_allowed_origins)"
    loose = {"PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "false", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "*"}
    result = subprocess.run([sys.executable, "-c", code], env=os.environ | loose, capture_output=True, text=True)
    assert result.stdout == "True none\n", result.stderr


def test_a_server_plans_a_minute_ahead():
    """And not an hour: a schedule that runs every minute would fill the list of runs with sixty of them."""
    code = "import os; from flows import loopback; os.environ |= loopback.settings(4200); "
    code += "from prefect.settings import get_current_settings as settings; "
    code += "print(settings().server.services.scheduler.min_scheduled_time)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "0:01:00\n", result.stderr


@pytest.fixture
def taken():
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.mark.parametrize("variable", ["PREFECT_PORT", "MLFLOW_PORT"])
def test_a_port_in_use_is_named_with_its_variable(monkeypatch, taken, variable):
    monkeypatch.setenv(variable, str(taken))
    with pytest.raises(ServerError, match=rf"port {taken} .*{variable}="):
        free_port(variable)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http"])
def test_no_port(monkeypatch, text):
    monkeypatch.setenv("MLFLOW_PORT", text)
    with pytest.raises(ServerError, match=f"MLFLOW_PORT.*{text}"):
        free_port("MLFLOW_PORT")


@pytest.fixture
def say():
    """An HTTP server with one answer; its address."""
    answers = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[-1].encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()

        def answer(text):
            answers.append(text)
            return f"http://127.0.0.1:{server.server_port}/api"

        yield answer
        server.shutdown()


def test_server_of_another_version(say):
    with (
        temporary_settings({PREFECT_API_URL: say(json.dumps("2.20.1"))}),
        pytest.raises(ServerError, match=rf"2\.20\.1.*{prefect.__version__}"),
    ):
        check_server()
    with temporary_settings({PREFECT_API_URL: say(json.dumps(prefect.__version__))}):
        check_server()


def test_no_prefect_server(say):
    with (
        temporary_settings({PREFECT_API_URL: say("<html>")}),
        pytest.raises(ServerError, match="no Prefect server answers"),
    ):
        check_server()


def test_nobody_answers():
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: address}), pytest.raises(ServerError, match=address):
            check_server()


def test_a_damaged_database_is_named_before_a_server_starts(tmp_path):
    path = tmp_path / "prefect.db"
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{path}"}):
        check_database()  # there is none
        with closing(sqlite3.connect(path)) as database:
            database.executescript("CREATE TABLE runs (name TEXT); INSERT INTO runs VALUES (zeroblob(20000));")
        check_database()
        whole = path.read_bytes()
        for damaged in (b"garbage" * 1000, whole[:4096] + b"garbage" * 500, whole[:9000]):
            path.write_bytes(damaged)
            with pytest.raises(ServerError, match=re.escape(str(path))) as error:
                check_database()
            assert "move it away" in str(error.value)
            assert "\n" not in str(error.value)
            assert path.read_bytes() == damaged


def test_a_temporary_server_that_is_forbidden_is_not_started():
    settings = {PREFECT_API_URL: None, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}
    with (
        temporary_settings(settings),
        pytest.raises(ServerError, match="PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"),
        temporary_server(),
    ):
        pass


def test_a_temporary_server_that_cannot_start_is_told_with_its_last_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(
        loopback, "command", lambda port: ["sh", "-c", "sleep 100 & echo $! > pid; echo no room; exit 3"]
    )
    monkeypatch.setattr(server, "lock_temporary_server", lambda: None)
    monkeypatch.chdir(tmp_path)
    with (
        temporary_settings({PREFECT_API_URL: None, PREFECT_HOME: tmp_path}),
        pytest.raises(ServerError, match=r"^the temporary Prefect server ended; its last lines:\nno room$"),
        temporary_server(),
    ):
        pass
    wait_for_end(number_in(tmp_path / "pid"))
    assert (tmp_path / "temporary_server.log").read_text() == "no room\n"


def test_a_temporary_server_ends_with_a_process_that_is_killed_while_it_starts(tmp_path):
    code = """
from flows import loopback
from flows.server import temporary_server
loopback.command = lambda port: ["sh", "-c", "echo $$ > pid; exec sleep 100"]
temporary_server().__enter__()
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment | {"PREFECT_HOME": str(tmp_path / "home")}
    ) as starter:
        pid = number_in(tmp_path / "pid")
        starter.kill()
    wait_for_end(pid)


def test_loopback_is_never_asked_for_through_a_proxy(monkeypatch):
    proxy = "http://127.0.0.1:9"
    for named in ("", "example.org", "127.0.0.1,example.org", "*"):
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, named)
        keep_loopback_direct()
        keep_loopback_direct()
        for variable in ("NO_PROXY", "no_proxy"):
            assert sorted(os.environ[variable].split(",")) == sorted(
                {*named.split(","), "127.0.0.1", "localhost"} - {""}
            )
    monkeypatch.setenv("http_proxy", proxy)
    assert urllib.request.proxy_bypass("127.0.0.1:4200")
