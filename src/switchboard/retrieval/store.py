"""Vectors on disk, in a Chroma collection; the only module that knows Chroma."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings as ChromaSettings

from switchboard.errors import KnowledgeError, StorageError, first_line
from switchboard.files import MANIFEST, aside_of, intact, is_of_the_disk, write_manifest
from switchboard.progress import Report
from switchboard.retrieval.embedding import Vectors
from switchboard.types import Passage

_COLLECTION = "passages"
HNSW = {"space": "cosine", "ef_construction": 200, "ef_search": 200, "max_neighbors": 32}
"""Wide enough that the approximate search finds what an exact one does; see retrieve-eval."""
_AT_ONCE = 2000
_BUSY = re.compile(r"locked|busy", re.IGNORECASE)
"""What SQLite says of a database that somebody else is writing to."""
_TRY = f"import sys; sys.path.insert(0, sys.argv[1]); from {__name__} import try_opening; try_opening(sys.argv[2])"
_TRY_SECONDS = 120
_ROOM = 1 << 20
"""Bytes that must be left on the disk after writing."""
NOT_SEARCHED = "The documents cannot be searched now. Fine-tuned still answers; whoever runs this can start it again."
"""What a visitor is told of an index that is not to be had."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """One stored passage, without its text: that is `document.text[start:end]`."""

    heading: str
    start: int
    end: int


@dataclass(frozen=True)
class StoredDocument:
    """What is stored of a document, and under which `ids`. `complete` is False when its writing was cut short."""

    sha256: str
    passages: tuple[Stored, ...]
    complete: bool
    ids: tuple[str, ...]


class PassageStore:
    """Passages' vectors, kept in `folder`. One object a folder and process."""

    def __init__(self, folder: Path, made_with: str, report: Report) -> None:
        """Open the store, or make it. `made_with` names the embedder and the chunking.

        A store made with something else is emptied, as its vectors cannot be compared; a damaged one is set aside,
        beside `folder`, and a new one made. Both are reported. Raises StorageError when it cannot be opened for a
        reason that leaves it whole: no permission, no space, in use.
        """
        self._folder = folder
        self._made_with = made_with
        with self._plainly():
            if folder.exists() and not self._unharmed():
                self._set_aside("its files are not as they were written", report)
            sealed = (folder / MANIFEST).exists()
            (folder / MANIFEST).unlink(missing_ok=True)
            try:
                self._open(report)
                self._check(sealed)
            except Exception as error:
                _LOG.debug("The index in %s cannot be read", folder, exc_info=True)
                if is_of_the_disk(error) or _BUSY.search(str(error)):
                    raise
                self._set_aside(type(error).__name__, report)
                self._open(report)

    def seal(self) -> None:
        """Note the files' digests, once all is written: the next one to open the store can tell damage by them.

        Chroma keeps no digests of its own: it crashes the process over some damaged files, and searches others. Nor
        does it notice that a full disk took only half of a file, so there is no seal where there is no room left: it
        is as good without, and the next start takes a second more to read all of it.
        """
        with suppress(OSError):
            if shutil.disk_usage(self._folder).free >= _ROOM:
                write_manifest(self._folder)

    def documents(self) -> dict[str, StoredDocument]:
        """What is stored, by source."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for row in self._ask("get", include=["metadatas"])["metadatas"] or []:
            found.setdefault(str(row["source"]), []).append(row)
        return {source: _stored_document(rows) for source, rows in found.items()}

    def add_documents(self, documents: Sequence[tuple[str, Sequence[Passage]]], vectors: Vectors) -> None:
        """Store documents, each its SHA-256 and its passages, of which nothing is stored; a vector a passage."""
        rows = [
            {
                "source": passage.source,
                "sha256": sha256,
                "heading": passage.heading,
                "start": passage.start,
                "end": passage.end,
                "of": len(passages),
            }
            for sha256, passages in documents
            for passage in passages
        ]
        self.add([passage.id for _, passages in documents for passage in passages], vectors, rows)

    def add(self, ids: Sequence[str], vectors: Vectors, rows: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Store vectors of length 1 under their ids."""
        self.unseal()
        for part in _parts(len(ids)):
            metadatas = list(rows[part]) if rows else None
            self._ask("upsert", ids=list(ids[part]), embeddings=vectors[part], metadatas=metadatas)

    def delete(self, ids: Collection[str]) -> None:
        """Forget vectors; ids that are not stored are passed over."""
        self.unseal()
        doomed = sorted(ids)
        for part in _parts(len(doomed)):
            self._ask("delete", ids=doomed[part])

    def count(self) -> int:
        """How many vectors are stored."""
        return int(self._ask("count"))

    def nearest(self, vector: Vectors, n: int) -> list[tuple[str, float]]:
        """The ids and cosine similarities of at most n nearest passages, nearest first."""
        found = self._ask("query", quick=True, query_embeddings=vector[None], n_results=n, include=["distances"])
        return [(i, 1.0 - d) for i, d in zip(found["ids"][0], found["distances"][0], strict=True)]

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The stored vectors by id, each of shape (dimensions,); an id that is not stored is left out."""
        vectors: dict[str, Vectors] = {}
        for part in _parts(len(ids)):
            found = self._ask("get", quick=True, ids=list(ids[part]), include=["embeddings"])
            vectors |= {i: np.asarray(v, np.float32) for i, v in zip(found["ids"], found["embeddings"], strict=True)}
        return vectors

    def close(self) -> None:
        """Release the files; the store cannot be used after that."""
        self._client.close()

    def unseal(self) -> None:
        """Say that the files are being changed: until they are sealed again nobody goes by their digests."""
        with self._plainly():
            (self._folder / MANIFEST).unlink(missing_ok=True)

    def _ask(self, method: str, quick: bool = False, **arguments: Any) -> Any:
        """Call a method of the collection. Raises StorageError, or KnowledgeError where a visitor waits: `quick`."""
        with self._searching() if quick else self._plainly():
            return getattr(self._collection, method)(**arguments)

    def _open(self, report: Report) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = ChromaSettings(anonymized_telemetry=False)
        self._client = chromadb.PersistentClient(str(self._folder), settings=settings)
        made_with = {"made_with": self._made_with}
        self._collection = self._get_or_create(made_with)
        if self._collection.metadata != made_with:
            report("The embedder or the chunking has changed: building the index anew.")
            self._client.delete_collection(_COLLECTION)
            self._collection = self._get_or_create(made_with)

    def _get_or_create(self, made_with: dict[str, str]) -> Any:
        if _COLLECTION in [collection.name for collection in self._client.list_collections()]:
            return self._client.get_collection(_COLLECTION, embedding_function=None)
        return self._client.create_collection(
            _COLLECTION, metadata=made_with, configuration={"hnsw": HNSW}, embedding_function=None
        )

    def _check(self, sealed: bool) -> None:
        """Read all rows, and all vectors where they were not sealed, and search once: damage shows only then."""
        rows = self._collection.get(include=["metadatas"])
        if rows["ids"]:
            looked_at = rows["ids"][:1] if sealed else rows["ids"]
            first = self._collection.get(ids=looked_at, include=["embeddings"])["embeddings"][:1]
            if not self._collection.query(query_embeddings=first, n_results=1, include=["distances"])["ids"][0]:
                raise ValueError("the index finds nothing of what it holds")

    def _unharmed(self) -> bool:
        """Whether the files may be opened: they are as they were sealed or, where their writing was cut short and they
        are not sealed, a process of its own has opened them and lived."""
        if not self._folder.is_dir():
            return False
        if (self._folder / MANIFEST).exists():
            return intact(self._folder)
        if not any(self._folder.iterdir()):
            return True
        command = [sys.executable, "-c", _TRY, str(Path(__file__).parents[2]), str(self._folder)]
        try:
            tried = subprocess.run(command, capture_output=True, check=False, timeout=_TRY_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return tried.returncode >= 0  # below 0 is the signal that killed it

    def _set_aside(self, why: str, report: Report) -> None:
        if hasattr(self, "_client"):
            self._client.close()
        # Chroma keeps a client that failed to start, and would hand it out again for the same folder.
        getattr(SharedSystemClient, "_identifier_to_system", {}).pop(str(self._folder), None)
        aside = aside_of(self._folder)
        self._folder.rename(aside)
        report(f"The index cannot be read ({why}): it is set aside in {aside} and built anew.")

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Raise StorageError, which says what to do, for whatever Chroma or the disk raises."""
        try:
            yield
        except Exception as error:
            raise StorageError(
                f"The index in {self._folder} cannot be used ({first_line(error)}). See that it can be written, that "
                "there is space, and that no other program holds it; then start again."
            ) from error

    @contextmanager
    def _searching(self) -> Iterator[None]:
        """Raise KnowledgeError, which a visitor may read, for whatever Chroma raises."""
        try:
            yield
        except Exception as error:
            _LOG.exception("The index in %s cannot be searched", self._folder)
            raise KnowledgeError(NOT_SEARCHED) from error


def try_opening(folder: str) -> None:
    """Read all that Chroma has in a folder, to find out whether that kills the process."""
    client = chromadb.PersistentClient(folder, settings=ChromaSettings(anonymized_telemetry=False))
    for collection in client.list_collections():
        rows = collection.get(include=["embeddings"])
        for start in range(0, len(rows["ids"]), _AT_ONCE):
            collection.query(query_embeddings=rows["embeddings"][start : start + 1], n_results=1)


def _parts(count: int) -> list[slice]:
    """So many items in pieces of what Chroma takes at once."""
    return [slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)]


def _stored_document(rows: Sequence[Mapping[str, Any]]) -> StoredDocument:
    passages = sorted((Stored(r["heading"], int(r["start"]), int(r["end"])) for r in rows), key=lambda s: s.start)
    digests = {str(row["sha256"]) for row in rows}
    complete = len(digests) == 1 and all(row["of"] == len(rows) for row in rows)
    ids = tuple(f"{row['source']}#{row['start']}" for row in rows)
    return StoredDocument(min(digests), tuple(passages), complete, ids)
