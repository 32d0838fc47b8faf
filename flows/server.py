"""The Prefect server that a run or the deployments talk to."""

import base64
import os
import secrets


class ServerError(Exception):
    """No server answers, or one that does not fit; one line says what to do."""


def authorization(auth_string: str | None) -> dict[str, str]:
    """Headers that show a server its PREFECT_API_AUTH_STRING, none without one."""
    return {"Authorization": f"Basic {base64.b64encode(auth_string.encode()).decode()}"} if auth_string else {}


def lock_temporary_server() -> None:
    """Where no server is named, Prefect starts one: only this process and those that it starts are let in there.

    The server needs no browser, and Prefect has no other way to keep out a page that reaches it under a name of its
    own (DNS rebinding).
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        return
    secret = f"flow:{secrets.token_urlsafe()}"
    os.environ |= {"PREFECT_SERVER_API_AUTH_STRING": secret, "PREFECT_API_AUTH_STRING": secret}
    refresh_global_settings_context()


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
