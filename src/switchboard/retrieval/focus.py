"""What of the passages found the model is given to read: the sentences and lists nearest to the question.

A small model takes a like sentence of the right passage; the embedder tells sentences apart better. So the passages are
cut to their nearest parts, the nearest first: fewer tokens to read, fewer wrong figures to take, and an order that the
model can learn to trust. The visitor is shown whole passages all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from switchboard.types import Passage, Quote

Place = tuple[str, int]
"""A passage's id, and which of its parts, counted from 0."""

PARTS = 6
"""Parts of all passages together that are read; each passage keeps at least its nearest one. On the evaluation set the
six nearest hold all required facts of 9 in 10 questions that whole passages hold them for."""

_BLOCK = re.compile(r"\n\s*\n")
_STEP = re.compile(r"^\s*\d+[.)]\s")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'“(A-Z0-9])")


def parts_of(text: str) -> list[str]:
    """The sentences of a text; a bullet is a part of its own, numbered steps are one with the line before them.

    >>> parts_of("It is red. Do this:\\n\\n1. Open it.\\n2. Wait.\\n\\n- One costs £5.\\n- Two costs £7.")
    ['It is red.', 'Do this:\\n1. Open it.\\n2. Wait.', '- One costs £5.', '- Two costs £7.']
    """
    parts: list[str] = []
    for line in (line.strip() for block in _BLOCK.split(text) for line in block.split("\n")):
        if _STEP.match(line):
            leading = parts and (parts[-1].endswith(":") or _STEP.match(parts[-1].rsplit("\n", 1)[-1]))
            if leading:
                parts[-1] += f"\n{line}"
            else:
                parts.append(line)
        elif line.startswith(("- ", "* ")):
            parts.append(line)
        else:
            parts += [sentence for sentence in _SENTENCE.split(line) if sentence]
    return parts


def parts_or_whole(text: str) -> list[str]:
    """The parts of a text, never none: a text without any is one itself."""
    return parts_of(text) or [text]


def part_text(passage: Passage, part: str) -> str:
    """A part with its passage's title and heading: what is compared with a question."""
    return f"{passage.label}. {part}"


def focused(
    passages: Sequence[Passage], rankings: Sequence[Mapping[Place, float]], k: int, most: int = PARTS
) -> tuple[list[Passage], tuple[Quote, ...]]:
    """The k passages with the best parts, best first, and what is read of them: their `most` best parts, best first.

    `rankings` have log odds by passage and part, one ranking for each thing that is asked; with several of them the
    best of each come first, then the second ones, and so on. Each of the k passages keeps its best part at least.
    """
    ranked = _in_turn([sorted(scores, key=lambda place: -scores[place]) for scores in rankings])
    order = list(dict.fromkeys(name for name, _ in ranked))[:k]
    firsts = [next(place for place in ranked if place[0] == name) for name in order]
    others = [place for place in ranked if place[0] in order and place not in firsts]
    kept = set(firsts + others[: max(0, most - len(firsts))])
    by_id: dict[str, Passage] = {}
    for passage in passages:  # several searches may have found one passage
        if passage.id not in by_id or passage.score > by_id[passage.id].score:
            by_id[passage.id] = passage
    quotes = []
    for (name, n), which in ranked.items():
        if (name, n) in kept:
            text = parts_or_whole(by_id[name].text)[n]
            quotes.append(Quote(text, order.index(name) + 1, rankings[which][name, n], which))
    return [by_id[name] for name in order], tuple(quotes)


def _in_turn(ranked: Sequence[Sequence[Place]]) -> dict[Place, int]:
    """All places, the rankings taking turns, each with the number of the ranking that it was taken from."""
    taken: dict[Place, int] = {}
    left = [iter(places) for places in ranked]
    while True:
        before = len(taken)
        for which, places in enumerate(left):
            found = next((place for place in places if place not in taken), None)
            if found:
                taken[found] = which
        if len(taken) == before:
            return taken
