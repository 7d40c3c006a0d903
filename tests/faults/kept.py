"""An index on the disk that faults are caused to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval_fakes import FakeEmbedder
from switchboard.progress import Report
from switchboard.retrieval.index import KnowledgeIndex

QUESTIONS = 1200
"""Chroma writes its graph to files of its own from a thousand vectors on."""


class Kept:
    """A data folder with an index of six articles and 1,200 known questions; `start` is a start of the program."""

    def __init__(self, folder: Path, knowledge: Path) -> None:
        self.knowledge = knowledge
        self.data = folder / "data"
        self.lines: list[str] = []

    def start(self, report: Report | None = None) -> KnowledgeIndex:
        self.lines.clear()
        return KnowledgeIndex.open(self.knowledge, self.data, FakeEmbedder(), report or self.lines.append, 0.2)

    def healthy(self) -> None:
        """Start, find, and start once more without a word."""
        for _ in range(2):
            index = self.start()
            assert len(index.documents) == 6
            found = index.search("late payment fee", 3)
            assert any("late-payment-fee" in passage.source for passage in found.passages)
            assert index._asked
            assert len(index._asked._numbers) == QUESTIONS
            words = FakeEmbedder().embed_queries([f"what is fee number {n}" for n in range(QUESTIONS)])
            assert np.allclose(index._asked._answered.vectors, words, atol=1e-6)
            index.close()
        assert not [line for line in self.lines if "damaged" in line or "Embedding" in line]

    @property
    def index(self) -> Path:
        """The folder of the passages' vectors; that of the questions' is beside it."""
        (found,) = (p for p in (self.data / "index").iterdir() if p.is_dir() and not p.name.endswith("-asked"))
        return found
