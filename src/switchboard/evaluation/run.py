"""Asking a mode all the questions of an evaluation set, and what comes of it.

Every turn is prepared as the chat prepares it; the answers are written in batches, which changes how long it takes and
nothing else, as all is greedy. Latency is measured on a sample of the questions, asked one by one as a visitor would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median, quantiles
from typing import Any

from switchboard.evaluation.questions import Question
from switchboard.evaluation.score import Scored, score
from switchboard.generation.local import LocalGenerator
from switchboard.modes import MODES
from switchboard.switch import Switchboard, finished
from switchboard.types import Completion, GenerationSettings

SETTINGS = GenerationSettings(max_tokens=128)
"""Greedy, with room for the longest right answer."""

Progress = Callable[[int], object]


def ask_all(switchboard: Switchboard, questions: Sequence[Question], mode: str, progress: Progress) -> list[Scored]:
    """Every question's answer in a mode, scored, in their order; `progress` is told how many more are done."""
    turns = [switchboard.prepare(question.messages, mode, SETTINGS) for question in questions]
    generator = switchboard.generator
    if not isinstance(generator, LocalGenerator):
        raise TypeError("answers are written in batches by the local engine")
    open_turns = [turn for turn in turns if not turn.answer.done]
    progress(len(turns) - len(open_turns))
    texts: dict[int, Completion] = {}
    for adapter in dict.fromkeys(turn.adapter for turn in open_turns):
        wearing = [number for number, turn in enumerate(turns) if not turn.answer.done and turn.adapter == adapter]
        prompts, groundings = [turns[n].prompt for n in wearing], [turns[n].grounding for n in wearing]
        texts |= zip(wearing, generator.complete(prompts, SETTINGS, adapter, groundings, progress), strict=True)
    scored = []
    for number, (question, turn) in enumerate(zip(questions, turns, strict=True)):
        if turn.answer.done:
            scored.append(score(question, turn.answer))
            continue
        completion = texts[number]
        metrics = replace(
            turn.answer.metrics, prompt_tokens=completion.prompt_tokens, output_tokens=completion.output_tokens
        )
        scored.append(score(question, finished(turn.answer, completion.text, metrics)))
    return scored


def measure_latency(
    switchboard: Switchboard, questions: Sequence[Question], mode: str, sample: int, progress: Progress
) -> dict[str, Any]:
    """Milliseconds of `sample` questions over the set, asked one by one: p50 and p95, to the first token and whole."""
    step = max(1, len(questions) // max(1, sample))
    chosen = list(questions)[::step][:sample]
    first, total, speed = [], [], []
    for question in chosen:
        *_, answer = switchboard.answer(question.messages, mode, SETTINGS)
        metrics = answer.metrics
        if metrics.output_tokens:
            first.append(metrics.time_to_first_token_ms)
            total.append(metrics.total_ms)
            speed.append(metrics.tokens_per_second)
        progress(1)
    return {
        "n": len(first),
        "time_to_first_token_ms": _p50_p95(first),
        "total_ms": _p50_p95(total),
        "tokens_per_second": round(median(speed), 1) if speed else None,
    }


def record(row: Scored) -> dict[str, Any]:
    """A scored answer as JSON: what stands behind a figure."""
    question = row.question
    return {
        "id": question.id,
        "stratum": question.stratum,
        "question": question.text,
        "required": [list(either) for either in question.required],
        "articles": list(question.articles),
        "answer": row.answer.text,
        "sources": [passage.source for passage in row.answer.passages],
        "cited": list(row.answer.cited),
        "all_facts": row.all_facts,
        "declined": row.declined,
        "wrong_figures": list(row.wrong_figures),
        "cited_right": row.cited_right,
        "retrieved_right": row.retrieved_right,
    }


def searches(mode: str) -> bool:
    """Whether a mode puts passages into its prompt."""
    return MODES[mode].searches


def _p50_p95(values: Sequence[float]) -> list[float] | None:
    if len(values) < 2:
        return [round(values[0]), round(values[0])] if values else None
    cuts = quantiles(values, n=20, method="inclusive")
    return [round(cuts[9]), round(cuts[18])]
