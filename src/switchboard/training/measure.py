"""A first, small measure of the two adapters on questions that neither was trained on.

    python -m switchboard.training.measure

Greedy, in the app's own prompts. The reader meets held-out XQuAD articles (see reader_public.py); the other one the
questions in adapters/customer-service/measured_questions.jsonl, whose required figures were written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from switchboard.build import load_generator
from switchboard.citations import check_citations
from switchboard.progress import to_stderr
from switchboard.prompts import build_prompt, declined
from switchboard.settings import Settings
from switchboard.training.reader_public import Case, held_out_cases
from switchboard.types import GenerationSettings, Generator, Message, Passage

BUDGET = 4096
_SETTINGS = GenerationSettings(max_tokens=96)
_SEED = 5


@dataclass(frozen=True)
class ReaderScore:
    """Counts: of `answerable` questions, how many answers held the gold span and cited a passage that does."""

    answerable: int
    right: int
    right_and_cited: int
    wrongly_declined: int
    unanswerable: int
    rightly_declined: int


def ask(generator: Generator, question: str, passages: tuple[Passage, ...], company: str, adapter: str | None) -> str:
    """The whole answer to one question."""
    prompt = build_prompt([Message("user", question)], passages, company, generator.count_tokens, BUDGET)
    return "".join(token.text for token in generator.stream(prompt, _SETTINGS, adapter)).strip()


def score_reader(cases: Iterable[tuple[Case, str]]) -> ReaderScore:
    """Score answers against the gold spans, without regard to case."""
    counts = dict.fromkeys(ReaderScore.__annotations__, 0)
    for case, answer in cases:
        if not case.gold:
            counts["unanswerable"] += 1
            counts["rightly_declined"] += declined(answer)
            continue
        _, cited, _ = check_citations(answer, len(case.passages))
        right = case.gold.lower() in answer.lower()
        counts["answerable"] += 1
        counts["right"] += right
        counts["right_and_cited"] += right and any(case.gold in case.passages[n - 1].text for n in cited)
        counts["wrongly_declined"] += declined(answer)
    return ReaderScore(**counts)


def score_figures(rows: Iterable[tuple[list[list[str]], str]]) -> int:
    """How many answers hold one of the alternatives of each required figure, as whole words and not as a citation."""
    return sum(
        all(any(_holds(answer, figure) for figure in either) for either in required) for required, answer in rows
    )


def _holds(answer: str, figure: str) -> bool:
    text, _, _ = check_citations(answer, passages=0)
    return re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(figure.strip())}(?![.,]?\w)", text) is not None


def main() -> None:
    """Measure both adapters and the base beside them; answers go to standard error, the counts to standard output."""
    settings = Settings.from_environment()
    generator, _ = load_generator(settings, to_stderr)
    path = settings.adapters / "customer-service" / "measured_questions.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    cases = held_out_cases(settings.data / "public", _SEED, answerable=45, unanswerable=15)
    for adapter in ("customer-service", None) if "reader" not in sys.argv[1:] else ():
        answers = [ask(generator, row["question"], (), settings.company, adapter) for row in rows]
        for row, answer in zip(rows, answers, strict=True):
            to_stderr(f"{adapter} | {row['question']} | {row['required']} | {answer}")
        right = score_figures((row["required"], answer) for row, answer in zip(rows, answers, strict=True))
        given_up = sum(map(declined, answers))
        print(f"{adapter or 'base'}: required figures in {right} of {len(rows)}, {given_up} declined", flush=True)
    for adapter in ("reader", None) if "customer-service" not in sys.argv[1:] else ():
        asked = [(case, ask(generator, case.question, case.passages, settings.company, adapter)) for case in cases]
        for case, answer in asked:
            to_stderr(f"{adapter} | {case.question} | {case.gold} | {answer}")
        print(adapter or "base", score_reader(asked), flush=True)


if __name__ == "__main__":
    main()
