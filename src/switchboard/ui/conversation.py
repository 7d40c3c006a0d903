"""A conversation as a value: its turns, and what asking, undoing, editing and stopping make of it.

The browser keeps conversations as JSON, so what comes back from there is a visitor's input: it is read strictly,
and what does not fit is refused or cut, never trusted.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from switchboard.errors import SettingsError
from switchboard.modes import DEFAULT_MODE, mode_named
from switchboard.records import answer_from_json, text_from_json
from switchboard.types import Answer, GenerationSettings, Message

State = Literal["working", "done", "stopped", "interrupted", "failed"]

LONGEST_QUESTION = 8000
"""In characters; a prompt has room for about as many."""
MAX_TURNS = 60
"""The most turns of one conversation that are kept; the oldest go first."""
_TITLE_LENGTH = 60


@dataclass(frozen=True)
class Turn:
    """A question and what became of it.

    `began` is in seconds since the epoch. `phase` says what a working turn is doing: `queued`, `loading`, `searching`,
    `reading`, `writing`. `error` is the sentence shown for a failed turn. `liked` is None until the visitor says.
    """

    id: str
    question: str
    mode: str
    began: float
    answer: Answer
    state: State = "working"
    phase: str = "queued"
    error: str = ""
    liked: bool | None = None


@dataclass(frozen=True)
class Conversation:
    """The turns of one conversation, oldest first."""

    id: str
    turns: tuple[Turn, ...] = ()

    @property
    def last(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    @property
    def working(self) -> bool:
        """Whether its last answer is still being made."""
        return self.last is not None and self.last.state == "working"

    @property
    def title(self) -> str:
        """The first question, cut to a line."""
        if not self.turns:
            return "New conversation"
        words = " ".join(self.turns[0].question.split())
        return words if len(words) <= _TITLE_LENGTH else words[: _TITLE_LENGTH - 1].rstrip() + "…"

    def turn(self, turn_id: str) -> Turn | None:
        return next((turn for turn in self.turns if turn.id == turn_id), None)

    def before(self, turn_id: str) -> Conversation:
        """The conversation up to, and without, a turn; unchanged when there is no such turn."""
        for n, turn in enumerate(self.turns):
            if turn.id == turn_id:
                return replace(self, turns=self.turns[:n])
        return self

    def asked(self, question: str, mode: str) -> Conversation:
        """With a new turn that waits for its answer. Raises SettingsError for no or too long a question, or no mode."""
        if not question.strip():
            raise SettingsError("There is no question. Please type one.")
        if len(question) > LONGEST_QUESTION:
            raise SettingsError(f"The question is longer than {LONGEST_QUESTION:,} characters. Please shorten it.")
        chosen = mode_named(mode).name
        turn = Turn(uuid.uuid4().hex, question.strip(), chosen, time.time(), Answer(mode=chosen))
        return replace(self, turns=(*self.turns, turn)[-MAX_TURNS:])

    def updated(self, turn: Turn) -> Conversation:
        """With the turn of the same id replaced."""
        return replace(self, turns=tuple(turn if old.id == turn.id else old for old in self.turns))

    def stopped(self) -> Conversation:
        """With a working turn marked as stopped; what it had said stays."""
        if not self.last or not self.working:
            return self
        return self.updated(replace(self.last, state="stopped"))

    def messages(self) -> list[Message]:
        """What the model is told: questions with the answers they got, then the last question.

        A turn that failed, or was stopped before the first word, is left out: it has no answer to alternate with.
        """
        *earlier, last = self.turns
        messages: list[Message] = []
        for turn in earlier:
            if turn.answer.text.strip() and turn.state != "failed":
                messages += [Message("user", turn.question), Message("assistant", turn.answer.text)]
        return [*messages, Message("user", last.question)]


def new_conversation() -> Conversation:
    """An empty conversation with a name nobody can guess."""
    return Conversation(uuid.uuid4().hex)


def to_json(conversation: Conversation) -> dict[str, Any]:
    """What the browser keeps. A working turn is kept as interrupted: that is what it is after a reload."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "turns": [_turn_to_json(turn) for turn in conversation.turns],
    }


def from_json(value: object) -> Conversation:
    """Read back what a browser kept; whatever does not look like one of ours becomes an empty conversation."""
    if not isinstance(value, Mapping) or not isinstance(turns := value.get("turns"), list):
        return new_conversation()
    read = []
    for turn in turns[-MAX_TURNS:]:
        try:
            read.append(_turn_from_json(turn))
        except (KeyError, TypeError, ValueError, OverflowError, SettingsError):
            continue
    return Conversation(_identifier(value.get("id")), tuple(read))


def settings_from(passages: float, temperature: float, max_tokens: float) -> GenerationSettings:
    """The drawer's values. Raises SettingsError outside of their ranges."""
    return GenerationSettings(round(passages), float(temperature), round(max_tokens))


def last_mode(conversation: Conversation) -> str:
    """Where the switch stood at the last turn."""
    return conversation.last.mode if conversation.last else DEFAULT_MODE


def _turn_to_json(turn: Turn) -> dict[str, Any]:
    value = asdict(turn)
    if turn.state == "working":
        value["state"] = "interrupted"
    del value["phase"]
    return value


def _turn_from_json(value: Mapping[str, Any]) -> Turn:
    state = value["state"]
    if state not in get_args(State):
        raise ValueError(state)
    liked = value.get("liked")
    return Turn(
        id=_identifier(value["id"]),
        question=text_from_json(value["question"]),
        mode=mode_named(value["mode"]).name,
        began=float(value["began"]),
        answer=answer_from_json(value["answer"]),
        state="interrupted" if state == "working" else state,
        phase="",
        error=text_from_json(value.get("error", "")),
        liked=liked if isinstance(liked, bool) else None,
    )


def _identifier(value: object) -> str:
    """An id of ours, which ends up in the page's markup; anything else gets a fresh one."""
    if isinstance(value, str) and 1 <= len(value) <= 64 and value.replace("-", "").isalnum() and value.isascii():
        return value
    return uuid.uuid4().hex
