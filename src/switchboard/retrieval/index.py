"""The index over a knowledge folder: built once, and brought up to date with the folder at each start."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from switchboard.errors import KnowledgeError
from switchboard.files import storing
from switchboard.progress import Report
from switchboard.retrieval.asked import AskedQuestions, open_asked, read_asked
from switchboard.retrieval.chunking import MAX_TOKENS, METHOD, chunk
from switchboard.retrieval.documents import load_folder
from switchboard.retrieval.embedding import Embedder, Vectors, embedded_text
from switchboard.retrieval.injection import left_out
from switchboard.retrieval.judge import Reranker
from switchboard.retrieval.overlay import Overlay, VectorStore
from switchboard.retrieval.part_vectors import PartVectors, open_parts
from switchboard.retrieval.search import DEFAULT_THRESHOLD, Rankings, Searcher, search_passages, threshold_for
from switchboard.retrieval.server import ChromaServer, ServerStore
from switchboard.retrieval.shared import SharedDocuments
from switchboard.retrieval.store import NOT_SEARCHED, PassageStore, StoredDocument
from switchboard.types import Document, Passage, SearchResult

_DOCUMENTS_AT_ONCE = 32
"""Written together: whoever is killed loses no more than this much work."""
_LOCK_SECONDS = 120
_TRIES = 3
"""How often an index that another app changes at the same time is brought up to date."""


class _Laid(NamedTuple):
    """A document of a copy, its passages and their vectors, each (dimensions,)."""

    document: Document
    passages: tuple[Passage, ...]
    vectors: tuple[Vectors, ...]


class _Copy(NamedTuple):
    """What a copy is of, and what is different there: documents by source, and sources that are not there."""

    origin: KnowledgeIndex
    laid: Mapping[str, _Laid]
    gone: frozenset[str]

    def made(self) -> KnowledgeIndex:
        """The copy."""
        origin, laid = self.origin, self.laid
        hidden = self.gone | laid.keys()
        kept = {source: one for source, one in origin.documents.items() if source not in hidden}
        below = [passage for passage in origin.passages if passage.source not in hidden]
        asked = origin._asked
        for source in hidden:
            asked = asked and asked.moved(source, laid[source].passages if source in laid else ())
        more = [vector for source in laid.keys() - origin.documents.keys() for vector in laid[source].vectors]
        return KnowledgeIndex(
            {**kept, **{source: one.document for source, one in laid.items()}},
            [*below, *(passage for one in laid.values() for passage in one.passages)],
            origin._embedder,
            Overlay(
                origin._store,
                [p.id for p in origin.passages if p.source in hidden],
                {p.id: vector for one in laid.values() for p, vector in zip(one.passages, one.vectors, strict=True)},
            ),
            origin.threshold,
            asked.with_more(np.array(more, np.float32)) if asked and more else asked,
            origin._reranker,
            origin._parts.apart(),
            self,
        )


class KnowledgeIndex:
    """A searchable knowledge folder; a Retriever. Safe to search from several threads."""

    def __init__(
        self,
        documents: Mapping[str, Document],
        passages: Sequence[Passage],
        embedder: Embedder,
        store: VectorStore,
        threshold: float,
        asked: AskedQuestions | None = None,
        reranker: Reranker | None = None,
        parts: PartVectors | None = None,
        copy: _Copy | None = None,
    ) -> None:
        self._origin = copy.origin if copy else None
        self._laid = copy.laid if copy else {}
        self._gone = copy.gone if copy else frozenset[str]()
        self.documents = documents
        self.passages = tuple(passages)
        self.threshold = threshold
        self.fingerprint = _fingerprint(documents.values(), embedder, asked)
        self._embedder = embedder
        self._store = store
        self._by_id = {passage.id: passage for passage in passages}
        like = self._origin.searcher if self._origin else None
        texts = [embedded_text(p) for p in passages]
        self.searcher: Searcher = Searcher(
            embedder, store, list(self._by_id), texts, asked, like, [p.source for p in passages]
        )
        self._asked = asked
        self._reranker = reranker
        self._parts = parts or PartVectors(embedder)
        self._left_out: dict[str, frozenset[int]] = {}

    @classmethod
    def open(
        cls,
        folder: Path,
        data: Path,
        embedder: Embedder,
        report: Report,
        threshold: float | None = None,
        reranker: Reranker | None = None,
        edits: SharedDocuments | None = None,
        server: ChromaServer | None = None,
    ) -> KnowledgeIndex:
        """Open the index of `folder`, kept below `data`, after embedding what is new or changed in the folder.

        `edits` are laid over the folder's documents. With a `server` the vectors are there, shared with whoever has the
        same folder. `threshold` None takes the one calibrated for the embedder; a `reranker` takes its place. What was
        killed half-way is healed here. Raises KnowledgeError if there is no such folder, another process is building
        the index and does not finish, or the server does not answer, and StorageError if it cannot be written.
        """
        shipped = load_folder(folder, report)
        documents = {document.source: document for document in (edits.over(shipped, report) if edits else shipped)}

        def store_of(name: str, made_with: str, report: Report) -> PassageStore:
            name = f"{name_of(folder)}{name}"
            if server:
                return ServerStore(server, name, made_with, report)
            return PassageStore(data / "index" / name, made_with, report)

        with _building(data):
            store = store_of("", _made_with(embedder), report)
            passages = _synchronise(store, documents, embedder, report)
            store.seal()
            asked = open_asked(read_asked(folder, report), passages, partial(store_of, "-asked"), embedder, report)
            parts = open_parts(passages, data / "index" / f"{name_of(folder)}-parts.npz", embedder, report)
        added = documents.keys() - {document.source for document in shipped}
        asked = _with_more(asked, store, [p.id for p in passages if p.source in added])
        if threshold is None and (threshold := threshold_for(embedder.name, asked is not None)) is None:
            threshold = DEFAULT_THRESHOLD
            report(
                f"No threshold was calibrated for {embedder.name}: taking {threshold}. "
                "Set SWITCHBOARD_THRESHOLD to one that suits your documents."
            )
        return cls(documents, passages, embedder, store, threshold, asked, reranker, parts)

    def search(self, query: str, k: int) -> SearchResult:
        """Find at most k passages, best first, and what of them is nearest to the query."""
        return search_passages(
            self.searcher,
            self._by_id,
            query,
            k,
            self.threshold,
            self.part_vectors,
            self._reranker,
            self.left_out,
        )

    def inspect(self, query: str, k: int) -> tuple[Rankings, SearchResult]:
        """What both searches and their fusion rank, and what a search makes of it."""
        return self.searcher.rank(query), self.search(query, k)

    def passage(self, name: str) -> Passage:
        """One passage by its id. Raises KeyError if there is none."""
        return self._by_id[name]

    def small_talk(self, message: str) -> str:
        """A reply, where a message resembles known small talk more than any known question; else nothing."""
        return self.searcher.small_talk(message)

    def part_vectors(self, passage: Passage) -> Vectors:
        """The vectors of a passage's parts, shape (parts, dimensions)."""
        return self._parts.of(passage)

    def left_out(self, passage: Passage) -> frozenset[int]:
        """Which of a passage's parts give orders to a model, so that it is not shown them; see injection.py."""
        if passage.id not in self._left_out:
            self._left_out[passage.id] = left_out(passage)
        return self._left_out[passage.id]

    def edited(self, source: str, text: str) -> KnowledgeIndex:
        """A copy of the index in which one document has another text. Raises KnowledgeError if there is no such one."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self.with_documents([replace(self.document(source), text=text, sha256=digest)])

    def with_documents(self, changed: Sequence[Document], removed: Collection[str] = ()) -> KnowledgeIndex:
        """A copy with these documents, new ones or in place of those of their names, and without the `removed`.

        It is made in memory, in a fraction of a second where little is changed, and lasts as long as somebody holds it;
        this index and its files stay as they are.
        """
        laid = {source: one for source, one in self._laid.items() if source not in removed}
        for document in changed:
            made = chunk(document, self._embedder.count_tokens, _limit(self._embedder))
            vectors = tuple(self._embedder.embed_passages(made)) if made else ()
            laid[document.source] = _Laid(document, tuple(made), vectors)
        gone = {*self._gone, *removed} - laid.keys()
        return _Copy(self._origin or self, laid, frozenset(gone)).made()

    def over(self, origin: KnowledgeIndex) -> KnowledgeIndex:
        """The same copy of an index that has been renewed since; itself, where it is no copy or already of that one."""
        if self._origin is None or self._origin is origin:
            return self
        return _Copy(origin, self._laid, self._gone).made()

    def renewed(self, documents: Sequence[Document], data: Path, report: Report) -> KnowledgeIndex:
        """The index of other documents, with the same store, which is brought up to date; `data` as in `open`.

        Raises KnowledgeError as `open` does. This index finds what is still there of its own until nobody holds it.
        """
        by_source = {document.source: document for document in documents}
        with _building(data):
            assert isinstance(self._store, PassageStore)
            passages = _synchronise(self._store, by_source, self._embedder, report)
            self._store.seal()
        asked = self._asked
        changed = {s for s, one in by_source.items() if s not in self.documents or self.documents[s] != one}
        for source in changed | (self.documents.keys() - by_source.keys()):
            asked = asked and asked.moved(source, [passage for passage in passages if passage.source == source])
        added = changed - self.documents.keys()
        asked = _with_more(asked, self._store, [p.id for p in passages if p.source in added])
        return KnowledgeIndex(
            by_source,
            passages,
            self._embedder,
            self._store,
            self.threshold,
            asked,
            self._reranker,
            self._parts,
        )

    def document(self, source: str) -> Document:
        """One document. Raises KnowledgeError if there is none of that name."""
        try:
            return self.documents[source]
        except KeyError:
            raise KnowledgeError(f"There is no document {source} in the knowledge folder.") from None

    def describe(self) -> str:
        """What is indexed, in a line: `77 articles, 312 passages, all-MiniLM-L6-v2`."""
        return f"{len(self.documents)} articles, {len(self.passages)} passages, {self._embedder.name}"

    def close(self) -> None:
        """Release the store's files; the index cannot be searched after that."""
        self._store.close()


