"""Prompts: what stays, what is dropped, how a decline is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import EXIT, FIBRE
from switchboard.errors import MessageTooLongError, SettingsError
from switchboard.prompts import READER_DECLINE, SERVICE_DECLINE, build_prompt, declined, system_prompt
from switchboard.types import Message


def count_words(messages: Sequence[Message]) -> int:
    return sum(len(message.content.split()) for message in messages)


def conversation(*texts: str) -> list[Message]:
    return [Message("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)]


def test_passages_are_numbered_and_come_with_the_question() -> None:
    system, question = build_prompt(conversation("How much?"), [FIBRE, EXIT], "Fernwave", count_words, 500)
    assert question.content.index("[1] Fibre plans › Prices") < question.content.index("[2] Cancel fibre")
    assert question.content.endswith("Question: How much?")
    assert "Fernwave" not in system.content, "the reader's prompt fits any company's documents"


def test_earlier_turns_keep_their_order_and_carry_no_passages() -> None:
    prompt = build_prompt(conversation("a", "b", "c"), [FIBRE], "F", count_words, 500)
    assert [message.content for message in prompt[1:3]] == ["a", "b"]


def test_earlier_answers_lose_their_citations() -> None:
    prompt = build_prompt(conversation("a", "It is £27 [1][2].", "c"), [FIBRE], "F", count_words, 500)
    assert prompt[2].content == "It is £27."


def test_the_oldest_turns_are_dropped_first() -> None:
    turns = conversation("oldest one", "reply one", "newer two", "reply two", "question")
    budget = count_words([Message("system", system_prompt("F", False))]) + 5
    prompt = build_prompt(turns, [], "F", count_words, budget)
    assert [message.content for message in prompt[1:]] == ["newer two", "reply two", "question"]


@pytest.mark.parametrize(("most", "kept"), [(10, 4), (7, 2), (4, 2), (0, 2)])
def test_earlier_turns_have_a_limit_of_their_own_but_the_latest_stays(most: int, kept: int) -> None:
    turns = conversation("oldest one", "reply one", "newer one two", "reply two", "question")
    prompt = build_prompt(turns, [], "F", count_words, 500, most)
    assert prompt[1:] == turns[-kept - 1 :]


@given(
    st.lists(st.text("ab ", min_size=1, max_size=60), max_size=9),
    st.integers(0, 40),
    st.booleans(),
)
def test_trimming_never_drops_the_question_nor_the_passages_nor_the_system_prompt(
    history: list[str], room: int, with_passages: bool
) -> None:
    turns = conversation(*history, *(["extra"] if len(history) % 2 else []), "the question")
    passages = [FIBRE] if with_passages else []
    least = count_words(build_prompt(turns[-1:], passages, "F", count_words, 10**6))
    prompt = build_prompt(turns, passages, "F", count_words, least + room)
    assert prompt[0].role == "system"
    assert prompt[-1].content.endswith("the question")
    assert (FIBRE.text in prompt[-1].content) == with_passages
    assert count_words(prompt) <= least + room
    kept = prompt[1:-1]
    assert kept == turns[len(turns) - 1 - len(kept) : -1], "what stays is the newest part, unbroken"
    assert not kept or kept[0].role == "user"


def test_where_the_passages_are_too_long_the_question_is_not_blamed() -> None:
    with pytest.raises(SettingsError, match="fewer passages"):
        build_prompt(conversation("How much?"), [FIBRE, EXIT] * 20, "Fernwave", count_words, 80)


def test_what_cannot_be_cut_is_refused_with_its_length_and_the_limit() -> None:
    with pytest.raises(MessageTooLongError, match=r"150 tokens long and at most \d+ fit") as refused:
        build_prompt(conversation("word " * 150), [FIBRE], "F", count_words, 150)
    fits = "word " * refused.value.limit
    assert build_prompt(conversation(fits), [FIBRE], "F", count_words, 150)


@pytest.mark.parametrize("text", [READER_DECLINE, SERVICE_DECLINE + " Please call us."])
def test_declines_are_recognised(text: str) -> None:
    assert declined(text)


@pytest.mark.parametrize("text", ["Fibre 100 costs £27 [1].", "We do not cover moving costs.", ""])
def test_answers_are_not_taken_for_declines(text: str) -> None:
    assert not declined(text)
