"""Words as they are compared: in lower case, without the commonest, by their stems."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import bm25s
import Stemmer

_STEMMER = Stemmer.Stemmer("porter")
_LOCK = threading.Lock()  # A stemmer keeps a cache in itself.


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
