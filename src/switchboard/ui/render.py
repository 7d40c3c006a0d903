"""The transcript as HTML: one string a turn, built from values alone.

Every text of a visitor, a model or a document goes through `markup`; nothing else may end up in here.
"""

from __future__ import annotations

from switchboard.modes import MODES
from switchboard.types import Answer, Metrics
from switchboard.ui.conversation import Conversation, Turn
from switchboard.ui.markup import link_citations, plain, render_markdown

EXAMPLES: tuple[tuple[str, str], ...] = (
    ("A price", "How much is Fibre 500 a month?"),
    ("An exact fee", "My Direct Debit failed for the second time. What does that cost me?"),
    ("A rule with an exception", "Do I get money back for a broadband outage of four days?"),
    ("A near neighbour", "How long is the notice if I cancel a business line?"),
    ("Not in the help centre", "Do you sell home insurance?"),
    ("Small talk", "Hello! Are you a person?"),
)
"""What they show, and the question: each of them comes out differently down at least two of the paths."""

_PHASES = {
    "queued": "Waiting in line",
    "loading": "Loading the model, which takes a few seconds after a start",
    "searching": "Searching the help centre",
    "writing": "Thinking",
}


def transcript(conversation: Conversation, company: str) -> list[str]:
    """The parts of the transcript in their order: a welcome, or one article a turn."""
    if not conversation.turns:
        return [_welcome(company)]
    last = len(conversation.turns) - 1
    return [_turn(turn, n + 1, last - n) for n, turn in enumerate(conversation.turns)]


def metrics_line(mode: str, metrics: Metrics) -> str:
    """What an answer cost, in one plain line: `RAG · 0.9 s to first word · 2.4 s · 42 tokens at 31/s · ...`."""
    parts = [MODES[mode].label]
    if metrics.output_tokens:
        parts += [f"{_seconds(metrics.time_to_first_token_ms)} to first word", f"{_seconds(metrics.total_ms)} in all"]
        speed = f" at {metrics.tokens_per_second:.0f}/s" if metrics.tokens_per_second else ""
        parts.append(f"{counted(metrics.output_tokens, 'token')}{speed}")
        reused = f" ({metrics.reused_tokens} reused)" if metrics.reused_tokens else ""
        parts.append(f"prompt {metrics.prompt_tokens}{reused}")
    if MODES[mode].searches and metrics.retrieval_ms:
        parts.append(f"search {metrics.retrieval_ms:.0f} ms")
    return " · ".join(parts)


def chip(mode: str) -> str:
    """A mode's label in its colour."""
    return f'<span class="chip" data-mode="{plain(mode)}">{plain(MODES[mode].label)}</span>'


def source_id(turn_id: str, number: int) -> str:
    """The element of a card, which a citation points at."""
    return f"source-{turn_id}-{number}"


def _turn(turn: Turn, number: int, later: int) -> str:
    label = plain(MODES[turn.mode].label)
    return (
        f'<article class="turn" id="turn-{turn.id}" data-turn="{turn.id}" data-state="{turn.state}" '
        f'data-mode="{turn.mode}" data-later="{later}" aria-label="Question {number}, answered by {label}">'
        f'<div class="question"><h2 class="sr-only">You asked</h2>'
        f'<p class="question-text" dir="auto">{plain(turn.question)}</p>{_question_actions(turn)}</div>'
        f'<div class="answer"><header class="answer-head"><h3 class="sr-only">Answer by </h3>{chip(turn.mode)}'
        f"{_badge(turn)}</header>{_body(turn)}{_notices(turn)}{_footer(turn, later)}</div></article>"
    )


def _body(turn: Turn) -> str:
    if turn.state == "failed":
        return f'<p class="error" role="alert">{plain(turn.error)}</p>'
    if turn.answer.text:
        return f'<div class="prose-answer" dir="auto">{_answer_html(turn)}</div>'
    if turn.state == "working":
        return (
            f'<p class="waiting"><span class="pulse" aria-hidden="true"></span>'
            f'<span class="phase">{plain(_phase(turn))}</span><span class="elapsed" aria-hidden="true"></span></p>'
        )
    return '<p class="nothing-said">Nothing was said.</p>'


