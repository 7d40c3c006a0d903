"""Scoring the retriever on a folder in BEIR's format, with the very parts that answer questions.

    python -m switchboard retrieve-eval FOLDER

The format is that of Thakur et al., BEIR, NeurIPS 2021: corpus.jsonl, queries.jsonl and qrels/test.tsv.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from switchboard.errors import EvaluationError
from switchboard.progress import Report, quietly
from switchboard.retrieval.embedding import Embedder, Vectors, embedded_text
from switchboard.retrieval.focus import part_text, parts_or_whole
from switchboard.retrieval.judge import Reranker
from switchboard.retrieval.search import Searcher, reciprocal_rank_fusion
from switchboard.retrieval.store import PassageStore
from switchboard.types import Passage

DEPTH = 100
"""Candidates of each search: what Recall@100 needs."""

RERANKED = 10
"""Documents that a reranker puts in order: as many as nDCG@10 looks at."""
WEIGHTS = {"dense x2": (2.0, 1.0), "bm25 x2": (1.0, 2.0), "dense x4": (4.0, 1.0), "bm25 x4": (1.0, 4.0)}
"""Fusions in which one of the two searches counts more."""

Scores = dict[str, float]
Judgements = Mapping[str, Mapping[str, int]]
"""Query -> document -> gain."""


def evaluate_retrieval(
    folder: Path,
    embedder: Embedder,
    report: Report,
    data: Path,
    progress: Callable[[int, int], None] | None = None,
    reranker: Reranker | None = None,
) -> dict[str, Scores]:
    """Score the searches: `{"dense": {"ndcg@10", "recall@10", "recall@100"}, "bm25": {...}, "fused": {...}}`.

    With a `reranker` there are also what it makes of the first RERANKED fused documents (`reranked`), and fusions in
    which one search counts more than the other (`fused, dense x2` and so on): what the product could do instead. The
    corpus is embedded whole, a document a passage, and its vectors are kept below `data` for the next time; they are
    searched in a real Chroma collection. `progress` is told how many documents are embedded, and of how many. Raises
    EvaluationError that names a missing or wrong file.
    """
    corpus = _read_corpus(folder / "corpus.jsonl")
    judgements = _read_judgements(folder / "qrels" / "test.tsv")
    queries = _read_queries(folder / "queries.jsonl", judgements)
    vectors = _corpus_vectors(corpus, embedder, data, report, progress)
    report(f"Searching {len(corpus):,} documents for {len(queries):,} queries ...")
    with tempfile.TemporaryDirectory() as scratch:
        ids = [document.source for document in corpus]
        store = PassageStore(Path(scratch) / "index", embedder.identity, quietly)
        try:
            store.add(ids, vectors)
            searcher = Searcher(embedder, store, ids, [embedded_text(document) for document in corpus])
            ranks = {query: searcher.rank(text, DEPTH) for query, text in queries.items()}
        finally:
            store.close()
    rankings = {
        "dense": {query: found.dense for query, found in ranks.items()},
        "bm25": {query: found.lexical for query, found in ranks.items()},
        "fused": {query: found.fused for query, found in ranks.items()},
    }
    if reranker:
        for name, weights in WEIGHTS.items():
            rankings[f"fused, {name}"] = {
                query: tuple(reciprocal_rank_fusion((found.dense, found.lexical), weights=weights))
                for query, found in ranks.items()
            }
        by_name = {document.source: document for document in corpus}
        report(f"Reranking the first {RERANKED} of each ...")
        rankings["reranked"] = {
            query: tuple(reranked(reranker, queries[query], found.fused, by_name)) for query, found in ranks.items()
        }
    return {name: score_rankings(found, judgements) for name, found in rankings.items()}


def reranked(reranker: Reranker, query: str, names: Sequence[str], documents: Mapping[str, Passage]) -> list[str]:
    """The first RERANKED documents by their best part for the reranker, and the others after them as they were."""
    first, rest = list(names[:RERANKED]), list(names[RERANKED:])
    parts = {name: parts_or_whole(documents[name].text) for name in first}
    logits = iter(reranker.score(query, [part_text(documents[name], p) for name in first for p in parts[name]]))
    best = {name: max(next(logits) for _ in parts[name]) for name in first}
    return sorted(first, key=lambda name: -best[name]) + rest


def score_rankings(rankings: Mapping[str, Sequence[str]], judgements: Judgements) -> Scores:
    """The means over the queries of nDCG@10, Recall@10 and Recall@100, as pytrec_eval has them for BEIR."""
    return {
        "ndcg@10": _mean([ndcg(ranking, judgements[query], 10) for query, ranking in rankings.items()]),
        "recall@10": _mean([recall(ranking, judgements[query], 10) for query, ranking in rankings.items()]),
        "recall@100": _mean([recall(ranking, judgements[query], 100) for query, ranking in rankings.items()]),
    }


def ndcg(ranking: Sequence[str], gains: Mapping[str, int], k: int) -> float:
    """Normalised discounted cumulative gain of the first k, from 0 to 1: trec_eval's ndcg_cut.

    The gain is the judgement itself, discounted by log2(rank + 1), over that of the best possible ranking
    (Järvelin and Kekäläinen, 2002).
    """
    ideal = _dcg(sorted(gains.values(), reverse=True)[:k])
    return _dcg([gains.get(document, 0) for document in ranking[:k]]) / ideal if ideal else 0.0


def recall(ranking: Sequence[str], gains: Mapping[str, int], k: int) -> float:
    """The share of the relevant documents that are among the first k."""
    relevant = {document for document, gain in gains.items() if gain > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant) if relevant else 0.0


def _dcg(gains: Sequence[int]) -> float:
    return sum(max(0, gain) / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a JSON Lines file, with their line numbers."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict) or "_id" not in row or "text" not in row:
                        raise EvaluationError(f"{path}, line {number}: a row needs '_id' and 'text'.")
                    yield number, row
    except FileNotFoundError:
        raise EvaluationError(
            f"There is no {path}. A folder in BEIR's format holds corpus.jsonl, queries.jsonl and qrels/test.tsv."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}.") from error
    except json.JSONDecodeError as error:
        raise EvaluationError(f"{path}, line {number}: not a JSON object ({error.msg}).") from error


def _read_corpus(path: Path) -> list[Passage]:
    """The corpus, each document as one passage."""
    passages: dict[str, Passage] = {}
    for _, row in _rows(path):
        name, text = str(row["_id"]), str(row["text"])
        passages[name] = Passage(name, str(row.get("title") or ""), "", text, 0, len(text))
    if not passages:
        raise EvaluationError(f"{path} holds no documents.")
    return list(passages.values())


def _read_queries(path: Path, judgements: Judgements) -> dict[str, str]:
    """The judged queries' texts."""
    queries = {str(row["_id"]): str(row["text"]) for _, row in _rows(path) if str(row["_id"]) in judgements}
    if missing := [query for query in judgements if query not in queries]:
        raise EvaluationError(f"{path} lacks query {missing[0]}, which qrels/test.tsv judges.")
    return queries


