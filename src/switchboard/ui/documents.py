"""The drawer of documents: a visitor's own over the shared ones, and what a search sees of them all.

What is added here belongs to this session alone. It is held in memory over the shared index, answers the visitor's
questions from the next one on, and is gone when they leave, or an hour later.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import gradio as gr

from switchboard.errors import KnowledgeError, SwitchboardError
from switchboard.retrieval.documents import LOADERS, read_document
from switchboard.retrieval.formats import safe_name
from switchboard.retrieval.likeness import duplicate_of, near_duplicate_of
from switchboard.types import Document, Passage, Retriever, SearchResult
from switchboard.ui import change
from switchboard.ui.chat import OUR_FAULT, Update
from switchboard.ui.frame import drawer_head
from switchboard.ui.markup import plain
from switchboard.ui.sources import article

YOURS = "yours/"
"""What the names of a visitor's documents begin with."""
MOST_DOCUMENTS = 20
MOST_CHARACTERS = 400_000
"""Of all documents of a visitor together."""
SECONDS = 3600
"""How long they stay."""
_LONGEST_QUERY = 2000
_SHOWN = 8
_log = logging.getLogger(__name__)


class Rankings(Protocol):
    """What a search ranked: ids, best first, and their scores."""

    @property
    def dense(self) -> tuple[str, ...]: ...
    @property
    def lexical(self) -> tuple[str, ...]: ...
    @property
    def fused(self) -> tuple[str, ...]: ...
    @property
    def similarity(self) -> Mapping[str, float]: ...
    @property
    def words(self) -> Mapping[str, float]: ...


class Index(change.Index, Retriever, Protocol):
    """What the drawer needs of a knowledge index, besides what the page with a changing fact needs."""

    @property
    def passages(self) -> Sequence[Passage]: ...
    def passage(self, name: str) -> Passage: ...
    def with_documents(self, changed: Sequence[Document], removed: Collection[str] = ()) -> Index: ...
    def inspect(self, query: str, k: int) -> tuple[Rankings, SearchResult]: ...


class Host(Protocol):
    """What is asked about the installation."""

    @property
    def index(self) -> Index: ...


@dataclass(frozen=True)
class Mine:
    """A visitor's documents, and the index with them, which only this visitor's turns search."""

    index: Index
    documents: tuple[Document, ...]
    since: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether their time is over, whatever the clock on the wall says, by which Gradio lets go of them."""
        return time.monotonic() - self.since > SECONDS


@dataclass(frozen=True)
class DocumentParts:
    """The components that the drawer's events write to."""

    files: Any
    title: Any
    text: Any
    said: Any
    listed: Any
    seen: Any
    opened: Any
    mine: Any

    def changed(self) -> list[Any]:
        """Those that a change of the documents writes to."""
        return [self.files, self.title, self.text, self.said, self.listed, self.mine]


