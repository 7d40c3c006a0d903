"""What becomes of a document that is added: to a visitor's own, or to everybody's by the staff."""

from __future__ import annotations

import io
import logging
import time
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Protocol
from weakref import WeakSet

from switchboard.errors import KnowledgeError, SwitchboardError
from switchboard.retrieval.documents import read_document
from switchboard.retrieval.likeness import duplicate_of, near_duplicate_of
from switchboard.types import Document, Passage, Retriever, SearchResult
from switchboard.ui import change
from switchboard.ui.chat import OUR_FAULT
from switchboard.ui.document_list import Rankings, bad, good

YOURS = "yours/"
"""What the names of a visitor's documents begin with."""
ADDED = "added/"
"""What the names of documents begin with that the staff added to everybody's."""
MOST_DOCUMENTS = 20
MOST_CHARACTERS = 400_000
"""Of all documents of a visitor together."""
MOST_BYTES = 20_000_000
"""Of all files of a visitor together: they are in memory."""
MOST_HELD = 400_000_000
"""Bytes of all visitors' files together: what they take of the memory has an end, however many there are."""
_HELD: WeakSet[Mine] = WeakSet()
"""What visitors hold at the moment, to be counted and nothing else."""
SECONDS = 3600
"""How long they stay."""
_log = logging.getLogger(__name__)


class Index(change.Index, Retriever, Protocol):
    """What the drawer needs of a knowledge index, besides what the page with a changing fact needs."""

    @property
    def passages(self) -> Sequence[Passage]: ...
    def passage(self, name: str) -> Passage: ...
    def left_out(self, passage: Passage) -> frozenset[int]: ...
    def with_documents(self, changed: Sequence[Document], removed: Collection[str] = ()) -> Index: ...
    def over(self, origin: Index) -> Index: ...
    def inspect(self, query: str, k: int) -> tuple[Rankings, SearchResult]: ...


class Knowledge(Protocol):
    """Everybody's documents, see retrieval/knowledge.py."""

    @property
    def current(self) -> Index: ...
    def add(self, source: str, data: bytes) -> Document: ...
    def remove(self, source: str) -> None: ...
    def undo(self, source: str) -> None: ...
    def changes(self) -> Mapping[str, bool]: ...
    def file(self, source: str) -> bytes: ...
    def renew(self) -> None: ...


@dataclass(frozen=True, eq=False)
class Mine:
    """A visitor's documents with the files they came in, and the index with them, which only this visitor searches."""

    index: Index
    documents: tuple[Document, ...]
    files: Mapping[str, bytes]
    since: float = field(default_factory=time.monotonic)
    _latest: list[Index] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        _HELD.add(self)

    @property
    def expired(self) -> bool:
        """Whether their time is over, whatever the clock on the wall says, by which Gradio lets go of them."""
        return time.monotonic() - self.since > SECONDS

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(map(len, self.files.values()))

    def over(self, index: Index) -> Index:
        """The index with them over everybody's as that is now."""
        latest = (self._latest or [self.index])[-1].over(index)
        self._latest[:] = [latest]  # making it takes a moment, and each turn asks for it
        return latest

    def without(self, source: str, index: Index) -> Mine | None:
        """What is left without one of them; None where nothing is."""
        left = tuple(document for document in self.documents if document.source != source)
        files = {name: data for name, data in self.files.items() if name != source}
        return Mine(self.over(index).with_documents([], [source]), left, files) if left else None


def unexpired(mine: Mine | None) -> Mine | None:
    """A visitor's documents, as long as they stay."""
    return None if mine and mine.expired else mine


def add_own(name: str, data: bytes, mine: Mine | None, shared: Index) -> tuple[str, Mine | None]:
    """What became of one document, in a line, and the visitor's documents with it, or as they were."""
    mine = unexpired(mine)
    index = mine.over(shared) if mine else shared
    source = f"{YOURS}{name}"
    try:
        document = replace(read_document(name, data), source=source, topic="Your documents")
        others = tuple(one for one in mine.documents if one.source != source) if mine else ()
        files = {one: held for one, held in mine.files.items() if one != source} if mine else {}
        _check(document, data, others, files)
        like = _unlike(document, index)
        grown = index.with_documents([document])
    except SwitchboardError as error:
        return bad(name, str(error).removeprefix(name).strip()), mine
    except Exception:  # noqa: BLE001 - whatever is in the file, the visitor gets a sentence and the log the trace
        _log.exception("A document could not be added.")
        return bad(name, OUR_FAULT), mine
    passages = sum(passage.source == source for passage in grown.passages)
    if not passages:
        return bad(name, "holds no text, so there is nothing to search."), mine
    replaced = mine is not None and len(others) < len(mine.documents)
    line = good(document.title, _words(passages, replaced, like))
    return line, Mine(grown, (*others, document), {**files, source: data})


def add_shared(name: str, data: bytes, knowledge: Knowledge) -> str:
    """What became of one document that everybody shall find, in a line. One of its file's name is replaced."""
    index = knowledge.current
    source = name if name in index.documents else named_alike(name, index)
    try:
        like = _unlike(replace(read_document(source, data), source=source), index)
        replaced = source in index.documents
        document = knowledge.add(source, data)
    except SwitchboardError as error:
        return bad(name, str(error).removeprefix(source).strip())
    except Exception:  # noqa: BLE001 - as above
        _log.exception("A document could not be added for everybody.")
        return bad(name, OUR_FAULT)
    passages = sum(passage.source == source for passage in knowledge.current.passages)
    return good(document.title, _words(passages, replaced, like) + " Everybody finds it now.")


def named_alike(name: str, index: Index) -> str:
    """The one document of everybody's whose file has this name, whatever its folder; else a new source."""
    alike = [source for source in index.documents if PurePosixPath(source).name.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else f"{ADDED}{name}"


def zipped(files: Mapping[str, bytes]) -> bytes:
    """The files as a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(name, data)
    return out.getvalue()


def _unlike(document: Document, index: Index) -> Document | None:
    """A document that this one is much like. Raises KnowledgeError where one has the very same text."""
    if same := duplicate_of(document, index.documents.values()):
        raise KnowledgeError(f"has the same text as “{same.title}”, so it was not added.")
    others = [one for one in index.documents.values() if one.source != document.source]
    return near_duplicate_of(document, others)


def _words(passages: int, replaced: bool, like: Document | None) -> str:
    words = f"{'replaced' if replaced else 'added'}: {passages} passage{'' if passages == 1 else 's'}."
    return f"{words} It is much like “{like.title}”; both will be found." if like else words


def _check(document: Document, data: bytes, others: Sequence[Document], files: Mapping[str, bytes]) -> None:
    """Raise KnowledgeError where a visitor would have too much."""
    if len(others) >= MOST_DOCUMENTS:
        raise KnowledgeError(f"is one too many: at most {MOST_DOCUMENTS} at a time. Remove one first.")
    characters = len(document.text) + sum(len(one.text) for one in others)
    if characters > MOST_CHARACTERS:
        raise KnowledgeError(
            f"would make {characters:,} characters of yours, and {MOST_CHARACTERS:,} fit. Remove or shorten some."
        )
    if sum(one.size for one in list(_HELD)) + len(data) > MOST_HELD:
        raise KnowledgeError("does not fit now: others have added a lot. Please try again in some minutes.")
    if len(data) + sum(map(len, files.values())) > MOST_BYTES:
        raise KnowledgeError(f"is too much: at most {MOST_BYTES // 1_000_000} MB of files fit. Remove some first.")
