from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="package")
def server():
    """One temporary Prefect server for all tests: starting it takes seconds."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """In the small projects of the tests, too, processes find the packages."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
