from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prefect_server import shared_server


@pytest.fixture(scope="package")
def server() -> Iterator[str]:
    """One Prefect server for all tests of this folder."""
    with shared_server() as address:
        yield address


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """In the small projects of the tests, too, processes find the packages."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
