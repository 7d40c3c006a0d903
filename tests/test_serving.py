"""What stands before Gradio: bounds on requests, who asks, the login, health and numbers. Gradio itself is in
tests/browser/test_public.py."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from switchboard import limits as limits_module
from switchboard import starting
from switchboard import users as users_module
from switchboard.errors import ModelError
from switchboard.limits import ATTEMPTS, Limits
from switchboard.metrics import ServiceMetrics
from switchboard.settings import Settings
from switchboard.ui import gate
from switchboard.ui.chat import BUSY
from switchboard.ui.service import Service
from switchboard.ui.serving import serving_options
from switchboard.ui.visitors import user_of, visitor_at, visitor_of
from switchboard.users import Users

JOIN = "/gradio_api/queue/join"
ANN = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}


class Page(Starlette):
    """As much of Gradio's app as what stands before it asks for."""

    def __init__(self, settings: Settings, **service: Any) -> None:
        options = serving_options(settings)["app_kwargs"]
        routes = [
            *options["routes"],
            Route("/{path:path}", self.echo, methods=["GET", "POST"]),
        ]
        super().__init__(routes=routes, middleware=options["middleware"])
        metrics = ServiceMetrics()
        limits = Limits(settings.turns_per_minute, settings.documents_per_minute, metrics.refused)
        self.service = Service(limits, metrics, **{"missing": lambda: (), **service})
        self.tokens: dict[str, str] = {}
        self.cookie_id = "x"
        self.answers: Response | None = None

    def get_blocks(self) -> Any:
        return SimpleNamespace(service=self.service, pages=[("", "Chat"), ("compare", "Compare")])

    async def echo(self, request: Request) -> Response:
        if self.answers:
            return self.answers
        body = await request.body()
        cookie = request.cookies.get("access-token-x", "")
        return JSONResponse(
            {"client": request.client.host if request.client else "", "bytes": len(body), "cookie": cookie}
        )


def client(page: Starlette, host: str = "203.0.113.7") -> TestClient:
    return TestClient(page, client=(host, 50000))


def test_a_request_may_be_so_large_and_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(Settings())
    visitor = client(page)
    assert visitor.post(JOIN, content=b"x" * gate.BODY_BYTES).json()["bytes"] == gate.BODY_BYTES
    refused = visitor.post(JOIN, content=b"x" * (gate.BODY_BYTES + 1))
    assert refused.status_code == 413
    assert refused.json()["detail"] == "This is larger than 4 MB, and that is the most. Please send less at once."
    assert b'switchboard_refused_total{reason="size"} 1.0' in page.service.metrics.text()


def test_a_length_that_is_not_said_is_measured() -> None:
    read = []

    def endless() -> Iterator[bytes]:
        for _ in range(200):
            read.append(1)
            yield b"x" * 2**16

    refused = client(Page(Settings())).post(JOIN, content=endless())
    assert refused.status_code == 413


def test_an_upload_may_be_larger_and_is_refused_in_plain_text() -> None:
    visitor = client(Page(Settings()))
    assert visitor.post("/gradio_api/upload", content=b"x" * (gate.BODY_BYTES + 1)).status_code == 200
    refused = visitor.post("/gradio_api/upload", headers={"Content-Length": str(10**10)})
    assert refused.status_code == 413
    assert refused.text.startswith("This is larger than 80 MB")


def test_a_flood_of_requests_is_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "FEWEST_REQUESTS", 0)
    visitor = client(page := Page(Settings(turns_per_minute=1)))
    codes = [visitor.post(JOIN).status_code for _ in range(11)]
    assert codes == [200] * 10 + [429]
    refused = visitor.post(JOIN)
    assert refused.json()["detail"].startswith("Your address sends more requests than this page can take.")
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert visitor.get("/").status_code == 200
    assert client(page, "203.0.113.8").post(JOIN).status_code == 200


def test_so_many_requests_may_be_open_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(Settings())
    monkeypatch.setattr(gate, "CONNECTIONS", 1)
    with page.service.connections.one("203.0.113.7", "a page"):
        refused = client(page).get("/gradio_api/heartbeat/x")
        assert client(page, "203.0.113.8").get("/").status_code == 200
        assert page.service.connections.pages == 1
    assert refused.status_code == 429
    assert refused.json()["detail"] == "Your address has too many pages open at once. Please close some."
    assert client(page).get("/").status_code == 200
    assert (page.service.connections.pages, page.service.connections.visitors) == (0, 0)


