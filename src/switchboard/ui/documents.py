"""The drawer of documents: a visitor's own over everybody's, and what a search sees of them all.

What a visitor adds belongs to this session alone. It is held in memory over the shared index, answers the visitor's
questions from the next one on, and is gone when they leave, or an hour after their last change. With
SWITCHBOARD_ADMIN_PASSWORD set, the staff who log in here change everybody's documents.
"""

from __future__ import annotations

import hmac
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import gradio as gr

from switchboard.errors import KnowledgeError, SwitchboardError, TooManyError
from switchboard.limits import NO_LIMITS, Limits
from switchboard.metrics import ServiceMetrics
from switchboard.retrieval.documents import LOADERS
from switchboard.retrieval.formats import decoded, safe_name
from switchboard.settings import Settings
from switchboard.types import Document
from switchboard.ui.chat import OUR_FAULT, Update
from switchboard.ui.document_list import bad, busy, good, is_bad, listed, said, seen
from switchboard.ui.frame import drawer_head
from switchboard.ui.markup import plain
from switchboard.ui.shelf import (
    MOST_DOCUMENTS,
    SECONDS,
    YOURS,
    Index,
    Knowledge,
    Mine,
    add_own,
    add_shared,
    unexpired,
    zipped,
)
from switchboard.ui.sources import opened_document
from switchboard.ui.visitors import visitor_of

_GUESS_SECONDS = 1.0
"""What a wrong password costs. One is looked at at a time, so nobody tries more than 86,400 a day."""
_LONGEST_QUERY = 2000
_log = logging.getLogger(__name__)


class Host(Protocol):
    """What is asked about the installation."""

    @property
    def knowledge(self) -> Knowledge: ...
    @property
    def settings(self) -> Settings: ...


@dataclass(frozen=True)
class DocumentParts:
    """The components that the drawer's events write to.

    `mine`, `staff` and `editing` are states of the session: the visitor's documents, whether it is the staff, and the
    name of the document whose text is in the box.
    """

    files: Any
    writing: Any
    title: Any
    text: Any
    save: Any
    cancel: Any
    said: Any
    listed: Any
    seen: Any
    opened: Any
    saved: Any
    password: Any
    login: Any
    tools: Any
    export: Any
    everybody: Any
    mine: Any
    staff: Any
    editing: Any

    def changed(self) -> list[Any]:
        """Those that a change of the documents writes to."""
        return [self.files, self.said, self.listed, self.mine, *self.writer()]

    def writer(self) -> list[Any]:
        """Those of the box that a text is written in."""
        return [self.writing, self.title, self.text, self.save, self.cancel, self.editing]