class DocumentEvents:
    """The handlers. They keep nothing of any visitor."""

    def __init__(self, parts: DocumentParts, running: Host) -> None:
        self._parts = parts
        self._running = running

    def show(self, mine: Mine | None) -> Update:
        """The list, as it is for this visitor; waits for the index."""
        return {self._parts.listed: listed(self._index(mine), mine)}

    def add(self, files: Sequence[str] | None, mine: Mine | None) -> Iterator[Update]:
        """Read and index files one after the other, and say of each what became of it."""
        done: list[str] = []
        for number, path in enumerate(map(Path, files or ()), 1):
            yield {self._parts.said: said([*done, _busy(f"Reading {path.name} ({number} of {len(files or ())}) …")])}
            try:
                made = self._one(safe_name(path.name), path.read_bytes(), mine)
            except OSError:
                _log.exception("An upload could not be read.")
                made = _bad(path.name, OUR_FAULT), mine
            finally:
                path.unlink(missing_ok=True)
            line, mine = made
            done.append(line)
        yield {**self._changed(mine), self._parts.said: said(done)}

    def paste(self, title: str, text: str, mine: Mine | None) -> Update:
        """Index a text that was typed or pasted."""
        if not text.strip():
            gr.Warning("There is no text. Paste it into the box first.")
            return {self._parts.mine: mine}
        name = safe_name(f"{title.strip() or text.strip()[:40]}.md")
        line, changed = self._one(name, text.encode(), mine)
        if changed is mine:
            return {self._parts.said: said([line]), self._parts.mine: mine}
        return {**self._changed(changed), self._parts.said: said([line]), self._parts.title: "", self._parts.text: ""}

    def remove(self, mine: Mine | None, event: gr.EventData) -> Update:
        """Take one of the visitor's documents away."""
        source = str(getattr(event, "source", ""))
        if not mine or all(document.source != source for document in mine.documents):
            return {self._parts.mine: mine}
        left = tuple(document for document in mine.documents if document.source != source)
        smaller = Mine(mine.index.with_documents([], [source]), left) if left else None
        gone = next(document.title for document in mine.documents if document.source == source)
        return {**self._changed(smaller), self._parts.said: said([_good(gone, "is gone.")])}

    def forget(self, mine: Mine | None) -> Update:
        """Take all of them away."""
        words = "Your documents are gone." if mine else "There are no documents of yours."
        return {**self._changed(None), self._parts.said: said([_good("", words)])}

    def look(self, query: str, mine: Mine | None) -> Update:
        """What a search for this query sees."""
        if not query.strip():
            gr.Warning("There is nothing to search for. Please type a question.")
            return {self._parts.seen: ""}
        index = self._index(mine)
        try:
            rankings, result = index.inspect(query.strip()[:_LONGEST_QUERY], 3)
        except SwitchboardError as error:
            return {self._parts.seen: f'<p class="round-note">{plain(str(error))}</p>'}
        return {self._parts.seen: seen(rankings, result, index)}

    def open(self, mine: Mine | None, event: gr.EventData) -> Update:
        """One of the visitor's documents, for the dialog, with the passage from `start` to `end` marked."""
        source, start, end = (getattr(event, name, 0) for name in ("source", "start", "end"))
        try:
            document = self._index(mine).document(str(source))
        except KnowledgeError:
            return {self._parts.opened: '<p class="error">This document is no longer there.</p>'}
        html = article(document, int(start or 0), int(end or 0))
        # Never the same twice, or the page would not notice that it is opened again.
        return {self._parts.opened: f"<!-- {time.monotonic_ns()} -->{html}"}

    def _one(self, name: str, data: bytes, mine: Mine | None) -> tuple[str, Mine | None]:
        """What became of one document, and the visitor's documents with it, or as they were."""
        try:
            document = read_document(name, data)
            mine = None if mine and mine.over else mine
            own = mine.documents if mine else ()
            _check(document, own)
            index = self._index(mine)
            if same := duplicate_of(document, index.documents.values()):
                raise KnowledgeError(f"has the same text as “{same.title}”, so it was not added.")
            like = near_duplicate_of(document, index.documents.values())
            source = f"{YOURS}{name}"
            document = replace(document, source=source, topic="Your documents")
            replaced = any(one.source == source for one in own)
            grown = index.with_documents([document])
        except SwitchboardError as error:
            return _bad(name, str(error).removeprefix(name).strip()), mine
        except Exception:  # noqa: BLE001 - whatever is in the file, the visitor gets a sentence and the log the trace
            _log.exception("A document could not be added.")
            return _bad(name, OUR_FAULT), mine
        passages = sum(passage.source == source for passage in grown.passages)
        if not passages:
            return _bad(name, "holds no text, so there is nothing to search."), mine
        words = f"{'replaced' if replaced else 'added'}: {passages} passage{'' if passages == 1 else 's'}."
        if like:
            words += f" It is much like “{like.title}”; both will be found."
        others = tuple(one for one in own if one.source != source)
        return _good(document.title, words), Mine(grown, (*others, document))

    def _index(self, mine: Mine | None) -> Index:
        return mine.index if mine and not mine.over else self._running.index

    def _changed(self, mine: Mine | None) -> Update:
        return {
            self._parts.mine: mine,
            self._parts.files: None,
            self._parts.listed: listed(self._index(mine), mine),
        }


