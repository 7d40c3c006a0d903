"""Facts of one's own, asked with passages of one's own documents in the prompt, as the retriever finds them.

They teach an adapter that answers from memory to read and cite as well, for the mode that has both. A fact is used
where every figure of its answer stands in one of the passages shown, which is then the one that is cited.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from switchboard.progress import quietly
from switchboard.prompts import READER_DECLINE
from switchboard.retrieval.chunking import chunk
from switchboard.retrieval.documents import load_folder
from switchboard.training.facts import Article, Fact, read_facts
from switchboard.training.reader_worlds import cited
from switchboard.types import Passage

PASSAGES = 3
QUESTIONS = (5, 3)
"""How many questions a set of passages is asked that its first passage answers, and the others."""
UNANSWERED = 2
"""And how many that they do not."""
SHARED_WORDS = 0.6
"""The share of an answer's words that its passage must hold."""

_FIGURE = re.compile(r"\d[\d,.:]*\d|\d")
_WORD = re.compile(r"[a-z]{4,}|\d+")

Row = dict[str, Any]
Search = Callable[[str], Sequence[Passage]]
"""Finds passages for a question, best first."""


def rows_over_passages(facts: Path, knowledge: Path, search: Search, seed: int, sets: int) -> Iterator[Row]:
    """Rows over `sets` sets of passages an article; the questions on one set share its passages.

    An article that was updated after its facts were read is left out: its passages no longer say the same.
    """
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    documents = {document.source.rsplit(".", 1)[0]: document for document in load_folder(knowledge, quietly)}
    articles = [a for a in read_facts(facts) if a.name in documents and documents[a.name].updated <= a.as_of]
    passages = [p for a in articles for p in chunk(documents[a.name], lambda text: round(len(text.split()) * 1.35))]
    holder = {
        fact: found
        for article in articles
        for fact in article.facts
        if (found := grounding(fact.says[0], [p for p in passages if p.source.startswith(f"{article.name}.")]))
    }
    of_passage: dict[str, list[Fact]] = {}
    for fact, passage in holder.items():
        of_passage.setdefault(passage.id, []).append(fact)
    for article in articles:
        anchors = [fact for fact in article.facts if fact in holder]
        for anchor in rng.sample(anchors, min(sets, len(anchors))):
            shown = _shown(search(rng.choice(anchor.asks)), holder[anchor], rng)
            yield from _set(article, anchor, shown, of_passage, holder, rng)


def grounding(answer: str, passages: Sequence[Passage], figures: bool = True) -> Passage | None:
    """The passage with the most words of the answer; None if it is too few.

    With `figures` only a passage that holds all the answer's figures will do.
    """
    needed = _FIGURE.findall(answer) if figures else []
    words = set(_WORD.findall(answer.lower()))
    best, most = None, SHARED_WORDS
    for passage in passages:
        text = f"{passage.label} {passage.text}"
        share = len(words & set(_WORD.findall(text.lower()))) / max(1, len(words))
        if share >= most and all(figure in passage.text for figure in needed):
            best, most = passage, share
    return best


def _shown(found: Sequence[Passage], needed: Passage, rng: random.Random) -> list[Passage]:
    """What the retriever found, with the needed passage among it, in the retriever's order or now and then another."""
    shown = list(found[:PASSAGES])
    if needed.id not in [passage.id for passage in shown]:
        shown = [*shown[: PASSAGES - 1], needed]
        rng.shuffle(shown)
    if rng.random() < 0.1:
        rng.shuffle(shown)
    return shown


def _set(
    article: Article,
    anchor: Fact,
    shown: Sequence[Passage],
    of_passage: dict[str, list[Fact]],
    holder: dict[Fact, Passage],
    rng: random.Random,
) -> Iterator[Row]:
    number_of = {passage.id: number for number, passage in enumerate(shown, 1)}
    near = [fact for fact in of_passage[holder[anchor].id] if fact is not anchor]
    others = [f for p in shown if p.id != holder[anchor].id for f in of_passage.get(p.id, [])]
    asked = [
        anchor,
        *rng.sample(near, min(len(near), QUESTIONS[0] - 1)),
        *rng.sample(others, min(len(others), QUESTIONS[1])),
    ]
    rows = [{"title": p.title, "heading": p.heading, "text": p.text} for p in shown]
    for fact in asked:
        yield _row(rng.choice(fact.asks), cited(rng.choice(fact.says), number_of[holder[fact].id]), rows)
    hidden = [fact for fact in article.facts if fact in holder and holder[fact].id not in number_of]
    questions = [rng.choice(article.unknown)] if article.unknown else []
    questions += [rng.choice(rng.choice(hidden).asks)] if hidden else []
    for question in questions[:UNANSWERED]:
        yield _row(question, READER_DECLINE, rows)


def _row(question: str, answer: str, passages: list[dict[str, str]]) -> Row:
    return {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        "passages": passages,
    }
