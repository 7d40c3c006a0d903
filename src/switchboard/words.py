"""Words as they are compared: in lower case, without the commonest, by their stems."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence

import bm25s
import Stemmer

_STEMMER = Stemmer.Stemmer("porter")
_LOCK = threading.Lock()  # A stemmer keeps a cache in itself.


def missing(words: Collection[str], known: Collection[str], rarity: Callable[[str], float]) -> float:
    """The share, 0 to 1, of words that are not known, each weighing its rarity, which is above 0; 0 of none."""
    weights = {word: rarity(word) for word in words}
    return sum(weights[word] for word in words if word not in known) / sum(weights.values()) if weights else 0.0


def stems(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text, in their order. Safe to call from several threads.

    >>> stems(["How are the late fees paid?"])
    [['how', 'late', 'fee', 'paid']]
    """
    with _LOCK:
        found: list[list[str]] = bm25s.tokenize(
            list(texts), stopwords="en", stemmer=_STEMMER, return_ids=False, show_progress=False
        )
    return found