def listed(index: Index, mine: Mine | None) -> str:
    """The documents as HTML: the visitor's first, then the shared ones by topic."""
    counts = Counter(passage.source for passage in index.passages)
    own = mine.documents if mine and not mine.over else ()
    shared = [one for one in index.documents.values() if not one.source.startswith(YOURS)]
    topics: dict[str, list[Document]] = {}
    for one in sorted(shared, key=lambda one: (one.topic, one.title)):
        topics.setdefault(one.topic, []).append(one)
    yours = "".join(_item(one, counts[one.source], own=True) for one in own)
    rest = "".join(
        f"<details><summary>{plain(topic)} <small>{len(some)}</small></summary><ul>"
        + "".join(_item(one, counts[one.source], own=False) for one in some)
        + "</ul></details>"
        for topic, some in topics.items()
    )
    mine_now = f"<ul>{yours}</ul>" if own else '<p class="drawer-note">None yet.</p>'
    return (
        f"<h3>Yours <small>{len(own)} of at most {MOST_DOCUMENTS}</small></h3>{mine_now}"
        f"<h3>Everybody’s <small>{len(shared)} documents, {len(index.passages)} passages in all</small></h3>{rest}"
    )


def said(lines: Sequence[str]) -> str:
    """What became of each document."""
    return f'<ul class="said" role="status">{"".join(lines)}</ul>'


def seen(rankings: Rankings, result: SearchResult, index: Index) -> str:
    """What both searches rank, how they are fused, and which passages an answer would be given, as HTML."""
    read = [passage.id for passage in result.passages]
    rows = []
    for place, name in enumerate(rankings.fused[:_SHOWN], 1):
        passage = index.passage(name)
        rank = f"read as {read.index(name) + 1}" if name in read else "not read"
        rows.append(
            f'<li data-read="{str(name in read).lower()}"><span class="place">{place}</span><div>'
            f'<button type="button" class="link" data-action="article" data-source="{plain(passage.source)}" '
            f'data-start="{int(passage.start)}" data-end="{int(passage.end)}">{plain(passage.label)}</button>'
            f"<small>by meaning {_rank(rankings.dense, name)}, similarity {rankings.similarity[name]:.2f} · by words "
            f"{_rank(rankings.lexical, name)}{_score(rankings.words.get(name))} · {rank}</small></div></li>"
        )
    further = [plain(index.passage(name).label) for name in read if name not in rankings.fused[:_SHOWN]]
    also = f'<p class="drawer-note">Read as well: {"; ".join(further)}.</p>' if further else ""
    return f'<p class="round-note">{plain(_verdict(result))}</p><ol class="seen">{"".join(rows)}</ol>{also}'


def _verdict(result: SearchResult) -> str:
    if not result.nearest:
        return "There is nothing to search."
    if result.coverage is not None:
        judged = f"That something here answers this is judged {round(result.coverage * 100)} % likely"
        return f"{judged}, so {'passages are read' if result.passages else 'the question is declined'} (from 50 %)."
    least = f"the threshold is {result.threshold:.2f}"
    return f"The nearest has a similarity of {result.nearest.score:.2f}; {least}."


def _rank(names: Sequence[str], name: str) -> str:
    return f"{names.index(name) + 1}." if name in names else "not found"


def _score(score: float | None) -> str:
    return "" if score is None else f", BM25 {score:.1f}"


