"""Vectors with one document's in place of the stored ones: what a private copy of an index searches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from switchboard.retrieval.embedding import Vectors


class VectorStore(Protocol):
    """What is searched: a PassageStore, or one with something laid over it."""

    def nearest(self, vector: Vectors, n: int) -> list[tuple[str, float]]: ...
    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]: ...
    def close(self) -> None: ...


class Overlay:
    """A store without some of its passages and with others, which are in memory alone. The store is not touched."""

    def __init__(self, below: VectorStore, hidden: Collection[str], vectors: Mapping[str, Vectors]) -> None:
        """`hidden` are ids of the store; `vectors` are of length 1, by id, and may have the ids of hidden ones."""
        self._below = below
        self._hidden = frozenset(hidden)
        self._vectors = dict(vectors)

    def nearest(self, vector: Vectors, n: int) -> list[tuple[str, float]]:
        """The ids and cosine similarities of at most n nearest passages, nearest first."""
        stored = [row for row in self._below.nearest(vector, n + len(self._hidden)) if row[0] not in self._hidden]
        laid = [(i, float(own @ vector)) for i, own in self._vectors.items()]
        return sorted([*stored, *laid], key=lambda row: -row[1])[:n]

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors by id; an id that there is none of is left out."""
        below = [i for i in ids if i not in self._vectors and i not in self._hidden]
        own = {i: self._vectors[i] for i in ids if i in self._vectors}
        return {**(self._below.vectors(below) if below else {}), **own}

    def close(self) -> None:
        """Nothing: the store belongs to somebody else."""
