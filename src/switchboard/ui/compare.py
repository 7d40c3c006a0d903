"""The Compare page: one question down several paths, side by side, and a blind vote between two of them.

Nothing of a visitor is kept here but votes: the comparison is in the session's state. One model answers, so the columns
of a round are written one after the other.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from switchboard.database import open_database
from switchboard.errors import SettingsError, StorageError, SwitchboardError
from switchboard.evaluation.questions import Question, read_questions
from switchboard.limits import NO_LIMITS, Limits
from switchboard.modes import MODES
from switchboard.settings import ROOT, Settings
from switchboard.types import Answer, GenerationSettings
from switchboard.ui.chat import BUSY, OUR_FAULT, AnswerFunction, Host, Update
from switchboard.ui.comparison import Column, Comparison, Round, board, key, tally
from switchboard.ui.conversation import LONGEST_QUESTION
from switchboard.ui.stopping import Stops, until
from switchboard.ui.visitors import visitor_of
from switchboard.votes import VOTES, VoteStore

QUESTIONS = ROOT / "evaluation" / "questions.jsonl"
_FRAME_SECONDS = 0.08
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompareParts:
    """The components that the page's events write to."""

    board: Any
    tally: Any
    state: Any
    question: Any
    ask: Any
    stop: Any

    def all(self) -> list[Any]:
        return [self.board, self.tally, self.state, self.question, self.ask, self.stop]