def test_a_full_queue_is_said_in_a_sentence() -> None:
    page = Page(Settings())
    page.answers = JSONResponse({"detail": "Queue is full. Max size is 64 and size is 64."}, 503)
    refused = client(page).post(JOIN)
    assert (refused.status_code, refused.json()) == (503, {"detail": BUSY})
    assert b'switchboard_refused_total{reason="queue"} 1.0' in page.service.metrics.text()


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/deep_link",
        "/gradio_api/dev/reload",
        "/gradio_api/process_recording",
        "/gradio_api/file=https://example.com/",
        "/gradio_api/file=HTTP%3a//example.com/",
    ],
)
def test_what_the_page_does_not_use_and_costs_something_is_not_there(path: str) -> None:
    assert client(Page(Settings())).get(path).status_code == 404


@pytest.mark.parametrize(
    ("host", "visitor"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("x" * 500, "x" * 64),
        (None, "unknown"),
    ],
)
def test_a_visitor_is_an_address_or_its_network(host: str | None, visitor: str) -> None:
    assert visitor_at(host) == visitor


def test_handlers_without_a_request_have_a_visitor_and_no_user() -> None:
    assert (visitor_of(None), user_of(None)) == ("unknown", "")
    assert user_of(SimpleNamespace(username="ann")) == "ann"  # type: ignore[arg-type]


def test_a_proxy_is_believed_only_where_it_is_trusted() -> None:
    forwarded = {"X-Forwarded-For": "198.51.100.1, 203.0.113.99"}
    plain = client(Page(Settings()), "10.0.0.5").get("/a", headers=forwarded)
    assert plain.json()["client"] == "10.0.0.5"
    page = Page(Settings(proxies=("10.0.0.0/8",)))
    trusted = client(page, "10.0.0.5").get("/a", headers=forwarded)
    assert trusted.json()["client"] == "203.0.113.99", "the last that no proxy of ours is, not what a visitor says"
    assert client(page, "192.0.2.1").get("/a", headers=forwarded).json()["client"] == "192.0.2.1"


def test_a_call_for_somebody_else_needs_the_secret() -> None:
    seen = client(Page(Settings())).get("/a", headers={"x-switchboard-behalf": "guess 198.51.100.1"})
    assert seen.json()["client"] == "203.0.113.7"


def test_health_and_readiness() -> None:
    missing = ["the model", "the index"]
    visitor = client(Page(Settings(), missing=lambda: tuple(missing)))
    assert visitor.get("/health").json() == {"status": "up"}
    waiting = visitor.get("/ready")
    assert (waiting.status_code, waiting.json()) == (503, {"ready": False, "missing": ["the model", "the index"]})
    missing.clear()
    assert (visitor.get("/ready").status_code, visitor.get("/ready").json()) == (200, {"ready": True, "missing": []})


