"""deploy/nginx.conf.template in a real nginx, before two processes of the shipped app and before a server that echoes.

Not part of make test: `make test-servers`, where nginx is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import httpx
import pytest
from gradio_client import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect
from steps import LAST, answer, ask, choose, finished

from switchboard.settings import ROOT, Settings

pytestmark = pytest.mark.servers

PAGE = {"Accept": "text/html"}
STREAM = "/gradio_api/queue/data"
"""Where the server that echoes sends five short events, a fifth of a second apart."""
WATCH = """() => {
    const answers = () => document.querySelectorAll(".turn .prose-answer");
    const before = answers().length;
    window.lengths = [];
    new MutationObserver(() => {
        const length = answers().length > before ? answers()[before].textContent.length : 0;
        if (length && length !== window.lengths.at(-1)) window.lengths.push(length);
    }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
"""Notes to how many characters the next answer has grown, each time that it has."""


@dataclass
class Proxy:
    """nginx before servers on these ports, and what it logged of each request: its path and who answered."""

    url: str
    ports: list[int]
    log: Path

    def answered(self, since: int = 0, least: int = 0) -> list[tuple[str, str]]:
        """Path and port of what was asked after the first `since` requests; the last port where several were tried.

        A request is logged a moment after its answer, so wait until there are `least`.
        """
        deadline = time.monotonic() + 5
        while True:
            rows = [line.split() for line in self.log.read_text().splitlines() if " GET " in line or " POST " in line]
            if len(rows) >= since + least or time.monotonic() > deadline:
                return [(row[2], row[-1].rpartition(":")[2]) for row in rows[since:]]
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def proxy_before(ports: list[int], folder: Path) -> Iterator[Proxy]:
    """The shipped template, its two variables filled in as its container does, in the nginx of this machine."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.skip("nginx is not installed: apt install nginx-light")
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{one} max_fails=1 fail_timeout=10s;" for one in ports)
    template = (ROOT / "deploy" / "nginx.conf.template").read_text(encoding="utf-8")
    (folder / "site.conf").write_text(template.replace("${PORT}", f"127.0.0.1:{port}").replace("${SERVERS}", servers))
    temporary = " ".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    # As root it would change to a user who may not write below pytest's folders.
    main = f"{'user root;' if os.geteuid() == 0 else ''} daemon off; pid {folder}/nginx.pid; error_log stderr;"
    (folder / "nginx.conf").write_text(f"{main} events {{}} http {{ {temporary} include site.conf; }}")
    log = folder / "log.txt"
    # Appended to, as nginx opens its standard output once more for the log of requests.
    with log.open("a") as sink:
        nginx = subprocess.Popen([program, "-p", folder, "-c", "nginx.conf"], stdout=sink, stderr=subprocess.STDOUT)
    wait_for(port, nginx, log)
    yield Proxy(f"http://127.0.0.1:{port}", ports, log)
    nginx.send_signal(signal.SIGQUIT)
    nginx.terminate()
    nginx.wait(20)


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until somebody listens there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"Nobody listens after 120 s: {log.read_text()}")


class Echo(BaseHTTPRequestHandler):
    """Says which headers came, and closes the connection, so that a server that was shut down is gone."""

    def do_GET(self) -> None:
        if self.path == STREAM:
            self.send_response(200)
            self.end_headers()
            for number in range(5):
                self.wfile.write(f"data: {number}\n\n".encode())
                time.sleep(0.2)
            return
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_args: object) -> None:
        """Nothing: the proxy has a log."""


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[tuple[Proxy, list[ThreadingHTTPServer]]]:
    """The proxy before four servers that say what they were asked."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Echo) for _ in range(4)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    for proxy in proxy_before([server.server_port for server in servers], tmp_path):
        yield proxy, servers
    for server in servers:
        server.shutdown()
        server.server_close()


def test_what_visitors_claim_to_be_is_not_passed_on(echo: tuple[Proxy, list[ThreadingHTTPServer]]) -> None:
    proxy, _ = echo
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "javascript"}
    heard = httpx.get(proxy.url, headers=forged).json()
    assert heard["x-forwarded-for"] == "127.0.0.1"
    assert f"http://{heard['x-forwarded-host']}" == f"http://{heard['host']}" == proxy.url
    assert heard["x-forwarded-proto"] == "http"
    assert httpx.get(proxy.url, headers={"X-Forwarded-Proto": "https"}).json()["x-forwarded-proto"] == "https"


def test_figures_and_large_bodies_do_not_pass(echo: tuple[Proxy, list[ThreadingHTTPServer]]) -> None:
    proxy, _ = echo
    assert httpx.get(f"{proxy.url}/metrics").status_code == 404
    upload = f"{proxy.url}/gradio_api/upload"
    assert httpx.post(upload, files={"files": b"x" * 70_000_000}, timeout=30).status_code == 200
    assert httpx.post(upload, files={"files": b"x" * 90_000_000}, timeout=30).status_code == 413
    join = f"{proxy.url}/gradio_api/queue/join"
    assert httpx.post(join, content=b"x" * 4_000_000).status_code == 200
    assert httpx.post(join, content=b"x" * 5_000_000).status_code == 413


def test_an_event_is_passed_on_as_it_comes(echo: tuple[Proxy, list[ThreadingHTTPServer]]) -> None:
    proxy, _ = echo
    with httpx.stream("GET", proxy.url + STREAM) as stream:
        came = [time.monotonic() for line in stream.iter_lines() if line]
    assert len(came) == 5
    assert all(later - earlier > 0.1 for earlier, later in pairwise(came)), "something gathers events"


def test_each_browser_has_its_replica_and_keeps_it_when_another_dies(
    echo: tuple[Proxy, list[ThreadingHTTPServer]],
) -> None:
    proxy, servers = echo
    visitors = [httpx.Client(base_url=proxy.url) for _ in range(40)]
    for visitor in visitors:
        page = visitor.get("/", headers=PAGE)
        assert "HttpOnly" in page.headers["Set-Cookie"]
        for path in ("/gradio_api/queue/join", "/gradio_api/upload", "/compare"):
            assert "Set-Cookie" not in visitor.get(path, headers=PAGE).headers
    asked = proxy.answered(0, 160)
    homes = [{port for _, port in asked[4 * n : 4 * n + 4]} for n in range(40)]
    assert all(len(home) == 1 for home in homes)
    assert {port for home in homes for port in home} == {str(port) for port in proxy.ports}
    # A program has no cookie and shows its address, so it stays as well.
    for path in ("/config", "/gradio_api/call/chat", "/gradio_api/call/chat/1"):
        httpx.get(proxy.url + path)
    assert len({port for _, port in proxy.answered(160, 3)}) == 1

    servers[0].shutdown()
    servers[0].server_close()
    dead = str(proxy.ports[0])
    for visitor, home in zip(visitors, homes, strict=True):
        before = len(proxy.answered())
        assert visitor.get("/", headers=PAGE).status_code == 200
        ((_, port),) = proxy.answered(before, 1)
        assert port != dead
        assert home == {dead} or home == {port}


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[int, subprocess.Popen[bytes]]]]:
    """Two processes of the shipped app, each with an index of its own; they write freely, so that they write slowly."""
    started = []
    for _ in range(2):
        data = tmp_path_factory.mktemp("data")
        (data / "models").symlink_to(Settings().data / "models")
        shutil.copytree(Settings().data / "index", data / "index")
        port, log = free_port(), data / "log.txt"
        environment = {
            **os.environ,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "SWITCHBOARD_DATA": str(data),
            "SWITCHBOARD_ANSWERS": "free",
        }
        with log.open("w") as sink:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "app.py")], env=environment, stdout=sink, stderr=subprocess.STDOUT
            )
        started.append((port, process))
        wait_for(port, process, log)
        # One after the other, and ready: two that load at once take four times as long.
        Client(f"http://127.0.0.1:{port}", verbose=False).predict("opening hours", 1, api_name="/search")
    yield started
    for _, process in started:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def proxy(
    replicas: list[tuple[int, subprocess.Popen[bytes]]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    yield from proxy_before([port for port, _ in replicas], tmp_path_factory.mktemp("proxy"))


def opened(visitor: BrowserContext, url: str) -> Page:
    page = visitor.new_page()
    page.goto(url)
    page.wait_for_selector(".welcome")
    return page


def test_a_program_is_answered(proxy: Proxy) -> None:
    before = len(proxy.answered())
    client = Client(proxy.url, verbose=False)
    reply = client.predict("How much is Fibre 500 a month?", "rag", api_name="/chat")
    assert "£36" in reply["answer"]
    assert len({port for _, port in proxy.answered(before)}) == 1


def test_a_conversation_stays_with_its_replica_and_is_shown_as_it_is_written(
    proxy: Proxy, visitor: BrowserContext
) -> None:
    before = len(proxy.answered())
    page = opened(visitor, proxy.url)
    choose(page, "Fine-tuned")
    ask(page, "Hello")
    page.evaluate(WATCH)
    choose(page, "RAG")
    ask(page, "How much is Fibre 500 a month?")
    lengths = page.evaluate("window.lengths")
    assert len(lengths) > 4, "the answer came in one piece: something holds it back"
    assert lengths[0] < lengths[-1] / 2
    asked = proxy.answered(before)
    assert any(path == "/gradio_api/queue/data" for path, _ in asked)
    assert len({port for _, port in asked}) == 1


# The last one, as it kills.
def test_when_a_replica_dies_others_go_on_and_its_visitors_come_back(
    proxy: Proxy, replicas: list[tuple[int, subprocess.Popen[bytes]]], browser: Browser, visitor: BrowserContext
) -> None:
    before = len(proxy.answered())
    page = opened(visitor, proxy.url)
    ask(page, "How much is Fibre 500 a month?")
    home = proxy.answered(before)[0][1]
    ((_, victim),) = [(port, process) for port, process in replicas if str(port) == home]
    victim.kill()
    victim.wait()
    # Whoever comes new, often enough that the dead one would have had some of them.
    for _ in range(12):
        with urlopen(proxy.url, timeout=10) as response:
            assert response.status == 200
    other = browser.new_context()
    new = opened(other, proxy.url)
    ask(new, "How much is Fibre 900 a month?")
    expect(answer(new)).to_contain_text("£45")
    other.close()
    # Its own visitors load the page once more: their conversation is in their browser.
    page.reload()
    page.wait_for_selector(LAST)
    ask(page, "and Fibre 900?")
    finished(page)
    expect(answer(page)).to_contain_text("£45")
    since = len(proxy.answered())
    page.reload()
    page.wait_for_selector(LAST)
    assert {port for _, port in proxy.answered(since)} == {str(port) for port, _ in replicas} - {home}
