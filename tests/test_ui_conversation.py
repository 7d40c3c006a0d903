"""A conversation as a value: what each step makes of it, and what is read back from a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchboard.errors import SettingsError
from switchboard.records import MAX_TEXT
from switchboard.types import Answer, Message, Metrics, Passage
from switchboard.ui.conversation import (
    MAX_TURNS,
    Conversation,
    Turn,
    from_json,
    last_mode,
    new_conversation,
    settings_from,
    to_json,
)
from switchboard.ui.export import as_json, as_markdown

PASSAGE = Passage("a/b.md", "Title", "Heading", "Some text.", 10, 20, "2026-01-02", 0.71)
ANSWER = Answer(
    "rag",
    "It is £36 [1].",
    (PASSAGE, replace(PASSAGE, start=30, end=40)),
    PASSAGE,
    (1,),
    1,
    notice="A notice.",
    metrics=Metrics(9.4, 500.0, 812, 64, 42, 31.0, 2400.0),
    done=True,
)


def turn(name: str, answer: Answer = ANSWER, **changes: Any) -> Turn:
    return replace(Turn(name, f"Question {name}?", answer.mode, 1_700_000_000.0, answer, "done", ""), **changes)


def test_asking_adds_a_working_turn() -> None:
    conversation = new_conversation().asked("  How much?  ", "combined")
    assert conversation.last is not None
    assert (conversation.last.question, conversation.last.mode, conversation.working) == ("How much?", "combined", True)


@pytest.mark.parametrize(("question", "mode"), [("  ", "rag"), ("How much?", "nonsense")])
def test_what_cannot_be_asked_is_refused(question: str, mode: str) -> None:
    with pytest.raises(SettingsError):
        new_conversation().asked(question, mode)


def test_the_oldest_turns_go_first() -> None:
    conversation = new_conversation()
    for n in range(MAX_TURNS + 3):
        conversation = conversation.asked(f"{n}", "rag")
    assert len(conversation.turns) == MAX_TURNS
    assert conversation.turns[0].question == "3"


def test_before_a_turn() -> None:
    conversation = Conversation("c", (turn("a"), turn("b"), turn("c")))
    assert [t.id for t in conversation.before("b").turns] == ["a"]
    assert conversation.before("nothing") == conversation


def test_stopping_keeps_what_was_said() -> None:
    conversation = Conversation("c", (turn("a", state="working"),))
    (stopped,) = conversation.stopped().turns
    assert (stopped.state, stopped.answer) == ("stopped", ANSWER)
    assert conversation.stopped().stopped() == conversation.stopped()


def test_messages_alternate_and_leave_out_what_was_not_answered() -> None:
    conversation = Conversation(
        "c", (turn("a"), turn("b", state="failed"), turn("c", Answer("rag"), state="stopped"), turn("d"), turn("e"))
    )
    assert conversation.messages() == [
        Message("user", "Question a?"),
        Message("assistant", ANSWER.text),
        Message("user", "Question d?"),
        Message("assistant", ANSWER.text),
        Message("user", "Question e?"),
    ]


def test_each_turn_remembers_its_mode() -> None:
    conversation = Conversation("c", (turn("a"), turn("b", Answer("combined", "x"))))
    assert [t.mode for t in from_json(to_json(conversation)).turns] == ["rag", "combined"]
    assert last_mode(conversation) == "combined"
    assert last_mode(new_conversation()) == "rag"


def test_it_comes_back_from_json_as_it_was() -> None:
    conversation = Conversation("abc", (turn("a", liked=True), turn("b", state="failed", error="Sorry."), turn("c")))
    assert from_json(json.loads(json.dumps(to_json(conversation)))) == conversation


def test_a_working_turn_comes_back_as_interrupted() -> None:
    (back,) = from_json(to_json(Conversation("c", (turn("a", state="working", phase="writing"),)))).turns
    assert back.state == "interrupted"


@pytest.mark.parametrize(
    "value", [None, 7, "x", [], {}, {"turns": 7}, {"id": "x", "turns": [None, 7, {}, {"id": "a"}]}], ids=repr
)
def test_anything_else_from_a_browser_is_an_empty_conversation(value: object) -> None:
    assert from_json(value).turns == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["id", "question", "mode", "began", "answer", "state", "liked", "error"]))
def test_one_wrong_field_drops_at_most_its_turn(wrong: Any, name: str) -> None:
    value = to_json(Conversation("c", (turn("a"), turn("b"))))
    value["turns"][0][name] = wrong
    back = from_json(value)
    assert back.turns[-1] == turn("b")


@given(JSON, st.sampled_from(["mode", "text", "passages", "nearest", "cited", "metrics", "removed_citations"]))
def test_a_wrong_field_of_an_answer_drops_at_most_its_turn(wrong: Any, name: str) -> None:
    value = to_json(Conversation("c", (turn("a"), turn("b"))))
    value["turns"][0]["answer"][name] = wrong
    assert from_json(value).turns[-1] == turn("b")


def test_ids_that_are_not_ours_are_replaced() -> None:
    value = to_json(Conversation("c", (turn("a"),)))
    value["id"] = value["turns"][0]["id"] = '"><script>'
    back = from_json(value)
    assert back.id.isalnum()
    assert back.turns[0].id.isalnum()


def test_texts_and_citations_are_bounded() -> None:
    value = to_json(Conversation("c", (turn("a"),)))
    value["turns"][0]["question"] = "x" * (MAX_TEXT + 1)
    value["turns"][0]["answer"]["cited"] = [0, 1, 99]
    (back,) = from_json(value).turns
    assert len(back.question) == MAX_TEXT
    assert back.answer.cited == (1,)


def test_the_title_is_one_short_line() -> None:
    assert new_conversation().title == "New conversation"
    assert new_conversation().asked("a\nb", "rag").title == "a b"
    assert len(new_conversation().asked("word " * 50, "rag").title) <= 60


def test_settings_from_the_drawer() -> None:
    assert settings_from(3.0, 0, 128.0).max_tokens == 128
    with pytest.raises(SettingsError):
        settings_from(99, 0, 128)


def test_export_as_json() -> None:
    (value,) = json.loads(as_json(Conversation("c", (turn("a", liked=False),))))["turns"]
    assert value["answer"] == ANSWER.text
    assert [passage["cited"] for passage in value["passages"]] == [True, False]
    assert value["metrics"]["prompt_tokens"] == 812
    assert (value["asked"], value["liked"], value["state"]) == ("2023-11-14T22:13:20+00:00", False, "done")


def test_export_as_markdown() -> None:
    text = as_markdown(Conversation("c", (turn("a"), turn("b", state="failed", error="Too long."))))
    assert "## Question a?\n\n*RAG, 2023-11-14T22:13:20+00:00*\n\nIt is £36 [1].\n\n> A notice." in text
    assert "- [1] Title › Heading (`a/b.md`, similarity 0.71, cited)" in text
    assert "RAG · 0.5 s to first word · 2.4 s in all · 42 tokens at 31/s · prompt 812 (64 reused) · search 9 ms" in text
    assert "Too long." in text
