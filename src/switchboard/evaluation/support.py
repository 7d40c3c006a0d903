"""Whether a sentence of an answer stands in a passage: an estimate from its words and figures alone.

A sentence counts as supported where one passage holds all its figures and most of its words. What says the same in
other words counts as unsupported, and a sentence whose words all occur in another sense as supported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import Stemmer

from switchboard.citations import without_citations
from switchboard.evaluation.score import figures, normalized
from switchboard.retrieval.focus import parts_or_whole

SHARE = 0.6
"""The share of a sentence's words that must stand in the passage."""
_FEWEST = 3
"""Words of a sentence without figures that says anything."""

_WORD = re.compile(r"[a-z]{3,}")
_COMMON = frozenset(
    "the and for are you your our that this with from have has was not but can will they their there its any all what "
    "when which who how does did get got one only also than then into more most other some such".split()
)


def sentences(text: str) -> list[str]:
    """An answer's sentences with their citations; the steps of a list stay together."""
    return [part.strip() for part in parts_or_whole(text) if part.strip()]


def says_something(sentence: str) -> bool:
    """Whether a sentence has a figure or enough words to stand, or not, in a passage.

    >>> says_something("Happy to help!"), says_something("It costs £5.")
    (False, True)
    """
    plain = without_citations(sentence)
    return bool(figures(plain)) or len(_stems(plain)) >= _FEWEST


def supported(sentence: str, passages: Sequence[str]) -> bool:
    """Whether one of the passages, each with its label, holds the sentence.

    >>> supported("Fibre 500 costs £36 a month.", ["Fibre plans\\nFibre 500 is £36 a month."])
    True
    >>> supported("Fibre 500 costs £35 a month.", ["Fibre plans\\nFibre 500 is £36 a month."])
    False
    """
    plain = without_citations(sentence)
    wanted, numbers = _stems(plain), figures(plain)
    for passage in passages:
        held = len(wanted & _stems(passage)) / len(wanted) if wanted else 1.0
        if held >= SHARE and numbers <= figures(passage):
            return True
    return False


def _stems(text: str) -> set[str]:
    stem = Stemmer.Stemmer("english").stemWord  # One a call: a stemmer must not be shared between threads.
    return {stem(word) for word in _WORD.findall(normalized(text)) if word not in _COMMON}
