"""Scoring: traps that a naive comparison falls into, figures that may and may not be there, and the intervals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes import EXIT, FIBRE
from switchboard.errors import SettingsError
from switchboard.evaluation.questions import Question, read_questions
from switchboard.evaluation.score import figures, holds, score, summarize, wrong_figures
from switchboard.switch import Turn, finished
from switchboard.types import Answer, Message, Metrics, Passage

FEE = Question("q", "single fact", "What is the exit fee?", required=(("60%",),), articles=("contracts/cancel",))
WEATHER = Question("w", "out of scope", "Will it rain?", decline=True)


def answered(text: str, *passages: Passage, mode: str = "rag") -> Answer:
    return finished(Turn(Answer(mode, passages=passages)), text, Metrics(output_tokens=5, prompt_tokens=50))


@pytest.mark.parametrize(
    ("answer", "alternative", "held"),
    [
        ("It is 60 per cent.", "60%", True),
        ("It is 160%.", "60%", False),
        ("It is 60.5%.", "60", False),
        ("It costs £1,250 once.", "£1250", True),
        ("It costs £30.", "£3", False),
        ("Within 30 days.", "30 days", True),
        ("You can’t do that.", "can't", True),
        ("That is known.", "no", False),
        ("Open MyFernwave > Wi-Fi.", "myfernwave", True),
        ("From 8 am.", "8 am", True),
    ],
)
def test_a_string_is_held_at_its_boundaries_alone(answer: str, alternative: str, held: bool) -> None:
    assert holds(answer, alternative) is held


def test_a_right_figure_after_a_decline_is_no_right_answer() -> None:
    scored = score(FEE, answered("The passages do not cover this. It is 60% [1].", EXIT))
    assert scored.declined
    assert not scored.all_facts


def test_all_required_facts_must_be_there() -> None:
    both = Question("q", "two", "?", required=(("£27", "27 pounds"), ("60%",)), articles=("plans/fibre",))
    assert not score(both, answered("It costs £27 a month.")).all_facts
    assert score(both, answered("It is 27 pounds, and 60 per cent.")).all_facts


def test_a_citation_is_no_figure_and_no_fact() -> None:
    question = Question("q", "s", "How many?", required=(("1",),), articles=("plans/fibre",))
    assert not score(question, answered("Some [1].", FIBRE)).all_facts
    assert wrong_figures(question, answered("Some [1].", FIBRE)) == ()


def test_a_wrong_figure_is_one_that_stands_nowhere() -> None:
    assert wrong_figures(FEE, answered("It is 60% of £27 [1].", FIBRE)) == ()
    assert wrong_figures(FEE, answered("It is 60% of £28 [1].", FIBRE)) == ("28",)
    assert wrong_figures(FEE, answered("It is 60% of £27.")) == ("27",)
    asked = Question("q", "s", "Is it 70%?", required=(("60%",),), also=("12",))
    assert wrong_figures(asked, answered("No, it is 60% and not 70% for 12 months.")) == ()
    earlier = Question("q", "s", "And now?", conversation=(Message("user", "I pay £99."),), required=(("5",),))
    assert wrong_figures(earlier, answered("From £99 to 5.")) == ()


def test_a_wrong_figure_beside_the_right_one_is_still_wrong() -> None:
    scored = score(FEE, answered("It is 60% or perhaps 70% [1].", EXIT))
    assert scored.all_facts
    assert scored.wrong_figures == ("70",)


def test_a_right_figure_in_a_wrong_sentence_is_beyond_strings() -> None:
    # What README says of the scoring: a sample of the answers should be read.
    assert score(FEE, answered("The weather fee is 60% [1].", EXIT)).all_facts


def test_figures_are_compared_by_value() -> None:
    assert figures("£1,250.00 or two of 8:30") == {"1250", "8:30", "2"}


def test_the_cited_article_must_be_the_right_one() -> None:
    assert score(FEE, answered("60% [2].", FIBRE, EXIT)).cited_right
    wrong = score(FEE, answered("60% [1].", FIBRE, EXIT))
    assert not wrong.cited_right
    assert wrong.retrieved_right


def test_a_summary_counts_each_share_over_its_own_questions() -> None:
    changed = Question("c", "changed", "?", required=(("£6",),), articles=("a/b",), changed="2026-11-16")
    chat = Question("s", "small talk", "Hello", required=(("hello",),))
    rows = [
        score(FEE, answered("60% [1].", EXIT)),
        score(FEE, answered("The passages do not cover this.", EXIT)),
        score(changed, answered("It is £4 [1].", EXIT)),
        score(WEATHER, answered("It is not something we know.")),
        score(WEATHER, answered("Yes, 12 degrees.")),
        score(chat, answered("Hello!")),
    ]
    rag, tuned = summarize("rag", True, rows), summarize("fine-tuned", False, rows)
    assert (rag["n"], rag["answerable"], rag["unanswerable"]) == (6, 3, 2)
    assert rag["all_facts"] == pytest.approx(1 / 3)
    assert rag["wrongly_declined"] == pytest.approx(1 / 3)
    assert rag["wrong_figures"] == pytest.approx(1 / 3)
    assert rag["declined"] == rag["cited_right"] + 1 / 6 == pytest.approx(0.5)
    assert (tuned["answerable"], tuned["all_facts"], tuned["cited_right"]) == (2, 0.5, None)
    assert rag["strata"]["small talk"]["all_facts"] == 1.0
    assert rag["strata"]["out of scope"] == {
        "n": 2,
        "with_facts": 0,
        "all_facts": None,
        "declined": 0.5,
        "wrong_figures": 0.5,
    }


def test_questions_are_read_with_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows = [{"question": "How much?", "required": ["£5", ["a", "b"]], "conversation": turns}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    (question,) = read_questions(path)
    assert question.id == "mine-1"
    assert question.required == (("£5",), ("a", "b"))
    assert [message.content for message in question.messages] == ["Hi", "Hello", "How much?"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "mine.jsonl:1 is no question"),
        ("{}", "'question' is missing"),
        ('{"question": " "}', "the question is empty"),
        ('{"question": "a", "conversation": [{"role": "robot", "content": "b"}]}', "a turn's role is 'robot'"),
        ("", "has no question in it"),
    ],
)
def test_a_fault_in_the_questions_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        read_questions(path)
    assert reason in str(raised.value)
