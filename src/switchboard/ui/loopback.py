"""MCP calls: Gradio's MCP server asks this same page through a client of its own, so all of them come from here.

`Stamped` writes down on whose behalf a call is made, in a header with a secret that only this process knows, and
Gradio passes the header on. `Recognised` reads it where the call comes back, so that limits and users hold for MCP too.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from anyio.to_thread import run_sync
from gradio_client import Client
from starlette.types import ASGIApp, Receive, Scope, Send

from switchboard.ui.login import MCP, cookie_of, token_in, with_header
from switchboard.ui.visitors import visitor_in

_HEADER = b"x-switchboard-behalf"
_OURSELVES = "Switchboard"


class Recognised:
    """The outermost: a call that comes back is from the visitor who made it, and from nobody else."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            secret, _, behalf = _value(scope).partition(" ")
            visitor, _, token = behalf.partition(" ")
            scope = with_header(scope, _HEADER, None)
            if hmac.compare_digest(secret.encode(), self._secret.encode()):
                scope["client"] = (visitor, 0)
                if token:
                    scope = with_header(scope, b"cookie", cookie_of(scope["app"], token))
        await self._app(scope, receive, send)


class Stamped:
    """The innermost: says on whose behalf an MCP call is made."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(MCP):
            token = token_in(scope)
            if token:
                await run_sync(_log_in, scope["app"])
            stamp = " ".join(filter(None, (self._secret, visitor_in(scope), token)))
            scope = with_header(scope, _HEADER, stamp)
        await self._app(scope, receive, send)


def new_secret() -> str:
    """One that nobody can guess."""
    return secrets.token_urlsafe(32)


def _log_in(app: Any) -> None:
    """Give Gradio's MCP server a client that is logged in, which its own would not be."""
    server = app.get_blocks().mcp_server_obj
    if server._client_instance is None:
        token = new_secret()
        app.tokens[token] = _OURSELVES
        headers = {"x-gradio-user": "mcp", "cookie": cookie_of(app, token)}
        server._client_instance = Client(
            server.local_url, headers=headers, download_files=False, verbose=False, analytics_enabled=False
        )


def _value(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER), "")
