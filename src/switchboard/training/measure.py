"""What the reader makes of articles it was not trained on, with the base beside it.

    python -m switchboard.training.measure

Greedy, in the app's own prompt with five passages, on the held-out articles of XQuAD (see reader_public.py). What both
adapters get right on the company's own documents is measured by `python -m switchboard evaluate`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from tqdm import tqdm

from switchboard.build import load_generator, open_reranker
from switchboard.citations import check_citations
from switchboard.errors import TrainingDataError
from switchboard.generation.local import LocalGenerator
from switchboard.progress import to_stderr
from switchboard.prompts import READER_DECLINE, build_prompt, declined
from switchboard.retrieval.embedding import open_embedder
from switchboard.retrieval.judge import Reranker
from switchboard.retrieval.search import search_among
from switchboard.settings import Settings
from switchboard.training.reader_public import XQUAD, Case, held_out_cases
from switchboard.training.reading import Embed, part_vectors
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
    generator: LocalGenerator, cases: list[Case], company: str, adapter: str | None, quoting: bool = True
) -> list[str]:
    """The answers, as the app gives them; without `quoting` the model writes freely, figures and citations apart."""
    texts = dict.fromkeys(range(len(cases)), READER_DECLINE)
    asked = {n: case.found for n, case in enumerate(cases) if case.found and case.found.passages}
    prompts = [
        build_prompt([Message("user", found.query)], found.read, company, generator.count_tokens, _BUDGET)
        for found in asked.values()
    ]
    groundings = [
        Grounding(
            (found.query, *(f"{p.label}\n{p.text}" for p in found.passages)),
            len(found.passages),
            READER_DECLINE,
            found.quotes if quoting else (),
        )
        for found in asked.values()
    ]
    with tqdm(total=len(asked), unit="question", file=sys.stderr, desc=adapter or "base") as bar:
        done = generator.complete(prompts, _SETTINGS, adapter, groundings, bar.update)
    texts.update(zip(asked, (completion.text for completion in done), strict=True))
    return list(texts.values())


def as_found(case: Case, embed: Embed, reranker: Reranker | None) -> Case:
    """The case with what the app's search makes of its passages."""
    vectors = part_vectors(case.passages, embed)
    found = search_among(case.passages, case.question, embed([case.question])[0], lambda p: vectors[p.id], reranker)
    return replace(case, found=found)


def score_reader(cases: Iterable[tuple[Case, str]]) -> ReaderScore:
    """Score answers against the gold spans, without regard to case."""
    counts = dict.fromkeys(ReaderScore.__annotations__, 0)
    for case, answer in cases:
        if not case.gold:
            counts["unanswerable"] += 1
            counts["rightly_declined"] += declined(answer)
            continue
        shown = case.found.passages if case.found else case.passages
        _, cited, _ = check_citations(answer, len(shown))
        right = case.gold.lower() in answer.lower()
        counts["answerable"] += 1
        counts["right"] += right
        counts["right_and_cited"] += right and any(case.gold in shown[n - 1].text for n in cited)
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
    embedder = open_embedder(settings.embedder, settings.data, to_stderr)
    reranker = open_reranker(settings, embedder, to_stderr)
    given = held_out_cases(settings.data / "public", _SEED, ANSWERABLE, UNANSWERABLE)
    judged = [as_found(case, embedder.embed_queries, reranker) for case in given]
    unjudged = [as_found(case, embedder.embed_queries, None) for case in given]
    kept = sum(bool(c.found and any(c.gold in q.text for q in c.found.quotes)) for c in unjudged if c.gold)
    to_stderr(f"What is read holds the gold span in {kept} of {ANSWERABLE} cases.")
    for adapter, quoting, cases in (("reader", True, judged), ("reader", False, unjudged), (None, False, unjudged)):
        answers = answer_cases(generator, cases, settings.company, adapter, quoting)
        for case, answer in zip(cases, answers, strict=True):
            to_stderr(f"{adapter} | {case.question} | {case.gold} | {answer}")
        scored = asdict(score_reader(zip(cases, answers, strict=True)))
        print(json.dumps({"adapter": adapter or "base", "reranked": cases is judged, "quoting": quoting, **scored}))


if __name__ == "__main__":
    main()