def _read_judgements(path: Path) -> Judgements:
    """The judgements of queries that have a relevant document; the others cannot be scored."""
    judgements: dict[str, dict[str, int]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            for number, row in enumerate(rows, 1):
                if number == 1 and row[:1] == ["query-id"]:
                    continue
                try:
                    query, document, gain = row
                    judgements.setdefault(query, {})[document] = int(gain)
                except ValueError:
                    raise EvaluationError(
                        f"{path}, line {number}: expected query-id, corpus-id and a whole score, between tabs."
                    ) from None
    except FileNotFoundError:
        raise EvaluationError(f"There is no {path}, which says what is relevant to which query.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}.") from error
    relevant = {query: gains for query, gains in judgements.items() if any(gain > 0 for gain in gains.values())}
    if not relevant:
        raise EvaluationError(f"{path} judges nothing as relevant.")
    return relevant


def _corpus_vectors(
    corpus: Sequence[Passage],
    embedder: Embedder,
    data: Path,
    report: Report,
    progress: Callable[[int, int], None] | None,
) -> Vectors:
    """The corpus's vectors, from the last time if corpus and embedder are the same."""
    digest = hashlib.sha256(embedder.identity.encode())
    for document in corpus:
        digest.update(f"\0{embedded_text(document)}".encode())
    cached = data / "retrieve-eval" / f"{digest.hexdigest()[:16]}.npy"
    try:
        vectors: Vectors = np.load(cached, allow_pickle=False)
        if vectors.shape[0] == len(corpus):
            return vectors
    except (OSError, ValueError):
        pass
    report(f"Embedding {len(corpus):,} documents with {embedder.name}; the next run finds them kept ...")
    vectors = embedder.embed_passages(corpus, (lambda done: progress(done, len(corpus))) if progress else None)
    cached.parent.mkdir(parents=True, exist_ok=True)
    unfinished = cached.with_suffix(".part.npy")
    np.save(unfinished, vectors)
    unfinished.replace(cached)
    return vectors
