"""The Prefect servers that are started here: they listen on this machine, and answer to its names and their own pages.

Prefect itself checks no Host, so that a page whose name was made to point to 127.0.0.1 (DNS rebinding) would count as
its own, and no Origin of a websocket, so that any page could read events and logs, and send events.
"""

import sys
from collections.abc import Collection
from pathlib import Path

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

HOST = "127.0.0.1"
PROJECT = Path(__file__).parents[1]
# What a browser on this machine may call it.
NAMES = (HOST, "localhost")


def origins(port: int) -> list[str]:
    """Origins of the pages that a server on this port serves."""
    return [f"http://{name}:{port}" for name in NAMES]


def command(port: int) -> list[str]:
    """The command that starts the server; `settings` belong into its environment."""
    place = ["--host", HOST, "--port", str(port), "--log-level", "warning", "--app-dir", str(PROJECT)]
    return [sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:create_app", *place]


def settings(port: int) -> dict[str, str]:
    """Environment variables of the server and of those who use it."""
    return {
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(origins(port)),
        # Of a schedule that runs every minute, Prefect would plan an hour ahead, and list all of it.
        "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT1M",
    }


def create_app() -> ASGIApp:
    """Prefect's server: 400 for a foreign Host, 403 for a foreign Origin and for a change without a CSRF token."""
    from prefect.server.api import server
    from prefect.settings import PREFECT_SERVER_CORS_ALLOWED_ORIGINS

    # Around the server: it calls itself under another name, without passing here.
    own_pages = OwnPages(server.create_app(final=True), PREFECT_SERVER_CORS_ALLOWED_ORIGINS.value().split(","))
    return TrustedHostMiddleware(own_pages, NAMES)


class OwnPages:
    """Refuses what a page of another origin asks for, websockets too; programs name no origin and are let through."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]):
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = Headers(scope=scope).get("origin") if scope["type"] in ("http", "websocket") else None
        if origin is None or origin in self._allowed:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            allowed = ", ".join(sorted(self._allowed))
            answer = PlainTextResponse(f"Origin {origin} is not allowed; allowed: {allowed}\n", 403)
            await answer(scope, receive, send)
