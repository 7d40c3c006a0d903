"""How long a search takes: as it ships, without its reranker, and over many more passages than there are."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from switchboard.progress import Report
from switchboard.retrieval.embedding import Embedder
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.search import Searcher
from switchboard.retrieval.store import PassageStore

_WARM = 5
_SENTENCES = 4
"""Of a passage that is made up."""


def shipped(index: KnowledgeIndex, questions: Sequence[str]) -> dict[str, dict[str, float]]:
    """Milliseconds of a whole search, and of one without the reranker, over the passages that are there."""
    return {
        "as shipped": {
            "passages": len(index.passages),
            **_timed(lambda question: index.search(question, 3), questions),
        },
        "both rankings": {"passages": len(index.passages), **_timed(index.searcher.rank, questions)},
    }


def larger(
    embedder: Embedder, sentences: Sequence[str], sizes: Sequence[int], questions: Sequence[str], report: Report
) -> dict[str, dict[str, float]]:
    """The same of both rankings over so many passages of shuffled sentences, whose vectors are random."""
    found = {}
    chance = random.Random(0)  # noqa: S311 - nothing secret
    for size in sizes:
        report(f"Indexing {size:,} made-up passages ...")
        ids = [str(number) for number in range(size)]
        texts = [" ".join(chance.choices(sentences, k=_SENTENCES)) for _ in ids]
        shape = size, len(embedder.embed_query("?"))
        vectors = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            store = PassageStore(Path(folder), "benchmark", report)
            store.add(ids, vectors)
            searcher = Searcher(embedder, store, ids, texts)
            found[f"{size:,} passages"] = {"passages": size, **_timed(searcher.rank, questions)}
            store.close()
    return found


def _timed(search: Callable[[str], object], questions: Sequence[str]) -> dict[str, float]:
    """The median and the 95th percentile in milliseconds, after some that are not counted."""
    times = []
    for question in [*questions[:_WARM], *questions]:
        began = time.perf_counter()
        search(question)
        times.append((time.perf_counter() - began) * 1000)
    p50, p95 = np.percentile(times[_WARM:], [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}
