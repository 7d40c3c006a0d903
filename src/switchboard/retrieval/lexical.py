"""BM25: finds the passages that share the question's rare words, such as PAC, VLAN or £7.50."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import bm25s
import numpy as np

from switchboard.words import missing, stems

K1 = 0.9
B = 0.4
"""Anserini's defaults, with which BM25's published scores on BEIR were made."""


class LexicalIndex:
    """Texts by number, indexed in memory: a second for some ten thousand. Safe to search from several threads."""

    def __init__(self, texts: Sequence[str], like: LexicalIndex | None = None) -> None:
        """`like` has most of these texts too: their words are taken from there, in half the time and no memory."""
        wanted = set(texts)
        known = like._words if like else {}
        self._words: dict[str, list[str]] = {text: words for text, words in known.items() if text in wanted}
        if new := [text for text in wanted if text not in self._words]:
            self._words.update(zip(new, stems(new), strict=True))
        self._texts = tuple(texts)
        tokens = [self._words[text] for text in texts]
        self._bm25 = bm25s.BM25(method="lucene", k1=K1, b=B)
        self._empty = not any(tokens)
        if not self._empty:
            self._bm25.index(tokens, show_progress=False)

    def search(self, query: str, n: int) -> list[tuple[int, float]]:
        """The numbers and BM25 scores of at most n texts that share a word with the query, best first."""
        tokens = [] if self._empty else stems([query])[0]
        known = [token for token in tokens if token in self._bm25.vocab_dict]
        if not known:
            return []
        scores = self._bm25.get_scores(known)
        # Only the n best are put in order: of 100,000 texts all would take as long as the rest of the search.
        least = np.partition(scores, -n)[-n] if n < len(scores) else 0.0
        good = np.flatnonzero(scores >= max(least, np.finfo(scores.dtype).tiny))
        best = good[np.argsort(-scores[good], kind="stable")][:n]
        return [(int(number), float(scores[number])) for number in best]

    def unseen(self, query: str, numbers: Iterable[int]) -> float:
        """The share, 0 to 1, of the query's words that stand in none of these texts, each weighing its IDF."""
        words = set() if self._empty else set(stems([query])[0])
        return missing(words, set().union(*(self._words[self._texts[number]] for number in numbers)), self._idf)

    def _idf(self, word: str) -> float:
        """How rare a word is: the logarithm that its BM25 score has (Lucene's)."""
        number = self._bm25.vocab_dict.get(word)
        ends = self._bm25.scores["indptr"]
        texts = 0 if number is None else int(ends[number + 1] - ends[number])
        return math.log(1 + (len(self._texts) - texts + 0.5) / (texts + 0.5))