@pytest.mark.parametrize(
    ("built", "missing"),
    [
        (lambda: SimpleNamespace(knowledge=SimpleNamespace(missing=False)), ()),
        (lambda: SimpleNamespace(knowledge=SimpleNamespace(missing=True)), ("the index",)),
        (lambda: _raised(ModelError("No model is there.")), ("No model is there.",)),
        (lambda: _raised(RuntimeError("in some library")), ("what failed to load",)),
    ],
)
def test_a_start_says_what_it_lacks_when_it_is_over(
    built: Callable[[], Any], missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(starting, "_build", lambda *_: go.wait() and built())
    begun = starting.Starting(Settings(), print)
    assert begun.missing == ("the model", "the index")
    go.set()
    with suppress(ModelError, RuntimeError):
        begun.wait()
    assert begun.missing == missing


def _raised(error: Exception) -> None:
    raise error


def test_numbers_are_for_this_machine_unless_they_are_made_public() -> None:
    page = Page(Settings())
    shown = client(page, "127.0.0.1").get("/metrics")
    assert "switchboard_refused_total" in shown.text
    assert shown.headers["content-type"].startswith("text/plain; version=0.0.4")
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        assert client(page, "127.0.0.1").get("/metrics", headers={header: "203.0.113.7"}).status_code == 403
    refused = client(page).get("/metrics")
    assert "SWITCHBOARD_METRICS=public" in refused.json()["detail"]
    assert client(Page(Settings(public_metrics=True))).get("/metrics").status_code == 200


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setattr(users_module, "_N", 2**4)
    return Page(Settings(users=Users.read("ann:secret"), company="A & B"))


def test_nothing_is_given_to_whoever_has_not_logged_in(guarded: Page) -> None:
    visitor = client(guarded)
    for path in (JOIN, "/config", "/gradio_api/mcp/", "/gradio_api/heartbeat/x", "/gradio_api/cancel", "/compare/x"):
        for refused in (visitor.get(path), visitor.post(path)):
            assert refused.status_code == 401
            assert refused.json()["detail"].startswith("Please log in first")
    assert visitor.post("/").status_code == 401
    for path in ("/health", "/ready", "/assets/index.js", "/static/fonts/x.woff2", "/gradio_api/startup-events"):
        assert visitor.get(path).status_code == 200
    assert visitor.get("/metrics").status_code == 403


def test_a_page_asks_to_log_in_and_names_the_company(guarded: Page) -> None:
    for path in ("/", "/compare"):
        shown = client(guarded).get(path)
        assert shown.status_code == 200
        assert "A &amp; B asks you to log in first." in shown.text
        assert "Switchboard" in shown.text
        assert shown.headers["cache-control"] == "no-store"


def test_a_cookie_of_gradios_is_enough_and_another_is_not(guarded: Page) -> None:
    guarded.tokens["good"] = "ann"
    assert client(guarded).get("/a", cookies={"access-token-x": "good"}).json()["cookie"] == "good"
    assert client(guarded).get("/a", cookies={"access-token-unsecure-x": "good"}).status_code == 200
    assert client(guarded).get("/a", cookies={"access-token-x": "bad"}).status_code == 401
    assert client(guarded).get("/a", cookies={"access-token-y": "good"}).status_code == 401


def test_a_name_and_a_password_in_a_header_are_a_cookie(guarded: Page) -> None:
    cookie = client(guarded).get("/a", headers=ANN).json()["cookie"]
    assert guarded.tokens == {cookie: "ann"}
    assert client(guarded).get("/a", headers=ANN).json()["cookie"] == cookie
    guarded.tokens.clear()  # as when she logs out
    assert client(guarded).get("/a", headers=ANN).json()["cookie"] not in ("", cookie)
    for wrong in ("Basic !", "Basic " + base64.b64encode(b"ann:guess").decode(), "Bearer x", "Basic"):
        assert client(guarded).get("/a", headers={"Authorization": wrong}).status_code == 401


def test_programs_are_told_how_to_log_in_and_browsers_are_not_asked_for_a_password(guarded: Page) -> None:
    assert client(guarded).post("/gradio_api/mcp/").headers["WWW-Authenticate"] == "Basic"
    assert "WWW-Authenticate" not in client(guarded).post(JOIN).headers


def test_nobody_guesses_for_ever(guarded: Page) -> None:
    visitor, bad = client(guarded), {"Authorization": "Basic " + base64.b64encode(b"ann:guess").decode()}
    codes = [visitor.post("/login").status_code for _ in range(ATTEMPTS // 2)]
    codes += [visitor.get("/a", headers=bad).status_code for _ in range(ATTEMPTS - len(codes))]
    assert codes == [200] * (ATTEMPTS // 2) + [401] * (ATTEMPTS // 2)
    for refused in (visitor.post("/login"), visitor.post("/login/"), visitor.get("/a", headers=ANN)):
        assert refused.status_code == 429
        assert refused.json()["detail"].startswith("Too many tries to log in from your address.")
    assert client(guarded, "203.0.113.8").get("/a", headers=ANN).status_code == 200


def test_another_sites_page_may_not_ask_in_a_users_name(guarded: Page) -> None:
    guarded.tokens["good"] = "ann"
    visitor = client(guarded)
    visitor.cookies.set("access-token-x", "good")
    assert visitor.post(JOIN, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    for site in ("cross-site", "same-site"):
        refused = visitor.post(JOIN, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"})
        assert refused.status_code == 403
        assert visitor.get("/", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_whoever_calls_a_tool_is_known_where_the_call_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(Settings())
    seen: dict[str, str] = {}

    async def mcp(request: Request) -> Response:
        seen.update(request.headers)
        return PlainTextResponse("")

    page.router.routes.insert(0, Route("/gradio_api/mcp/", mcp, methods=["POST"]))
    client(page).post("/gradio_api/mcp/", headers={"x-switchboard-behalf": "guess 198.51.100.1"})
    stamp = seen["x-switchboard-behalf"]
    assert stamp.split()[1:] == ["203.0.113.7"]
    back = client(page, "127.0.0.1").post(JOIN, headers={"x-switchboard-behalf": stamp, "X-Forwarded-For": "9.9.9.9"})
    assert back.json()["client"] == "203.0.113.7"
