"""A Prefect server that many tests share: starting one takes seconds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import flows  # noqa: F401 - what Prefect reads while it is imported
from flows.server import lock_temporary_server

# isort: split
from prefect.context import refresh_global_settings_context
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

SECRETS = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING")


@contextmanager
def shared_server() -> Iterator[str]:
    """A temporary Prefect server, locked as that of a run is; gives its address."""
    before = {name: os.environ.get(name) for name in SECRETS}
    lock_temporary_server()
    with prefect_test_harness(server_startup_timeout=120):
        yield PREFECT_API_URL.value()
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value
    refresh_global_settings_context()
