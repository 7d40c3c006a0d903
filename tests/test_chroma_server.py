"""The index on a Chroma server: what is fast here, and under `make test-servers` a real one with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import chromadb
import pytest

from fakes import FakeGenerator
from model_server import free_port
from retrieval_fakes import FakeEmbedder
from switchboard.errors import KnowledgeError
from switchboard.progress import quietly
from switchboard.retrieval import server as module
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.server import ChromaServer, ServerStore
from switchboard.switch import Switchboard
from switchboard.types import Document, GenerationSettings, Message

HERE = Path(__file__).parent
CHROMA = Path(sys.executable).with_name("chroma")
ARTICLES = {
    "router.md": "# Router\n\n## Lights\n\nA red light means no signal.\n\n## Reset\n\nHold it for ten seconds.\n",
    "fees.md": "# Fees\n\n## Late\n\nThe late fee is £5 a month.\n",
    "moving.md": "# Moving\n\n## Notice\n\nTell us fourteen days before you move home.\n",
}


class Chroma:
    """A real `chroma run` that can be killed, halted and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self, wait: bool = True) -> None:
        self.process = subprocess.Popen(
            [CHROMA, "run", "--path", self.folder, "--host", "127.0.0.1", "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(600 if wait else 0):
            try:
                urllib.request.urlopen(f"{self.url}/api/v2/heartbeat", timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def collections(self) -> dict[str, int]:
        """How many vectors each collection has."""
        client = chromadb.HttpClient(self.url)
        return {collection.name: collection.count() for collection in client.list_collections()}


class App:
    """An index in a process of its own, see server_process.py."""

    def __init__(self, chroma: Chroma, knowledge: Path, data: Path, seconds: float = 0.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / "server_process.py", chroma.url, knowledge, data, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "src")])},
        )

    def begin(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def do(self, line: str) -> Any:
        self.begin(line)
        return self.end()


@pytest.fixture
def chroma(tmp_path: Path) -> Iterator[Chroma]:
    running = Chroma(tmp_path / "chroma")
    yield running
    running.kill()


@pytest.fixture
def knowledge(tmp_path: Path) -> Path:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    for name, text in ARTICLES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def apps(chroma: Chroma, knowledge: Path, tmp_path: Path) -> Iterator[list[App]]:
    """Two processes, with a data folder each as on two machines, over the same knowledge."""
    running = [App(chroma, knowledge, tmp_path / f"data-{n}", 0.05) for n in range(2)]
    yield running
    for app in running:
        app.process.kill()
        app.process.wait()


def opened(url: str, knowledge: Path, data: Path, owner: str = "Acme", embedder: str = "fake") -> KnowledgeIndex:
    server = ChromaServer(url, owner)
    return KnowledgeIndex.open(knowledge, data, FakeEmbedder(embedder), quietly, 0.2, server=server)


def first(index: KnowledgeIndex, query: str) -> str:
    """The source that a search puts first."""
    return index.search(query, 3).passages[0].source


# ---- A server that is none ----


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_SECONDS", 0.2)
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.2)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("kind", ["gone", "silent", "another"])
def test_a_start_without_the_server_ends_with_a_way_out(kind: str, knowledge: Path, tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if kind != "gone":
            listening.listen()
        if kind == "another":
            threading.Thread(target=lambda: listening.accept()[0].sendall(b"220 mail\r\n"), daemon=True).start()
        lines: list[str] = []
        with pytest.raises(KnowledgeError, match=r"does not answer.*Start it.*unset SWITCHBOARD_CHROMA_URL"):
            ServerStore(ChromaServer(f"http://127.0.0.1:{listening.getsockname()[1]}", "A"), "x", "m", lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("Waiting for the Chroma server at http://127.0.0.1:")


# ---- A real one ----


@pytest.mark.servers
def test_two_processes_build_at_once_and_see_each_others_updates(
    apps: list[App], chroma: Chroma, knowledge: Path
) -> None:
    one, two = apps
    for app in apps:
        app.begin("open")
    assert [app.end()["passages"] for app in apps] == [4, 4]
    assert list(chroma.collections().values()) == [4]
    assert one.do("search red light") == two.do("search red light")
    assert one.do("search red light")["found"][0] == ["router.md", "A red light means no signal."]

    fees = knowledge / "fees.md"
    fees.write_text(ARTICLES["fees.md"].replace("£5", "£7"), encoding="utf-8")
    (knowledge / "moving.md").unlink()
    (knowledge / "roaming.md").write_text("# Roaming\n\nRoaming costs £2 a day abroad.\n", encoding="utf-8")
    assert {passage.split("#")[0] for passage in one.do("open")["embedded"]} == {"fees.md", "roaming.md"}
    assert "£7" in one.do("search late fee")["found"][0][1]
    assert one.do("search roaming abroad")["found"][0][0] == "roaming.md"
    # The other still has the older texts: what is new it does not know, and what is gone it does not find.
    assert "£5" in two.do("search late fee")["found"][0][1]
    assert "moving.md" not in str(two.do("search fourteen days"))
    assert "roaming.md" not in str(two.do("search roaming abroad"))
    # Opened again it has all of it, and embeds nothing.
    assert two.do("open") == {"embedded": [], "passages": 4}
    assert two.do("search roaming abroad") == one.do("search roaming abroad")
    assert list(chroma.collections().values()) == [4]


@pytest.mark.servers
def test_a_process_killed_while_it_builds_leaves_what_the_next_one_completes(
    apps: list[App], chroma: Chroma, knowledge: Path
) -> None:
    for number in range(80):
        (knowledge / f"more-{number}.md").write_text(f"# More {number}\n\nText number {number}.\n", encoding="utf-8")
    one, two = apps
    one.begin("open")
    while not sum(chroma.collections().values()):
        time.sleep(0.05)
    one.process.kill()
    stored = sum(chroma.collections().values())
    assert 0 < stored < 84
    made = two.do("open")
    assert made["passages"] == 84
    assert len(made["embedded"]) == 84 - stored
    assert list(chroma.collections().values()) == [84]


@pytest.mark.servers
def test_while_the_server_is_gone_searches_say_so_and_after_it_they_work_again(
    chroma: Chroma, knowledge: Path, tmp_path: Path
) -> None:
    index = opened(chroma.url, knowledge, tmp_path / "data")
    switchboard = Switchboard(FakeGenerator("By heart."), index, "Acme")
    chroma.kill()
    began = time.monotonic()
    with pytest.raises(KnowledgeError, match=r"cannot be reached. Please try again in a minute") as raised:
        list(switchboard.answer([Message("user", "What is the late fee?")], "rag"))
    assert time.monotonic() - began < 3
    assert chroma.url not in str(raised.value)
    *_, last = switchboard.answer([Message("user", "What is the late fee?")], "fine-tuned")
    assert last.text == "By heart."
    chroma.start()
    assert first(index, "late fee") == "fees.md"
    index.close()


@pytest.mark.servers
def test_a_server_that_hangs_is_given_up_after_a_short_time(
    chroma: Chroma, knowledge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEARCH_SECONDS", 0.5)
    index = opened(chroma.url, knowledge, tmp_path / "data")
    chroma.send(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(KnowledgeError, match="takes too long"):
        index.search("late fee", 3)
    assert time.monotonic() - began < 2
    chroma.send(signal.SIGCONT)
    assert first(index, "late fee") == "fees.md"
    index.close()


@pytest.mark.servers
def test_a_server_that_lost_everything_is_filled_by_one_start_for_all(
    chroma: Chroma, knowledge: Path, tmp_path: Path
) -> None:
    index = opened(chroma.url, knowledge, tmp_path / "data")
    chroma.kill()
    chroma.folder = tmp_path / "empty"
    chroma.start()
    with pytest.raises(KnowledgeError, match="has lost it"):
        index.search("late fee", 3)
    opened(chroma.url, knowledge, tmp_path / "other data").close()
    assert first(index, "late fee") == "fees.md"
    index.close()


@pytest.mark.servers
def test_a_start_waits_for_the_server(chroma: Chroma, knowledge: Path, tmp_path: Path) -> None:
    chroma.kill()
    with ThreadPoolExecutor(1) as beside:
        opening = beside.submit(opened, chroma.url, knowledge, tmp_path / "data")
        time.sleep(0.5)
        chroma.start()
        index = opening.result()
    assert first(index, "late fee") == "fees.md"
    index.close()


@pytest.mark.servers
def test_other_versions_owners_and_folders_have_collections_of_their_own(
    chroma: Chroma, knowledge: Path, tmp_path: Path
) -> None:
    ours = opened(chroma.url, knowledge, tmp_path / "data")
    other_folder = tmp_path / "Ärzte & Co"
    other_folder.mkdir()
    (other_folder / "hours.md").write_text("# Hours\n\nWe are open from 9 to 5.\n", encoding="utf-8")
    others = [
        opened(chroma.url, knowledge, tmp_path / "data", embedder="another"),
        opened(chroma.url, knowledge, tmp_path / "data", owner="Another"),
        opened(chroma.url, other_folder, tmp_path / "data"),
    ]
    assert sorted(chroma.collections().values()) == [1, 4, 4, 4]
    assert [first(index, "late fee") for index in (ours, *others[:2])] == ["fees.md"] * 3
    assert first(others[2], "open from 9") == "hours.md"
    for index in (ours, *others):
        index.close()


@pytest.mark.servers
def test_known_questions_and_a_visitors_own_documents_work_over_the_server(
    chroma: Chroma, knowledge: Path, tmp_path: Path
) -> None:
    known = {"question": "penalty for paying tardily", "source": "fees.md", "heading": "Late"}
    (knowledge / "asked.jsonl").write_text(json.dumps(known) + "\n", encoding="utf-8")
    index = opened(chroma.url, knowledge, tmp_path / "data")
    assert sorted(chroma.collections().values()) == [1, 4]
    assert first(index, "penalty tardily") == "fees.md"
    mine = Document("mine.md", "Mine", "", "", "The attic has a spare router from Anna.", "0")
    own = index.with_documents([mine], ["moving.md"])
    assert first(own, "attic Anna") == "mine.md"
    assert first(own, "late fee") == "fees.md"
    assert first(own, "move home fourteen days") != "moving.md"
    assert first(index, "attic Anna") != "mine.md"
    assert sorted(chroma.collections().values()) == [1, 4]
    *_, last = Switchboard(FakeGenerator("In the attic [1]."), own, "Acme").answer(
        [Message("user", "attic Anna router")], "rag", GenerationSettings()
    )
    assert last.passages[0].source == "mine.md"
    index.close()