class DocumentEvents:
    """The handlers. They keep nothing of any visitor; `staff` is looked at in each that changes everybody's."""

    def __init__(
        self,
        parts: DocumentParts,
        running: Host,
        limits: Limits = NO_LIMITS,
        metrics: ServiceMetrics | None = None,
    ) -> None:
        self._parts = parts
        self._running = running
        self._limits = limits
        self._metrics = metrics or ServiceMetrics()

    def show(self, mine: Mine | None, staff: bool = False) -> Update:
        """The list, as it is for this visitor; waits for the index."""
        return {self._parts.listed: self._list(mine, staff)}

    def add(
        self,
        files: Sequence[str] | None,
        mine: Mine | None,
        staff: bool = False,
        everybody: bool = False,
        request: gr.Request | None = None,
    ) -> Iterator[Update]:
        """Read and index files one after the other, and say of each what became of it."""
        done: list[str] = []
        for number, path in enumerate(map(Path, files or ()), 1):
            yield {self._parts.said: said([*done, busy(f"Reading {path.name} ({number} of {len(files or ())}) …")])}
            try:
                line, mine = self._one(safe_name(path.name), path.read_bytes(), mine, staff and everybody, request)
            except OSError:
                _log.exception("An upload could not be read.")
                line = bad(path.name, OUR_FAULT)
            finally:
                path.unlink(missing_ok=True)
            done.append(line)
        yield {**self._changed(mine, staff), self._parts.said: said(done)}

    def paste(
        self,
        title: str,
        text: str,
        mine: Mine | None,
        staff: bool = False,
        everybody: bool = False,
        editing: str = "",
        request: gr.Request | None = None,
    ) -> Update:
        """Index a text that was typed or pasted, or the edited text of a document."""
        if not text.strip():
            gr.Warning("There is no text. Paste it into the box first.")
            return {self._parts.mine: mine}
        name = editing.removeprefix(YOURS) or safe_name(f"{title.strip() or text.strip()[:40]}.md")
        shared = staff and (everybody if not editing else not editing.startswith(YOURS))
        if editing and not editing.startswith(YOURS) and not staff:
            return {self._parts.said: said([bad(name, _STAFF_ONLY)]), self._parts.mine: mine}
        line, changed = self._one(name, text.encode(), mine, shared, request)
        if is_bad(line):
            return {self._parts.said: said([line]), self._parts.mine: mine}
        return {**self._changed(changed, staff), self._parts.said: said([line]), **self._no_text()}

    def edit(self, mine: Mine | None, staff: bool, event: gr.EventData) -> Update:
        """Put a document's text into the box, to be changed and saved."""
        source = str(getattr(event, "source", ""))
        try:
            document = self._index(mine).document(source)
            text = decoded(source, self._file(source, mine, staff))
        except SwitchboardError as error:
            gr.Warning(str(error))
            return {self._parts.editing: ""}
        return {
            self._parts.writing: gr.update(open=True, label=f"Edit “{document.title}”"),
            self._parts.title: gr.update(value=document.title, interactive=False),
            self._parts.text: text,
            self._parts.save: gr.update(value="Save"),
            self._parts.cancel: gr.update(visible=True),
            self._parts.editing: source,
        }

    def remove(self, mine: Mine | None, staff: bool, event: gr.EventData) -> Update:
        """Take one of the visitor's documents away, or, as the staff, one of everybody's."""
        source, mine = str(getattr(event, "source", "")), unexpired(mine)
        if mine and source in mine.files:
            title = mine.index.document(source).title
            smaller = mine.without(source, self._running.knowledge.current)
            return {**self._changed(smaller, staff), self._parts.said: said([good(title, "is gone.")])}
        if not staff or source.startswith(YOURS):
            return {self._parts.mine: mine}
        known = self._running.knowledge.current.documents.get(source)
        title = known.title if known else source
        return self._shared(lambda: self._running.knowledge.remove(source), title, "is gone for everybody.", mine)

    def undo(self, mine: Mine | None, staff: bool, event: gr.EventData) -> Update:
        """As the staff, put one of everybody's documents back to what the folder holds."""
        source = str(getattr(event, "source", ""))
        if not staff:
            return {self._parts.mine: mine}
        return self._shared(lambda: self._running.knowledge.undo(source), source, "is as it was.", mine)

    def forget(self, mine: Mine | None, staff: bool = False) -> Update:
        """Take all of the visitor's away."""
        words = "Your documents are gone." if mine else "There are no documents of yours."
        return {**self._changed(None, staff), self._parts.said: said([good("", words)])}

    def look(self, query: str, mine: Mine | None, request: gr.Request | None = None) -> Update:
        """What a search for this query sees."""
        if not query.strip():
            gr.Warning("There is nothing to search for. Please type a question.")
            return {self._parts.seen: ""}
        index = self._index(mine)
        try:
            self._limits.count("turns", visitor_of(request))
            rankings, result = index.inspect(query.strip()[:_LONGEST_QUERY], 3)
        except SwitchboardError as error:
            return {self._parts.seen: f'<p class="round-note">{plain(str(error))}</p>'}
        return {self._parts.seen: seen(rankings, result, index)}

    def open(self, mine: Mine | None, event: gr.EventData) -> Update:
        """One of the visitor's documents, for the dialog, with the passage from `start` to `end` marked."""
        source, mine = str(getattr(event, "source", "")), unexpired(mine)
        try:
            if not mine or source not in mine.files:
                raise KnowledgeError("This document is no longer there.")
            place = {name: getattr(event, name, 0) for name in ("start", "end", "page")}
            html = opened_document(mine.index.document(source), lambda: mine.files[source], place)
        except KnowledgeError as error:
            html = f'<p class="error">{plain(str(error))}</p>'
        # Never the same twice, or the page would not notice that it is opened again.
        return {self._parts.opened: f"<!-- {time.monotonic_ns()} -->{html}"}

    def export(self, mine: Mine | None, staff: bool = False) -> Update:
        """The visitor's files as a zip archive; as the staff, everybody's."""
        knowledge, mine = self._running.knowledge, unexpired(mine)
        try:
            files = (
                {source: knowledge.file(source) for source in knowledge.current.documents}
                if staff
                else {source.removeprefix(YOURS): data for source, data in (mine.files if mine else {}).items()}
            )
        except SwitchboardError as error:
            gr.Warning(str(error))
            return {self._parts.saved: {}}
        if not files:
            gr.Warning("There are no documents of yours to save.")
            return {self._parts.saved: {}}
        name = "switchboard-documents.zip" if staff else "my-documents.zip"
        content = b64encode(zipped(files)).decode()
        return {self._parts.saved: {"name": name, "base64": content, "made": time.monotonic_ns()}}

    def login(self, password: str, mine: Mine | None, request: gr.Request | None = None) -> Update:
        """Let the staff in, who may change everybody's documents for an hour."""
        try:
            self._limits.count("attempts", visitor_of(request))
        except TooManyError as error:
            gr.Warning(str(error))
            return {self._parts.staff: False}
        wanted = self._running.settings.admin_password
        if not wanted or not hmac.compare_digest(password.encode(), wanted.encode()):
            time.sleep(_GUESS_SECONDS)
            gr.Warning("That is not the password.")
            return {self._parts.staff: False}
        return self._entered(True, mine)

    def logout(self, mine: Mine | None) -> Update:
        """Be a visitor again."""
        return self._entered(False, mine)

    def renew(self, mine: Mine | None, staff: bool) -> Update:
        """As the staff, look for what has changed in the knowledge folder, and index it."""
        if not staff:
            return {self._parts.mine: mine}
        return self._shared(
            self._running.knowledge.renew, "The folder", "was read again; what changed is indexed.", mine
        )

    def _entered(self, staff: bool, mine: Mine | None) -> Update:
        return {
            self._parts.staff: staff,
            self._parts.password: "",
            self._parts.login: gr.update(visible=not staff),
            self._parts.tools: gr.update(visible=staff),
            self._parts.export: gr.update(value="Save everybody’s as a zip file" if staff else _EXPORT),
            self._parts.everybody: gr.update(visible=staff, value=staff),
            self._parts.listed: self._list(mine, staff),
        }

    def _shared(self, change: Callable[[], None], name: str, words: str, mine: Mine | None) -> Update:
        """Change everybody's documents and say so."""
        try:
            change()
            line = good(name, words)
        except SwitchboardError as error:
            line = bad(name, str(error))
        return {**self._changed(mine, staff=True), self._parts.said: said([line])}

    def _one(
        self, name: str, data: bytes, mine: Mine | None, everybody: bool, request: gr.Request | None
    ) -> tuple[str, Mine | None]:
        """What became of one document, and the visitor's documents."""
        try:
            self._limits.count("documents", visitor_of(request))
        except TooManyError as error:
            line, grown = bad(name, f"was not added: {error}"), mine
        else:
            if everybody:
                line, grown = add_shared(name, data, self._running.knowledge), mine
            else:
                line, grown = add_own(name, data, mine, self._running.knowledge.current)
        self._metrics.document(added=not is_bad(line))
        return line, grown

    def _file(self, source: str, mine: Mine | None, staff: bool) -> bytes:
        mine = unexpired(mine)
        if mine and source in mine.files:
            return mine.files[source]
        if not staff:
            raise KnowledgeError(_STAFF_ONLY)
        return self._running.knowledge.file(source)

    def _index(self, mine: Mine | None) -> Index:
        shared, mine = self._running.knowledge.current, unexpired(mine)
        return mine.over(shared) if mine else shared

    def _list(self, mine: Mine | None, staff: bool) -> str:
        index, mine = self._running.knowledge.current, unexpired(mine)
        own: Sequence[Document] = mine.documents if mine else ()
        changes: Mapping[str, bool] | None = None
        if staff:
            try:
                changes = self._running.knowledge.changes()
            except SwitchboardError as error:
                gr.Warning(str(error))
        return listed(own, [*index.documents.values()], self._index(mine).passages, MOST_DOCUMENTS, changes)

    def _changed(self, mine: Mine | None, staff: bool) -> Update:
        return {self._parts.mine: mine, self._parts.files: None, self._parts.listed: self._list(mine, staff)}

    def cancel(self) -> Update:
        """Leave the text as it was."""
        return self._no_text()

    def _no_text(self) -> Update:
        """The empty box."""
        return {
            self._parts.writing: gr.update(open=False, label=_WRITE),
            self._parts.cancel: gr.update(visible=False),
            self._parts.title: gr.update(value="", interactive=True),
            self._parts.text: "",
            self._parts.save: gr.update(value=_ADD),
            self._parts.editing: "",
        }


