"""Logging in, where there are users: through Gradio's own page and cookie, and through Basic authentication.

Gradio asks for its cookie on most of its routes, but neither on MCP nor on all of the others. `Login` asks for it on
every one, but for what the page to log in is made of.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from switchboard.errors import TooManyError
from switchboard.ui.markup import plain
from switchboard.ui.service import service_in
from switchboard.ui.visitors import visitor_in
from switchboard.users import Users

_FREE = (
    "/assets/",
    "/static/",
    "/svelte/",
    "/theme.css",
    "/gradio_api/theme.css",
    "/gradio_api/startup-events",
    "/favicon.ico",
    "/manifest.json",
    "/robots.txt",
    "/health",
    "/ready",
    "/metrics",
    "/logout",
)
_LOGIN = "/login"
_MOST_KNOWN = 256
_SENTENCE = "Please log in first: with a name and a password, by Basic authentication or on the page."


class Login:
    """Middleware that lets nobody in who has not logged in, and limits how often somebody tries."""

    def __init__(self, app: ASGIApp, users: Users) -> None:
        self._app = app
        self._users = users
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._salt = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_free(scope):
            try:
                if scope["path"].rstrip("/") == _LOGIN:
                    service_in(scope).limits.count("attempts", visitor_in(scope))
                elif not token_in(scope):
                    scope = await self._by_header(scope)
            except TooManyError as error:
                # 400 and not 429, as Gradio's page says of no other that logging in has failed.
                await JSONResponse({"detail": str(error)}, 400)(scope, receive, send)
                return
            if scope["path"].rstrip("/") != _LOGIN and not token_in(scope):
                # Browsers ask for a password by themselves where they see this header, so only programs get it.
                asks = {"WWW-Authenticate": "Basic"} if scope["path"].startswith("/gradio_api/mcp") else None
                await JSONResponse({"detail": _SENTENCE}, 401, asks)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _by_header(self, scope: Scope) -> Scope:
        """The request with the cookie of whoever its Authorization header names. Raises TooManyError."""
        value = HTTPConnection(scope).headers.get("authorization", "")
        scheme, _, credentials = value.partition(" ")
        if scheme.lower() != "basic":
            return scope
        app, key = scope["app"], hashlib.blake2b(credentials.encode(), key=self._salt).digest()
        token = self._known.get(key, "")
        if token not in app.tokens:
            service_in(scope).limits.count("attempts", visitor_in(scope))
            try:
                name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return scope
            if not await run_sync(self._users.allow, name, password):
                return scope
            token = secrets.token_urlsafe(32)
            app.tokens[token] = name
            self._known[key] = token
            if len(self._known) > _MOST_KNOWN:
                app.tokens.pop(self._known.popitem(last=False)[1], None)
        return with_header(scope, b"cookie", cookie_of(app, token))


def auth_of(users: Users) -> Callable[[str, str], Awaitable[bool]]:
    """What Gradio asks whether a name and a password belong together."""

    async def allow(name: str, password: str) -> bool:
        return await run_sync(users.allow, name, password)

    return allow


def welcome(company: str) -> str:
    """What the page to log in says, as HTML."""
    return f"Switchboard for {plain(company)}. After thirty tries within a minute nobody can log in for a while."


def token_in(scope: Scope) -> str:
    """The token of whoever is logged in; empty for nobody."""
    app, cookies = scope["app"], HTTPConnection(scope).cookies
    for name in ("access-token", "access-token-unsecure"):
        token = cookies.get(f"{name}-{app.cookie_id}", "")
        if token in app.tokens:
            return token
    return ""


def cookie_of(app: Any, token: str) -> str:
    """The cookie by which Gradio knows a token again."""
    return f"access-token-{app.cookie_id}={token}"


def with_header(scope: Scope, name: bytes, value: str | None) -> Scope:
    """The same request with one header replaced; without it for None."""
    others = [(key, old) for key, old in scope["headers"] if key != name]
    return {**scope, "headers": [*others, (name, value.encode("latin-1"))] if value else others}


def _is_free(scope: Scope) -> bool:
    """Whether anybody may have it: the pages, where Gradio shows how to log in instead, and what they are made of."""
    pages = {f"/{page[0]}" for page in scope["app"].get_blocks().pages}
    return scope["path"].startswith(_FREE) or (scope["method"] in ("GET", "HEAD") and scope["path"] in pages)