def _check(document: Document, own: Sequence[Document]) -> None:
    """Raise KnowledgeError where a visitor would have too much."""
    others = [one for one in own if one.source != f"{YOURS}{document.source}"]
    if len(others) >= MOST_DOCUMENTS:
        raise KnowledgeError(f"is one too many: at most {MOST_DOCUMENTS} at a time. Remove one first.")
    characters = len(document.text) + sum(len(one.text) for one in others)
    if characters > MOST_CHARACTERS:
        raise KnowledgeError(
            f"would make {characters:,} characters of yours, and {MOST_CHARACTERS:,} fit. Remove or shorten some."
        )


def _item(document: Document, passages: int, own: bool) -> str:
    about = f"{passages} passage{'' if passages == 1 else 's'} · {len(document.text):,} characters"
    if document.updated:
        about += f" · updated {plain(document.updated)}"
    source = f'data-source="{plain(document.source)}"'
    remove = (
        f'<button type="button" class="close" data-action="remove-document" {source} '
        f'aria-label="Remove “{plain(document.title)}”"><i class="icon icon-bin" aria-hidden="true"></i></button>'
        if own
        else ""
    )
    return (
        f'<li><button type="button" class="document" data-action="article" {source} data-start="0" data-end="0">'
        f"<span>{plain(document.title)}</span><small>{about}</small></button>{remove}</li>"
    )


def _good(name: str, words: str) -> str:
    return f"<li><strong>{plain(name)}</strong> {plain(words)}</li>"


def _bad(name: str, words: str) -> str:
    return f'<li class="error"><strong>{plain(name)}</strong> {plain(words)}</li>'


def _busy(words: str) -> str:
    return f'<li class="busy">{plain(words)}</li>'


def documents_drawer(running: Host, bare: Any) -> tuple[DocumentEvents, DocumentParts]:
    """The drawer's components and events; `bare` makes the options of HTML components."""
    mine = gr.State(None, time_to_live=SECONDS)
    suffixes = sorted(LOADERS)
    with gr.Column(elem_id="documents"):
        gr.HTML(
            f'{drawer_head("Documents")}<p class="lead">Add your own: RAG and Combined answer from them with your next '
            "question. Only you see them, and they are gone when you leave, or after an hour.</p>",
            **bare("documents-head"),
        )
        files = gr.File(
            file_count="multiple", file_types=suffixes, label="Files", show_label=False, elem_id="add-files", height=150
        )
        with gr.Accordion("Paste a text", open=False, elem_id="paste"):
            title = gr.Textbox(label="Title", max_lines=1, elem_id="paste-title")
            text = gr.Textbox(label="Text (Markdown)", lines=5, max_lines=10, elem_id="paste-text")
            paste = gr.Button("Add this text", size="sm", elem_id="paste-add")
        told = gr.HTML("", elem_id="documents-said", **bare("documents-said"))
        with gr.Accordion("What a search sees", open=False, elem_id="inspect"):
            query = gr.Textbox(label="A question", max_lines=2, elem_id="inspect-query")
            look = gr.Button("Search", size="sm", elem_id="inspect-search")
            found = gr.HTML("", elem_id="inspect-seen", **bare("inspect-seen"))
        shown = gr.HTML(
            '<p class="drawer-note">Opening the help centre …</p>',
            elem_id="documents-list",
            **bare("documents", "remove", "open"),
        )
        forget = gr.Button("Forget all of mine", size="sm", elem_id="documents-forget")
        opened = gr.HTML("", html_template="", elem_id="opened", **bare("opened"))
    parts = DocumentParts(files, title, text, told, shown, found, opened, mine)
    events = DocumentEvents(parts, running)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    # Embedding takes a moment: in the queue, so that it does not hold up the page.
    files.upload(events.add, [files, mine], parts.changed(), **quiet)
    paste.click(events.paste, [title, text, mine], parts.changed(), **quiet)
    forget.click(events.forget, [mine], parts.changed(), **quiet)
    gr.on([look.click, query.submit], events.look, [query, mine], [found], **quiet)
    shown.remove(events.remove, [mine], parts.changed(), **quiet)
    shown.open(events.open, [mine], [opened], **quiet)
    return events, parts
