"""Searching: by meaning and by words, the two rankings fused, and a threshold below which nothing is covered."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from switchboard.retrieval.asked import AskedQuestions
from switchboard.retrieval.embedding import Embedder
from switchboard.retrieval.lexical import LexicalIndex
from switchboard.retrieval.store import PassageStore
from switchboard.types import Passage, SearchResult

DEPTH = 10
"""How many candidates each of the two searches gives. More of them let fusion lift what both rank low: on the
coverage questions the right article is among the first five for 78 % at a depth of 10 and for 71 % at 50."""

_QUESTIONS = 3
"""Known questions looked at for each candidate: several of them mostly have one answer."""

FUSION_K = 60
"""The constant of Cormack, Clarke and Buettcher, 2009."""

THRESHOLDS: Mapping[str, float] = {"all-MiniLM-L6-v2": 0.22}
"""The calibrated threshold by an embedder's name, without the Hub's owner; made by `calibration.calibrate` on
evaluation/coverage."""

ASKED_THRESHOLDS: Mapping[str, float] = {"all-MiniLM-L6-v2": 0.41}
"""The same where questions are known: a question that is covered mostly resembles one of them."""

DEFAULT_THRESHOLD = 0.25
"""For an embedder that was not calibrated: low, so that it rather answers too much than refuses what is covered."""

Item = TypeVar("Item", bound=Hashable)


def reciprocal_rank_fusion(rankings: Sequence[Sequence[Item]], k: int = FUSION_K) -> list[Item]:
    """Fuse rankings, each best first, by the sum of 1 / (k + rank), ranks counted from 1; best first.

    Items of equal sum keep the order in which they are first seen, ranking by ranking. From: Cormack, Clarke and
    Buettcher, Reciprocal rank fusion outperforms Condorcet and individual rank learning methods, SIGIR 2009.
    """
    sums: dict[Item, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            sums[item] = sums.get(item, 0.0) + 1 / (k + rank)
    return sorted(sums, key=lambda item: -sums[item])


def threshold_for(embedder: str, asked: bool = False) -> float | None:
    """The calibrated threshold of an embedder by its name; None if there is none. `asked`: questions are known."""
    return (ASKED_THRESHOLDS if asked else THRESHOLDS).get(embedder.rsplit("/", 1)[-1])


@dataclass(frozen=True)
class Rankings:
    """What the searches found for one query: passages' ids, best first, and the similarity of each.

    That is the passage's own or that of a question it is known to answer, whichever is higher.
    """

    dense: tuple[str, ...]
    lexical: tuple[str, ...]
    fused: tuple[str, ...]
    similarity: Mapping[str, float]


class Searcher:
    """Searches passages that lie in a store, by meaning and by words. Safe to use from several threads."""

    def __init__(
        self,
        embedder: Embedder,
        store: PassageStore,
        ids: Sequence[str],
        texts: Sequence[str],
        asked: AskedQuestions | None = None,
    ) -> None:
        """`ids` are those in the store, and `texts` what BM25 indexes of them; `asked` are known questions to both."""
        self._embedder = embedder
        self._store = store
        self._ids = tuple(ids)
        self._known = frozenset(ids)
        self._asked = asked
        known = asked.texts if asked else {}
        self._lexical = LexicalIndex([f"{text}\n{known.get(i, '')}" for i, text in zip(ids, texts, strict=True)])

    def rank(self, query: str, depth: int = DEPTH, fusion_k: int = FUSION_K) -> Rankings:
        """Rank by meaning, by words and by both; `depth` candidates of each."""
        vector = self._embedder.embed_query(query)
        # Another process may have brought the store up to date with a changed folder since these texts were read.
        similarity = {i: score for i, score in self._store.nearest(vector, depth) if i in self._known}
        for i, score in self._asked.nearest(vector, _QUESTIONS * depth).items() if self._asked else ():
            similarity[i] = max(score, similarity.get(i, -1.0))
        dense = tuple(sorted(similarity, key=lambda i: -similarity[i])[:depth])
        lexical = tuple(self._ids[number] for number, _ in self._lexical.search(query, depth))
        if missing := [passage for passage in lexical if passage not in similarity]:
            similarity.update((i, float(stored @ vector)) for i, stored in self._store.vectors(missing).items())
            lexical = tuple(passage for passage in lexical if passage in similarity)
        return Rankings(dense, lexical, tuple(reciprocal_rank_fusion([dense, lexical], fusion_k)), similarity)


def search_passages(
    searcher: Searcher, passages: Mapping[str, Passage], query: str, k: int, threshold: float
) -> SearchResult:
    """Find at most k passages, best first; none when no candidate is as similar as `threshold`."""
    began = time.perf_counter()
    ranks = searcher.rank(query)
    scored = {name: replace(passages[name], score=ranks.similarity[name]) for name in ranks.fused}
    nearest = max(scored.values(), key=lambda passage: passage.score, default=None)
    covered = nearest is not None and nearest.score >= threshold
    found = tuple(list(scored.values())[:k]) if covered else ()
    return SearchResult(query, found, nearest, threshold, (time.perf_counter() - began) * 1000)
