import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="package")
def server():
    """One temporary Prefect server for all tests: starting it takes seconds."""
    with prefect_test_harness(server_startup_timeout=120):
        yield
