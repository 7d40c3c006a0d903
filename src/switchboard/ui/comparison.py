"""A comparison as a value, and as HTML: rounds of one question each, with a column a mode."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from switchboard.citations import without_citations
from switchboard.evaluation.questions import Question
from switchboard.evaluation.score import figures, holds, normalized, wrong_figures
from switchboard.evaluation.statistics import wilson
from switchboard.evaluation.support import says_something, sentences, supported
from switchboard.modes import MODES
from switchboard.types import Answer, Message, Passage
from switchboard.ui.markup import in_text, plain, render_markdown
from switchboard.ui.plots import Bar, bars
from switchboard.ui.render import chip, counted, in_line, metrics_line
from switchboard.votes import Record

State = Literal["waiting", "working", "done", "stopped", "failed"]
MAX_ROUNDS = 20
"""The most rounds that stay on the page; the oldest go first."""
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_ESTIMATE = "(an estimate: 96 % of what it finds is there)"
"""Its precision, by training/support_check.py: 289 of 300 (94 to 98 %); it finds as many of those that are there."""
_WHY = "Not found in the passages, by its words and figures: an estimate."
_VOTES = {"left": "A is better", "right": "B is better", "tie": "A tie", "bad": "Both bad"}


@dataclass(frozen=True)
class Column:
    """One mode's answer to a round's question. `error` is the sentence shown where there is none."""

    mode: str
    answer: Answer
    state: State = "waiting"
    error: str = ""


@dataclass(frozen=True)
class Round:
    """A question and its columns in the order they are shown. A `blind` one hides its modes until there is a `vote`.

    `note` says under which circumstances it was asked.
    """

    question: str
    columns: tuple[Column, ...]
    blind: bool = False
    vote: str = ""
    note: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def hidden(self) -> bool:
        """Whether its modes must not be told yet; where one has failed there is nothing to vote on."""
        return self.blind and not self.vote and not any(column.state == "failed" for column in self.columns)

    @property
    def votable(self) -> bool:
        """Whether it waits for a vote: two whole answers."""
        return self.hidden and all(column.state == "done" and column.answer.text for column in self.columns)

    @property
    def working(self) -> bool:
        return any(column.state in ("waiting", "working") for column in self.columns)

    def with_column(self, column: Column) -> Round:
        """With the column of the same mode replaced."""
        return replace(self, columns=tuple(column if old.mode == column.mode else old for old in self.columns))

    def stopped(self) -> Round:
        """With whatever was not finished marked as stopped."""
        columns = tuple(replace(c, state="stopped") if c.state in ("waiting", "working") else c for c in self.columns)
        return replace(self, columns=columns)


@dataclass(frozen=True)
class Comparison:
    """The rounds of one visitor, oldest first."""

    rounds: tuple[Round, ...] = ()

    def asked(self, question: str, modes: Sequence[str], blind: bool = False, note: str = "") -> Comparison:
        """With a new round that waits for its answers."""
        columns = tuple(Column(mode, Answer(mode=mode)) for mode in modes)
        return Comparison((*self.rounds, Round(question.strip(), columns, blind, note=note))[-MAX_ROUNDS:])

    def updated(self, changed: Round) -> Comparison:
        """With the round of the same id replaced."""
        return Comparison(tuple(changed if old.id == changed.id else old for old in self.rounds))

    def messages(self, round_id: str, mode: str) -> list[Message]:
        """What a mode is told: the questions before with its own answers to them, then this one.

        In a blind round it is told this one alone: modes drawn by lot would know more or less of the ones before.
        """
        messages: list[Message] = []
        for one in self.rounds:
            if one.id == round_id and one.blind:
                return [Message("user", one.question)]
            if one.id == round_id:
                return [*messages, Message("user", one.question)]
            for column in one.columns:
                if column.mode == mode and column.answer.text.strip() and column.state in ("done", "stopped"):
                    messages += [Message("user", one.question), Message("assistant", column.answer.text)]
        return messages


def board(comparison: Comparison, known: Mapping[str, Question], earlier: Sequence[str] | None = None) -> list[str]:
    """The rounds as HTML, the latest first; `known` are the evaluation set's questions by `key`.

    `earlier` is the same of all but the latest round, where that was made before.
    """
    if not comparison.rounds:
        return [
            '<p class="board-empty">Ask something, and every path that you choose answers it side by side: with its '
            "sources, with what it cost, and with what differs marked. Later questions go on from there.</p>"
        ]
    *before, latest = comparison.rounds
    if earlier is None:
        earlier = [_round(one, known.get(key(one.question))) for one in reversed(before)]
    return [_round(latest, known.get(key(latest.question))), *earlier]


def key(question: str) -> str:
    """What an evaluation question is found by: its text without regard to case and blanks."""
    return " ".join(normalized(question).split())


def tally(records: Mapping[str, Record]) -> str:
    """The votes so far, as bars with Wilson's 95 % intervals."""
    rows = [
        Bar(mode, MODES[mode].label, record.rate, wilson(record.rate * record.votes, record.votes))
        for mode, record in records.items()
        if mode in MODES
    ]
    if not rows:
        return ""
    # Every vote is about two modes.
    count = counted(sum(record.votes for record in records.values()) // 2, "vote")
    note = f"{count}, everybody’s; a tie counts half, two bad answers count for none."
    return bars("Preferred in blind votes", note, rows)


def _round(one: Round, question: Question | None) -> str:
    said = [c for c in one.columns if c.state in ("done", "stopped") and c.answer.text and not c.answer.abstained]
    passages = [f"{p.label}\n{p.text}" for p in _passages(one.columns)]
    columns = "".join(
        _column(one, place, column, _differing(column, said), passages, question)
        for place, column in enumerate(one.columns)
    )
    note = f'<p class="round-note">{plain(one.note)}</p>' if one.note else ""
    return (
        f'<article class="round" data-round="{one.id}" data-state="{"working" if one.working else "done"}">'
        f'<h2 class="round-question" dir="auto">{plain(one.question)}</h2>{note}{_wanted(question)}'
        f'<div class="columns" style="--columns:{len(one.columns)}">{columns}</div>{_ballot(one)}</article>'
    )


def _column(
    one: Round,
    place: int,
    column: Column,
    differing: set[str],
    passages: Sequence[str],
    question: Question | None,
) -> str:
    name = "AB"[place] if one.hidden else ""
    head = f'<span class="letter">Answer {name}</span>' if name else chip(column.mode)
    badge = "Stopped" if column.state == "stopped" else "Not covered" if column.answer.abstained else ""
    badge = f'<span class="badge">{badge}</span>' if badge and not one.hidden else ""
    won = " won" if one.vote in ("left", "right") and ("left", "right").index(one.vote) == place else ""
    mode = "" if one.hidden else f' data-mode="{plain(column.mode)}"'
    return (
        f'<section class="path{won}"{mode} data-state="{column.state}"><header class="answer-head">{head}{badge}'
        f"</header>{_said(column, differing, passages, one.hidden)}"
        f"{'' if one.hidden else _below(column, passages, question)}</section>"
    )


def _said(column: Column, differing: set[str], passages: Sequence[str], hidden: bool) -> str:
    if hidden and column.state in ("waiting", "working"):
        # How an answer comes, word by word or whole, would tell whose it is.
        return _waiting("Answering")
    if column.state == "failed":
        return f'<p class="error" role="alert">{plain(column.error)}</p>'
    if not column.answer.text:
        if column.state == "stopped":
            return '<p class="nothing-said">Nothing was said.</p>'
        waits = column.state == "waiting" or column.answer.waiting
        return _waiting((in_line(column.answer) or "Waiting for the model") if waits else "Answering")
    if hidden and column.answer.abstained:
        # The modes decline in words of their own.
        return '<div class="prose-answer"><p>It says that it cannot answer this.</p></div>'
    text = without_citations(column.answer.text) if hidden else column.answer.text
    finished = column.state in ("done", "stopped")
    checked = bool(passages) and finished and not hidden and not column.answer.abstained
    parts = []
    for sentence in sentences(text):
        html = _marked(render_markdown(sentence), differing if finished else set())
        lacks = checked and says_something(sentence) and not supported(sentence, passages)
        parts.append(f'<div class="unsupported" title="{_WHY}">{html}</div>' if lacks else f"<div>{html}</div>")
    why = f'<p class="round-note">{plain(column.answer.notice)}</p>' if column.answer.cut_off else ""
    return f'<div class="prose-answer" dir="auto">{"".join(parts)}</div>{why}'


def _waiting(words: str) -> str:
    return f'<p class="waiting"><span class="pulse" aria-hidden="true"></span><span class="phase">{words}</span></p>'


def _below(column: Column, passages: Sequence[str], question: Question | None) -> str:
    if column.state not in ("done", "stopped") or not column.answer.text:
        return ""
    lines = [_facts(column.answer, question), _support(column.answer, passages), _sources(column.answer)]
    return "".join(lines) + f'<p class="metrics">{plain(metrics_line(column.mode, column.answer.metrics))}</p>'


def _wanted(question: Question | None) -> str:
    if question is None:
        return ""
    facts = ", ".join(either[0] for either in question.required)
    words = f"wants {facts}" if facts else "should be declined" if question.decline else "has no facts to hold"
    return f'<p class="round-note">From the evaluation set ({plain(question.stratum)}): {plain(words)}.</p>'


def _facts(answer: Answer, question: Question | None) -> str:
    """What the evaluation set says of the answer: facts found and missing, wrong figures, a decline that is right."""
    if question is None:
        return ""
    said = without_citations(answer.text)
    found = []
    for required in question.required:
        yes = any(holds(said, either) for either in required) and not answer.abstained
        found.append(_verdict(yes, required[0]))
    if question.decline:
        found.append(_verdict(answer.abstained, "declined" if answer.abstained else "not declined"))
    wrong = () if answer.abstained else wrong_figures(question, answer)
    found += [_verdict(False, f"wrong figure {number}") for number in wrong]
    return f'<ul class="verdicts">{"".join(found)}</ul>'


def _verdict(yes: bool, words: str) -> str:
    mark = ("✓", "right") if yes else ("✗", "wrong")
    return (
        f'<li data-yes="{str(yes).lower()}"><span aria-hidden="true">{mark[0]}</span>'
        f'<span class="sr-only">{mark[1]}: </span>{plain(words)}</li>'
    )


def _support(answer: Answer, passages: Sequence[str]) -> str:
    if not passages or answer.abstained:
        return ""
    parts = [part for part in sentences(answer.text) if says_something(part)]
    held = sum(supported(part, passages) for part in parts)
    return f'<p class="round-note">{held} of {counted(len(parts), "sentence")} found in the passages {_ESTIMATE}.</p>'


def _sources(answer: Answer) -> str:
    if not answer.passages:
        none = "Nothing near enough was found." if MODES[answer.mode].searches else "No sources on this path."
        return f'<p class="round-note">{none}</p>'
    items = "".join(
        f'<li><span class="card-number">{number}</span><span>{plain(passage.label)}'
        f"{' <b>cited</b>' if number in answer.cited else ''}"
        f"<small>{passage.score:.2f} similarity</small></span></li>"
        for number, passage in enumerate(answer.passages, 1)
    )
    return (
        f'<details class="column-sources"><summary>{counted(len(answer.passages), "passage")}, '
        f"{len(answer.cited) or 'none'} cited</summary><ol>{items}</ol></details>"
    )


def _ballot(one: Round) -> str:
    if one.vote:
        names = " and ".join(f"{'AB'[n]} was {MODES[c.mode].label}" for n, c in enumerate(one.columns))
        return f'<p class="revealed" role="status">{plain(_VOTES[one.vote])}. {plain(names)}.</p>'
    if not one.votable:
        return ""
    buttons = "".join(
        f'<button type="button" data-action="vote" data-round="{one.id}" data-vote="{vote}">{words}</button>'
        for vote, words in _VOTES.items()
    )
    return f'<div class="ballot" role="group" aria-label="Which answer is better?">{buttons}</div>'


def _differing(column: Column, said: Sequence[Column]) -> set[str]:
    """The numbers of a column's answer that another answer does not have; none where there is no other."""
    others = [figures(without_citations(other.answer.text)) for other in said if other.mode != column.mode]
    if column not in said or not others:
        return set()
    shared = set.intersection(*others)
    return {number for number in _numbers(without_citations(column.answer.text)) if number not in shared}


def _numbers(text: str) -> Iterator[str]:
    for match in _NUMBER.finditer(normalized(text)):
        yield match[0].removesuffix(".00")


def _marked(html: str, numbers: set[str]) -> str:
    """Mark some numbers in the text of some HTML, citations apart."""
    if not numbers:
        return html

    def mark(match: re.Match[str]) -> str:
        said = match[0].replace(",", "").removesuffix(".00")
        return f'<mark title="The answers differ here">{match[0]}</mark>' if said in numbers else match[0]

    pattern = re.compile(r"(?<!\[)\d+(?:[.,:]\d+)*(?!\])")
    return in_text(html, lambda text: pattern.sub(mark, text))


def _passages(columns: Sequence[Column]) -> list[Passage]:
    """All passages of a round, each once."""
    return list({passage.id: passage for column in columns for passage in column.answer.passages}.values())