_WRITE, _ADD, _EXPORT = "Paste a text", "Add this text", "Save mine as a zip file"
_STAFF_ONLY = "Only the staff can change everybody’s documents. Log in below."


def documents_drawer(
    running: Host, bare: Any, limits: Limits, metrics: ServiceMetrics
) -> tuple[DocumentEvents, DocumentParts]:
    """The drawer's components and events; `bare` makes the options of HTML components."""
    mine, staff = gr.State(None, time_to_live=SECONDS), gr.State(False, time_to_live=SECONDS)
    editing = gr.State("")
    suffixes = sorted(LOADERS)
    with gr.Column(elem_id="documents"):
        gr.HTML(
            f'{drawer_head("Documents")}<p class="lead">Add your own: RAG and Combined answer from them with your next '
            "question. Only you see them, and they are gone a minute after you leave, or an hour after the last change."
            "</p>",
            **bare("documents-head"),
        )
        everybody = gr.Checkbox(False, label="For everybody, not for me alone", visible=False, elem_id="for-everybody")
        files = gr.File(
            file_count="multiple", file_types=suffixes, label="Files", show_label=False, elem_id="add-files", height=150
        )
        with gr.Accordion(_WRITE, open=False, elem_id="paste") as writing:
            title = gr.Textbox(label="Title", max_lines=1, elem_id="paste-title")
            text = gr.Textbox(label="Text (Markdown)", lines=5, max_lines=10, elem_id="paste-text")
            with gr.Row(elem_id="paste-buttons"):
                save = gr.Button(_ADD, size="sm", elem_id="paste-add")
                cancel = gr.Button("Cancel", size="sm", visible=False, elem_id="paste-cancel")
        told = gr.HTML("", elem_id="documents-said", **bare("documents-said"))
        with gr.Accordion("What a search sees", open=False, elem_id="inspect"):
            query = gr.Textbox(label="A question", max_lines=2, elem_id="inspect-query")
            look = gr.Button("Search", size="sm", elem_id="inspect-search")
            found = gr.HTML("", elem_id="inspect-seen", **bare("inspect-seen"))
        shown = gr.HTML(
            '<p class="drawer-note">Opening the help centre …</p>',
            elem_id="documents-list",
            **bare("documents", "remove", "edit", "undo", "open"),
        )
        with gr.Row(elem_id="documents-all"):
            export = gr.Button(_EXPORT, size="sm", elem_id="documents-export")
            forget = gr.Button("Forget all of mine", size="sm", elem_id="documents-forget")
        with gr.Accordion("For the staff", open=False, elem_id="staff", visible=bool(running.settings.admin_password)):
            with gr.Column(elem_id="staff-login") as door:
                password = gr.Textbox(label="Password", type="password", max_lines=1, elem_id="staff-password")
                enter = gr.Button("Log in", size="sm", elem_id="staff-enter")
            with gr.Column(elem_id="staff-tools", visible=False) as tools:
                gr.HTML(
                    '<p class="drawer-note">You may change everybody’s documents, in the list above and by adding. The '
                    "files in the knowledge folder stay as they are.</p>",
                    **bare("staff-note"),
                )
                renew = gr.Button("Read the folder again", size="sm", elem_id="staff-renew")
                leave = gr.Button("Log out", size="sm", elem_id="staff-leave")
        opened = gr.HTML("", html_template="", elem_id="opened", **bare("opened"))
        saved = gr.HTML({}, html_template="", elem_id="saved", **bare("saved"))
    box = (writing, title, text, save, cancel)
    of_the_staff = (password, door, tools, export, everybody)
    parts = DocumentParts(files, *box, told, shown, found, opened, saved, *of_the_staff, mine, staff, editing)
    events = DocumentEvents(parts, running, limits, metrics)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on([look.click, query.submit], events.look, [query, mine], [found], **quiet)
    forget.click(events.forget, [mine, staff], parts.changed(), **quiet)
    cancel.click(events.cancel, None, parts.writer(), **quiet)
    entered = [staff, *of_the_staff, shown]
    gr.on([enter.click, password.submit], events.login, [password, mine], entered, concurrency_limit=1, **quiet)
    leave.click(events.logout, [mine], entered, **quiet)
    renew.click(events.renew, [mine, staff], parts.changed(), **quiet)
    _connect(events, parts, quiet)
    return events, parts


def _connect(events: DocumentEvents, parts: DocumentParts, quiet: dict[str, Any]) -> None:
    """Say which event of the documents runs which handler.

    Embedding takes a moment: all of them are in the queue, so that it does not hold up the page.
    """
    shown, who = parts.listed, [parts.mine, parts.staff]
    parts.files.upload(events.add, [parts.files, *who, parts.everybody], parts.changed(), **quiet)
    written = [parts.title, parts.text, *who, parts.everybody, parts.editing]
    parts.save.click(events.paste, written, parts.changed(), **quiet)
    parts.export.click(events.export, who, [parts.saved], **quiet)
    shown.remove(events.remove, who, parts.changed(), **quiet)
    shown.undo(events.undo, who, parts.changed(), **quiet)
    shown.edit(events.edit, who, parts.writer(), **quiet)
    shown.open(events.open, [parts.mine], [parts.opened], **quiet)