def _with_more(asked: AskedQuestions | None, store: VectorStore, ids: Sequence[str]) -> AskedQuestions | None:
    """The known questions where passages of these ids are new."""
    if not asked or not ids:
        return asked
    return asked.with_more(np.array(list(store.vectors(ids).values()), np.float32))


class MissingIndex(KnowledgeIndex):
    """Stands in for an index that cannot be had: there is nothing in it, and a search raises KnowledgeError."""

    documents: Mapping[str, Document] = MappingProxyType({})
    passages = ()

    def __init__(self) -> None:
        """Opens nothing."""

    def search(self, _query: str, _k: int) -> SearchResult:
        """Raises KnowledgeError."""
        raise KnowledgeError(NOT_SEARCHED)

    def inspect(self, query: str, k: int) -> tuple[Rankings, SearchResult]:
        """Raises KnowledgeError."""
        return Rankings((), (), (), {}), self.search(query, k)

    def with_documents(self, _changed: Sequence[Document], _removed: Collection[str] = ()) -> KnowledgeIndex:
        """Raises KnowledgeError."""
        raise KnowledgeError(NOT_SEARCHED)

    def small_talk(self, _message: str) -> str:
        """None is known."""
        return ""

    def describe(self) -> str:
        """What there is to say about it."""
        return "not to be had: RAG and Combined do not answer"

    def close(self) -> None:
        """Nothing is open."""


