"""What the reader makes of articles it was not trained on, with the base beside it.

    python -m switchboard.training.measure

Greedy, in the app's own prompt with five passages, on the held-out articles of XQuAD (see reader_public.py). What both
adapters get right on the company's own documents is measured by `python -m switchboard evaluate`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from tqdm import tqdm

from switchboard.build import load_generator
from switchboard.citations import check_citations
from switchboard.errors import TrainingDataError
from switchboard.generation.local import LocalGenerator
from switchboard.progress import to_stderr
from switchboard.prompts import build_prompt, declined
from switchboard.settings import Settings
from switchboard.training.reader_public import XQUAD, Case, held_out_cases
from switchboard.types import GenerationSettings, Grounding, Message

ANSWERABLE, UNANSWERABLE = 120, 40
_BUDGET = 4096
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


def answer_cases(
    generator: LocalGenerator, cases: list[Case], company: str, adapter: str | None, limited: bool = True
) -> list[str]:
    """The answers; `limited` is as the app does it, with figures and citations from the passages alone."""
    prompts = [
        build_prompt([Message("user", case.question)], case.passages, company, generator.count_tokens, _BUDGET)
        for case in cases
    ]
    groundings = [
        Grounding((case.question, *(f"{p.label}\n{p.text}" for p in case.passages)), len(case.passages))
        if limited
        else None
        for case in cases
    ]
    with tqdm(total=len(cases), unit="question", file=sys.stderr, desc=adapter or "base") as bar:
        return [done.text for done in generator.complete(prompts, _SETTINGS, adapter, groundings, bar.update)]


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


def main() -> None:
    """Measure the reader with and without limited figures, and the base; one JSON object each on standard output."""
    settings = Settings.from_environment()
    if not (settings.data / "public" / XQUAD).is_file():
        sys.exit(
            str(
                TrainingDataError(
                    f"There is no {settings.data / 'public' / XQUAD}; adapters/README.md says where it comes from."
                )
            )
        )
    generator, _ = load_generator(settings, to_stderr)
    cases = held_out_cases(settings.data / "public", _SEED, ANSWERABLE, UNANSWERABLE)
    for adapter, limited in (("reader", True), ("reader", False), (None, True)):
        answers = answer_cases(generator, cases, settings.company, adapter, limited)
        for case, answer in zip(cases, answers, strict=True):
            to_stderr(f"{adapter} | {case.question} | {case.gold} | {answer}")
        scored = asdict(score_reader(zip(cases, answers, strict=True)))
        print(json.dumps({"adapter": adapter or "base", "figures_limited": limited, **scored}), flush=True)


if __name__ == "__main__":
    main()
