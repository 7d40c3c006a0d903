"""The server behind the page, asked for what it must not give: files, other visitors' answers, and tracebacks."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from demo import Demo

from switchboard.settings import ROOT

CANARY = "canary-6f1d2"
API = "/gradio_api"

Reply = tuple[int, bytes, dict[str, str]]


def sent(url: str, method: str, path: str, body: bytes | str | None = None, kind: str = "application/json") -> Reply:
    """Send a request with its path as it is, which an ordinary client would tidy."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        data = body.encode() if isinstance(body, str) else body or b""
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        response = connection.getresponse()
        # An endless stream of events is read as far as it comes at once.
        content = response.read(5_000_000) if response.getheader("content-type") != "text/event-stream" else b""
        return response.status, content, {key.lower(): value for key, value in response.getheaders()}
    finally:
        connection.close()


def call(url: str, path: str, value: object) -> Reply:
    return sent(url, "POST", f"{API}{path}", value if isinstance(value, str) else json.dumps(value))


FILES = {
    "DATA/canary.txt": CANARY.encode(),
    "DATA/link.txt": b"root:",
    "/etc/passwd": b"root:",
    "/proc/self/environ": b"PATH=",
    "/proc/self/cmdline": b"python",
    "/proc/self/cwd/pyproject.toml": b"[project]",
    **{
        str(ROOT / name): (ROOT / name).read_bytes()[:60]
        for name in ("app.py", "src/switchboard/settings.py", "constraints.txt", "knowledge/asked.jsonl")
    },
}
"""What must not be readable, with a piece of what is in it; DATA is the data folder."""
NAMED = ("app.py", "README.md", ".git/config", ".switchboard/votes.sqlite", "evaluation/questions.jsonl")


@pytest.fixture(scope="module")
def data(running: Demo) -> Iterator[str]:
    """The data folder, with a file that nobody may read, and a link that leads out of it."""
    folder = running.settings.data
    (folder / "canary.txt").write_text(CANARY, encoding="utf-8")
    (folder / "link.txt").symlink_to("/etc/passwd")
    yield str(folder)
    for name in ("canary.txt", "link.txt"):
        (folder / name).unlink()


def ways_to(path: str) -> list[str]:
    """Request targets that would read a file if a server let them."""
    up = "../" * 12
    inside = path.lstrip("/")
    return [
        f"{API}/file={path}",
        f"{API}/file={quote(path, safe='')}",
        f"{API}/file={quote(quote(path, safe=''), safe='')}",
        f"{API}/file={up}{inside}",
        f"{API}/file={quote(up + inside, safe='')}",
        f"{API}/file=/tmp/gradio/{up}{inside}",
        f"{API}/file=file://{path}",
        f"{API}/file={path}%00.txt",
        f"{API}/file=/{path}",
        f"{API}/file={path.replace('/', '%5c')}",
        f"{API}/file/{inside}",
        f"{API}/proxy=file://{path}",
        f"{API}/custom_component/1/client/component/{quote(up + inside, safe='')}",
        f"/file={path}",
        f"/static/{up}{inside}",
        f"/static/{quote(up + inside, safe='')}",
        f"/assets/{quote(up + inside, safe='')}",
        f"/svelte/{quote(up + inside, safe='')}",
        f"/{up}{inside}",
        f"/{quote(up + inside, safe='')}",
    ]


PATHS = [
    *((way, piece) for path, piece in FILES.items() for way in ways_to(path)),
    *(
        (way, b"")
        for name in NAMED
        for way in (f"{API}/file={name}", f"{API}/file=./{name}", f"/{name}", f"{API}/file=src/../{name}")
    ),
]
"""Request targets, each with a piece of the file that it would read."""


def test_no_file_is_read_by_any_path(url: str, data: str) -> None:
    read = []
    for way, piece in PATHS:
        status, body, _ = sent(url, "GET", way.replace("DATA", data))
        if status == 200 or (piece and piece in body):
            read.append((status, way, body[:60]))
    assert not read


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}/config", "http://localhost:{port}/", "http://[::1]/"])
def test_the_server_does_not_fetch_from_its_own_network(url: str, address: str) -> None:
    wanted = address.format(port=urlsplit(url).port)
    for route in ("file", "proxy"):
        status, body, headers = sent(url, "GET", f"{API}/{route}={wanted}")
        assert status >= 400, (route, body[:80])
        assert b"components" not in body
        assert "location" not in headers


def multipart(name: str, content: bytes) -> tuple[bytes, str]:
    head = f'--edge\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    return head + content + b"\r\n--edge--\r\n", "multipart/form-data; boundary=edge"


NAMES = (
    "../../../../outside.md",
    "..\\..\\outside.md",
    "/etc/cron.d/outside",
    "%2e%2e%2foutside.md",
    "....//....//outside.md",
    "a/../../outside.md",
    "C:\\Windows\\outside.md",
    "\x01outside\x7f.md",
    "outside.md\x00.png",
    "~/outside.md",
    "o" * 3000 + ".md",
    ".",
    "..",
    "",
)


@pytest.mark.parametrize("name", NAMES)
def test_an_upload_lands_nowhere_but_among_the_uploads(url: str, name: str) -> None:
    body, kind = multipart(name, CANARY.encode())
    status, reply, _ = sent(url, "POST", f"{API}/upload", body, kind)
    assert b"Traceback" not in reply
    if status == 200:
        for path in map(Path, json.loads(reply)):
            assert path.parent.parent.name == "gradio", path
            assert path.resolve() == path, path
            path.unlink(missing_ok=True)
    assert not list(ROOT.parent.glob("outside*"))
    assert not Path("/etc/cron.d/outside").exists()


