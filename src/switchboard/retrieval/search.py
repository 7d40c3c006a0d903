"""Searching: by meaning and by words, the two rankings fused, and a threshold below which nothing is covered."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np

from switchboard.retrieval.asked import NONE_KNOWN, AskedQuestions, Nearness
from switchboard.retrieval.embedding import Embedder, Vectors, embedded_text
from switchboard.retrieval.focus import PARTS, Place, focused, part_text, parts_or_whole
from switchboard.retrieval.judge import Reranker
from switchboard.retrieval.lexical import LexicalIndex
from switchboard.retrieval.overlay import VectorStore
from switchboard.subquestions import asks_of_each, sub_questions
from switchboard.types import Passage, Quote, SearchResult

DEPTH = 10
"""How many candidates each of the two searches gives. More of them let fusion lift what both rank low: on the
coverage questions the right article is among the first five for 78 % at a depth of 10 and for 71 % at 50."""

_QUESTIONS = 3
"""Known questions looked at for each candidate: several of them mostly have one answer."""

RERANKED_PASSAGES = 8
"""Passages whose sentences a reranker looks at."""
RERANKED_PARTS = 12
"""The most promising sentences of them, which it reads first: a fifteenth of a second on two cores. On the development
questions the best of 12 and of 20 is the same one, and the six best hold all required facts for 82.0 and 83.0 %."""
MORE_PARTS = 8
"""The next ones, read only where none of the first answers: nothing is declined for having been read in part."""
DOCUMENTS = 3
"""The best documents, whose words tell whether a question is covered. The share of words that three lack takes the area
under the judge's curve on the development questions from .964 to .981, that of one to .979 and that of four to .976."""
SIMILARITY_ODDS = 15.0
"""Log odds that a similarity is taken for without a reranker: only their order matters much."""
COVERED = 0.5
"""The probability from which a question counts as covered."""
PART_COVERED = 0.15
"""The same for one of several questions in a covered message: it says less by itself."""

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
LeftOut = Callable[[Passage], frozenset[int]]
"""Which of a passage's parts, counted from 0, nothing may be read of."""


def nothing_left_out(_passage: Passage) -> frozenset[int]:
    """All of a passage may be read."""
    return frozenset()


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[Item]], k: int = FUSION_K, weights: Sequence[float] | None = None
) -> list[Item]:
    """Fuse rankings, each best first, by the sum of weight / (k + rank), ranks counted from 1; best first.

    The `weights` say what each ranking counts, all of them 1 unless given.

    Items of equal sum keep the order in which they are first seen, ranking by ranking. From: Cormack, Clarke and
    Buettcher, Reciprocal rank fusion outperforms Condorcet and individual rank learning methods, SIGIR 2009.
    """
    sums = reciprocal_rank_sums(rankings, k, weights)
    return sorted(sums, key=lambda item: -sums[item])


def reciprocal_rank_sums(
    rankings: Sequence[Sequence[Item]], k: int = FUSION_K, weights: Sequence[float] | None = None
) -> dict[Item, float]:
    """What reciprocal rank fusion goes by, for each item in the order in which they are first seen."""
    sums: dict[Item, float] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, item in enumerate(ranking, 1):
            sums[item] = sums.get(item, 0.0) + weight / (k + rank)
    return sums


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
    vector: Vectors = field(default_factory=lambda: np.zeros(0, np.float32))
    """The query's."""
    known: Mapping[Place, float] = field(default_factory=dict)
    """Where the nearest known questions are answered, and how near they are."""
    nearness: Nearness = NONE_KNOWN
    """How near known questions are that something answers, and that nothing does."""
    words: Mapping[str, float] = field(default_factory=dict)
    """The BM25 scores of those in `lexical`."""
    unseen: Callable[[Sequence[Passage]], float] = field(default=lambda _passages: 0.0)
    """Given passages, best first, the share of the query's words, each weighing its rarity, that the first lack. Where
    questions are known: that stand neither in the DOCUMENTS best documents nor in the questions that they are known to
    answer; 0 where the best one is known to answer none. Otherwise: that do not stand in the best passage."""


