"""Small honest stand-ins for the slow parts: they do the same job, on paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from switchboard.retrieval.documents import read_document
from switchboard.types import Document, GenerationSettings, Grounding, Message, Passage, SearchResult, Token

FIBRE = Passage("plans/fibre.md", "Fibre plans", "Prices", "Fibre 100 costs £27 a month.", 20, 48, "2026-09-14")
EXIT = Passage("contracts/cancel.md", "Cancel fibre", "Exit fee", "The early exit fee is 60 %.", 0, 27, "2026-08-01")


class FakeGenerator:
    """Says the replies it was given, a word a token; counts words; remembers what it was asked and stopped."""

    def __init__(self, *replies: str, refused: Mapping[str, str] | None = None, context_tokens: int = 4096) -> None:
        self.replies = list(replies)
        self.refused_adapters: Mapping[str, str] = refused or {}
        self.context_tokens = context_tokens
        self.history: list[tuple[list[Message], str | None]] = []
        self.closed = 0

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in messages)

    def stream(
        self,
        messages: Sequence[Message],
        settings: GenerationSettings,
        adapter: str | None,
        grounding: Grounding | None = None,
    ) -> Iterator[Token]:
        self.history.append((list(messages), adapter))
        reply = self.replies.pop(0) if self.replies else f"You asked: {messages[-1].content.split()[-1]}"
        prompt_tokens = self.count_tokens(messages)
        try:
            for n, word in enumerate(reply.split(" ")[: settings.max_tokens]):
                yield Token((" " if n else "") + word, prompt_tokens, 0)
        finally:
            self.closed += 1


class FakeRetriever:
    """Finds the passages that share words with the query; a passage's score is the share of the query's words."""

    def __init__(self, passages: Sequence[Passage], threshold: float = 0.3) -> None:
        self.passages = list(passages)
        self.threshold = threshold
        self.queries: list[str] = []
        self.talk: dict[str, str] = {}

    def search(self, query: str, k: int) -> SearchResult:
        self.queries.append(query)
        words = set(query.lower().split())
        scored = [
            replace(p, score=len(words & set(f"{p.label} {p.text}".lower().split())) / max(1, len(words)))
            for p in self.passages
        ]
        scored.sort(key=lambda p: -p.score)
        covered = tuple(p for p in scored[:k] if p.score >= self.threshold)
        return SearchResult(query, covered, scored[0] if scored else None, self.threshold, 1.0)

    def small_talk(self, message: str) -> str:
        return self.talk.get(message, "")


class Everybodys:
    """Everybody's documents with what is changed of them, in memory; for retrieval/knowledge.py."""

    def __init__(self, index: Any) -> None:
        self._first = self.current = index
        self._files: dict[str, bytes | None] = {}

    def add(self, source: str, data: bytes) -> Document:
        document = read_document(source, data)
        self._files[source] = data
        self.renew()
        return document

    def remove(self, source: str) -> None:
        self._files[source] = None
        self.renew()

    def undo(self, source: str) -> None:
        self._files.pop(source, None)
        self.renew()

    def changes(self) -> dict[str, bool]:
        return {source: data is None for source, data in self._files.items()}

    def file(self, source: str) -> bytes:
        return self._files.get(source) or self.current.document(source).text.encode()

    def renew(self) -> None:
        there = [read_document(source, data) for source, data in self._files.items() if data is not None]
        self.current = self._first.with_documents(there, [s for s, data in self._files.items() if data is None])
