"""A conversation as a file, for a person or for a program."""

from __future__ import annotations

import json
from datetime import datetime, timezone

from switchboard.modes import MODES
from switchboard.records import answer_record
from switchboard.ui.conversation import Conversation, Turn
from switchboard.ui.render import metrics_line


def as_json(conversation: Conversation) -> str:
    """The whole conversation for a program: every turn as the API gives it, and what became of it."""
    turns = [
        {
            **answer_record(turn.question, turn.answer),
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
