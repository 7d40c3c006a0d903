"""Documents that are changed for everybody: stored, indexed, seen by other processes, and undone."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval_fakes import FakeEmbedder
from switchboard.database import Database
from switchboard.errors import KnowledgeError, StorageError
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.knowledge import Knowledge
from switchboard.retrieval.shared import SharedDocuments

Start = Callable[[], Knowledge]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    (folder / "fees.md").write_text("The late fee is £7.50.")
    (folder / "router.md").write_text("The lamp is white.")
    return folder


@pytest.fixture
def start(tmp_path: Path, folder: Path) -> Iterator[Start]:
    """Starts a process' knowledge: a data folder of its own, the database everybody's."""
    running: list[Knowledge] = []
    lines: list[str] = []

    def started() -> Knowledge:
        data = tmp_path / f"data-{len(running)}"

        def opened(edits: SharedDocuments | None) -> KnowledgeIndex:
            return KnowledgeIndex.open(folder, data, FakeEmbedder(), lines.append, 0.2, edits=edits)

        edits = SharedDocuments(Database(f"sqlite:///{tmp_path}/documents.sqlite"), "help")
        running.append(Knowledge(folder, data, edits, opened, lines.append))
        return running[-1]

    yield started
    for one in running:
        one.current.close()


def texts(knowledge: Knowledge) -> dict[str, str]:
    return {source: one.text.strip() for source, one in knowledge.current.documents.items()}


def found(knowledge: Knowledge, query: str) -> list[str]:
    return [passage.text for passage in knowledge.current.search(query, 3).passages]


def test_a_document_is_added_replaced_and_removed_for_everybody(start: Start, folder: Path) -> None:
    knowledge = start()
    knowledge.add("added/lamp.md", b"A red lamp means no connection.")
    assert found(knowledge, "red lamp connection")[0] == "A red lamp means no connection."
    knowledge.add("added/lamp.md", b"A blue lamp means pairing.")
    assert "added/lamp.md" in knowledge.current.documents
    assert "A red lamp means no connection." not in found(knowledge, "red lamp connection")
    knowledge.remove("added/lamp.md")
    assert set(texts(knowledge)) == {"fees.md", "router.md"}
    assert knowledge.changes() == {}


def test_the_folder_is_never_written_to(start: Start, folder: Path) -> None:
    knowledge = start()
    knowledge.add("fees.md", b"The late fee is \xc2\xa39.")
    knowledge.remove("router.md")
    assert texts(knowledge) == {"fees.md": "The late fee is £9."}
    assert (folder / "fees.md").read_text() == "The late fee is £7.50."
    assert knowledge.changes() == {"fees.md": False, "router.md": True}
    assert knowledge.file("fees.md") == "The late fee is £9.".encode()
    knowledge.undo("fees.md")
    knowledge.undo("router.md")
    assert texts(knowledge) == {"fees.md": "The late fee is £7.50.", "router.md": "The lamp is white."}
    assert knowledge.file("fees.md") == "The late fee is £7.50.".encode()


def test_it_survives_a_restart(start: Start) -> None:
    start().add("fees.md", "The late fee is £9.".encode())
    assert texts(start())["fees.md"] == "The late fee is £9."


def test_what_cannot_be_read_changes_nothing(start: Start) -> None:
    knowledge = start()
    with pytest.raises(KnowledgeError, match="empty"):
        knowledge.add("fees.md", b"")
    with pytest.raises(KnowledgeError, match="only files ending"):
        knowledge.add("fees.exe", b"MZ")
    assert knowledge.changes() == {}
    with pytest.raises(KnowledgeError, match="no document"):
        knowledge.file("../../etc/passwd")


def test_another_process_sees_a_change(start: Start) -> None:
    one, other = start(), start()
    other.watch(0.05)
    one.add("fees.md", "The late fee is £9.".encode())
    for _ in range(100):
        if texts(other)["fees.md"] == "The late fee is £9.":
            break
        time.sleep(0.05)
    assert found(other, "late fee")[0] == "The late fee is £9."


def test_a_change_in_the_folder_is_seen_when_asked_for(start: Start, folder: Path) -> None:
    knowledge = start()
    (folder / "new.md").write_text("The office closes at noon.")
    knowledge.renew()
    assert found(knowledge, "office closes")[0] == "The office closes at noon."


def test_a_visitors_copy_follows_the_shared_documents(start: Start) -> None:
    knowledge = start()
    mine = knowledge.current.with_documents([knowledge.current.document("router.md")])
    knowledge.add("fees.md", "The late fee is £9.".encode())
    over = mine.over(knowledge.current)
    assert over.document("fees.md").text == "The late fee is £9."
    assert over.search("late fee", 1).passages[0].text == "The late fee is £9."
    assert over.over(knowledge.current) is over
    assert knowledge.current.over(knowledge.current) is knowledge.current


@pytest.mark.parametrize("url", ["sqlite:///{}/file/documents.sqlite", "postgresql://u:secret@127.0.0.1:1/n"])
def test_without_its_database_the_folder_is_searched_and_a_change_refused(
    tmp_path: Path, folder: Path, url: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    edits = SharedDocuments(Database(url.format(tmp_path)), "help")
    lines: list[str] = []

    def opened(edits: SharedDocuments | None) -> KnowledgeIndex:
        return KnowledgeIndex.open(folder, tmp_path / "data", FakeEmbedder(), lines.append, 0.2, edits=edits)

    knowledge = Knowledge(folder, tmp_path / "data", edits, opened, lines.append)
    assert set(texts(knowledge)) == {"fees.md", "router.md"}
    assert not any("secret" in line for line in lines)
    with pytest.raises(StorageError, match=r"again|try"):
        knowledge.add("fees.md", b"The late fee is 9.")
    assert texts(knowledge)["fees.md"] == "The late fee is £7.50."
    knowledge.current.close()


def test_two_knowledge_folders_do_not_mix(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/documents.sqlite")
    SharedDocuments(database, "one").put("fees.md", b"text")
    assert SharedDocuments(database, "other").changes() == {}
    assert SharedDocuments(database, "other").state() == ""


def test_an_index_that_cannot_be_had_is_tried_again(tmp_path: Path, folder: Path) -> None:
    edits = SharedDocuments(Database.at(tmp_path / "documents.sqlite"), "help")
    lines: list[str] = []
    broken = [True]

    def opened(edits: SharedDocuments | None) -> KnowledgeIndex:
        if broken[0]:
            raise KnowledgeError("The Chroma server does not answer.")
        return KnowledgeIndex.open(folder, tmp_path / "data", FakeEmbedder(), lines.append, 0.2, edits=edits)

    with pytest.raises(KnowledgeError):
        Knowledge(folder, tmp_path / "data", edits, opened, lines.append)
    knowledge = Knowledge(folder, tmp_path / "data", edits, opened, lines.append, patient=True)
    assert knowledge.missing
    assert "RAG and Combined cannot answer: The Chroma server" in lines[-1]
    with pytest.raises(KnowledgeError, match="Fine-tuned still answers"):
        knowledge.current.search("late fee", 1)
    knowledge.watch(0.05)
    broken[0] = False
    for _ in range(100):
        if not knowledge.missing:
            break
        time.sleep(0.05)
    assert found(knowledge, "late fee")[0] == "The late fee is £7.50."
    knowledge.current.close()


def test_a_file_that_comes_into_the_folder_is_found_without_a_start(start: Start, folder: Path) -> None:
    knowledge = start()
    knowledge.watch(0.05)
    (folder / "lamp.md").write_text("A red lamp means no connection.")
    for _ in range(100):
        if "lamp.md" in knowledge.current.documents:
            break
        time.sleep(0.05)
    assert found(knowledge, "red lamp connection")[0] == "A red lamp means no connection."


def test_what_came_into_the_folder_is_tried_again_where_it_could_not_be_indexed(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge = start()
    renewed, tries = KnowledgeIndex.renewed, []

    def fails_once(index: KnowledgeIndex, *arguments: Any) -> KnowledgeIndex:
        tries.append(1)
        if len(tries) == 1:
            raise KnowledgeError("The Chroma server does not answer.")
        return renewed(index, *arguments)

    monkeypatch.setattr(KnowledgeIndex, "renewed", fails_once)
    (folder / "lamp.md").write_text("A red lamp means no connection.")
    knowledge.watch(0.05)
    for _ in range(100):
        if "lamp.md" in knowledge.current.documents:
            break
        time.sleep(0.05)
    assert "lamp.md" in knowledge.current.documents
    assert len(tries) == 2


def test_a_document_whose_bytes_are_others_is_left_out_and_named(tmp_path: Path) -> None:
    database = Database.at(tmp_path / "documents.sqlite")
    edits, lines = SharedDocuments(database, "help"), []
    edits.put("fees.md", b"The late fee is 9.")
    edits.put("lamp.md", b"A red lamp.")
    with sqlite3.connect(tmp_path / "documents.sqlite") as opened:
        opened.execute("UPDATE documents SET data = ? WHERE source = 'fees.md'", (b"The late fee is 0.",))
    assert [one.source for one in edits.over([], lines.append)] == ["lamp.md"]
    assert lines == ["Left out: fees.md was damaged in the database; add it again."]
    with pytest.raises(KnowledgeError, match="add it again"):
        edits.data("fees.md")
