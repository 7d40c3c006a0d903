"""A small real HTTP server that speaks as much of OpenAI's protocol as is needed, and fails as it is asked to."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-nobody-may-see-this"
Reply = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers one request as the server's script says."""

    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_GET(self) -> None:
        self.server.asked_for.append(self.path)
        if self.server.listing:
            self.server.listing.popleft()(self)
            return
        self.send_json(200, {"object": "list", "data": self.server.models})

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(self.body)
        self.server.keys.append(self.headers["Authorization"])
        reply = self.server.script.popleft() if self.server.script else says("Hello", " there.")
        try:
            reply(self)
        except OSError:
            self.server.left.set()
            self.close_connection = True

    def send_json(self, status: int, value: Any, **headers: str) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, value: Any) -> None:
        self.raw(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode())

    def raw(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests look at what was asked."""


class ModelServer(ThreadingHTTPServer):
    """`script` has what becomes of the next questions, and `listing` of the next requests for the models."""

    daemon_threads = True

    def __init__(self, models: Sequence[str], context: int | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = [{"id": name, "object": "model", "max_model_len": context} for name in models]
        self.script: deque[Reply] = deque()
        self.listing: deque[Reply] = deque()
        self.requests: list[dict[str, Any]] = []
        self.asked_for: list[str] = []
        self.keys: list[str] = []
        self.left = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: Any) -> None:
        """Nothing: whoever asked has left."""


@contextmanager
def model_server(*models: str, context: int | None = 8192) -> Iterator[ModelServer]:
    """A server on a free port, until the context ends."""
    with ModelServer(models or ("big", "customer-service", "reader"), context) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def chunk(text: Any, finish: str | None = None) -> dict[str, Any]:
    """One event of an answer."""
    delta = {"content": text}
    return {
        "id": "1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def says(*pieces: str, pause: float = 0.0) -> Reply:
    """A whole answer."""

    def reply(handler: Handler) -> None:
        handler.begin()
        for piece in pieces:
            time.sleep(pause)
            handler.event(chunk(piece))
        handler.event(chunk("", "stop"))
        handler.event("[DONE]")
        handler.end()

    return reply


def refuses(status: int, message: str = "no", **headers: str) -> Reply:
    """An error instead of an answer."""
    return lambda handler: handler.send_json(status, {"error": {"message": message}}, **headers)


def then(pieces: Sequence[str], *after: Callable[[Handler], None]) -> Reply:
    """The beginning of an answer, and something else."""

    def reply(handler: Handler) -> None:
        handler.begin()
        for piece in pieces:
            handler.event(chunk(piece))
        for step in after:
            step(handler)

    return reply


def cut(handler: Handler) -> None:
    """The connection is cut."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def hangs(seconds: float = 30.0) -> Callable[[Handler], None]:
    """Nothing more comes, while the connection stays; `left` is set when the other side closes it."""

    def step(handler: Handler) -> None:
        handler.connection.settimeout(seconds)
        if handler.connection.recv(1) == b"":
            handler.server.left.set()
        handler.close_connection = True

    return step
