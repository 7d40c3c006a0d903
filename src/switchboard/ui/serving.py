"""How the page is served: who may ask how much, who has to log in, and /health, /ready and /metrics beside it."""

from __future__ import annotations

import ipaddress
import logging
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from switchboard.files import is_of_the_disk
from switchboard.metrics import TYPE
from switchboard.settings import Settings
from switchboard.ui.gate import Gate
from switchboard.ui.login import Login, auth_of
from switchboard.ui.loopback import Recognised, Stamped, new_secret
from switchboard.ui.service import service_in
from switchboard.ui.sessions import MOST_SESSIONS, letting_go

_log = logging.getLogger(__name__)
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_NOT_PUBLIC = "The metrics are for this machine alone. SWITCHBOARD_METRICS=public shows them to everybody."


def serving_options(settings: Settings) -> dict[str, Any]:
    """What `Blocks.launch` needs to know of this: routes of ours before Gradio's, middleware, and the login."""
    secret, users = new_secret(), settings.users
    middleware = [
        Middleware(Recognised, secret),
        Middleware(Gate),
        *([Middleware(Login, users, settings.company)] if users else []),
        Middleware(Stamped, secret),
    ]
    if settings.proxies:
        # Uvicorn itself believes proxies on this machine, and those that FORWARDED_ALLOW_IPS names.
        middleware.insert(0, Middleware(ProxyHeadersMiddleware, list(settings.proxies)))
    app: dict[str, Any] = {"middleware": middleware, "routes": _routes(settings.public_metrics), "lifespan": letting_go}
    app["exception_handlers"] = {OSError: _no_room}
    options: dict[str, Any] = {"app_kwargs": app, "state_session_capacity": MOST_SESSIONS}
    if users:
        options["auth"] = auth_of(users)
    return options


def _no_room(_request: Request, error: Exception) -> PlainTextResponse:
    """What a visitor is told whose file the server's disk cannot take; any other error goes its way."""
    if not is_of_the_disk(error):
        raise error
    _log.error("An upload could not be stored: %s", error)
    return PlainTextResponse("There is no room for files here just now. Please try again later.", 507)


def _routes(public_metrics: bool) -> list[Route]:
    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "up"})

    async def ready(request: Request) -> Response:
        missing = service_in(request.scope).missing()
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    async def metrics(request: Request) -> Response:
        if not public_metrics and not _from_this_machine(request):
            return JSONResponse({"detail": _NOT_PUBLIC}, 403)
        return Response(service_in(request.scope).metrics.text(), media_type=TYPE)

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]


def _from_this_machine(request: Request) -> bool:
    """Whether nobody else asks: what a proxy on this machine passes on comes from here too, but says so."""
    if not request.client or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
