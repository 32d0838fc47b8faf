"""What is wrong with a server or a port is said in one line."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import prefect
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.server import ServerError, check_server
from flows.ui import UiError, free_port


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


@pytest.fixture
def taken():
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.mark.parametrize("variable", ["PREFECT_PORT", "MLFLOW_PORT"])
def test_a_port_in_use_is_named_with_its_variable(monkeypatch, taken, variable):
    monkeypatch.setenv(variable, str(taken))
    with pytest.raises(UiError, match=rf"port {taken} .*{variable}="):
        free_port(variable)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http"])
def test_no_port(monkeypatch, text):
    monkeypatch.setenv("MLFLOW_PORT", text)
    with pytest.raises(UiError, match=f"MLFLOW_PORT.*{text}"):
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
