"""Scoring answers against the facts that they must hold, without a judge: strings and figures alone.

A right answer holds one alternative of every required fact and does not decline. A wrong figure is a number of the
answer that stands neither in its passages, nor in the required facts, nor in the question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from switchboard.citations import without_citations
from switchboard.evaluation.questions import Question
from switchboard.evaluation.statistics import wilson
from switchboard.types import Answer

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_WORDS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}
_PERCENT = re.compile(r"\s*(?:per cent|percent)\b|\s+%")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'"})


@dataclass(frozen=True)
class Scored:
    """One question with its answer's verdicts. `all_facts` is never true for a decline."""

    question: Question
    answer: Answer
    all_facts: bool
    declined: bool
    wrong_figures: tuple[str, ...]
    cited_right: bool
    retrieved_right: bool


def normalized(text: str) -> str:
    """Lower case, straight apostrophes, `%` for per cent, no thousands separators: what strings are compared in.

    >>> normalized("It’s 60 per cent of £1,250")
    "it's 60% of £1250"
    """
    text = _PERCENT.sub("%", text.translate(_APOSTROPHES).lower())
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)


def holds(answer: str, alternative: str) -> bool:
    """Whether the answer holds the string, at word boundaries and not inside a larger number.

    >>> holds("It costs £36 a month.", "£36"), holds("It costs £360.", "£36"), holds("It is £36.50", "36")
    (True, False, False)
    """
    wanted = re.escape(normalized(alternative.strip()))
    return re.search(rf"(?<![\w])(?<!\d[.,:]){wanted}(?!\w|[.,:]\d)", normalized(answer)) is not None


def figures(text: str) -> set[str]:
    """The numbers in a text; words up to twelve count, and `30.00` is `30`."""
    found = {number.removesuffix(".00") for number in _NUMBER.findall(normalized(text))}
    return found | {_WORDS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _WORDS}


def wrong_figures(question: Question, answer: Answer) -> tuple[str, ...]:
    """The numbers in digits of an answer that stand nowhere they could rightly come from."""
    texts = [turn.content for turn in question.messages]
    texts += [either for required in question.required for either in required] + list(question.also)
    texts += [f"{passage.label}\n{passage.text}" for passage in answer.passages]
    known = figures("\n".join(texts))
    said = {number.removesuffix(".00") for number in _NUMBER.findall(normalized(without_citations(answer.text)))}
    return tuple(sorted(said - known))


def score(question: Question, answer: Answer) -> Scored:
    """Judge one answer."""
    text = without_citations(answer.text)
    facts = all(any(holds(text, either) for either in required) for required in question.required)
    sources = [passage.source.rsplit(".", 1)[0] for passage in answer.passages]
    return Scored(
        question=question,
        answer=answer,
        all_facts=bool(question.required) and facts and not answer.abstained,
        declined=answer.abstained,
        wrong_figures=() if answer.abstained else wrong_figures(question, answer),
        cited_right=any(sources[number - 1] in question.articles for number in answer.cited),
        retrieved_right=any(source in question.articles for source in sources),
    )


def summarize(mode: str, searches: bool, rows: Sequence[Scored]) -> dict[str, Any]:
    """The figures of one mode, as fractions from 0 to 1 with 95 % intervals beside them; None where nothing counts.

    `all_facts`, `wrongly_declined`, `wrong_figures` and `cited_right` are shares of the answerable questions, and
    `declined` of those that should be declined. A mode that does not search is not asked for what changed after its
    adapter was trained: those are in their stratum alone.
    """
    answerable = [row for row in rows if row.question.answerable and (searches or not row.question.changed)]
    unanswerable = [row for row in rows if row.question.decline]
    shares = {
        "all_facts": _counted(row.all_facts for row in answerable),
        "wrongly_declined": _counted(row.declined for row in answerable),
        "declined": _counted(row.declined for row in unanswerable),
        "wrong_figures": _counted(bool(row.wrong_figures) for row in answerable),
        "cited_right": _counted(row.cited_right for row in answerable if searches),
        "retrieved_right": _counted(row.retrieved_right for row in answerable if searches),
    }
    strata = {}
    for name in dict.fromkeys(row.question.stratum for row in rows):
        members = [row for row in rows if row.question.stratum == name]
        strata[name] = {
            "n": len(members),
            "with_facts": sum(bool(row.question.required) for row in members),
            "all_facts": _share(row.all_facts for row in members if row.question.required),
            "declined": _share(row.declined for row in members),
            "wrong_figures": _share(bool(row.wrong_figures) for row in members),
        }
    return {
        "mode": mode,
        "n": len(rows),
        **{name: successes / n if n else None for name, (successes, n) in shares.items()},
        "strata": strata,
        "intervals": {name: [round(x, 4) for x in wilson(*counts)] for name, counts in shares.items() if counts[1]},
        "answerable": len(answerable),
        "unanswerable": len(unanswerable),
        "median_output_tokens": median(row.answer.metrics.output_tokens for row in rows) if rows else None,
        "median_prompt_tokens": median(row.answer.metrics.prompt_tokens for row in rows) if rows else None,
    }


def _counted(verdicts: Iterable[bool]) -> tuple[int, int]:
    seen = list(verdicts)
    return sum(seen), len(seen)


def _share(verdicts: Iterable[bool]) -> float | None:
    successes, n = _counted(verdicts)
    return successes / n if n else None
