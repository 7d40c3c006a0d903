"""Documents that were changed in the page for everybody: rows of the database, laid over the knowledge folder.

The folder stays as it is, and may be read-only or part of an image. A row holds a file's bytes, or says that the
folder's file of that name is not to be found any more. Several machines that share the database share these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Column, ColumnElement, LargeBinary, MetaData, Table, Text, delete, select

from switchboard.database import Database, put
from switchboard.errors import KnowledgeError
from switchboard.progress import Report
from switchboard.retrieval.documents import read_document
from switchboard.types import Document

_TABLES = MetaData()
_DOCUMENTS = Table(
    "documents",
    _TABLES,
    Column("knowledge", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("data", LargeBinary),
    Column("time", Text, nullable=False),
)


class SharedDocuments:
    """The changes to one knowledge folder. Safe to use from several threads, and by several programs."""

    def __init__(self, database: Database, knowledge: str) -> None:
        """`knowledge` names the folder that the changes are to."""
        self._database = database
        self._knowledge = knowledge

    def over(self, documents: Iterable[Document], report: Report) -> list[Document]:
        """The documents with the changes made to them, sorted by source.

        A changed one that is damaged or cannot be read is reported and left out. Raises StorageError.
        """
        by_source = {document.source: document for document in documents}
        for source, data, digest in self._selected(_DOCUMENTS.c.data, _DOCUMENTS.c.sha256):
            by_source.pop(source, None)
            if data is not None:
                try:
                    by_source[source] = read_document(source, _whole(source, data, digest))
                except KnowledgeError as error:
                    report(f"Left out: {error}")
        return sorted(by_source.values(), key=lambda document: document.source)

    def put(self, source: str, data: bytes) -> None:
        """Store a file, in place of the one of its name. Raises StorageError."""
        self._store(source, data)

    def remove(self, source: str) -> None:
        """Have the file of that name not be there, wherever it is from. Raises StorageError."""
        self._store(source, None)

    def undo(self, source: str) -> None:
        """Forget what was changed of a file: the folder's own is there again. Raises StorageError."""
        here = (_DOCUMENTS.c.knowledge == self._knowledge) & (_DOCUMENTS.c.source == source)
        with self._database.begin(_TABLES) as opened:
            opened.execute(delete(_DOCUMENTS).where(here))

    def data(self, source: str) -> bytes | None:
        """The bytes of a file that was stored; None where there are none.

        Raises StorageError, and KnowledgeError where they are not those that were stored."""
        found = self._selected(_DOCUMENTS.c.data, _DOCUMENTS.c.sha256, where=_DOCUMENTS.c.source == source)
        return None if not found or found[0][1] is None else _whole(*found[0])

    def changes(self) -> dict[str, bool]:
        """The sources that were changed, and whether each was removed. Raises StorageError."""
        return {source: not digest for source, digest in self._selected(_DOCUMENTS.c.sha256)}

    def state(self) -> str:
        """A digest of all changes: another one says that something has changed. Raises StorageError."""
        found = [(source, str(digest)) for source, digest in self._selected(_DOCUMENTS.c.sha256)]
        return hashlib.sha256(repr(sorted(found)).encode()).hexdigest() if found else ""

    def _selected(self, *columns: Column[Any], where: ColumnElement[bool] | None = None) -> list[tuple[Any, ...]]:
        """The sources of the changes, or of those of them, each with these columns."""
        if self._database.is_empty():
            return []
        query = select(_DOCUMENTS.c.source, *columns).where(_DOCUMENTS.c.knowledge == self._knowledge)
        with self._database.begin(_TABLES) as opened:
            return [tuple(row) for row in opened.execute(query if where is None else query.where(where))]

    def _store(self, source: str, data: bytes | None) -> None:
        row = {
            "knowledge": self._knowledge,
            "source": source,
            "sha256": "" if data is None else hashlib.sha256(data).hexdigest(),
            "data": data,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        with self._database.begin(_TABLES) as opened:
            put(opened, _DOCUMENTS, row)


def _whole(source: str, data: bytes | str, digest: str) -> bytes:
    """The bytes that were stored. Raises KnowledgeError where a damaged database has kept others."""
    found = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(data)
    if hashlib.sha256(found).hexdigest() != digest:
        raise KnowledgeError(f"{source} was damaged in the database; add it again.")
    return found
