"""The switch: what each mode asks of the retriever and the generator, and what an answer is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import FakeGenerator, FakeRetriever
from switchboard.citations import REMOVED
from switchboard.errors import AdapterError, MessageTooLongError, SettingsError
from switchboard.modes import MODES, Mode
from switchboard.prompts import READER_DECLINE
from switchboard.switch import Switchboard
from switchboard.types import Answer, GenerationSettings, Message, Passage


def ask(switchboard: Switchboard, question: str, mode: str, **settings: float) -> list[Answer]:
    return list(switchboard.answer([Message("user", question)], mode, GenerationSettings(**settings)))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name)
def test_each_mode_wears_its_adapter_and_searches_as_its_row_says(mode: Mode, passages: list[Passage]) -> None:
    generator, retriever = FakeGenerator("Yes."), FakeRetriever(passages)
    answer = ask(Switchboard(generator, retriever, "Fernwave"), "fibre costs", mode.name)[-1]
    (prompt, adapter) = generator.history[0]
    assert adapter == mode.adapter
    assert bool(retriever.queries) == mode.searches
    assert ("[1] Fibre plans › Prices" in prompt[-1].content) == mode.searches
    assert bool(answer.passages) == mode.searches
    assert answer.done
    assert answer.mode == mode.name


def test_a_small_model_here_is_told_the_latest_turns_and_one_elsewhere_all_of_them(passages: list[Passage]) -> None:
    long = [Message("assistant" if n % 2 else "user", f"{n} " + "word " * 49) for n in range(20)]
    for elsewhere, told in ((False, 5 * 50), (True, 20 * 50)):
        generator = FakeGenerator("Yes.")
        switchboard = Switchboard(
            generator, FakeRetriever(passages), "F", elsewhere={"rag": generator} if elsewhere else {}
        )
        list(switchboard.answer([*long, Message("user", "fibre costs")], "rag"))
        ((_, *history, _), _) = generator.history[0]
        assert told - 50 <= generator.count_tokens(history) <= told
        assert history[-1].content.startswith("19 ")


def test_sources_come_before_the_first_word(passages: list[Passage]) -> None:
    first, *_ = ask(Switchboard(FakeGenerator("£27 [1]."), FakeRetriever(passages), "F"), "fibre costs", "rag")
    assert first.passages
    assert first.text == ""
    assert not first.done


def test_citations_are_kept_counted_or_removed(passages: list[Passage]) -> None:
    switchboard = Switchboard(FakeGenerator("It is £27 [1], see [7]."), FakeRetriever(passages), "F")
    *growing, last = ask(switchboard, "fibre costs", "rag")
    assert last.text == "It is £27 [1], see."
    assert last.cited == (1,)
    assert last.removed_citations == 1
    assert all("[7" not in answer.text for answer in growing)


def test_a_mode_without_passages_shows_no_citation(passages: list[Passage]) -> None:
    last = ask(Switchboard(FakeGenerator("It is £27 [1]."), FakeRetriever(passages), "F"), "x", "fine-tuned")[-1]
    assert last.text == "It is £27."
    assert last.removed_citations == 1


def test_nothing_relevant_is_said_and_the_model_is_not_asked_to_guess(passages: list[Passage]) -> None:
    generator = FakeGenerator("I made this up.")
    (only,) = ask(Switchboard(generator, FakeRetriever(passages), "Fernwave"), "sourdough recipe", "rag")
    assert generator.history == []
    assert only.abstained
    assert only.done
    assert only.nearest is not None
    assert "0.30" in only.notice
    assert "Fernwave" in only.text


def test_a_decline_by_the_model_counts_as_abstained(passages: list[Passage]) -> None:
    switchboard = Switchboard(FakeGenerator(READER_DECLINE, "Fibre costs £27 [1]."), FakeRetriever(passages), "F")
    assert ask(switchboard, "fibre costs", "rag")[-1].abstained
    assert not ask(switchboard, "fibre costs", "rag")[-1].abstained


def test_closing_the_answer_stops_the_model_and_keeps_what_was_said(passages: list[Passage]) -> None:
    generator = FakeGenerator("one two three four five")
    answers = Switchboard(generator, FakeRetriever(passages), "F").answer([Message("user", "hi")], "fine-tuned")
    next(answers)
    said = next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert said.text == "one two"
    assert generator.closed == 1


def test_metrics_count_what_happened(passages: list[Passage]) -> None:
    metrics = ask(Switchboard(FakeGenerator("a b c"), FakeRetriever(passages), "F"), "fibre costs", "rag")[-1].metrics
    assert metrics.output_tokens == 3
    assert metrics.prompt_tokens > 10
    assert metrics.retrieval_ms == 1.0
    assert 0 < metrics.time_to_first_token_ms <= metrics.total_ms


def test_a_refused_adapter_stops_the_modes_that_need_it_and_is_noted_by_the_one_that_does_not(
    passages: list[Passage],
) -> None:
    refused = {"customer-service": "The adapter was made for another base.", "reader": "No reader."}
    switchboard = Switchboard(FakeGenerator("Hi.", refused=refused), FakeRetriever(passages), "F")
    with pytest.raises(AdapterError, match="another base"):
        ask(switchboard, "hi", "fine-tuned")
    assert ask(switchboard, "fibre costs", "rag")[-1].notice.startswith("No reader.")


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(question: str, passages: list[Passage]) -> None:
    with pytest.raises(SettingsError, match="no question"):
        ask(Switchboard(FakeGenerator(), FakeRetriever(passages), "F"), question, "rag")


def test_an_unknown_mode_is_refused_with_the_names_there_are(passages: list[Passage]) -> None:
    with pytest.raises(SettingsError, match="base, fine-tuned, rag, combined"):
        ask(Switchboard(FakeGenerator(), FakeRetriever(passages), "F"), "hi", "magic")


def test_a_message_over_the_budget_is_refused_with_its_length_and_the_limit(passages: list[Passage]) -> None:
    switchboard = Switchboard(FakeGenerator(context_tokens=200), FakeRetriever(passages), "F")
    with pytest.raises(MessageTooLongError, match="300 tokens long") as refused:
        ask(switchboard, "word " * 300, "fine-tuned", max_tokens=16)
    assert 0 < refused.value.limit < 184


def test_small_talk_is_answered_without_passages(passages: list[Passage]) -> None:
    generator, retriever = FakeGenerator(), FakeRetriever(passages)
    switchboard = Switchboard(generator, retriever, "Acme")
    *_, last = ask(switchboard, "Hello there!", "combined")
    assert (last.passages, last.abstained) == ((), False)
    assert "No passages were read" in last.notice
    assert generator.history[-1][1] == "customer-service"
    *_, last = ask(switchboard, "Hello there!", "rag")
    assert last.text.startswith("Hello!")
    assert len(generator.history) == 1


@pytest.mark.parametrize("said", ["you lot are stars", "thanks a lot"])
def test_where_the_adapter_is_no_company_the_reply_is_a_known_one(said: str, passages: list[Passage]) -> None:
    retriever = FakeRetriever(passages)
    retriever.talk[said] = "How kind of you."
    *_, last = ask(Switchboard(FakeGenerator(), retriever, "Acme"), said, "rag")
    assert (last.text, last.passages, last.abstained, last.done) == ("How kind of you.", (), False, True)
    assert "No passages were read" in last.notice


def test_an_adapter_without_passages_is_asked_each_thing_by_itself(passages: list[Passage]) -> None:
    switchboard = Switchboard(FakeGenerator(), FakeRetriever(passages), "Acme")
    message = [Message("user", "I move soon. What does it cost, and how long does it take?")]
    turn = switchboard.prepare(message, "fine-tuned", GenerationSettings())
    assert turn.grounding is not None
    assert [prompt[-1].content for prompt in turn.grounding.asked] == [
        "I move soon. What does it cost",
        "I move soon. What does it cost how long does it take?",
    ]
    assert all(prompt[0].role == "system" for prompt in turn.grounding.asked)
    for mode, text in (("base", "What does it cost?"), ("fine-tuned", "Hello there!")):
        assert switchboard.prepare([Message("user", text)], mode, GenerationSettings()).grounding is None


def test_an_address_that_no_passage_has_is_removed(passages: list[Passage]) -> None:
    said = "Fibre costs £27 [1], pay at https://evil.example/pay or call 0909 879 0456."
    *growing, last = ask(Switchboard(FakeGenerator(said), FakeRetriever(passages), "F"), "fibre costs", "rag")
    assert last.text.count(REMOVED) == 2
    assert not any("evil" in answer.text for answer in growing)


def test_an_address_of_a_passage_or_of_the_question_stays(passages: list[Passage]) -> None:
    shown = replace(passages[0], text="Fibre costs £27, see https://fernwave.example/fibre or call 0800 555 0142.")
    said = "See https://fernwave.example/fibre, call 08005550142 or write to me@home.example [1]."
    board = Switchboard(FakeGenerator(said), FakeRetriever([shown]), "F")
    assert ask(board, "fibre costs to me@home.example", "rag")[-1].text == said
