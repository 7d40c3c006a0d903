"""What everybody searches: a knowledge folder, the changes that were made to it in the page, and the index of both."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from switchboard.errors import KnowledgeError, StorageError, SwitchboardError
from switchboard.progress import Report
from switchboard.retrieval.documents import load_folder, read_document
from switchboard.retrieval.index import KnowledgeIndex, MissingIndex
from switchboard.retrieval.shared import SharedDocuments
from switchboard.types import Document

_log = logging.getLogger(__name__)


class Knowledge:
    """The index that is searched now, renewed whenever a document changes. Safe to use from several threads."""

    def __init__(
        self,
        folder: Path,
        data: Path,
        edits: SharedDocuments,
        opened: Callable[[SharedDocuments | None], KnowledgeIndex],
        report: Report,
        patient: bool = False,
    ) -> None:
        """`opened` opens the index of `folder` with the edits over it, below `data`; without them where they cannot
        be read, until `watch` finds that they can. An index that cannot be had raises what `opened` raises, or is tried
        again by a `patient` one's `watch`."""
        self._folder = folder
        self._data = data
        self._edits = edits
        self._report = report
        self._changing = threading.Lock()
        self._opened = opened
        self._state: str | None = None
        self._files = _signature(folder)
        self.current: KnowledgeIndex = MissingIndex()
        try:
            self._state = edits.state()
        except StorageError as error:
            report(f"{error} Until then the knowledge folder is searched as it is.")
        try:
            self.current = opened(edits if self._state is not None else None)
        except SwitchboardError as error:
            if not patient:
                raise
            self._state = None
            report(f"RAG and Combined cannot answer: {error}")

    @property
    def missing(self) -> bool:
        """Whether there is no index, so that nothing can be searched."""
        return isinstance(self.current, MissingIndex)

    def add(self, source: str, data: bytes) -> Document:
        """Add a file for everybody, or replace the one of its name, and index it.

        It is stored before it is indexed, so a process that dies on the way indexes it at its next start. Raises
        KnowledgeError for one that cannot be read, of which nothing is kept, and StorageError.
        """
        document = read_document(source, data)
        self._edits.put(source, data)
        self.renew()
        return document

    def remove(self, source: str) -> None:
        """Have a document be found no more; a file of the folder stays where it is. Raises StorageError."""
        if (self._folder / source).is_file():
            self._edits.remove(source)
        else:
            self._edits.undo(source)
        self.renew()

    def undo(self, source: str) -> None:
        """Forget the change of a document: what the folder holds is found again. Raises StorageError."""
        self._edits.undo(source)
        self.renew()

    def changes(self) -> Mapping[str, bool]:
        """The sources that were changed in the page, and whether each was removed. Raises StorageError."""
        return self._edits.changes()

    def file(self, source: str) -> bytes:
        """A document's file as it was added. Raises KnowledgeError if there is no such document, and StorageError."""
        self.current.document(source)
        data = self._edits.data(source)
        if data is not None:
            return data
        try:
            return (self._folder / source).read_bytes()
        except OSError as error:
            raise KnowledgeError(f"{source} is no longer in the knowledge folder.") from error

    def renew(self) -> None:
        """Index what has changed in the folder and among the edits. Raises KnowledgeError and StorageError."""
        with self._changing:
            state, files = self._edits.state(), _signature(self._folder)
            if self.missing:
                self.current = self._opened(self._edits)
            else:
                documents = self._edits.over(load_folder(self._folder, self._report), self._report)
                self.current = self.current.renewed(documents, self._data, self._report)
            self._state, self._files = state, files

    def watch(self, seconds: float) -> None:
        """Look every so often, in the background, whether another process has changed something among the edits, or
        anybody in the folder, and renew if so."""
        threading.Thread(target=self._watch, args=(seconds,), name="watching", daemon=True).start()

    def _watch(self, seconds: float) -> None:
        pause = threading.Event()
        while not pause.wait(seconds):
            try:
                if self._edits.state() != self._state or _signature(self._folder) != self._files:
                    self.renew()
            except SwitchboardError as error:
                # The database is away for a while: what is indexed is still searched, and the next look may find it.
                _log.warning("The shared documents could not be looked at: %s", error)


def _signature(folder: Path) -> frozenset[tuple[str, int, int]]:
    """The folder's files with their times and sizes: another one says that something has changed."""
    found = set()
    with suppress(OSError):  # what is away for a moment is met again at the next look
        for path in folder.rglob("*"):
            stat = path.stat()
            found.add((str(path), stat.st_mtime_ns, stat.st_size))
    return frozenset(found)
