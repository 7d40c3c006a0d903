"""A conversation as a file, and an answer as the JSON object that the API gives."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from switchboard.modes import MODES
from switchboard.types import Answer, Passage
from switchboard.ui.conversation import Conversation, Turn
from switchboard.ui.render import metrics_line


def answer_as_json(question: str, answer: Answer) -> dict[str, Any]:
    """An answer with its passages and metrics, as plain JSON types."""
    return {
        "question": question,
        "mode": answer.mode,
        "answer": answer.text,
        "abstained": answer.abstained,
        "passages": [passage_as_json(p, n in answer.cited) for n, p in enumerate(answer.passages, 1)],
        "metrics": {name: round(value, 3) for name, value in asdict(answer.metrics).items()},
    }


def passage_as_json(passage: Passage, cited: bool | None = None) -> dict[str, Any]:
    """A passage; without `cited` where no answer could have cited it."""
    value: dict[str, Any] = {
        "source": passage.source,
        "heading": passage.heading,
        "title": passage.title,
        "score": round(passage.score, 4),
        "text": passage.text,
    }
    return value if cited is None else {**value, "cited": cited}


def as_json(conversation: Conversation) -> str:
    """The whole conversation for a program: every turn as the API gives it, and what became of it."""
    turns = [
        {
            **answer_as_json(turn.question, turn.answer),
            "asked": _time(turn),
            "state": turn.state,
            "notice": turn.answer.notice or turn.error,
            "liked": turn.liked,
        }
        for turn in conversation.turns
    ]
    return json.dumps({"title": conversation.title, "turns": turns}, indent=2, ensure_ascii=False) + "\n"


def as_markdown(conversation: Conversation) -> str:
    """The whole conversation for a person: questions, answers, sources with similarities, metrics."""
    return "\n".join([f"# {conversation.title}", "", *(line for turn in conversation.turns for line in _lines(turn))])


def _lines(turn: Turn) -> list[str]:
    answer = turn.answer
    state = "" if turn.state == "done" else f" ({turn.state})"
    lines = [f"## {turn.question}", "", f"*{MODES[turn.mode].label}{state}, {_time(turn)}*", ""]
    lines += [turn.error if turn.state == "failed" else answer.text or "Nothing was said.", ""]
    lines += [f"> {answer.notice}", ""] if answer.notice else []
    for n, passage in enumerate(answer.passages, 1):
        cited = ", cited" if n in answer.cited else ""
        lines.append(f"- [{n}] {passage.label} (`{passage.source}`, similarity {passage.score:.2f}{cited})")
    lines += [""] if answer.passages else []
    lines += [metrics_line(turn.mode, answer.metrics), ""] if answer.metrics.total_ms else []
    return lines


def _time(turn: Turn) -> str:
    return datetime.fromtimestamp(turn.began, tz=timezone.utc).isoformat(timespec="seconds")
