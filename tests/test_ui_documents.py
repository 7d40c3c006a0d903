"""A visitor's own documents: added, found, replaced and gone, and nobody else's."""

from __future__ import annotations

import gc
import io
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest

from fakes import Everybodys
from retrieval_fakes import FakeEmbedder
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.likeness import likeness
from switchboard.settings import Settings
from switchboard.ui.document_list import seen
from switchboard.ui.documents import DocumentEvents, DocumentParts
from switchboard.ui.shelf import MOST_CHARACTERS, MOST_DOCUMENTS, Mine

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
    names = [field.name for field in fields(DocumentParts)]
    parts = DocumentParts(**{name: name for name in names})
    knowledge: Any = SimpleNamespace(current=index)
    events = DocumentEvents(parts, SimpleNamespace(knowledge=knowledge, settings=Settings(admin_password="right")))
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
    assert "yours/" not in drawer.show(None)["listed"]
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
    left = drawer.remove(mine, False, SimpleNamespace(source="yours/Boats.md"))["mine"]  # type: ignore[arg-type]
    assert [document.title for document in left.documents] == ["Tea"]
    assert all("boat" not in passage.text for passage in left.index.search("rowing boat", 3).passages)
    assert left.index.search("tea members", 1).passages
    assert drawer.remove(left, False, SimpleNamespace(source="fees.md"))["mine"] is left  # type: ignore[arg-type]
    assert drawer.forget(left)["mine"] is None


