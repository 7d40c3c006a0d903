"""What happens in the chat: each event takes the visitor's conversation and gives back what the page shows.

Nothing of a visitor is kept here. The conversation comes from the browser with each event; the one whose answer is
being made is in the session's `live` state, so that Stop can keep what was said.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

import gradio as gr

from switchboard.errors import StorageError, SwitchboardError
from switchboard.feedback import FeedbackStore
from switchboard.limits import NO_LIMITS, Limits
from switchboard.modes import MODES
from switchboard.settings import Settings
from switchboard.types import Answer, Retriever
from switchboard.ui import conversation as talk
from switchboard.ui.conversation import Conversation
from switchboard.ui.render import transcript
from switchboard.ui.sources import sources_panel
from switchboard.ui.stopping import Stops, until
from switchboard.ui.visitors import visitor_of

AnswerFunction = Callable[..., Iterator[Answer]]
"""Answers a conversation in a mode with settings; with a fourth argument it searches that Retriever."""
Update = dict[Any, Any]

OUR_FAULT = "Something went wrong on our side; please try again."
BUSY = "Too many people are asking just now. Please try again in a minute."
_FRAME_SECONDS = 0.05
"""The page is redrawn at most this often: no eye needs each token of a fast model on its own."""

_log = logging.getLogger(__name__)


class Host(Protocol):
    """What the handlers ask about the installation."""

    @property
    def settings(self) -> Settings: ...
    @property
    def ready(self) -> bool: ...
    @property
    def index(self) -> Any: ...


class Searched(Protocol):
    """A visitor's documents."""

    @property
    def expired(self) -> bool: ...
    def over(self, index: Any) -> Retriever: ...


@dataclass(frozen=True)
class Parts:
    """The components that the chat's events write to."""

    transcript: Any
    sources: Any
    memory: Any
    live: Any
    question: Any
    mode: Any

    def all(self) -> list[Any]:
        return [self.transcript, self.sources, self.memory, self.live, self.question, self.mode]


