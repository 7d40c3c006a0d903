"""The vectors of passages' parts, which a question is compared with: embedded once, with the index, and kept.

Embedding the parts of eight passages takes half a second, which would be most of a search.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from switchboard.progress import Report
from switchboard.retrieval.embedding import Embedder, Vectors
from switchboard.retrieval.focus import part_text, parts_or_whole
from switchboard.types import Passage

MOST = 20_000
"""Parts that are kept, 30 MB of vectors; a larger index embeds parts when they are asked for."""
_AT_ONCE = 256
_RECENT = 2048


class PartVectors:
    """Vectors by passage; what is not kept is embedded when it is asked for. Safe to use from several threads."""

    def __init__(self, embedder: Embedder, kept: dict[str, Vectors] | None = None) -> None:
        """`kept` has the vectors by the passages' keys, see `key`."""
        self._embedder = embedder
        self._kept = kept or {}
        self._recent = lru_cache(maxsize=_RECENT)(self._embed)

    def apart(self) -> PartVectors:
        """The same ones kept, and what else is asked for remembered apart: a visitor's goes with the visitor."""
        return PartVectors(self._embedder, self._kept)

    def of(self, passage: Passage) -> Vectors:
        """The vectors of a passage's parts, shape (parts, dimensions)."""
        found = self._kept.get(key(passage))
        return self._recent(tuple(_texts(passage))) if found is None else found

    def _embed(self, texts: tuple[str, ...]) -> Vectors:
        return self._embedder.embed_queries(texts)


def key(passage: Passage) -> str:
    """What a passage's parts are kept under: a digest of what is embedded."""
    return hashlib.sha256("\n".join(_texts(passage)).encode()).hexdigest()[:32]


def open_parts(passages: Sequence[Passage], file: Path, embedder: Embedder, report: Report) -> PartVectors:
    """The parts' vectors, read from `file` as far as they are there; new ones are embedded and the file is renewed.

    A file that cannot be read is made anew; one that cannot be written is done without.
    """
    if sum(len(_texts(passage)) for passage in passages) > MOST:
        return PartVectors(embedder)
    by_key = {key(passage): passage for passage in passages}
    kept = {name: vectors for name, vectors in _read(file, embedder.identity) if name in by_key}
    missing = [name for name in by_key if name not in kept]
    pending: list[str] = []
    for number, name in enumerate(missing, 1):
        pending.append(name)
        if len(pending) == _AT_ONCE or number == len(missing):
            kept.update(_embedded([(name, by_key[name]) for name in pending], embedder))
            pending = []
            report(f"Embedding sentences: of {number:,} of {len(missing):,} passages ...")
            _write(file, embedder.identity, kept, report)
    return PartVectors(embedder, kept)


def _texts(passage: Passage) -> list[str]:
    return [part_text(passage, part) for part in parts_or_whole(passage.text)]


def _embedded(passages: Sequence[tuple[str, Passage]], embedder: Embedder) -> dict[str, Vectors]:
    texts = [_texts(passage) for _, passage in passages]
    vectors = embedder.embed_queries([text for some in texts for text in some])
    ends = np.cumsum([len(some) for some in texts])
    return {name: part for (name, _), part in zip(passages, np.split(vectors, ends[:-1]), strict=True)}


def _read(file: Path, identity: str) -> Iterable[tuple[str, Vectors]]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            if str(stored["identity"]) != identity:
                return []
            names, counts, vectors = stored["names"], stored["counts"], stored["vectors"]
            if len(names) != len(counts) or counts.sum() != len(vectors):
                return []
            return zip(names.tolist(), np.split(vectors, np.cumsum(counts)[:-1]), strict=True)
    except (OSError, EOFError, ValueError, KeyError, BadZipFile):
        return []


def _write(file: Path, identity: str, kept: dict[str, Vectors], report: Report) -> None:
    """Write all at once, so that a reader finds the old file or the new one."""
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            np.savez(
                out,
                identity=np.array(identity),
                names=np.array(list(kept)),
                counts=np.array([len(vectors) for vectors in kept.values()]),
                vectors=np.concatenate(list(kept.values())),
            )
        part.replace(file)
    except OSError as error:
        report(f"The sentences' vectors could not be kept ({error}); they are embedded anew at the next start.")
        part.unlink(missing_ok=True)
