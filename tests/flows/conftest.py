import os
from pathlib import Path

import pytest

import flows  # noqa: F401 - what Prefect reads while it is imported
from flows.server import lock_temporary_server

# isort: split
from prefect.context import refresh_global_settings_context
from prefect.testing.utilities import prefect_test_harness

SECRETS = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING")


@pytest.fixture(scope="package")
def server():
    """One temporary Prefect server for all tests: starting it takes seconds. It is locked as that of a run is."""
    before = {name: os.environ.get(name) for name in SECRETS}
    lock_temporary_server()
    with prefect_test_harness(server_startup_timeout=120):
        yield
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value
    refresh_global_settings_context()


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """In the small projects of the tests, too, processes find the packages."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
