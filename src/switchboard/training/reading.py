"""Questions over what is read of passages: prompts as the app makes them, with answers that cite.

Several questions share a prompt, so that its beginning is computed once; see packing.py.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from switchboard.prompts import READER_DECLINE
from switchboard.retrieval.embedding import Vectors
from switchboard.retrieval.focus import PARTS, Place, focused, part_text, parts_of
from switchboard.types import Passage

BESIDES = 2
"""Questions on what else can be read in a prompt, besides the one that it was made for."""

_WORD = re.compile(r"[a-z]{3,}|\d+")

Row = dict[str, Any]

Embed = Callable[[Sequence[str]], Vectors]
"""Vectors of length 1, a row a text."""


@dataclass(frozen=True)
class Asked:
    """One thing to ask: its wordings, its answer, and the part of a passage that holds the answer."""

    asks: tuple[str, ...]
    says: str
    place: Place


@dataclass(frozen=True)
class Prompt:
    """The passages of a prompt, cut to what is read of them, and what they were cut from."""

    passages: tuple[Passage, ...]
    read: tuple[str, ...]

    def number(self, place: Place) -> int:
        """The number under which the part can be read and cited; 0 where it cannot."""
        for number, (passage, text) in enumerate(zip(self.passages, self.read, strict=True), 1):
            if passage.id == place[0] and parts_of(passage.text)[place[1]] in text:
                return number
        return 0

    def rows(
        self, answers: Sequence[tuple[str, str, Sequence[Place]]], asked: Sequence[Asked], rng: random.Random
    ) -> Iterator[Row]:
        """Rows of questions, each with its answer, a line for each place, and its places; none means declining.

        Some more are on what else of `asked` can be read, and one on what cannot.
        """
        pairs = [(ask, self._answer(says, places)) for ask, says, places in answers]
        about = {place for _, _, places in answers for place in places}
        others = [other for other in asked if other.place not in about]
        besides = [other for other in others if self.number(other.place)]
        absent = [other for other in others if other.place[0] not in {p.id for p in self.passages}]
        for other in rng.sample(besides, min(BESIDES, len(besides))):
            pairs.append((rng.choice(other.asks), self._answer(other.says, [other.place])))
        if absent and about:
            pairs.append((rng.choice(rng.choice(absent).asks), READER_DECLINE))
        for question, answer in pairs:
            if answer:
                yield self._row([question, answer])

    def follow_up(self, earlier: Asked, asked: Asked, question: str) -> Iterator[Row]:
        """A row with a turn before it."""
        if answer := self._answer(asked.says, [asked.place]):
            yield self._row([earlier.asks[0], earlier.says, question, answer])

    def _answer(self, says: str, places: Sequence[Place]) -> str:
        """The answer with its citations; empty where one of its places cannot be read, a decline where it has none."""
        if not places:
            return READER_DECLINE
        numbers = [self.number(place) for place in places]
        if not all(numbers):
            return ""
        return " ".join(cited(half, number) for half, number in zip(says.split("\n"), numbers, strict=True))

    def _row(self, turns: Sequence[str]) -> Row:
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
        shown = [
            {"title": p.title, "heading": p.heading, "text": text}
            for p, text in zip(self.passages, self.read, strict=True)
        ]
        return {"messages": messages, "passages": shown}


def nearest_first(
    query: Vectors,
    passages: Sequence[Passage],
    vectors: Mapping[str, Vectors],
    known: Mapping[Place, float] | None = None,
) -> tuple[list[Passage], tuple[str, ...]]:
    """The passages and what is read of each, as the index has it without a reranker: both nearest first.

    `query` (dimensions,) is the question's vector, `vectors` has each passage's parts' by its id, and `known` the
    similarity of the nearest known question that a part answers.
    """
    scores = {
        (passage.id, n): max(score, (known or {}).get((passage.id, n), -1.0))
        for passage in passages
        for n, score in enumerate((vectors[passage.id] @ query).tolist())
    }
    found, quotes = focused(passages, [scores], len(passages), max(PARTS, len(passages)))
    return found, tuple("\n".join(q.text for q in quotes if q.passage == n) for n in range(1, len(found) + 1))


def part_vectors(passages: Sequence[Passage], embed: Embed) -> dict[str, Vectors]:
    """The vectors of each passage's parts, by the passage's id, as the index has them."""
    texts = [(p.id, part_text(p, part)) for p in passages for part in parts_of(p.text)]
    rows = embed([text for _, text in texts])
    return {p.id: rows[[n for n, (name, _) in enumerate(texts) if name == p.id]] for p in passages}


def best_part(passage: Passage, answer: str) -> int:
    """Which part of the passage shares most words with the answer."""
    words = set(_WORD.findall(answer.lower()))
    parts = [set(_WORD.findall(part.lower())) for part in parts_of(passage.text)]
    return max(range(len(parts)), key=lambda n: len(words & parts[n]) + 1 / (2 + len(parts[n])))


def cited(answer: str, number: int) -> str:
    """The answer with a citation before its last full stop.

    >>> cited("It costs £5.", 2)
    'It costs £5 [2].'
    """
    return f"{answer.rstrip(' .')} [{number}]."