def _answer_html(turn: Turn) -> str:
    passages = turn.answer.passages

    def link(n: int) -> str | None:
        if not 1 <= n <= len(passages):
            return None
        return (
            f'<a class="cite" href="#{source_id(turn.id, n)}" aria-label="Source {n}: '
            f'{plain(passages[n - 1].label)}" title="{plain(passages[n - 1].label)}">[{n}]</a>'
        )

    return link_citations(render_markdown(turn.answer.text), link)


def _phase(turn: Turn) -> str:
    if turn.phase == "reading":
        return f"Reading {counted(len(turn.answer.passages), 'passage')}"
    if turn.phase == "queued" and turn.answer.waiting:
        return in_line(turn.answer)
    return _PHASES.get(turn.phase, "Working")


def in_line(answer: Answer) -> str:
    """Where an answer stands in the line before the model; nothing where it does not wait."""
    if not answer.waiting:
        return ""
    return f"Waiting in line: {answer.waiting} before you, about {max(1, round(answer.wait_seconds))} s"


def _badge(turn: Turn) -> str:
    words = {
        "stopped": "Stopped",
        "interrupted": "Interrupted",
        "failed": "Not answered",
        "done": "Not covered" if turn.answer.abstained else "",
    }.get(turn.state, "")
    return f'<span class="badge">{words}</span>' if words else ""


def _notices(turn: Turn) -> str:
    lines = [turn.answer.notice] if turn.answer.notice and turn.state != "failed" else []
    if removed := turn.answer.removed_citations:
        verb = "was" if removed == 1 else "were"
        lines.append(f"{counted(removed, 'citation')} that pointed at nothing {verb} removed.")
    if turn.state == "interrupted":
        lines.append("The page was closed before this answer was finished.")
    return "".join(f'<p class="notice">{plain(line)}</p>' for line in lines)


def _footer(turn: Turn, later: int) -> str:
    """Metrics and actions; while the answer is being made, only its place is kept."""
    if turn.state == "working":
        return '<footer class="answer-foot"></footer>'
    shown = turn.answer.metrics.total_ms and turn.state != "failed"
    line = f'<p class="metrics">{plain(metrics_line(turn.mode, turn.answer.metrics))}</p>' if shown else ""
    return f'<footer class="answer-foot">{line}<div class="actions">{_answer_actions(turn, later)}</div></footer>'


def _answer_actions(turn: Turn, later: int) -> str:
    actions = []
    if turn.answer.text and turn.state != "failed":
        actions.append(_action("copy", "Copy answer", "Copy"))
        actions.append(_action("like", "Good answer", "", pressed=turn.liked is True))
        actions.append(_action("dislike", "Bad answer", "", pressed=turn.liked is False))
    if later == 0:
        actions.append(_action("retry", "Retry", "Retry"))
        actions.append(_action("undo", "Undo: take this question back", "Undo"))
    return "".join(actions)


def _question_actions(turn: Turn) -> str:
    if turn.state == "working":
        return '<div class="actions"></div>'
    return f'<div class="actions">{_action("edit", "Edit this question", "Edit")}</div>'


def _action(name: str, label: str, text: str, pressed: bool | None = None) -> str:
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    shown = f"<span>{text}</span>" if text else ""
    return (
        f'<button type="button" class="action" data-action="{name}" aria-label="{label}" title="{label}"{state}>'
        f'<i class="icon icon-{name}" aria-hidden="true"></i>{shown}</button>'
    )


def _welcome(company: str) -> str:
    cards = "".join(
        f'<li><button type="button" class="example" data-action="example" data-question="{plain(question)}">'
        f"<small>{plain(shows)}</small><span>{plain(question)}</span></button></li>"
        for shows, question in EXAMPLES
    )
    return (
        f'<section class="welcome"><h2>Ask {plain(company)}’s help desk</h2>'
        "<p>Put the same question to each path and compare: one answers from what it was trained on, one looks it up "
        "and shows its sources, one does both. Flip the switch whenever you like, even between two questions.</p>"
        f'<ul class="examples" aria-label="Example questions">{cards}</ul></section>'
    )


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 95 else f"{milliseconds:.0f} ms"


def counted(number: int, noun: str) -> str:
    """`1 passage`, `2 passages`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
