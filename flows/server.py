"""The Prefect server that a run or the deployments talk to."""

import base64
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from flows import loopback
from flows.servers import ServerError, Servers, any_port
from storage.errors import first_line

# From asking the temporary server to end to killing it [s].
GRACE = 2.0
# What the server calls its log file, in Prefect's folder.
LOG = "temporary_server.log"


def authorization(auth_string: str | None) -> dict[str, str]:
    """Headers that show a server its PREFECT_API_AUTH_STRING, none without one."""
    return {"Authorization": f"Basic {base64.b64encode(auth_string.encode()).decode()}"} if auth_string else {}


@contextmanager
def temporary_server() -> Iterator[None]:
    """Where PREFECT_API_URL names no server, one of this process alone, which ends with it, however that ends.

    Prefect would start one, too, but late, and it would outlive a process that is killed in its first seconds.

    Raises:
        ServerError: it does not start, its database is damaged, or PREFECT_SERVER_ALLOW_EPHEMERAL_MODE forbids it.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE

    if PREFECT_API_URL.value():
        yield
        return
    if not PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
        raise ServerError(
            "PREFECT_API_URL names no server, and PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, which is false, forbids to "
            "start one for this run; set the first (make ui starts a server), or unset the second"
        )
    check_database()
    lock_temporary_server()
    port = any_port()
    address = loopback.settings(port)["PREFECT_API_URL"]
    environment = os.environ | {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
    servers = Servers(GRACE)
    try:
        log = PREFECT_HOME.value() / LOG
        servers.start("the temporary Prefect server", loopback.command(port), environment, log)
        servers.wait_for("the temporary Prefect server", f"{address}/health")
        # A server without pages has none to point to.
        os.environ |= {"PREFECT_API_URL": address, "PREFECT_UI_URL": ""}
        refresh_global_settings_context()
        yield
        # The last lines of the log, which Prefect sends every few seconds.
        APILogHandler().flush()
    finally:
        servers.stop()


def lock_temporary_server() -> None:
    """Let only this process and those that it starts into a server that it starts for itself.

    The server needs no browser, and its secret keeps out a page that reaches it under a name of its own, too (DNS
    rebinding).
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        return
    secret = f"flow:{secrets.token_urlsafe()}"
    os.environ |= {"PREFECT_SERVER_API_AUTH_STRING": secret, "PREFECT_API_AUTH_STRING": secret}
    refresh_global_settings_context()


def check_database() -> None:
    """Make sure that the file in which a server that is started here keeps its records is whole.

    Raises:
        ServerError: it is damaged. Another database than a file of SQLite is not looked at.
    """
    from prefect.settings import get_current_settings
    from sqlalchemy import make_url

    address = get_current_settings().server.database.connection_url
    url = make_url(address.get_secret_value() if address else "sqlite://")
    if not url.drivername.startswith("sqlite") or not url.database or not Path(url.database).is_file():
        return
    try:
        with closing(sqlite3.connect(url.database)) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return  # somebody else is writing
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise ServerError(
            f"{url.database}: Prefect's database is damaged ({first_line(found)}); move it away, with the files beside "
            "it that begin with its name: it holds the history of runs, and no result"
        )


def check_server() -> None:
    """Make sure that the server named by PREFECT_API_URL answers and is of this environment's version.

    Raises:
        ServerError: it does not, or is not. Without an address there is nothing to check.
    """
    import httpx
    import prefect
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

    address = PREFECT_API_URL.value()
    if not address:
        return
    try:
        headers = authorization(PREFECT_API_AUTH_STRING.value())
        answer = httpx.get(f"{address.rstrip('/')}/admin/version", headers=headers, timeout=10.0)
        version = answer.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServerError(
            f"PREFECT_API_URL {address}: no Prefect server answers there ({error}); start one with make ui, or unset it"
        ) from None
    if version != prefect.__version__:
        raise ServerError(
            f"PREFECT_API_URL {address}: the server is Prefect {version}, this environment has {prefect.__version__}; "
            "start the server from this environment (make ui)"
        )


def check_alive() -> None:
    """Make sure that the server still answers.

    Raises:
        ServerError: it does not.
    """
    from prefect import get_client

    try:
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
    except RuntimeError as failure:
        error = failure
    if error:
        raise ServerError(
            "the Prefect server does not answer any more; stages that were under way have been completed and recorded: "
            "run again to go on"
        )