class CompareEvents:
    """The handlers; `known` are the evaluation set's questions by their text, see comparison.key."""

    def __init__(
        self,
        parts: CompareParts,
        answer: AnswerFunction,
        votes: VoteStore,
        known: Mapping[str, Question],
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._parts = parts
        self._answer = answer
        self._votes = votes
        self._known = known
        self._limits = limits
        self._stops = Stops()

    def begin(self, question: str, modes: Sequence[str], blind: bool, state: Comparison) -> Update:
        """Put the question up, to be answered by `generate`; a blind round takes two of the modes by lot."""
        chosen = [name for name in MODES if name in modes]
        if not question.strip():
            gr.Warning("There is no question. Please type one.")
        elif len(question) > LONGEST_QUESTION:
            gr.Warning(f"The question is longer than {LONGEST_QUESTION:,} characters. Please shorten it.")
        elif len(chosen) < (2 if blind else 1):
            gr.Warning("A blind vote needs two paths to choose from." if blind else "Please choose a path to ask.")
        else:
            picked = random.SystemRandom().sample(chosen, 2) if blind else chosen
            return {**self._frame(state.asked(question, picked, blind), busy=True), self._parts.question: ""}
        return {self._parts.state: state}

    def generate(self, state: Comparison, request: gr.Request | None = None) -> Iterator[Update]:
        """Answer the columns of the last round in turn. Closing this iterator stops the model."""
        earlier = board(state, self._known)[1:]
        for grown, busy in play(counted(self._answer, self._limits, request), state, self._stops):
            yield self._frame(grown, busy, earlier)

    def stop(self, state: Comparison) -> Any:
        """Have the round end. `generate` shows what was said until then; one that still waits in line is shown here."""
        if not stop_last(state, self._stops):
            return gr.skip()
        return self._frame(state.updated(state.rounds[-1].stopped()), busy=False)

    def turned_away(self, state: Comparison) -> Any:
        """A round that Gradio's queue had no room for has failed; it does not wait."""
        if not state.rounds or not state.rounds[-1].working:
            return gr.skip()
        return self._frame(state.updated(turned_away(state.rounds[-1])), busy=False)

    def vote(self, state: Comparison, event: gr.EventData) -> Update:
        """Store a vote, once a round, and show which mode was which."""
        wanted, vote = (str(getattr(event, name, "")) for name in ("round", "vote"))
        one = next((one for one in state.rounds if one.id == wanted), None)
        answering = bool(state.rounds) and state.rounds[-1].working
        if one is None or vote not in VOTES or not one.votable or answering:
            return {self._parts.state: state}
        left, right = one.columns
        try:
            self._votes.add(one.id, one.question, left.answer, right.answer, vote)
        except StorageError:
            gr.Warning("Your vote could not be stored just now; please try again.")
            return {self._parts.state: state}
        update = self._frame(state.updated(replace(one, vote=vote)), busy=False)
        return {**update, self._parts.tally: self.tally()}

    def clear(self, state: Comparison) -> Update:
        """Start over: the rounds go, the votes stay."""
        if state.rounds and state.rounds[-1].working:
            self._stops.leave(state.rounds[-1].id)
        return self._frame(Comparison(), busy=False)

    def pick(self) -> str:
        """A question of the evaluation set, by lot."""
        return random.SystemRandom().choice([question.text for question in self._known.values()])

    def tally(self) -> str:
        """The votes so far; nothing where they cannot be read."""
        try:
            return tally(self._votes.tally())
        except StorageError:
            return ""

    def _frame(self, state: Comparison, busy: bool, earlier: Sequence[str] | None = None) -> Update:
        return {
            self._parts.board: board(state, self._known, earlier),
            self._parts.state: state,
            self._parts.ask: gr.update(visible=not busy),
            self._parts.stop: gr.update(visible=busy),
        }


def counted(answer: AnswerFunction, limits: Limits, request: gr.Request | None) -> AnswerFunction:
    """The same way to answer, with each answer counted as a turn of whoever asks."""

    def answered(*asked: Any) -> Iterator[Answer]:
        limits.count("turns", visitor_of(request))
        return answer(*asked)

    return answered


def turned_away(current: Round) -> Round:
    """A round that was not begun, with the reason in its columns."""
    for column in current.columns:
        current = current.with_column(replace(column, state="failed", error=BUSY))
    return current


def play(answer: AnswerFunction, state: Comparison, stops: Stops) -> Iterator[tuple[Comparison, bool]]:
    """The comparison as the columns of its last round are answered in turn, and whether it is still being answered.

    It ends when the round is stopped, and without another word when it is left. Closing it stops the model.
    """
    if not state.rounds or not state.rounds[-1].working:
        return
    current = state.rounds[-1]
    with stops.under_way(current.id):
        if stops.left(current.id):
            return
        drawn = 0.0
        for column in current.columns:
            if stops.stopped(current.id):
                break
            growing = _answered(answer, state, current, replace(column, state="working"), stops)
            with closing(growing):
                for current in growing:
                    if time.perf_counter() - drawn > stops.pace(_FRAME_SECONDS):
                        drawn = time.perf_counter()
                        yield state.updated(current), True
        if not stops.left(current.id):
            yield state.updated(current.stopped() if stops.stopped(current.id) else current), False


def stop_last(state: Comparison, stops: Stops) -> bool:
    """Have the last round end, and say whether it has to be shown as stopped, as nothing of it was under way."""
    last = state.rounds[-1] if state.rounds else None
    return last is not None and last.working and not stops.stop(last.id)


def _answered(
    answer: AnswerFunction, state: Comparison, current: Round, column: Column, stops: Stops
) -> Generator[Round, None, None]:
    """The round as one of its columns grows, until it is stopped."""
    yield current.with_column(column)
    try:
        messages = state.updated(current).messages(current.id, column.mode)
        answers = answer(messages, column.mode, GenerationSettings())
        with closing(until(lambda: stops.stopped(current.id), answers)) as wanted:
            for said in wanted:
                column = replace(column, answer=said)
                yield current.with_column(column)
        if stops.stopped(current.id):
            return
        column = replace(column, state="stopped" if column.answer.cut_off else "done")
    except SwitchboardError as error:
        column = replace(column, state="failed", error=str(error))
    except Exception:  # noqa: BLE001 - the visitor gets a sentence and the log gets the trace
        _log.exception("A comparison in mode %s failed.", column.mode)
        column = replace(column, state="failed", error=OUR_FAULT)
    yield current.with_column(column)


def known_questions(file: Path = QUESTIONS) -> dict[str, Question]:
    """The evaluation set's questions that stand alone, by their text; none where the file is not there."""
    try:
        return {key(question.text): question for question in read_questions(file) if not question.conversation}
    except SettingsError:
        return {}


def compare_page(
    answer: AnswerFunction, running: Host, html: Mapping[str, Mapping[str, Any]], queue: Any, limits: Limits
) -> Any:
    """The page's components and events. `html` are the options of its HTML components by name, and `queue` those of
    what waits in line for the model. Returns the handlers, and where the tally is shown."""
    # The evaluation set is about the shipped articles.
    known = known_questions() if running.settings.knowledge == Settings().knowledge else {}
    state = gr.State(Comparison())
    with gr.Column(elem_id="page"), gr.Column(elem_id="compare"):
        with gr.Row(elem_id="compare-choice"):
            modes = gr.CheckboxGroup(
                [(mode.label, mode.name) for mode in MODES.values()],
                value=["fine-tuned", "rag"],
                label="Answer with",
                show_label=False,
                container=False,
                elem_id="compare-modes",
            )
            blind = gr.Checkbox(label="Blind vote", container=False, elem_id="compare-blind", min_width=120)
        with gr.Row(elem_id="ask-row"):
            question = gr.Textbox(
                label="Your question",
                placeholder="Ask every path at once",
                lines=1,
                max_lines=6,
                show_label=False,
                container=False,
                autofocus=True,
                elem_id="question",
            )
            ask = gr.Button("Ask", elem_id="ask", variant="primary", min_width=0)
            stop = gr.Button("Stop", elem_id="compare-stop", variant="secondary", min_width=0, visible=False)
        with gr.Row(elem_id="compare-more"):
            pick = gr.Button("A question with known facts", size="sm", min_width=0, visible=bool(known))
            clear = gr.Button("Start over", size="sm", min_width=0)
        shown = gr.HTML(board(Comparison(), known), elem_id="board", **html["board"])
        votes = gr.HTML("", elem_id="tally", **html["tally"])
    parts = CompareParts(shown, votes, state, question, ask, stop)
    events = CompareEvents(parts, answer, VoteStore(open_database(running.settings, "votes")), known, limits)
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    begun = gr.on([ask.click, question.submit], events.begin, [question, modes, blind, state], parts.all(), **quiet)
    hidden = {"show_progress": "hidden", "api_visibility": "private"}
    answered = begun.then(events.generate, [state], parts.all(), **hidden, **queue)
    answered.failure(events.turned_away, [state], parts.all(), **quiet)
    stop.click(events.stop, [state], parts.all(), **quiet)
    # In the queue, so that it comes down the same stream as the frames of the answers, and after them.
    clear.click(events.clear, [state], parts.all(), **{**quiet, "queue": True, "concurrency_limit": None})
    shown.vote(events.vote, [state], parts.all(), **quiet)
    pick.click(events.pick, None, question, **quiet)
    return events, votes
