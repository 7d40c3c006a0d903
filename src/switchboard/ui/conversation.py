"""A conversation as a value: its turns, and what asking, undoing, editing and stopping make of it.

The browser keeps conversations as JSON, so what comes back from there is a visitor's input: it is read strictly,
and what does not fit is refused or cut, never trusted.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from switchboard.errors import SettingsError
from switchboard.modes import DEFAULT_MODE, mode_named
from switchboard.types import Answer, GenerationSettings, Message, Metrics, Passage

State = Literal["working", "done", "stopped", "interrupted", "failed"]

MAX_TURNS = 60
"""The most turns of one conversation that are kept; the oldest go first."""
MAX_TEXT = 20_000
"""The most characters of any one text read back from a browser."""
MAX_PASSAGES = 16
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
        """With a new turn that waits for its answer. Raises SettingsError for no question or no such mode."""
        if not question.strip():
            raise SettingsError("There is no question. Please type one.")
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
        question=_text(value["question"]),
        mode=mode_named(value["mode"]).name,
        began=float(value["began"]),
        answer=_answer_from_json(value["answer"]),
        state="interrupted" if state == "working" else state,
        phase="",
        error=_text(value.get("error", "")),
        liked=liked if isinstance(liked, bool) else None,
    )


def _answer_from_json(value: Mapping[str, Any]) -> Answer:
    passages = tuple(_passage_from_json(passage) for passage in _items(value["passages"])[:MAX_PASSAGES])
    nearest = value.get("nearest")
    return Answer(
        mode=mode_named(value["mode"]).name,
        text=_text(value["text"]),
        passages=passages,
        nearest=_passage_from_json(nearest) if nearest else None,
        cited=tuple(int(n) for n in _items(value["cited"]) if 1 <= int(n) <= len(passages)),
        removed_citations=int(value["removed_citations"]),
        abstained=bool(value["abstained"]),
        notice=_text(value["notice"]),
        metrics=_metrics_from_json(value["metrics"]),
        done=bool(value["done"]),
    )


def _metrics_from_json(value: Mapping[str, Any]) -> Metrics:
    return Metrics(
        retrieval_ms=float(value["retrieval_ms"]),
        time_to_first_token_ms=float(value["time_to_first_token_ms"]),
        prompt_tokens=int(value["prompt_tokens"]),
        reused_tokens=int(value["reused_tokens"]),
        output_tokens=int(value["output_tokens"]),
        tokens_per_second=float(value["tokens_per_second"]),
        total_ms=float(value["total_ms"]),
    )


def _passage_from_json(value: Mapping[str, Any]) -> Passage:
    texts = {name: _text(value[name]) for name in ("source", "title", "heading", "text", "updated")}
    return Passage(**texts, start=int(value["start"]), end=int(value["end"]), score=float(value["score"]))


def _items(value: object) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError("not a list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value[:MAX_TEXT]


def _identifier(value: object) -> str:
    """An id of ours, which ends up in the page's markup; anything else gets a fresh one."""
    if isinstance(value, str) and 1 <= len(value) <= 64 and value.replace("-", "").isalnum() and value.isascii():
        return value
    return uuid.uuid4().hex
