"""The Prefect server that a run or the deployments talk to."""


class ServerError(Exception):
    """No server answers, or one that does not fit; one line says what to do."""


def check_server() -> None:
    """Make sure that the server named by PREFECT_API_URL answers and is of this environment's version.

    Raises:
        ServerError: it does not, or is not. Without an address there is nothing to check.
    """
    import httpx
    import prefect
    from prefect.settings import PREFECT_API_URL

    address = PREFECT_API_URL.value()
    if not address:
        return
    try:
        answer = httpx.get(f"{address.rstrip('/')}/admin/version", timeout=10.0)
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
