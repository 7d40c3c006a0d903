"""A small embedder for tests: honest hashed bags of words, so shared words make texts similar."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from switchboard.retrieval.embedding import Vectors, embedded_text
from switchboard.types import Passage


class FakeEmbedder:
    """Counts words into 64 buckets; remembers which passages it embedded."""

    def __init__(self, name: str = "fake", max_tokens: int = 256) -> None:
        self.name = name
        self.identity = f"{name} 1"
        self.max_tokens = max_tokens
        self.embedded: list[str] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def embed_passages(self, passages: Sequence[Passage], progress: Callable[[int], None] | None = None) -> Vectors:
        self.embedded += [passage.id for passage in passages]
        if progress:
            progress(len(passages))
        return np.asarray([self.embed_query(embedded_text(p)) for p in passages], np.float32).reshape(-1, 64)

    def embed_query(self, query: str) -> Vectors:
        vector = np.full(64, 0.01, np.float32)
        for word in re.findall(r"\w+", query.lower()):
            vector[zlib.crc32(word.encode()) % 64] += 1
        return vector / np.linalg.norm(vector)

    def embed_queries(self, queries: Sequence[str]) -> Vectors:
        return np.asarray([self.embed_query(query) for query in queries], np.float32).reshape(-1, 64)
