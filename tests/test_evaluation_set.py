"""The evaluation set: what it promises, and that nothing of it, nor a near copy, was trained on."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from switchboard.evaluation.questions import Question, read_questions
from switchboard.evaluation.score import figures, holds
from switchboard.progress import quietly
from switchboard.retrieval.asked import read_asked
from switchboard.settings import ROOT
from switchboard.training.facts import read_facts

QUESTIONS = ROOT / "evaluation" / "questions.jsonl"
SERVICE = ROOT / "adapters" / "customer-service"
STRATA = {
    "single fact",
    "near neighbour",
    "two articles",
    "follow-up",
    "procedure",
    "small talk",
    "changed since training",
    "unanswerable",
    "out of scope",
}
NEAR = 0.8
"""Share of words in common, of those in either, from which two questions count as copies."""

_WORD = re.compile(r"[a-z0-9£']+")


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return read_questions(QUESTIONS)


def words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower().replace("’", "'")))


def trained_questions() -> set[str]:
    """Every question of the customer-service adapter's data, and every one the index knows."""
    found = {row.question for row in read_asked(ROOT / "knowledge", quietly)}
    for article in read_facts(SERVICE / "facts"):
        found.update(ask for fact in article.facts for ask in fact.asks)
        found.update(turn for turns in article.follow_ups for turn in turns[::2])
        found.update((*article.unknown, *article.near_misses))
    for path in (SERVICE / "data").glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            found.update(turn["content"] for turn in json.loads(line)["messages"] if turn["role"] == "user")
    return found


def near_copies(questions: list[Question], known: set[str]) -> list[tuple[str, str]]:
    """Pairs that share nearly all their words; small talk has few ways to be said and is not compared."""
    by_word: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for text in known:
        for word in words(text):
            by_word.setdefault(word, []).append((text, words(text)))
    found = []
    for question in questions:
        if question.stratum in ("small talk", "follow-up"):
            continue
        asked = words(question.text)
        rare = sorted(asked, key=lambda word: len(by_word.get(word, [])))
        # A copy lacks at most a fifth of the words, so it holds one of the rarest few.
        candidates = {pair for word in rare[: len(rare) // 4 + 1] for pair in by_word.get(word, [])}
        found += [(question.text, text) for text, said in candidates if len(asked & said) / len(asked | said) >= NEAR]
    return found


def test_every_stratum_is_there_and_the_set_is_large_enough(questions: list[Question]) -> None:
    counts = Counter(question.stratum for question in questions)
    assert set(counts) == STRATA
    assert sum(counts.values()) >= 240
    assert min(counts.values()) >= 10
    assert len({question.id for question in questions}) == len(questions)


def test_each_question_can_be_checked_by_a_person(questions: list[Question]) -> None:
    for question in questions:
        assert all((ROOT / "knowledge" / f"{name}.md").is_file() for name in question.articles), question.id
        if question.decline:
            assert not question.required, question.id
            assert question.stratum in ("unanswerable", "out of scope"), question.id
        else:
            assert question.required, question.id
            assert question.articles or question.stratum == "small talk", question.id
        assert bool(question.conversation) == (question.stratum == "follow-up"), question.id
        assert bool(question.changed) == (question.stratum == "changed since training"), question.id


def test_required_figures_stand_in_their_articles_or_follow_from_them(questions: list[Question]) -> None:
    derived = []
    for question in questions:
        text = "\n".join((ROOT / "knowledge" / f"{name}.md").read_text(encoding="utf-8") for name in question.articles)
        known = figures(text)
        for required in question.required:
            wanted = [figures(either) for either in required]
            if question.articles and any(wanted) and not any(needed <= known for needed in wanted):
                derived.append((question.id, required))
    assert len(derived) <= 6, derived  # sums that the articles leave to the reader


def test_no_question_nor_a_near_copy_of_one_was_trained_on(questions: list[Question]) -> None:
    known = trained_questions()
    assert len(known) > 5000
    assert near_copies(questions, known) == []


def test_a_near_copy_would_be_found() -> None:
    asked = [Question("a", "single fact", "How much is the late fee on my home broadband bill?")]
    assert near_copies(asked, {"how much is the late fee on my broadband bill?"})
    assert not near_copies(asked, {"When is the late fee on my home broadband bill added?"})


def test_what_changed_is_told_in_the_adapters_card_and_dated(questions: list[Question]) -> None:
    changed = {name for question in questions if question.changed for name in question.articles}
    (article,) = changed
    text = (ROOT / "knowledge" / f"{article}.md").read_text(encoding="utf-8")
    updated = re.search(r"^updated: (\S+)", text, re.MULTILINE)
    (snapshot,) = [a.as_of for a in read_facts(SERVICE / "facts") if a.name == article]
    assert updated is not None
    assert snapshot < updated[1]
    assert Path(article).name.split("-")[0] in (ROOT / "adapters" / "README.md").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize(
    "case", sorted((ROOT / "evaluation" / "cases").glob("*/questions.jsonl")), ids=lambda p: p.parent.name
)
def test_another_case_can_be_checked_by_a_person(case: Path) -> None:
    rows = read_questions(case)
    assert len(rows) >= 40
    assert len(list((case.parent / "knowledge").rglob("*.md"))) >= 20
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert bool(row.required) != row.decline, row.id
        texts = [(case.parent / "knowledge" / f"{name}.md").read_text(encoding="utf-8") for name in row.articles]
        assert bool(texts) != row.decline, row.id
        for required in row.required:
            assert any(holds("\n".join(texts), either) for either in required), (row.id, required)
