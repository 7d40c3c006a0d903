"""Documents that were changed in the page for everybody: rows of the database, laid over the knowledge folder.

The folder stays as it is, and may be read-only or part of an image. A row holds a file's bytes, or says that the
folder's file of that name is not to be found any more. Several machines that share the database share these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timezone

from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, delete, select

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

        A changed one that cannot be read is reported and left out. Raises StorageError.
        """
        by_source = {document.source: document for document in documents}
        for source, data in self._rows():
            by_source.pop(source, None)
            if data is not None:
                try:
                    by_source[source] = read_document(source, data)
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
        """The bytes of a file that was stored; None where there are none. Raises StorageError."""
        return dict(self._rows()).get(source)

    def changes(self) -> dict[str, bool]:
        """The sources that were changed, and whether each was removed. Raises StorageError."""
        return {source: data is None for source, data in self._rows()}

    def state(self) -> str:
        """A digest of all changes: another one says that something has changed. Raises StorageError."""
        if self._database.is_empty():
            return ""
        columns = (_DOCUMENTS.c.source, _DOCUMENTS.c.sha256)
        with self._database.begin(_TABLES) as opened:
            found = opened.execute(select(*columns).where(_DOCUMENTS.c.knowledge == self._knowledge)).all()
        return hashlib.sha256(repr(sorted((str(s), str(d)) for s, d in found)).encode()).hexdigest() if found else ""

    def _rows(self) -> list[tuple[str, bytes | None]]:
        if self._database.is_empty():
            return []
        columns = (_DOCUMENTS.c.source, _DOCUMENTS.c.data)
        with self._database.begin(_TABLES) as opened:
            found = opened.execute(select(*columns).where(_DOCUMENTS.c.knowledge == self._knowledge)).all()
        return [(str(source), None if data is None else bytes(data)) for source, data in found]

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