class Searcher:
    """Searches passages that lie in a store, by meaning and by words. Safe to use from several threads."""

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        ids: Sequence[str],
        texts: Sequence[str],
        asked: AskedQuestions | None = None,
        like: Searcher | None = None,
        sources: Sequence[str] = (),
    ) -> None:
        """`ids` are those in the store, and `texts` what BM25 indexes of them; `asked` are known questions to both.

        `like` searches most of the same texts; `sources` name the documents that they are of.
        """
        self.embedder = embedder
        self._store = store
        self._ids = tuple(ids)
        self._number = {name: number for number, name in enumerate(ids)}
        self._asked = asked
        known = asked.texts if asked else {}
        self._of_document: dict[str, list[int]] = {}
        for number, source in enumerate(sources):
            self._of_document.setdefault(source, []).append(number)
        words = [f"{text}\n{known.get(i, '')}" for i, text in zip(ids, texts, strict=True)]
        self._lexical: LexicalIndex = LexicalIndex(words, like._lexical if like else None)

    def small_talk(self, message: str) -> str:
        """The reply to the known small talk that the message resembles most; nothing where a question is nearer."""
        return self._asked.small_talk(self.embedder.embed_query(message)) if self._asked else ""

    def rank(self, query: str, depth: int = DEPTH, fusion_k: int = FUSION_K) -> Rankings:
        """Rank by meaning, by words and by both; `depth` candidates of each."""
        vector = self.embedder.embed_query(query)
        # Another process may have brought the store up to date with a changed folder since these texts were read.
        similarity = {i: score for i, score in self._store.nearest(vector, depth) if i in self._number}
        known, nearness = dict[Place, float](), NONE_KNOWN
        if self._asked:
            asked = self._asked.similarities(vector)
            known, nearness = self._asked.nearest(asked, _QUESTIONS * depth), self._asked.nearness(asked)
        for (i, _), score in known.items():
            similarity[i] = max(score, similarity.get(i, -1.0))
        dense = tuple(sorted(similarity, key=lambda i: -similarity[i])[:depth])
        words = {self._ids[number]: score for number, score in self._lexical.search(query, depth)}
        lexical = tuple(words)
        if missing := [passage for passage in lexical if passage not in similarity]:
            similarity.update((i, float(stored @ vector)) for i, stored in self._store.vectors(missing).items())
            lexical = tuple(passage for passage in lexical if passage in similarity)
        fused = tuple(reciprocal_rank_fusion([dense, lexical], fusion_k))
        lack = self._documents_lack if all(nearness) else partial(_passage_lacks, self._lexical, self._number)
        unseen = partial(lack, query)
        return Rankings(dense, lexical, fused, similarity, vector, known, nearness, words, unseen)

    def _documents_lack(self, query: str, best: Sequence[Passage]) -> float:
        sources = list(dict.fromkeys(passage.source for passage in best))[:DOCUMENTS]
        texts = [self._of_document.get(source, []) for source in sources]
        if not texts or not self._asked or not any(self._ids[number] in self._asked.texts for number in texts[0]):
            return 0.0  # beside known questions, a document without any lacks other words for the same
        return self._lexical.unseen(query, chain.from_iterable(texts))


def _passage_lacks(words: LexicalIndex, numbers: Mapping[str, int], query: str, best: Sequence[Passage]) -> float:
    return words.unseen(query, [numbers[passage.id] for passage in best[:1]])


class _LookedUp(NamedTuple):
    """What one search found: candidates, best first, their parts' log odds, and the probability that any answers."""

    candidates: list[Passage]
    scores: dict[Place, float]
    coverage: float | None


def search_passages(
    searcher: Searcher,
    passages: Mapping[str, Passage],
    query: str,
    k: int,
    threshold: float,
    part_vectors: Callable[[Passage], Vectors] | None = None,
    reranker: Reranker | None = None,
    left_out: LeftOut = nothing_left_out,
) -> SearchResult:
    """Find at most k passages, best first, or one a question; none when no candidate is as similar as `threshold`.

    With `part_vectors`, which gives the vectors of a passage's parts, the passages found are put in the order of their
    nearest parts, and the result says what of them is read. A `reranker` looks at more candidates, orders them anew,
    and judges instead of the threshold whether anything answers the query. Where that asks several things, each is
    searched for by itself. What is `left_out` of a passage counts for nothing, and is not read.
    """
    began = time.perf_counter()

    def looked_up(text: str) -> _LookedUp:
        ranks = searcher.rank(text)
        scored = [replace(passages[name], score=ranks.similarity[name]) for name in ranks.fused]
        if not part_vectors or not scored:
            return _LookedUp(scored, {}, None)
        candidates = scored[: max(k, RERANKED_PASSAGES)] if reranker else scored[:k]
        evidence = evidence_for(ranks, candidates, part_vectors, left_out)
        if not evidence:
            return _LookedUp(scored, {}, 0.0)
        return _LookedUp(scored, *_scores(text, candidates, evidence, ranks, reranker))

    scored, scores, coverage = looked_up(query)
    nearest = max(scored, key=lambda passage: passage.score, default=None)
    covered = nearest is not None and nearest.score >= threshold
    if coverage is not None:
        covered = coverage >= COVERED
    found, quotes = scored[:k], tuple[Quote, ...]()
    if covered and scores:
        rankings: list[Mapping[Place, float]] = [scores]
        candidates = scored
        last, _, before = query.partition("\n")  # a follow-up's query ends with the questions it follows
        parts = [f"{part.question} {part.context}".strip() for part in sub_questions(last)]
        if parts:
            each = [looked_up(f"{part}\n{before}".strip()) for part in parts]  # the beginning weighs most
            answered = [row for row in each if row.coverage is None or row.coverage >= PART_COVERED]
            rankings = _different([row.scores for row in answered]) or [scores]
            candidates = [*scored, *(passage for row in each for passage in row.candidates)]
        elif asks_of_each(last):
            rankings = [ranking for ranking in (scores, _of_others(scores)) if ranking]
        k = max(k, len(rankings))
        found, quotes = focused(candidates, rankings, k, max(k, PARTS))
    if not covered:
        found, quotes = [], ()
    found = [replace(passage, left_out=len(left_out(passage))) for passage in found]
    nearest = nearest and replace(nearest, left_out=len(left_out(nearest)))
    took = (time.perf_counter() - began) * 1000
    return SearchResult(query, tuple(found), nearest, threshold, took, quotes, coverage)