def test_too_large_an_upload_is_refused(url: str) -> None:
    body, kind = multipart("large.md", b"x" * 10_100_000)
    assert sent(url, "POST", f"{API}/upload", body, kind)[0] == 413


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


RUBBISH = (
    "",
    "{",
    "null",
    "[]",
    "17",
    '"text"',
    "{}",
    '{"data": null}',
    '{"data": {}}',
    '{"data": []}',
    '{"data": [1, 2, 3, 4, 5, 6, 7]}',
    '{"data": [NaN, Infinity, -Infinity, 1e999, -0, null]}',
    '{"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]}',
    '{"data": [["/etc/passwd"]], "fn_index": 3, "session_hash": "x"}',
    '{"data": ["q"], "fn_index": 99999999999999999999, "session_hash": "x"}',
    '{"data": ["q"], "fn_index": -1, "session_hash": "x"}',
    '{"data": ["q"], "fn_index": "zero", "session_hash": 5}',
    '{"data": ["q"], "fn_index": 0, "session_hash": "../../etc", "event_id": "../x", "trigger_id": "y"}',
    '{"data": ["q"], "fn_index": 0, "session_hash": {"$gt": ""}}',
    '{"session_hash": "x", "component_id": 1, "fn_name": "open_article", "data": 5}',
    '{"session_hash": "x", "component_id": 999999, "fn_name": "__init__", "data": {}}',
    '{"session_hash": "x", "component_id": "one", "fn_name": ["a"], "data": {}}',
    '{"event_id": "' + "f" * 32 + '", "session_hash": "x", "fn_index": 0}',
    '{"event_data": ' + deep(200) + ', "data": [], "fn_index": 1, "session_hash": "x"}',
    deep(100_000),
    '{"a":' * 5_000 + "1" + "}" * 5_000,
    '{"data": ["' + "x" * 2_000_000 + '"]}',
    '{"data": ["\\ud800 \\u0000 \\uffff"]}',
)
ENDPOINTS = (
    "/queue/join",
    "/call/chat",
    "/call/search",
    "/call/v2/chat",
    "/run/chat",
    "/run/predict",
    "/api/search",
    "/component_server",
    "/cancel",
    "/reset",
    "/upload",
    "/stream/none",
    "/process_recording",
    "/vibe-edit",
    "/vibe-code",
    "/profiling/clear",
    "/mcp/",
    "/login",
)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_rubbish_gets_no_traceback(url: str, endpoint: str) -> None:
    for rubbish in RUBBISH:
        status, body, _ = call(url, endpoint, rubbish)
        told = body.decode("utf-8", "replace")
        assert not any(word in told for word in ("Traceback", "site-packages", str(ROOT), "root:")), (rubbish, told)
        assert status < 600


def test_the_server_still_answers(url: str) -> None:
    status, body, _ = call(url, "/call/search", {"data": ["Fibre 500 price a month", 2]})
    event = json.loads(body)["event_id"]
    assert status == 200
    assert b"fibre-plans" in streamed(url, f"{API}/call/search/{event}")


def streamed(url: str, path: str, most: int = 200_000) -> bytes:
    """What an event stream says until it ends, or for some seconds."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    said = b""
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        while len(said) < most and (line := response.readline()):
            said += line
    except TimeoutError:
        pass
    finally:
        connection.close()
    return said


def test_another_visitors_events_cannot_be_had_by_guessing(url: str) -> None:
    for event in ("0" * 32, "../chat", "*", "null", "%00"):
        assert CANARY.encode() not in streamed(url, f"{API}/call/chat/{event}")
    listened = streamed(url, f"{API}/queue/data?session_hash=a-session-of-nobody")
    assert b"answer" not in listened


def component_with(url: str, function: str) -> int:
    """The id of the component that has a server function."""
    _, body, _ = sent(url, "GET", "/config")
    for component in json.loads(body)["components"]:
        if function in json.dumps(component.get("props", {}).get("server_fns", [])):
            return int(component["id"])
    raise AssertionError(function)


@pytest.mark.parametrize("function", ["open_article", "export"])
def test_server_functions_answer_odd_arguments_with_a_sentence(url: str, function: str) -> None:
    component = component_with(url, function)
    odd: list[object] = [
        None,
        5,
        "text",
        [],
        {},
        {"source": "../../etc/passwd", "start": 0, "end": 1},
        {"source": "/etc/passwd", "start": "zero", "end": None},
        {"source": ["a"], "start": 1e308, "end": -1e308},
        {"source": {"a": 1}, "start": {}, "end": []},
        {"conversation": 5, "format": "exe"},
        {"conversation": {"turns": [5, None, {"id": "<script>"}]}, "format": ["md"]},
    ]
    for value in odd:
        body = {"session_hash": "odd", "component_id": component, "fn_name": function, "data": value}
        status, reply, _ = call(url, "/component_server", body)
        assert status == 200, (value, reply)
        assert not any(word in reply for word in (b"Traceback", b"root:", b"<script>")), reply


def test_nothing_else_of_a_component_can_be_called(url: str) -> None:
    component = component_with(url, "export")
    for name in ("__init__", "__class__", "get_config", "postprocess", "preprocess", "", "__dict__"):
        body = {"session_hash": "odd", "component_id": component, "fn_name": name, "data": {}}
        assert call(url, "/component_server", body)[0] in (404, 422), name
