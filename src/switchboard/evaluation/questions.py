"""Evaluation questions: read and checked.

A line of a file is one question:

    {"id": "billing-07", "stratum": "follow-up", "question": "and on mobile?",
     "conversation": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}],
     "required": [["£5", "5 pounds"], ["30 days"]], "articles": ["billing/late-payment-fee"], "also": ["12"],
     "decline": false, "changed": ""}

Only `question` is always needed. `required` lists the facts a right answer holds, each as alternatives; `articles` name
the documents that hold them, by their paths below the knowledge folder without suffix; `also` lists further figures
that a right answer may mention. `decline` says that declining is right. `changed` is the date (ISO 8601) on which the
fact changed, for those that an adapter trained before cannot know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchboard.errors import SettingsError
from switchboard.types import Message, Role


@dataclass(frozen=True)
class Question:
    """One evaluation question; see above."""

    id: str
    stratum: str
    text: str
    conversation: tuple[Message, ...] = ()
    required: tuple[tuple[str, ...], ...] = ()
    articles: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    decline: bool = False
    changed: str = ""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation with the question at its end."""
        return (*self.conversation, Message("user", self.text))

    @property
    def answerable(self) -> bool:
        """Whether the documents answer it; small talk has no facts and is neither."""
        return bool(self.required and self.articles and not self.decline)


def read_questions(path: Path) -> list[Question]:
    """Read a JSONL file of questions. Raises SettingsError with file, line and reason for the first fault."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    questions = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            questions.append(_question(json.loads(line), f"{path.stem}-{number}"))
        except (ValueError, KeyError, TypeError) as error:
            reason = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
            raise SettingsError(f"{path}:{number} is no question: {reason}.") from error
    if not questions:
        raise SettingsError(f"{path} has no question in it; write one JSON object a line, see evaluation/README.md.")
    return questions


def _question(value: Any, default_id: str) -> Question:
    if not isinstance(value, Mapping):
        raise ValueError("it is not an object")
    text = str(value["question"]).strip()
    if not text:
        raise ValueError("the question is empty")
    required = tuple(
        (either,) if isinstance(either, str) else tuple(map(str, either)) for either in value.get("required", [])
    )
    turns = tuple(Message(_role(turn["role"]), str(turn["content"])) for turn in value.get("conversation", []))
    return Question(
        id=str(value.get("id", default_id)),
        stratum=str(value.get("stratum", "all")),
        text=text,
        conversation=turns,
        required=required,
        articles=tuple(map(str, value.get("articles", []))),
        also=tuple(map(str, value.get("also", []))),
        decline=bool(value.get("decline", False)),
        changed=str(value.get("changed", "")),
    )


def _role(value: Any) -> Role:
    if value not in ("user", "assistant"):
        raise ValueError(f"a turn's role is {value!r}; it must be 'user' or 'assistant'")
    return value  # type: ignore[no-any-return]
