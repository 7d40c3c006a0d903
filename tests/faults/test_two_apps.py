"""Two programs on one data folder, started at once and used at once; and visitors who go in the middle."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest
from causing import App, copied_data, ended, fault, python
from demo import demo
from gradio_client import Client
from kept import Kept
from test_killed import INDEX, WRITER, check_all_stored

from switchboard.ui.app import create_app, launch_options

CACHE = (
    "import sys; from pathlib import Path; from switchboard.settings import Settings\n"
    "from switchboard.generation.model import load_model\n"
    "load_model(Settings(model=sys.argv[1], data=Path(sys.argv[2])), lambda line: print(line, flush=True))"
)


@fault("Two processes begin to build one index at once.", "Nothing.", "One waits for the other; the index is whole.")
def test_two_build_the_index(articles: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path, articles)
    both = [python(INDEX, articles, kept.data) for _ in range(2)]
    said = [ended(process) for process in both]
    assert [status for status, _, _ in said] == [0, 0], said
    assert sum("Embedding known questions: 512" in out for _, out, _ in said) == 1, "both did the work"
    kept.healthy()


@fault(
    "An index is brought up to date with changed articles while another process searches it.",
    "Answers, from the articles as they were when their app started; or one sentence.",
    "Finds the index current.",
)
def test_index_renewed_under_an_app(kept: Kept, tmp_path: Path) -> None:
    knowledge = tmp_path / "knowledge"
    shutil.copytree(kept.knowledge, knowledge)
    kept = Kept(tmp_path, knowledge)
    running = kept.start()
    late = knowledge / "late-payment-fee.md"
    late.write_text(late.read_text(encoding="utf-8").replace("£7.50", "£9.50"), encoding="utf-8")
    status, _, err = ended(python(INDEX, knowledge, kept.data))
    assert status == 0, err
    assert "£7.50" in " ".join(passage.text for passage in running.search("late payment fee", 8).passages)
    running.close()
    again = kept.start()
    assert "£9.50" in " ".join(passage.text for passage in again.search("late payment fee", 8).passages)
    again.close()


@fault(
    "Two processes begin to make one quantized model at once.",
    "The page as it loads.",
    "One waits and takes what the other has made.",
)
def test_two_make_the_model(tiny: Path, tmp_path: Path) -> None:
    both = [python(CACHE, tiny, tmp_path / "data") for _ in range(2)]
    said = [ended(process) for process in both]
    assert [status for status, _, _ in said] == [0, 0], said
    assert sum("Quantizing" in out for _, out, _ in said) == 1, said


@fault(
    "Two processes write ratings, or votes, to one file as fast as they can.",
    "Nothing: each one is stored.",
    "Has every row of both.",
)
@pytest.mark.parametrize("kind", ["feedback", "votes"])
def test_two_write_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"{kind}.sqlite"
    both = [python(WRITER, kind, path, first) for first in (0, 500_000)]
    time.sleep(3)
    for process in both:
        process.terminate()
    acknowledged = [int(line) for process in both for line in ended(process)[1].split("\n")[:-1]]
    assert min(acknowledged) < 500_000 <= max(acknowledged)
    check_all_stored(path, kind, acknowledged)


@fault(
    "Two whole apps are started at once on one data folder, and asked at once.",
    "Both answer, down every path.",
    "Starts as ever.",
)
def test_two_apps_at_once(tmp_path: Path) -> None:
    data = copied_data(tmp_path)
    both = [App(tmp_path, data) for _ in range(2)]
    try:
        clients = [Client(app.ready().url, verbose=False) for app in both]
        for mode in ("rag", "combined", "fine-tuned", "base"):
            jobs = [c.submit("How much is Fibre 500 a month?", mode, api_name="/chat") for c in clients]
            said = [job.result(timeout=60)["answer"] for job in jobs]
            assert said[0] == said[1]
        assert all("aside" not in app.log and "Traceback" not in app.log for app in both)
    finally:
        for app in both:
            app.end()


@fault(
    "Visitors break their connection in the middle of an answer, thirty of them.",
    "The others are answered.",
    "Nothing is left to do.",
)
def test_broken_connections(tmp_path: Path) -> None:
    running = demo(tmp_path / "data", pause=0.01)
    app = create_app(running)
    options = {**launch_options(running.settings), "server_port": None, "quiet": True}
    _, url, _ = app.launch(**options, prevent_thread_lock=True)
    port = int(url.rstrip("/").rsplit(":", 1)[1])
    body = b'{"data": ["A long story", "fine-tuned", null, 3, 0, 256]}'
    head = (
        b"POST /gradio_api/call/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    try:
        for number in range(30):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as visitor:
                visitor.sendall((head + body)[: len(head) + len(body) * (number % 3) // 2 + 1])
        began = time.monotonic()
        answer = Client(url, verbose=False).predict("How much is Fibre 500?", "fine-tuned", api_name="/chat")
        assert "£36" in answer["answer"]
        assert time.monotonic() - began < 120
    finally:
        app.close()


@fault(
    "Whoever reads a command's output stops reading (`ask ... | head -1`).",
    "Nothing.",
    "Nothing is left to do.",
)
def test_broken_pipe(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from switchboard import cli\n"
        "def many(*_): [print('x' * 1000, flush=True) for _ in range(10000)]\n"
        "cli.app = many; cli.main()"
    )
    process = python(code)
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
