"""Logging in, where there are users: by a page and Gradio's cookie, or by Basic authentication.

Gradio asks for its cookie on most of its routes, but not on MCP nor on all of the others, and lets pages of other
sites ask in the name of whoever is logged in. `Login` asks on every route, and asks where a request comes from.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from string import Template
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from switchboard.errors import TooManyError
from switchboard.ui.markup import plain
from switchboard.ui.service import service_in
from switchboard.ui.theme import DARK, LIGHT, properties
from switchboard.ui.visitors import visitor_in
from switchboard.users import Users

MCP = "/gradio_api/mcp"
_LOGIN = "/login"
_FREE = (
    "/assets/",
    "/static/",
    "/favicon.ico",
    "/manifest.json",
    "/robots.txt",
    "/health",
    "/ready",
    "/metrics",
    "/gradio_api/startup-events",
)
"""What tells nothing of anybody, or asks by itself: parts of Gradio's page, and what machines ask."""
_MOST_KNOWN = 256
_FIRST = "Please log in first: on the page, or with a name and a password by Basic authentication."
_ELSEWHERE = "A page of another site may not ask in your name. Please open Switchboard itself."


class Login:
    """Middleware that lets nobody in who has not logged in, and limits how often somebody tries."""

    def __init__(self, app: ASGIApp, users: Users, company: str) -> None:
        self._app = app
        self._users = users
        self._page = login_page(company)
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._salt = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: Response | None = None
        if scope["type"] == "http" and not scope["path"].startswith(_FREE):
            try:
                scope, refusal = await self._checked(scope)
            except TooManyError as error:
                refusal = JSONResponse({"detail": str(error)}, 429, {"Retry-After": str(error.seconds)})
        await (refusal or self._app)(scope, receive, send)

    async def _checked(self, scope: Scope) -> tuple[Scope, Response | None]:
        """The request, as whoever it says it is from, and what is answered instead. Raises TooManyError."""
        headers = HTTPConnection(scope).headers
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return scope, JSONResponse({"detail": _ELSEWHERE}, 403)
        if scope["path"].rstrip("/") == _LOGIN:
            service_in(scope).limits.count("attempts", visitor_in(scope))
            return scope, None
        if not token_in(scope):
            scope = await self._by_header(scope, headers.get("authorization", ""))
        if token_in(scope):
            return scope, None
        if scope["method"] in ("GET", "HEAD") and _is_page(scope):
            return scope, HTMLResponse(self._page, headers={"Cache-Control": "no-store"})
        # Browsers ask for a password by themselves where they see this header, so only programs get it.
        asks = {"WWW-Authenticate": "Basic"} if scope["path"].startswith(MCP) else None
        return scope, JSONResponse({"detail": _FIRST}, 401, asks)

    async def _by_header(self, scope: Scope, value: str) -> Scope:
        """The request with the cookie of whoever its Authorization header names. Raises TooManyError."""
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


def login_page(company: str) -> str:
    """The page to log in, as HTML."""
    file = Path(__file__).with_name("login.html")
    colours = {"light": properties(LIGHT), "dark": properties(DARK)}
    return Template(file.read_text(encoding="utf-8")).substitute(company=plain(company), **colours)


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


def _is_page(scope: Scope) -> bool:
    return any(scope["path"] == f"/{page[0]}" for page in scope["app"].get_blocks().pages)
