"""A visitor's own documents: added, found, replaced and gone, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retrieval_fakes import FakeEmbedder
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.likeness import likeness
from switchboard.ui.documents import MOST_CHARACTERS, MOST_DOCUMENTS, DocumentEvents, DocumentParts, Mine, listed

FEES = "The late fee is £7.50, and it is charged when a bill is not paid within fourteen days of its date."
BOATS = "# Boats\n\nA rowing boat costs £12 an hour.\n\n## Deposit\n\nThe deposit is £40."


@pytest.fixture
def index(tmp_path: Path) -> Iterator[KnowledgeIndex]:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    (folder / "fees.md").write_text(FEES, encoding="utf-8")
    (folder / "router.md").write_text("# Router\n\nA red lamp means no connection.", encoding="utf-8")
    opened = KnowledgeIndex.open(folder, tmp_path / "data", FakeEmbedder(), lambda _: None, 0.2)
    yield opened
    opened.close()


@pytest.fixture
def drawer(index: KnowledgeIndex, monkeypatch: pytest.MonkeyPatch) -> DocumentEvents:
    said: list[str] = []
    monkeypatch.setattr("switchboard.ui.documents.gr.Warning", said.append)
    parts = DocumentParts("files", "title", "text", "said", "listed", "seen", "opened", "mine")
    events = DocumentEvents(parts, SimpleNamespace(index=index))
    events.warnings = said  # type: ignore[attr-defined]
    return events


def pasted(drawer: DocumentEvents, title: str, text: str, mine: Mine | None = None) -> dict[str, Any]:
    return drawer.paste(title, text, mine)


def uploaded(drawer: DocumentEvents, folder: Path, files: dict[str, bytes], mine: Mine | None = None) -> dict[str, Any]:
    """The last update after these files were dropped; Gradio's copies of them must be gone then."""
    paths = []
    for name, data in files.items():
        paths.append(folder / name)
        paths[-1].write_bytes(data)
    *_, last = drawer.add([str(path) for path in paths], mine)
    assert not any(path.exists() for path in paths)
    return last


def test_what_is_added_is_found_by_its_visitor_alone(drawer: DocumentEvents, index: KnowledgeIndex) -> None:
    update = pasted(drawer, "Boats", BOATS)
    mine = update["mine"]
    assert "2 passages" in update["said"]
    assert "£12" in mine.index.search("What does a rowing boat cost?", 1).passages[0].text
    assert "£7.50" in mine.index.search("How much is the late fee?", 1).passages[0].text
    assert all("boat" not in passage.text for passage in index.search("rowing boat", 3).passages)
    assert "yours/" not in listed(index, None)
    assert "yours/Boats.md" in update["listed"]


def test_of_many_files_each_is_told_what_became_of_it(drawer: DocumentEvents, tmp_path: Path) -> None:
    files = {"boats.md": BOATS.encode(), "image.png": b"\x89PNG\r\n", "empty.txt": b" ", "<b>x.txt": b"Tea is free."}
    update = uploaded(drawer, tmp_path, files)
    assert update["said"].count("<li") == 4
    assert update["said"].count('class="error"') == 2
    assert "<b>" not in update["said"]
    assert len(update["mine"].documents) == 2


def test_the_same_text_is_refused_and_a_like_one_is_pointed_out(drawer: DocumentEvents) -> None:
    assert "same text as" in pasted(drawer, "Copy", FEES)["said"]
    like = pasted(drawer, "Late", FEES.replace("£7.50", "£8.50"))
    assert "much like" in like["said"]
    assert "same text as" in pasted(drawer, "Again", FEES.replace("£7.50", "£8.50"), like["mine"])["said"]


def test_one_of_the_same_name_takes_the_place_of_the_other(drawer: DocumentEvents) -> None:
    first = pasted(drawer, "Boats", BOATS)["mine"]
    update = pasted(drawer, "Boats", BOATS.replace("£12", "£14"), first)
    assert "replaced" in update["said"]
    assert len(update["mine"].documents) == 1
    texts = [passage.text for passage in update["mine"].index.search("rowing boat", 3).passages]
    assert any("£14" in text for text in texts)
    assert not any("£12" in text for text in texts)


def test_what_is_removed_is_found_no_more(drawer: DocumentEvents) -> None:
    mine = pasted(drawer, "Tea", "Tea is free for members.", pasted(drawer, "Boats", BOATS)["mine"])["mine"]
    left = drawer.remove(mine, SimpleNamespace(source="yours/Boats.md"))["mine"]  # type: ignore[arg-type]
    assert [document.title for document in left.documents] == ["Tea"]
    assert all("boat" not in passage.text for passage in left.index.search("rowing boat", 3).passages)
    assert left.index.search("tea members", 1).passages
    assert drawer.remove(left, SimpleNamespace(source="fees.md"))["mine"] is left  # type: ignore[arg-type]
    assert drawer.forget(left)["mine"] is None


def test_there_is_a_limit_that_says_so(drawer: DocumentEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"{MOST_CHARACTERS:,} fit" in pasted(drawer, "Long", "word " * (MOST_CHARACTERS // 5 + 1))["said"]
    monkeypatch.setattr("switchboard.ui.documents.MOST_DOCUMENTS", 2)
    mine = pasted(drawer, "Two", "Two is even.", pasted(drawer, "One", "One is odd.")["mine"])["mine"]
    full = pasted(drawer, "Three", "Three is odd again.", mine)
    assert "one too many" in full["said"]
    assert full["mine"] is mine
    assert MOST_DOCUMENTS == 20


def test_nothing_pasted_is_a_warning(drawer: DocumentEvents) -> None:
    assert pasted(drawer, "", "  ")["mine"] is None
    assert "There is no text" in drawer.warnings[0]  # type: ignore[attr-defined]


def test_a_fault_of_ours_is_a_sentence_and_loses_nothing(
    drawer: DocumentEvents, index: KnowledgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = pasted(drawer, "Boats", BOATS)["mine"]

    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(KnowledgeIndex, "with_documents", fail)
    update = pasted(drawer, "Tea", "Tea is free.", mine)
    assert "our side" in update["said"]
    assert "secret" not in update["said"]
    assert update["mine"] is mine


def test_a_search_is_shown_rank_by_rank(drawer: DocumentEvents) -> None:
    mine = pasted(drawer, "Boats", BOATS)["mine"]
    shown = drawer.look("rowing boat", mine)["seen"]
    assert "by meaning 1." in shown
    assert "by words 1., BM25" in shown
    assert "read as 1" in shown
    assert "threshold" in shown
    assert "yours/Boats.md" not in drawer.look("rowing boat", None)["seen"]


def test_an_own_document_opens_and_a_strangers_does_not(drawer: DocumentEvents) -> None:
    mine = pasted(drawer, "Boats", BOATS)["mine"]
    event: Any = SimpleNamespace(source="yours/Boats.md", start=0, end=30)
    assert "rowing boat" in drawer.open(mine, event)["opened"]
    assert "no longer there" in drawer.open(None, event)["opened"]


def test_likeness_is_that_of_runs_of_words() -> None:
    assert likeness(FEES, FEES.upper()) == 1.0
    assert likeness(FEES, BOATS) == 0.0
    assert 0.3 < likeness(FEES, FEES.replace("charged", "due")) < 0.8
    assert likeness("too short", "too short") == 0.0