def _scores(
    query: str,
    candidates: Sequence[Passage],
    evidence: Mapping[Place, tuple[float, float]],
    ranks: Rankings,
    reranker: Reranker | None,
) -> tuple[dict[Place, float], float | None]:
    """The log odds of the candidates' parts, and the probability that any answers, which only a reranker gives."""
    if reranker:
        return reranked(reranker, query, candidates, evidence, ranks)
    return {place: SIMILARITY_ODDS * max(both) for place, both in evidence.items()}, None


def _different(rankings: Sequence[Mapping[Place, float]]) -> list[Mapping[Place, float]]:
    """The rankings that are led by different parts: one sentence may answer two questions."""
    leaders = {max(scores, key=lambda place: scores[place]): scores for scores in reversed(rankings) if scores}
    return list(reversed(leaders.values()))


def _of_others(scores: Mapping[Place, float]) -> dict[Place, float]:
    """The scores of all passages but the one with the best part."""
    best, _ = max(scores, key=lambda place: scores[place])
    return {place: score for place, score in scores.items() if place[0] != best}


def search_among(
    passages: Sequence[Passage],
    query: str,
    vector: Vectors,
    part_vectors: Callable[[Passage], Vectors],
    reranker: Reranker | None,
) -> SearchResult:
    """What a search would make of passages that were found in some other way: all of them, in order, or none."""
    ranks = rankings_among(passages, query, vector)
    evidence = evidence_for(ranks, passages, part_vectors)
    scores, coverage = _scores(query, passages, evidence, ranks, reranker)
    found, quotes = focused(passages, [scores], len(passages), max(len(passages), PARTS))
    if coverage is not None and coverage < COVERED:
        found, quotes = [], ()
    return SearchResult(query, tuple(found), passages[0], 0.0, 0.0, quotes, coverage)


def rankings_among(passages: Sequence[Passage], query: str, vector: Vectors) -> Rankings:
    """What is known of a query, whose vector is given, where passages were found in some other way."""
    numbers = {passage.id: number for number, passage in enumerate(passages)}
    words = LexicalIndex([embedded_text(passage) for passage in passages])
    return Rankings((), (), (), {}, vector, unseen=partial(_passage_lacks, words, numbers, query))


def evidence_for(
    ranks: Rankings,
    candidates: Sequence[Passage],
    part_vectors: Callable[[Passage], Vectors],
    left_out: LeftOut = nothing_left_out,
) -> dict[Place, tuple[float, float]]:
    """For each part of the candidates its similarity, and that of the nearest known question it answers (or 0).

    Parts that are `left_out` have none.
    """
    return {
        (passage.id, n): (score, ranks.known.get((passage.id, n), 0.0))
        for passage in candidates
        for n, score in enumerate((part_vectors(passage) @ ranks.vector).tolist() if passage.text else [0.0])
        if n not in left_out(passage)
    }


def most_promising(
    candidates: Sequence[Passage], evidence: Mapping[Place, tuple[float, float]]
) -> tuple[list[Place], list[str]]:
    """The parts that a reranker may read, the most promising first, and what it reads of each."""
    by_id = {passage.id: passage for passage in candidates}
    places = sorted(evidence, key=lambda place: -max(evidence[place]))[: RERANKED_PARTS + MORE_PARTS]
    return places, [part_text(by_id[name], parts_or_whole(by_id[name].text)[n]) for name, n in places]


def reranked(
    reranker: Reranker,
    query: str,
    candidates: Sequence[Passage],
    evidence: Mapping[Place, tuple[float, float]],
    ranks: Rankings,
) -> tuple[dict[Place, float], float]:
    """The log odds of the most promising parts that they answer, and the probability that any does."""
    places, texts = most_promising(candidates, evidence)
    judge = reranker.judge
    similar = max(similarity for similarity, _ in evidence.values())
    logits: list[float] = []
    scores: dict[Place, float] = {}
    coverage = 0.0
    for some in (texts[:RERANKED_PARTS], texts[RERANKED_PARTS:]):
        if some and coverage < COVERED:
            logits += reranker.score(query, some).tolist()
            scores = {place: judge.odds(logit, *evidence[place]) for place, logit in zip(places, logits, strict=False)}
            unseen = ranks.unseen(best_passages(candidates, scores))
            coverage = judge.coverage(max(logits), similar, *ranks.nearness, unseen)
    return scores, coverage


def best_passages(candidates: Sequence[Passage], scores: Mapping[Place, float]) -> list[Passage]:
    """The passages with the best parts, best first."""
    by_id = {passage.id: passage for passage in candidates}
    ranked = sorted(scores, key=lambda place: -scores[place])
    return [by_id[name] for name in dict.fromkeys(name for name, _ in ranked)]
