"""The page where a fact changes: ask, edit the article, and ask again.

What looks answers up has the new fact a moment later and cites it; what learned it in training still has the old one.
The edit is in a copy of the index that belongs to this session alone; nobody else's answers change, and no file does.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr

from switchboard.errors import SwitchboardError
from switchboard.limits import NO_LIMITS, Limits
from switchboard.types import Document, Retriever
from switchboard.ui.chat import OUR_FAULT, AnswerFunction, Update
from switchboard.ui.compare import counted, play, stop_last, turned_away
from switchboard.ui.comparison import Comparison, board
from switchboard.ui.conversation import LONGEST_QUESTION
from switchboard.ui.markup import plain
from switchboard.ui.stopping import Stops
from switchboard.ui.visitors import visitor_of

MODES = ("fine-tuned", "rag")
"""Who answers here: what learned the fact, and what looks it up."""
ARTICLE = "plans/fibre-plans-and-prices.md"
QUESTION = "How much is Fibre 500 a month?"
_PRICE = re.compile(r"(Fibre 500[^\n£]*£)(\d+)")
_DEARER = 5
_LONGEST = 20_000
_COPY_SECONDS = 3600
"""How long a copy stays with its session."""
_log = logging.getLogger(__name__)


class Index(Protocol):
    """What the page needs of the knowledge index."""

    @property
    def documents(self) -> Mapping[str, Document]: ...
    def document(self, source: str) -> Document: ...
    def edited(self, source: str, text: str) -> Retriever: ...


class Host(Protocol):
    """What is asked about the installation."""

    @property
    def index(self) -> Index: ...


@dataclass(frozen=True)
class Copy:
    """A session's private copy of the index: what searches it, and which article has which text there."""

    retriever: Retriever
    source: str
    text: str


@dataclass(frozen=True)
class ChangeParts:
    """The components that the page's events write to."""

    article: Any
    text: Any
    said: Any
    question: Any
    board: Any
    rounds: Any
    copy: Any
    ask: Any
    stop: Any


class ChangeEvents:
    """The handlers. They keep nothing of any visitor."""

    def __init__(self, parts: ChangeParts, answer: AnswerFunction, running: Host, limits: Limits = NO_LIMITS) -> None:
        self._parts = parts
        self._answer = answer
        self._running = running
        self._limits = limits
        self._stops = Stops()

    def open_first(self) -> Update:
        """The list of articles, and the one that the demonstration is about; waits for the index."""
        documents = self._running.index.documents
        choices = [(document.title, source) for source, document in sorted(documents.items(), key=_title)]
        first = ARTICLE if ARTICLE in documents else choices[0][1] if choices else None
        if first is None:
            return {self._parts.said: _note("There are no articles to change at the moment.")}
        text = self._running.index.document(first).text
        return {
            self._parts.article: gr.update(choices=choices, value=first),
            self._parts.text: text,
            self._parts.said: _note(_STEPS),
        }

    def open(self, source: str, copy: Copy | None) -> Update:
        """Show an article, as it is in the session's copy."""
        if copy and source == copy.source:
            return {self._parts.text: copy.text}
        try:
            return {self._parts.text: self._running.index.document(source).text}
        except SwitchboardError as error:
            return {self._parts.said: _note(str(error))}

    def dearer(self, text: str) -> Update:
        """Write a new price into the text, which is not saved yet."""
        changed = _PRICE.sub(lambda match: f"{match[1]}{int(match[2]) + _DEARER}", text, count=1)
        if changed == text:
            return {self._parts.said: _note("There is no price of Fibre 500 in this article: change what you like.")}
        return {
            self._parts.text: changed,
            self._parts.said: _note("The price in the text is new. Save it to your copy, and ask again."),
        }

    def save(self, source: str, text: str, copy: Copy | None, request: gr.Request | None = None) -> Update:
        """Index the edited article in a copy of the session's own; the copy before it goes."""
        if len(text) > _LONGEST:
            gr.Warning(f"The article is longer than {_LONGEST:,} characters. Please shorten it.")
            return {self._parts.copy: copy}
        began = time.perf_counter()
        try:
            self._limits.count("documents", visitor_of(request))
            retriever = self._running.index.edited(source, text)
        except SwitchboardError as error:
            gr.Warning(str(error))
            return {self._parts.copy: copy}
        except Exception:  # noqa: BLE001 - the visitor gets a sentence and the log gets the trace
            _log.exception("An edit of %s failed.", source)
            gr.Warning(OUR_FAULT)
            return {self._parts.copy: copy}
        seconds = time.perf_counter() - began
        said = f"Your copy is indexed: it took {seconds:.2f} s. Ask again. Nobody else sees this change."
        return {self._parts.said: _note(said), self._parts.copy: Copy(retriever, source, text)}

    def put_back(self, source: str) -> Update:
        """Let go of the copy; the article is what it was."""
        update: Update = {self._parts.said: _note("It is as it was."), self._parts.copy: None}
        try:
            return {**update, self._parts.text: self._running.index.document(source).text}
        except SwitchboardError as error:
            return {**update, self._parts.said: _note(str(error))}

    def begin(self, question: str, rounds: Comparison, copy: Copy | None) -> Update:
        """Put the question up for both."""
        if not question.strip():
            gr.Warning("There is no question. Please type one.")
        elif len(question) > LONGEST_QUESTION:
            gr.Warning(f"The question is longer than {LONGEST_QUESTION:,} characters. Please shorten it.")
        else:
            note = "With your change." if copy else "With the articles as they are."
            return self._frame(rounds.asked(question, MODES, note=note), busy=True)
        return {self._parts.rounds: rounds}

    def generate(self, rounds: Comparison, copy: Copy | None, request: gr.Request | None = None) -> Iterator[Update]:
        """Answer in both modes, over the session's copy where it has one. Closing this iterator stops the model.

        Each question is put by itself: an answer before it would be told to the model, old figure and all.
        """
        earlier = board(rounds, {})[1:]
        answer = counted(self._over(copy), self._limits, request)
        for grown, busy in play(answer, Comparison(rounds.rounds[-1:]), self._stops):
            whole = rounds.updated(grown.rounds[-1])
            yield self._frame(whole, busy, earlier)

    def stop(self, rounds: Comparison) -> Any:
        """Have the round end. `generate` shows what was said until then; one that still waits in line is shown here."""
        if not stop_last(rounds, self._stops):
            return gr.skip()
        return self._frame(rounds.updated(rounds.rounds[-1].stopped()), busy=False)

    def turned_away(self, rounds: Comparison) -> Any:
        """A round that Gradio's queue had no room for has failed; it does not wait."""
        if not rounds.rounds or not rounds.rounds[-1].working:
            return gr.skip()
        return self._frame(rounds.updated(turned_away(rounds.rounds[-1])), busy=False)

    def _over(self, copy: Copy | None) -> Callable[..., Any]:
        over = copy.retriever if copy else None
        return lambda messages, mode, settings: self._answer(messages, mode, settings, over)

    def _frame(self, rounds: Comparison, busy: bool, earlier: Sequence[str] | None = None) -> Update:
        return {
            self._parts.board: board(rounds, {}, earlier),
            self._parts.rounds: rounds,
            self._parts.ask: gr.update(visible=not busy),
            self._parts.stop: gr.update(visible=busy),
        }


