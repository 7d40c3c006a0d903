"""The index over a knowledge folder: built once, and brought up to date with the folder at each start."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from switchboard.errors import KnowledgeError
from switchboard.progress import Report
from switchboard.retrieval.asked import AskedQuestions, open_asked, read_asked
from switchboard.retrieval.chunking import MAX_TOKENS, METHOD, chunk
from switchboard.retrieval.documents import load_folder
from switchboard.retrieval.embedding import Embedder, Vectors, embedded_text
from switchboard.retrieval.judge import Reranker
from switchboard.retrieval.overlay import Overlay, VectorStore
from switchboard.retrieval.part_vectors import PartVectors, open_parts
from switchboard.retrieval.search import DEFAULT_THRESHOLD, Rankings, Searcher, search_passages, threshold_for
from switchboard.retrieval.store import PassageStore, StoredDocument
from switchboard.types import Document, Passage, SearchResult

_DOCUMENTS_AT_ONCE = 32
"""Written together: whoever is killed loses no more than this much work."""
_LOCK_SECONDS = 120


class _Laid(NamedTuple):
    """A document of a copy, its passages and their vectors, each (dimensions,)."""

    document: Document
    passages: tuple[Passage, ...]
    vectors: tuple[Vectors, ...]


class _Copy(NamedTuple):
    """What a copy is of, and what is different there: documents by source, and sources that are not there."""

    origin: KnowledgeIndex | None
    laid: Mapping[str, _Laid]
    gone: frozenset[str]


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
        self._origin, self._laid, self._gone = copy or _Copy(None, {}, frozenset())
        self.documents = documents
        self.passages = tuple(passages)
        self.threshold = threshold
        self.fingerprint = _fingerprint(documents.values(), embedder, asked)
        self._embedder = embedder
        self._store = store
        self._by_id = {passage.id: passage for passage in passages}
        like = self._origin.searcher if self._origin else None
        texts = [embedded_text(p) for p in passages]
        self.searcher: Searcher = Searcher(embedder, store, list(self._by_id), texts, asked, like)
        self._asked = asked
        self._reranker = reranker
        self._parts = parts or PartVectors(embedder)

    @classmethod
    def open(
        cls,
        folder: Path,
        data: Path,
        embedder: Embedder,
        report: Report,
        threshold: float | None = None,
        reranker: Reranker | None = None,
    ) -> KnowledgeIndex:
        """Open the index of `folder`, kept below `data`, after embedding what is new or changed in the folder.

        `threshold` None takes the one calibrated for the embedder; a `reranker` takes its place. What was killed
        half-way is healed here. Raises KnowledgeError if there is no such folder or another process is building the
        index and does not finish.
        """
        documents = {document.source: document for document in load_folder(folder, report)}
        data.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(data / "index.lock", timeout=_LOCK_SECONDS):
                store = PassageStore(data / "index" / _name_of(folder), _made_with(embedder), report)
                passages = _synchronise(store, documents, embedder, report)
                questions = data / "index" / f"{_name_of(folder)}-asked"
                asked = open_asked(read_asked(folder), passages, questions, embedder, report)
                parts = open_parts(passages, data / "index" / f"{_name_of(folder)}-parts.npz", embedder, report)
        except Timeout as error:
            raise KnowledgeError(
                f"Another process has been building the index in {data} for {_LOCK_SECONDS} seconds. "
                "Wait for it to finish and start again."
            ) from error
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

    def edited(self, source: str, text: str) -> KnowledgeIndex:
        """A copy of the index in which one document has another text. Raises KnowledgeError if there is no such one."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self.with_documents([replace(self.document(source), text=text, sha256=digest)])

    def with_documents(self, changed: Sequence[Document], removed: Collection[str] = ()) -> KnowledgeIndex:
        """A copy with these documents, new ones or in place of those of their names, and without the `removed`.

        It is made in memory, in a fraction of a second where little is changed, and lasts as long as somebody holds it;
        this index and its files stay as they are.
        """
        origin = self._origin or self
        laid = {source: one for source, one in self._laid.items() if source not in removed}
        for document in changed:
            made = chunk(document, self._embedder.count_tokens, _limit(self._embedder))
            vectors = tuple(self._embedder.embed_passages(made)) if made else ()
            laid[document.source] = _Laid(document, tuple(made), vectors)
        gone = {*self._gone, *removed} - laid.keys()
        hidden = gone | laid.keys()
        kept = {source: one for source, one in origin.documents.items() if source not in hidden}
        asked = self._asked
        if asked:
            for source in {*removed, *(document.source for document in changed)}:
                asked = asked.moved(source, laid[source].passages if source in laid else ())
            if laid.keys() - origin.documents.keys():
                asked = asked.with_more_documents()
        below = [passage for passage in origin.passages if passage.source not in hidden]
        return KnowledgeIndex(
            {**kept, **{source: one.document for source, one in laid.items()}},
            [*below, *(passage for one in laid.values() for passage in one.passages)],
            self._embedder,
            Overlay(
                origin._store,
                [p.id for p in origin.passages if p.source in hidden],
                {p.id: vector for one in laid.values() for p, vector in zip(one.passages, one.vectors, strict=True)},
            ),
            self.threshold,
            asked,
            self._reranker,
            origin._parts.apart(),
            _Copy(origin, laid, frozenset(gone)),
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
        if self._asked and not self._origin:
            self._asked.close()


def _limit(embedder: Embedder) -> int:
    return min(MAX_TOKENS, embedder.max_tokens)


def _made_with(embedder: Embedder) -> str:
    return f"{embedder.identity}; {METHOD}; at most {_limit(embedder)} tokens"


def _name_of(folder: Path) -> str:
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
    """Bring the store up to date with the documents; returns every passage, in the documents' order."""
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
    changed = {document.source for document in to_embed}
    store.delete([source for source in stored if source not in documents or source in changed])
    _embed(store, to_embed, passages, embedder, report)
    return [passage for source in documents for passage in passages[source]]


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
