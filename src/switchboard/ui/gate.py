"""Bounds on requests, before Gradio reads them: how large, how many within a minute, how many open at once.

Gradio bounds each uploaded file, and nothing else: a body of JSON is read into memory whole.
"""

from __future__ import annotations

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from switchboard.errors import TooManyError
from switchboard.metrics import ServiceMetrics
from switchboard.ui.chat import BUSY
from switchboard.ui.service import Service, service_in
from switchboard.ui.visitors import visitor_in

BODY_BYTES = 4 * 2**20
"""The largest request: a conversation of sixty turns with all its passages takes less than half of it."""
UPLOAD_BYTES = 80 * 2**20
"""The largest upload: eight files of the largest that is read."""
CONNECTIONS = 400
"""The most requests that one visitor may have open: a browser opens six, so this is a room of sixty."""
_UPLOAD = "/gradio_api/upload"
_PAGE = "/gradio_api/heartbeat/"
_JOIN = ("/gradio_api/queue/join", "/gradio_api/call/")
_CLOSED = (
    "/gradio_api/deep_link",
    "/gradio_api/process_recording",
    "/gradio_api/dev/reload",
    "/gradio_api/file=http",
)
"""Routes of Gradio's that the page does not use and that write to the disk, never rest, or fetch pages of the web."""


class Gate:
    """Middleware that answers what is too much with a sentence, and lets everything else through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        service, visitor = service_in(scope), visitor_in(scope)
        page = scope["path"].removeprefix(_PAGE) if scope["path"].startswith(_PAGE) else ""
        with service.connections.one(visitor, page) as number:
            refusal = _refusal(scope, service, visitor, number)
            if refusal:
                await _drained(receive)
                await refusal(scope, receive, send)
            else:
                await self._through(scope, receive, send, service.metrics)

    async def _through(self, scope: Scope, receive: Receive, send: Send, metrics: ServiceMetrics) -> None:
        """Pass the request on, and put a sentence in the place of an answer to one too large, or of a full queue."""
        path, most, seen, more, started = scope["path"], _most(scope["path"]), 0, True, False
        instead: Response | None = None

        async def bounded() -> Message:
            nonlocal seen, more, instead
            message = await receive()
            more = message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > most:
                instead = instead or _too_large(path, most)
                return {"type": "http.disconnect"}
            return message

        async def watched(message: Message) -> None:
            nonlocal started, instead
            if message["type"] == "http.response.start" and message["status"] == 503 and path.startswith(_JOIN):
                instead = _said(path, BUSY, 503, {"Retry-After": "60"})
            if instead and not started:
                return
            started = True
            await send(message)

        try:
            await self._app(scope, bounded, watched)
        except Exception:
            if not instead:
                raise
        if instead and not started:
            metrics.refused("size" if instead.status_code == 413 else "queue")
            if more:
                await _drained(receive)
            await instead(scope, receive, send)


def _refusal(scope: Scope, service: Service, visitor: str, number: int) -> Response | None:
    path = scope["path"]
    if path.lower().startswith(_CLOSED):
        return _said(path, "There is nothing here.", 404)
    if number > CONNECTIONS:
        service.metrics.refused("connections")
        return _said(path, "Your address has too many pages open at once. Please close some.", 429)
    if scope["method"] not in ("GET", "HEAD"):
        try:
            service.limits.count("requests", visitor)
        except TooManyError as error:
            return _said(path, str(error), 429, {"Retry-After": str(error.seconds)})
        if _length(scope) > _most(path):
            service.metrics.refused("size")
            return _too_large(path, _most(path))
    return None


async def _drained(receive: Receive) -> None:
    """Read the rest of a request and keep nothing of it: a browser that is still sending hears no answer."""
    read = 0
    while read <= UPLOAD_BYTES:
        message = await receive()
        read += len(message.get("body", b""))
        if not message.get("more_body"):
            return


def _said(path: str, sentence: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """A refusal in the form that Gradio's own have, which its clients show."""
    if path.startswith(_UPLOAD):
        return PlainTextResponse(sentence, status, headers)
    return JSONResponse({"detail": sentence}, status, headers)


def _too_large(path: str, most: int) -> Response:
    sentence = f"This is larger than {most // 2**20} MB, and that is the most. Please send less at once."
    return _said(path, sentence, 413, {"Connection": "close"})


def _most(path: str) -> int:
    return UPLOAD_BYTES if path.rstrip("/") == _UPLOAD else BODY_BYTES


def _length(scope: Scope) -> int:
    """What the request says of its length; nothing where it does not."""
    values = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(values[0]) if values and values[0].isdigit() else 0