def test_there_is_a_limit_that_says_so(drawer: DocumentEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"{MOST_CHARACTERS:,} fit" in pasted(drawer, "Long", "word " * (MOST_CHARACTERS // 5 + 1))["said"]
    monkeypatch.setattr("switchboard.ui.shelf.MOST_DOCUMENTS", 2)
    mine = pasted(drawer, "Two", "Two is even.", pasted(drawer, "One", "One is odd.")["mine"])["mine"]
    full = pasted(drawer, "Three", "Three is odd again.", mine)
    assert "one too many" in full["said"]
    assert full["mine"] is mine
    assert MOST_DOCUMENTS == 20


def test_all_visitors_together_have_a_limit_too(drawer: DocumentEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    held: WeakSet[Mine] = WeakSet()
    monkeypatch.setattr("switchboard.ui.shelf._HELD", held)
    kept = pasted(drawer, "Boats", BOATS)["mine"]
    monkeypatch.setattr("switchboard.ui.shelf.MOST_HELD", kept.size + 20)
    assert "others have added a lot" in pasted(drawer, "Tea", "Tea is free for all members.")["said"]
    del kept
    gc.collect()
    assert "added" in pasted(drawer, "Tea", "Tea is free for all members.")["said"]
    assert len(held) <= 1


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


def test_why_a_passage_is_not_read_is_said_and_whose_similarity_it_is(index: KnowledgeIndex) -> None:
    rankings, result = index.inspect("late fee", 3)
    first = rankings.fused[0]
    below = seen(rankings, replace(result, passages=(), threshold=2.0), index)
    assert "not read: below the threshold of 2.00" in below
    assert "known to answer" not in below
    known = replace(rankings, known={(first, 0): 0.9}, similarity={**rankings.similarity, first: 0.9})
    declined = seen(known, replace(result, passages=(), coverage=0.1), index)
    assert "similarity 0.90 (of a question that it is known to answer)" in declined
    assert "not read: the question is declined" in declined
    (other,) = [passage for passage in index.passages if passage.id != first][:1]
    others = seen(rankings, replace(result, passages=(other,), coverage=0.9), index)
    assert "not read: the best sentences are in others" in others


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


@pytest.fixture
def everybodys(drawer: DocumentEvents, index: KnowledgeIndex) -> Everybodys:
    shared = Everybodys(index)
    drawer._running.knowledge = shared  # type: ignore[misc]
    return shared


def event(source: str) -> Any:
    return SimpleNamespace(source=source)


def test_only_the_password_lets_the_staff_in(
    drawer: DocumentEvents, everybodys: Everybodys, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("switchboard.ui.documents.time.sleep", waited.append)
    for wrong in ("", "wrong", "right ", "ри"):
        assert drawer.login(wrong, None) == {"staff": False}
    assert waited == [1.0] * 4
    assert drawer.login("right", None)["staff"] is True
    drawer._running.settings = Settings()  # type: ignore[misc]
    assert drawer.login("", None) == {"staff": False}


def test_the_staff_adds_edits_removes_and_undoes_for_everybody(
    drawer: DocumentEvents, everybodys: Everybodys, tmp_path: Path
) -> None:
    added = drawer.paste("Boats", BOATS, None, staff=True, everybody=True)
    assert "Everybody finds it now." in added["said"]
    assert "£12" in everybodys.current.search("What does a rowing boat cost?", 1).passages[0].text
    text = drawer.edit(None, True, event("fees.md"))
    assert text["editing"] == "fees.md"
    assert "£7.50" in text["text"]
    saved = drawer.paste("Fees", FEES.replace("£7.50", "£9.10"), None, staff=True, editing="fees.md")
    assert "replaced" in saved["said"]
    assert "£9.10" in everybodys.current.search("How much is the late fee?", 1).passages[0].text
    assert "changed here" in saved["listed"]
    gone = drawer.remove(None, True, event("router.md"))
    assert "gone for everybody" in gone["said"]
    assert "Removed from everybody’s" in gone["listed"]
    back = drawer.undo(None, True, event("router.md"))
    assert "router.md" in everybodys.current.documents
    assert "Removed from everybody’s" not in back["listed"]


def test_a_file_of_the_same_name_replaces_everybodys(
    drawer: DocumentEvents, everybodys: Everybodys, tmp_path: Path
) -> None:
    file = tmp_path / "fees.md"
    file.write_text("There are no fees any more, whatever you do and whenever you pay.")
    *_, last = drawer.add([str(file)], None, staff=True, everybody=True)
    assert "replaced" in last["said"]
    assert list(everybodys.changes()) == ["fees.md"]


def test_a_visitor_changes_nothing_of_everybodys(
    drawer: DocumentEvents, everybodys: Everybodys, tmp_path: Path
) -> None:
    drawer.paste("Boats", BOATS, None, staff=False, everybody=True)
    drawer.paste("Fees", FEES + " Or not.", None, staff=False, editing="fees.md")
    file = tmp_path / "fees.md"
    file.write_text("There are no fees.")
    list(drawer.add([str(file)], None, staff=False, everybody=True))
    drawer.remove(None, False, event("fees.md"))
    drawer.undo(None, False, event("fees.md"))
    drawer.renew(None, False)
    assert drawer.edit(None, False, event("fees.md")) == {"editing": ""}
    assert everybodys.changes() == {}
    assert 'data-action="edit-document"' not in drawer.show(None)["listed"]


def test_an_own_text_is_edited(drawer: DocumentEvents) -> None:
    mine = pasted(drawer, "Boats", BOATS)["mine"]
    assert drawer.edit(mine, False, event("yours/Boats.md"))["text"] == BOATS
    edited = drawer.paste("Boats", BOATS.replace("£12", "£15"), mine, editing="yours/Boats.md")
    assert "replaced" in edited["said"]
    assert "£15" in edited["mine"].index.search("rowing boat", 1).passages[0].text
    assert edited["editing"] == ""


def test_documents_are_saved_as_they_came(drawer: DocumentEvents, everybodys: Everybodys) -> None:
    def names(saved: dict[str, Any]) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(b64decode(saved["saved"]["base64"]))) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    mine = pasted(drawer, "Boats", BOATS)["mine"]
    assert names(drawer.export(mine)) == {"Boats.md": BOATS.encode()}
    assert set(names(drawer.export(mine, staff=True))) == {"fees.md", "router.md"}
    assert drawer.export(None)["saved"] == {}


def test_a_visitors_documents_lie_over_what_the_staff_has_changed_since(
    drawer: DocumentEvents, everybodys: Everybodys
) -> None:
    mine = pasted(drawer, "Boats", BOATS)["mine"]
    drawer.paste("Fees", FEES.replace("£7.50", "£9.10"), None, staff=True, editing="fees.md")
    over = mine.over(everybodys.current)
    assert "£9.10" in over.document("fees.md").text
    assert "yours/Boats.md" in over.documents
    assert mine.over(everybodys.current) is over, "it is made once, not for each turn"
