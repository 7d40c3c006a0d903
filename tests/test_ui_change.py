"""A fact that changes: who notices, and that the change stays with whoever made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fakes import FIBRE, FakeRetriever
from switchboard.errors import KnowledgeError
from switchboard.types import Answer, Document, GenerationSettings, Message, Retriever
from switchboard.ui.change import ARTICLE, ChangeEvents, ChangeParts, Copy
from switchboard.ui.comparison import Comparison

TEXT = "Fibre 100 costs £27 a month.\n\nFibre 500 costs **£36** a month."
OTHER = "Nothing here has a price."
NOTHING = Comparison()


class Index:
    """Two articles; a copy with one edited is a retriever that finds its text."""

    def __init__(self) -> None:
        self.documents = {
            ARTICLE: Document(ARTICLE, "Fibre plans", "Plans", "", TEXT, ""),
            "a/other.md": Document("a/other.md", "Another", "Plans", "", OTHER, ""),
        }

    def document(self, source: str) -> Document:
        try:
            return self.documents[source]
        except KeyError:
            raise KnowledgeError(f"There is no document {source}.") from None

    def edited(self, source: str, text: str) -> Retriever:
        if "crash" in text:
            raise RuntimeError("secret detail")
        self.document(source)
        return FakeRetriever([replace(FIBRE, source=source, text=text)])


def answer(
    conversation: Sequence[Message], mode: str, _settings: GenerationSettings, over: Retriever | None = None
) -> Iterator[Answer]:
    """Says how much it was told, and in RAG what it finds."""
    text = over.search("Fibre 500", 1).passages[0].text if over and mode == "rag" else TEXT
    yield Answer(mode, f"{len(conversation)}: {text}", done=True)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ChangeEvents:
    said: list[str] = []
    monkeypatch.setattr("switchboard.ui.change.gr.Warning", said.append)
    parts = ChangeParts("article", "text", "said", "question", "board", "rounds", "copy", "ask", "stop")
    events = ChangeEvents(parts, answer, SimpleNamespace(index=Index()))
    events.warnings = said  # type: ignore[attr-defined]
    return events


def asked(page: ChangeEvents, rounds: Comparison = NOTHING, copy: Copy | None = None) -> Comparison:
    begun = page.begin("How much is Fibre 500?", rounds, copy)["rounds"]
    *_, last = page.generate(begun, copy)
    found: Comparison = last["rounds"]
    return found


def texts(rounds: Comparison) -> list[str]:
    return [column.answer.text for column in rounds.rounds[-1].columns]


def test_the_first_article_is_the_one_with_the_price(page: ChangeEvents) -> None:
    update = page.open_first()
    assert update["text"] == TEXT
    assert update["article"]["value"] == ARTICLE
    assert update["article"]["choices"] == [("Another", "a/other.md"), ("Fibre plans", ARTICLE)]


def test_what_looks_up_notices_a_change_and_what_learned_does_not(page: ChangeEvents) -> None:
    before = asked(page)
    assert all("£36" in text for text in texts(before))
    dearer = page.dearer(TEXT)["text"]
    assert dearer == TEXT.replace("36", "41")
    saved = page.save(ARTICLE, dearer, None)
    assert "Your copy is indexed" in saved["said"]
    after = asked(page, before, saved["copy"])
    learned, looked_up = texts(after)
    assert "£36" in learned
    assert "£41" in looked_up
    assert [one.note for one in after.rounds] == ["With the articles as they are.", "With your change."]
    back = page.put_back(ARTICLE)
    assert back["text"] == TEXT
    assert back["copy"] is None
    assert "£36" in texts(asked(page, after, back["copy"]))[1]


def test_an_edit_and_an_answer_do_not_undo_each_other(page: ChangeEvents) -> None:
    saved = page.save(ARTICLE, "Mine.", None)
    assert "rounds" not in saved
    assert "rounds" not in page.put_back(ARTICLE)
    frames = page.generate(page.begin("Price?", NOTHING, None)["rounds"], None)
    assert all("copy" not in frame for frame in frames)


def test_no_answer_is_told_of_an_earlier_one(page: ChangeEvents) -> None:
    rounds = asked(page, asked(page))
    assert all(text.startswith("1:") for text in texts(rounds))
    assert len(rounds.rounds) == 2


def test_an_article_is_shown_as_it_is_in_ones_own_copy(page: ChangeEvents) -> None:
    copy = page.save(ARTICLE, "Mine.", None)["copy"]
    assert page.open(ARTICLE, copy)["text"] == "Mine."
    assert page.open("a/other.md", copy)["text"] == OTHER
    assert page.open(ARTICLE, None)["text"] == TEXT
    assert "no document" in page.open("none.md", None)["said"]


def test_without_a_price_the_text_stays(page: ChangeEvents) -> None:
    assert "text" not in page.dearer(OTHER)


@pytest.mark.parametrize(("source", "text"), [("none.md", "x"), (ARTICLE, "crash"), (ARTICLE, "x" * 20_001)])
def test_what_cannot_be_saved_says_so_and_keeps_the_copy_before(page: ChangeEvents, source: str, text: str) -> None:
    copy = page.save(ARTICLE, "Mine.", None)["copy"]
    assert page.save(source, text, copy) == {"copy": copy}
    (warning,) = page.warnings  # type: ignore[attr-defined]
    assert "secret" not in warning


@pytest.mark.parametrize("question", ["  ", "x" * 8001])
def test_what_cannot_be_asked_is_not(page: ChangeEvents, question: str) -> None:
    assert page.begin(question, NOTHING, None) == {"rounds": NOTHING}


def test_an_empty_help_centre_says_so(page: ChangeEvents) -> None:
    page._running.index.documents.clear()  # type: ignore[attr-defined]
    assert "no articles to change" in page.open_first()["said"]


def test_stopping_keeps_what_was_said(page: ChangeEvents) -> None:
    frames: Any = page.generate(page.begin("How much is Fibre 500?", NOTHING, None)["rounds"], None)
    page.stop(next(frames)["rounds"])
    assert not list(frames)[-1]["rounds"].rounds[-1].working