_STEPS = "Ask first. Then change the price, save it to your copy, and ask again."


def change_page(
    answer: AnswerFunction, running: Host, html: Mapping[str, Any], queue: Mapping[str, Any], limits: Limits
) -> Any:
    """The page's components and events; `html` are the options of the board and `queue` those of what waits in line.

    Returns the handlers, and the components that are filled when the page is opened.
    """
    # Two states: an edit must not undo what an answer shows, nor the other way round.
    rounds = gr.State(Comparison())
    copy = gr.State(None, time_to_live=_COPY_SECONDS)
    with gr.Column(elem_id="page"), gr.Column(elem_id="compare"):
        gr.HTML(
            '<h2 class="page-title">A fact changes</h2><p class="lead">One path looks answers up, the other learned '
            "them. Change an article and see who notices.</p>",
            apply_default_css=False,
            container=False,
            padding=False,
        )
        with gr.Row(elem_id="ask-row"):
            question = gr.Textbox(
                QUESTION,
                label="Your question",
                lines=2,
                max_lines=4,
                show_label=False,
                container=False,
                elem_id="question",
            )
            ask = gr.Button("Ask both", elem_id="ask", variant="primary", min_width=0)
            stop = gr.Button("Stop", elem_id="compare-stop", variant="secondary", min_width=0, visible=False)
        with gr.Row(elem_id="change-row"):
            with gr.Column(elem_id="change-article", min_width=320):
                article = gr.Dropdown([], label="Article", elem_id="change-source", container=False, interactive=True)
                text = gr.Textbox(label="Its text", show_label=False, lines=12, max_lines=18, elem_id="change-text")
                with gr.Row(elem_id="compare-more"):
                    dearer = gr.Button(f"Raise the price by £{_DEARER}", size="sm", min_width=0)
                    save = gr.Button("Save to my copy", size="sm", min_width=0, elem_id="change-save")
                    back = gr.Button("Put it back", size="sm", min_width=0)
                said = gr.HTML(
                    _note("Opening the help centre …"),
                    elem_id="change-said",
                    apply_default_css=False,
                    container=False,
                    padding=False,
                )
            with gr.Column(elem_id="change-answers", min_width=320):
                shown = gr.HTML(board(Comparison(), {}), elem_id="board", **html)
    parts = ChangeParts(article, text, said, question, shown, rounds, copy, ask, stop)
    events = ChangeEvents(parts, answer, running, limits)
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    drawn = [shown, rounds, ask, stop]
    begun = gr.on([ask.click, question.submit], events.begin, [question, rounds, copy], drawn, **quiet)
    hidden = {"show_progress": "hidden", "api_visibility": "private"}
    answered = begun.then(events.generate, [rounds, copy], drawn, **hidden, **queue)
    answered.failure(events.turned_away, [rounds], drawn, **quiet)
    stop.click(events.stop, [rounds], drawn, **quiet)
    article.input(events.open, [article, copy], [text, said], **quiet)
    dearer.click(events.dearer, [text], [text, said], **quiet)
    # Embedding takes a moment: in the queue, so that it does not hold up the page.
    save.click(events.save, [article, text, copy], [said, copy], **{**quiet, "queue": True})
    back.click(events.put_back, [article], [text, said, copy], **quiet)
    return events, [article, text, said]


def _note(words: str) -> str:
    return f'<p class="round-note" role="status">{plain(words)}</p>'


def _title(item: tuple[str, Document]) -> str:
    return item[1].title
