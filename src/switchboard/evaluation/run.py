"""Asking a mode all the questions of an evaluation set, and what comes of it.

Every turn is prepared as the chat prepares it; the answers are written in batches, which changes how long it takes and
nothing else, as all is greedy. Latency is measured on a sample of the questions, asked one by one as a visitor would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from switchboard.errors import GeneratorError
from switchboard.evaluation.questions import Question
from switchboard.evaluation.score import Scored, score
from switchboard.generation.local import LocalGenerator
from switchboard.modes import DEFAULT_MODE, Mode
from switchboard.records import answer_from_json
from switchboard.switch import Switchboard, finished
from switchboard.types import Answer, Completion, GenerationSettings, Retriever, SearchResult

SETTINGS = GenerationSettings(max_tokens=128)
"""Greedy, with room for the longest right answer."""
AT_A_TIME = 34
"""Questions between two writes of a run that can be taken up again."""

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Remembering:
    """A retriever that searches for the same thing once: two modes that search are given the same passages."""

    retriever: Retriever
    found: dict[tuple[str, int], SearchResult] = field(default_factory=dict)

    def search(self, query: str, k: int) -> SearchResult:
        """What the retriever finds, with the milliseconds of the first time."""
        if (query, k) not in self.found:
            self.found[query, k] = self.retriever.search(query, k)
        return self.found[query, k]

    def small_talk(self, message: str) -> str:
        return self.retriever.small_talk(message)


def ask_all(switchboard: Switchboard, questions: Sequence[Question], mode: Mode, progress: Progress) -> list[Answer]:
    """Every question's answer in a mode, in their order; `progress` is told how many more are done.

    The local engine writes them in batches, another one by one. Raises GeneratorError where a server fails.
    """
    generator = switchboard.generator_of(mode)
    if not isinstance(generator, LocalGenerator):
        return ask_one_by_one(switchboard, questions, mode, progress)
    turns = [switchboard.prepare(question.messages, mode, SETTINGS) for question in questions]
    open_turns = [turn for turn in turns if not turn.answer.done]
    progress(len(turns) - len(open_turns))
    texts: dict[int, Completion] = {}
    for adapter in dict.fromkeys(turn.adapter for turn in open_turns):
        wearing = [number for number, turn in enumerate(turns) if not turn.answer.done and turn.adapter == adapter]
        prompts, groundings = [turns[n].prompt for n in wearing], [turns[n].grounding for n in wearing]
        texts |= zip(wearing, generator.complete(prompts, SETTINGS, adapter, groundings, progress), strict=True)
    answers = []
    for number, turn in enumerate(turns):
        if turn.answer.done:
            answers.append(turn.answer)
            continue
        completion = texts[number]
        metrics = replace(
            turn.answer.metrics, prompt_tokens=completion.prompt_tokens, output_tokens=completion.output_tokens
        )
        answers.append(finished(turn, completion.text, metrics))
    return answers


def ask_one_by_one(
    switchboard: Switchboard, questions: Sequence[Question], mode: Mode, progress: Progress
) -> list[Answer]:
    """The answers as a visitor gets them, with what each cost. Raises GeneratorError where one is cut off."""
    answers = []
    for question in questions:
        *_, answer = switchboard.answer(question.messages, mode, SETTINGS)
        if answer.cut_off:
            raise GeneratorError(answer.notice)  # half an answer says nothing of the mode
        answers.append(answer)
        progress(1)
    return answers


Asking = Callable[[Switchboard, Sequence[Question], Mode, Progress], list[Answer]]


def ask_resumable(
    ask: Asking, switchboard: Switchboard, questions: Sequence[Question], mode: Mode, file: Path, progress: Progress
) -> list[Answer]:
    """Ask as `ask` does, and write the answers to `file` as they come; those that are in it are not asked again."""
    answers = _read_answers(file, mode)[: len(questions)]
    progress(len(answers))
    for start in range(len(answers), len(questions), AT_A_TIME):
        new = ask(switchboard, questions[start : start + AT_A_TIME], mode, progress)
        with file.open("a", encoding="utf-8") as sink:
            sink.writelines(json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in new)
        answers += new
    return answers


def score_all(questions: Sequence[Question], answers: Sequence[Answer]) -> list[Scored]:
    """Each question with its answer's verdicts."""
    return [score(question, answer) for question, answer in zip(questions, answers, strict=True)]


def sample(n: int, size: int) -> list[int]:
    """Which of `n` questions make a sample of at most `size`, evenly over the set.

    >>> sample(10, 3), sample(2, 3)
    ([0, 3, 6], [0, 1])
    """
    size = min(size, n)
    return [number * n // size for number in range(size)]


def latency(answers: Sequence[Answer]) -> dict[str, Any]:
    """Milliseconds of answers that were asked one by one: p50 and p95, to the first token and whole.

    Answers that the model did not write, as nothing was found, count where they were given: a visitor waits for them
    too.
    """
    return {
        "n": len(answers),
        "time_to_first_token_ms": _p50_p95([a.metrics.time_to_first_token_ms or a.metrics.total_ms for a in answers]),
        "total_ms": _p50_p95([a.metrics.total_ms for a in answers]),
        "tokens_per_second": _median([a.metrics.tokens_per_second for a in answers if a.metrics.tokens_per_second]),
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


def _read_answers(file: Path, mode: Mode) -> list[Answer]:
    """The answers of an earlier run, up to the first line that was cut while it was written."""
    answers: list[Answer] = []
    if not file.is_file():
        return answers
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    for line in whole.split("\n")[:-1]:  # splitlines would also cut at separators that JSON leaves in a text
        # The mode may be one that nobody can ask for by name.
        answers.append(replace(answer_from_json({**json.loads(line), "mode": DEFAULT_MODE}), mode=mode.name))
    if whole != text:
        file.write_text(whole, encoding="utf-8")
    return answers


def _median(values: Sequence[float]) -> float | None:
    return round(median(values), 1) if values else None


def _p50_p95(values: Sequence[float]) -> list[float] | None:
    if len(values) < 2:
        return [round(values[0]), round(values[0])] if values else None
    cuts = quantiles(values, n=20, method="inclusive")
    return [round(cuts[9]), round(cuts[18])]
