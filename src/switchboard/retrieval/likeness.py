"""How alike two texts are, so that a document that is there already is noticed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from switchboard.types import Document

ALIKE = 0.5
"""The likeness from which two documents are pointed out as near duplicates."""
_WORDS = 5
_WORD = re.compile(r"\w+")


def likeness(one: str, other: str) -> float:
    """The share, 0 to 1, of runs of five words that both have among those that either has; 0 for shorter texts.

    That is their resemblance: Broder, On the resemblance and containment of documents, 1997.
    """
    first, second = _runs(one), _runs(other)
    return len(first & second) / len(first | second) if first and second else 0.0


def duplicate_of(document: Document, others: Iterable[Document]) -> Document | None:
    """The document with the very same text, whatever it is called; None if there is none."""
    return next((other for other in others if other.text.strip() == document.text.strip()), None)


def near_duplicate_of(document: Document, others: Iterable[Document]) -> Document | None:
    """The document that is most like this one, and at least ALIKE; None if there is none."""
    alike = [(likeness(document.text, other.text), other) for other in others]
    most, found = max(alike, key=lambda row: row[0], default=(0.0, None))
    return found if most >= ALIKE else None


def _runs(text: str) -> set[int]:
    words = _WORD.findall(text.lower())
    return {hash(tuple(words[n : n + _WORDS])) for n in range(len(words) - _WORDS + 1)}