class ChatEvents:
    """The handlers. They share the way to answer and the feedback file, and no state of any visitor."""

    def __init__(
        self,
        parts: Parts,
        answer: AnswerFunction,
        feedback: FeedbackStore,
        running: Host,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._parts = parts
        self._answer = answer
        self._feedback = feedback
        self._running = running
        self._limits = limits
        self._stops = Stops()

    def ask(self, question: str, mode: str, memory: object) -> Update:
        """Put the question into the conversation, to be answered by `generate`."""
        return self._begun(lambda: _current(memory).asked(question, mode))

    def ask_example(self, mode: str, memory: object, event: gr.EventData) -> Update:
        """Ask one of the welcome's questions."""
        return self._begun(lambda: _current(memory).asked(_datum(event, "question"), mode))

    def retry(self, mode: str, memory: object) -> Update:
        """Ask the last question again, down the path that the switch is on."""
        conversation = _current(memory)
        if not conversation.last:
            return self._idle()
        question = conversation.last.question
        return self._begun(lambda: conversation.before(conversation.turns[-1].id).asked(question, mode))

    def edit(self, mode: str, memory: object, event: gr.EventData) -> Update:
        """Ask an earlier question in other words; the turns after it go."""
        conversation = _current(memory)
        earlier = conversation.before(_datum(event, "turn"))
        return self._begun(lambda: earlier.asked(_datum(event, "text"), mode))

    def undo(self, memory: object) -> Update:
        """Take the last turn back and its question into the box."""
        conversation = _current(memory)
        if not conversation.last:
            return self._idle()
        update = self._shown(conversation.before(conversation.last.id))
        return {**update, self._parts.question: conversation.last.question}

    def open(self, memory: object, live: Conversation | None) -> Update:
        """Show the conversation that the browser brings; one that was being answered is stopped and kept."""
        conversation = _current(memory)
        left = [live.stopped()] if live and live.working and live.id != conversation.id else []
        if live and live.last and live.working:
            self._stops.leave(live.last.id)
        update = self._shown(conversation, *left)
        if conversation.turns:
            update[self._parts.mode] = _on_switch(talk.last_mode(conversation))
        return update

    def stop(self, live: Conversation | None) -> Any:
        """Have the answer end: `generate` shows what was said until then. One that waits in line is shown here."""
        if not live or not live.last or not live.working or self._stops.stop(live.last.id):
            return gr.skip()
        return self._shown(live.stopped())

    def turned_away(self, live: Conversation | None) -> Any:
        """What Gradio did not let `generate` begin with, as its queue was full: a turn to retry, not one that waits."""
        if not live or not live.last or not live.working:
            return gr.skip()
        return self._shown(live.updated(replace(live.last, state="failed", error=BUSY)))

    def rate(self, memory: object, event: gr.EventData) -> Update:
        """Store a like or a dislike; the same one again takes it back."""
        conversation = _current(memory)
        turn = conversation.turn(_datum(event, "turn"))
        if turn is None or turn.state == "failed":
            return self._idle()
        liked = None if event.liked == turn.liked else bool(event.liked)
        try:
            self._feedback.add(turn.id, turn.question, turn.answer, liked)
        except StorageError:  # whose words are for whoever runs this, and in the log
            gr.Warning("Your rating could not be stored just now; please try again.")
            return self._idle()
        return self._shown(conversation.updated(replace(turn, liked=liked)))

    def generate(
        self,
        live: Conversation | None,
        passages: float,
        temperature: float,
        max_tokens: float,
        mine: Searched | None = None,
        request: gr.Request | None = None,
    ) -> Iterator[Update]:
        """Answer the working turn until it is stopped, over the visitor's own documents too where there are some.

        Closing this iterator, as Gradio does when the visitor has left, stops the model.
        """
        if not live or not live.last or not live.working:
            return
        phase = "searching" if MODES[live.last.mode].searches else "writing"
        conversation, turn = live, replace(live.last, phase=phase if self._running.ready else "loading")
        with self._stops.under_way(turn.id):
            if self._stops.left(turn.id):
                return
            yield self._frame(conversation.updated(turn))
            try:
                self._limits.count("turns", visitor_of(request))
                settings = talk.settings_from(passages, temperature, max_tokens)
                drawn = 0.0
                over = mine.over(self._running.index) if mine and not mine.expired else None
                answers = self._answer(conversation.messages(), turn.mode, settings, over)
                with closing(until(lambda: self._stops.stopped(turn.id), answers)) as wanted:
                    for answer in wanted:
                        found = bool(answer.passages) and not turn.answer.passages
                        turn = replace(turn, answer=answer, phase=_phase(answer))
                        if found or time.perf_counter() - drawn > self._stops.pace(_FRAME_SECONDS):
                            drawn = time.perf_counter()
                            yield self._frame(conversation.updated(turn), sources=found)
                ended = self._stops.stopped(turn.id) or turn.answer.cut_off
                turn = replace(turn, state="stopped" if ended else "done")
            except SwitchboardError as error:
                turn = replace(turn, state="failed", error=str(error))
            except Exception:  # noqa: BLE001 - whatever it is, the visitor gets a sentence and the log gets the trace
                _log.exception("A turn in mode %s failed.", turn.mode)
                turn = replace(turn, state="failed", error=OUR_FAULT)
            if not self._stops.left(turn.id):
                yield self._shown(conversation.updated(turn))

    def _begun(self, make: Callable[[], Conversation]) -> Update:
        try:
            conversation = make()
        except SwitchboardError as error:
            gr.Warning(str(error))
            return self._idle()
        return {**self._shown(conversation), self._parts.live: conversation, self._parts.question: ""}

    def _frame(self, conversation: Conversation, sources: bool = False) -> Update:
        """What changes while an answer is being made."""
        update = {
            self._parts.transcript: transcript(conversation, self._running.settings.company),
            self._parts.live: conversation,
        }
        return {**update, self._parts.sources: sources_panel(conversation)} if sources else update

    def _shown(self, conversation: Conversation, *others: Conversation) -> Update:
        """The whole conversation, on the page and in the browser's memory; nothing is being made."""
        return {
            **self._frame(conversation, sources=True),
            self._parts.memory: memory_of(conversation, *others),
            self._parts.live: None,
        }

    def _idle(self) -> Update:
        """Nothing changes, and nothing is to be answered."""
        return {self._parts.live: None}


def memory_of(conversation: Conversation, *others: Conversation) -> dict[str, Any]:
    """What the browser is to keep: the conversation on the page, and others that changed."""
    return {"current": talk.to_json(conversation), "others": [talk.to_json(other) for other in others]}


def _phase(answer: Answer) -> str:
    """What is being done for an answer that is begun."""
    if answer.waiting:
        return "queued"
    return "reading" if answer.passages else "writing"


def _current(memory: object) -> Conversation:
    return talk.from_json(memory.get("current") if isinstance(memory, Mapping) else None)


def _datum(event: gr.EventData, name: str) -> str:
    """A text that came with an event; empty when the page sent something else."""
    value = getattr(event, name, "")
    return value if isinstance(value, str) else ""


def _on_switch(mode: str) -> Any:
    """The switch's value; a mode that is not on it leaves it alone."""
    return mode if MODES[mode].in_chat else gr.skip()