def _limit(embedder: Embedder) -> int:
    return min(MAX_TOKENS, embedder.max_tokens)


def _made_with(embedder: Embedder) -> str:
    return f"{embedder.identity}; {METHOD}; at most {_limit(embedder)} tokens"


@contextmanager
def _building(data: Path) -> Iterator[None]:
    """While this lasts nobody else changes the index below `data`."""
    try:
        with storing(data):
            data.mkdir(parents=True, exist_ok=True)
            with FileLock(data / "index.lock", timeout=_LOCK_SECONDS):
                yield
    except Timeout as error:
        raise KnowledgeError(
            f"Another process has been building the index in {data} for {_LOCK_SECONDS} seconds. "
            "Wait for it to finish and start again."
        ) from error


def name_of(folder: Path) -> str:
    """The name of a knowledge folder's index: two folders must not empty each other's."""
    return f"{folder.name}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"


def _fingerprint(documents: Iterable[Document], embedder: Embedder, asked: AskedQuestions | None) -> str:
    """Twelve digits that name the knowledge and how it was indexed."""
    lines = [_made_with(embedder), *sorted(f"{document.source} {document.sha256}" for document in documents)]
    lines += sorted(f"{passage} {text}" for passage, text in asked.texts.items()) if asked else []
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _synchronise(
    store: PassageStore, documents: Mapping[str, Document], embedder: Embedder, report: Report
) -> list[Passage]:
    """Bring the store up to date with the documents; returns every passage, in the documents' order.

    Another app may do the same on the same server: what both write is the same, nothing is deleted before what takes
    its place is there, and what became of it is looked at afterwards.
    """
    for _ in range(_TRIES):
        stored = store.documents()
        passages: dict[str, list[Passage]] = {}
        to_embed = []
        for source, document in documents.items():
            known = stored.get(source)
            if known and known.complete and known.sha256 == document.sha256:
                passages[source] = _restored(document, known)
            else:
                passages[source] = chunk(document, embedder.count_tokens, _limit(embedder))
                # A document without text has nothing to store, so it looks new each time.
                if passages[source] or known:
                    to_embed.append(document)
        found = [passage for source in documents for passage in passages[source]]
        stale = {i for document in stored.values() for i in document.ids} - {passage.id for passage in found}
        if not to_embed and not stale:
            return found
        _embed(store, to_embed, passages, embedder, report)
        store.delete(stale)
    report("Another app keeps changing this index: see that all that share it have the same documents.")
    return found


def _restored(document: Document, known: StoredDocument) -> list[Passage]:
    return [
        Passage(
            document.source,
            document.title,
            stored.heading,
            document.text[stored.start : stored.end],
            stored.start,
            stored.end,
            document.updated,
        )
        for stored in known.passages
    ]


def _embed(
    store: PassageStore,
    documents: Sequence[Document],
    passages: Mapping[str, Sequence[Passage]],
    embedder: Embedder,
    report: Report,
) -> None:
    done = 0
    for batch in _batches(documents):
        made = [(document.sha256, passages[document.source]) for document in batch]
        store.add_documents(made, embedder.embed_passages([passage for _, some in made for passage in some]))
        done += len(batch)
        report(f"Indexing: {done} of {len(documents)} changed articles ...")


def _batches(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    for start in range(0, len(documents), _DOCUMENTS_AT_ONCE):
        yield documents[start : start + _DOCUMENTS_AT_ONCE]
