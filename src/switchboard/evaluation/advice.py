"""Which approach fits a case: a score from a handful of answers, each of its points with where it comes from.

Each answer gives each approach from -2 to 2 points, times the weight of its question, or rules it out. The points are
judgements, written down here to be argued with; what they rest on is a figure of the report or a published source. How
much the ranking hangs on the weights is part of the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

APPROACHES: dict[str, str] = {
    "fine-tuning": "Fine-tuning",
    "rag": "RAG",
    "both": "Both",
    "neither": "Neither yet",
}
"""What can be recommended, by name and label."""
MODE_OF = {"fine-tuning": "fine-tuned", "rag": "rag", "both": "combined"}
"""Which measured mode stands for an approach."""
DRAWS = 500
"""Random weightings that the ranking is tried with."""

Points = tuple[int, int, int, int]
"""For fine-tuning, RAG, both, neither yet."""
OUT = -99
"""Stands for points where something cannot be done: citing without sources, looking up without documents. Whatever the
weight, unless that is 0, the approach is ruled out: its score is minus infinity."""


@dataclass(frozen=True)
class Choice:
    """An answer to a question: what the page shows, its points, and why."""

    name: str
    words: str
    points: Points
    why: str


@dataclass(frozen=True)
class Criterion:
    """A question with its answers, its weight from 0 to 3 unless it is changed, and what its points rest on.

    `evidence` names figures of the report, see `evidence_of`, or a published source.
    """

    name: str
    question: str
    weight: float
    choices: tuple[Choice, ...]
    evidence: tuple[str, ...]

    def choice(self, name: str) -> Choice:
        """The answer of that name, or the first."""
        return next((choice for choice in self.choices if choice.name == name), self.choices[0])


OVADIA = "Ovadia and others, Fine-Tuning or Retrieval? Comparing Knowledge Injection in LLMs, EMNLP 2024"
BIDERMAN = "Biderman and others, LoRA Learns Less and Forgets Less, TMLR 2024"
LIMA = "Zhou and others, LIMA: Less Is More for Alignment, NeurIPS 2023"
RAFT = "Zhang and others, RAFT: Adapting Language Model to Domain Specific RAG, COLM 2024"
GEKHMAN = "Gekhman and others, Does Fine-Tuning LLMs on New Knowledge Encourage Hallucinations?, EMNLP 2024"
LEWIS = "Lewis and others, Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks, NeurIPS 2020"

CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        "change",
        "How often do your facts change?",
        3,
        (
            Choice("weekly", "Every week or more", (-2, 2, 2, 0), "a fact learned in training is wrong within days"),
            Choice("monthly", "Every month or so", (-1, 2, 2, 0), "each change would need another training"),
            Choice("yearly", "Once or twice a year", (1, 1, 1, 0), "a training after each change can be afforded"),
            Choice("never", "Hardly ever", (2, 0, 0, 0), "nothing that was learned goes out of date"),
        ),
        ("update", "changed", OVADIA),
    ),
    Criterion(
        "cite",
        "Must an answer say where it is from?",
        2,
        (
            Choice("must", "Yes, always", (OUT, 2, 2, 0), "what is learned in training has no source to name"),
            Choice("nice", "It would be welcome", (-1, 1, 1, 0), "a source lets a doubtful customer look"),
            Choice("no", "No", (1, 0, 0, 0), "nobody will look the sources up"),
        ),
        ("cited", LEWIS),
    ),
    Criterion(
        "wrong",
        "How bad is a wrong figure?",
        3,
        (
            Choice("terrible", "It costs money or trust", (-2, 2, 1, 1), "a figure should stand in a document"),
            Choice("bad", "Annoying, and put right later", (-1, 1, 1, 0), "most figures should be right"),
            Choice("mild", "It hardly matters", (1, 0, 0, 0), "the tone matters more than the figure"),
        ),
        ("figures", "facts", GEKHMAN),
    ),
    Criterion(
        "documents",
        "What do your documents look like?",
        3,
        (
            Choice(
                "good", "Written down and kept up to date", (0, 2, 2, -1), "there is something to look answers up in"
            ),
            Choice(
                "patchy", "Patchy, or out of date", (0, 0, 1, 1), "what is looked up is only as good as its sources"
            ),
            Choice("none", "There are hardly any", (0, OUT, OUT, 2), "there is nothing to look answers up in"),
        ),
        ("retrieved", OVADIA),
    ),
    Criterion(
        "dialogues",
        "How many of your own dialogues could you train on?",
        2,
        (
            Choice("none", "Next to none", (OUT, 1, OUT, 1), "there is nothing to learn the voice or the facts from"),
            Choice("hundreds", "Some hundreds", (0, 1, 0, 0), "enough for a voice, too few for facts in many wordings"),
            Choice("thousands", "Thousands", (2, 0, 2, -1), "enough to learn a voice and the common facts"),
        ),
        ("data", LIMA),
    ),
    Criterion(
        "narrow",
        "How narrow is the task?",
        2,
        (
            Choice("fixed", "A few dozen fixed answers", (2, 1, 1, -1), "few answers can be learned by heart"),
            Choice("centre", "A help centre", (0, 2, 2, 0), "there is more than a small model keeps in its weights"),
            Choice(
                "open", "Anything a customer may ask", (-1, 1, 1, 1), "a small model will be asked what it cannot do"
            ),
        ),
        ("facts", "declined", RAFT),
    ),
    Criterion(
        "voice",
        "How much does your own tone of voice matter?",
        1,
        (
            Choice("much", "It is part of the brand", (2, 0, 2, 0), "a voice is learned, not looked up"),
            Choice("some", "It should be polite", (1, 0, 1, 0), "a prompt goes some of the way"),
            Choice("little", "Not much", (0, 1, 0, 0), "a quoted sentence will do"),
        ),
        (LIMA, RAFT),
    ),
    Criterion(
        "latency",
        "How long may an answer take, on your machine?",
        1,
        (
            Choice(
                "second",
                "About a second",
                (0, 0, 0, 0),
                "the measured medians say which path does that",
            ),
            Choice("seconds", "A few seconds", (0, 0, 0, 0), "every path keeps within that on two cores"),
        ),
        ("latency",),
    ),
    Criterion(
        "hardware",
        "What will it run on?",
        1,
        (
            Choice("cores", "Two cores or a laptop", (0, 1, 0, 0), "a small model reads a few sentences well"),
            Choice("gpu", "A machine with a GPU", (1, 1, 1, 0), "a training takes minutes and a larger model fits"),
            Choice("hosted", "Somebody else's model", (OUT, 2, OUT, 0), "weights that are not yours cannot be trained"),
        ),
        ("memory", "latency"),
    ),
    Criterion(
        "turns",
        "How many turns a day?",
        1,
        (
            Choice("few", "Up to a thousand", (-1, 1, 0, 0), "too few turns to pay for a training"),
            Choice("many", "Thousands", (0, 0, 0, 0), "a turn's cost counts as much as a training's"),
            Choice("most", "A hundred thousand or more", (1, 0, 0, 0), "a short prompt is read more cheaply each time"),
        ),
        ("cost",),
    ),
)
"""The questions, with what each answer speaks for."""
QUICK_MS = 1200.0
"""The median that counts as about a second."""

BEYOND: tuple[tuple[str, str], ...] = (
    (
        "Full fine-tuning instead of an adapter",
        "It learns more from the same data and forgets more of what the model could; an adapter is small enough to "
        f"keep several beside one model ({BIDERMAN}).",
    ),
    (
        "A larger model",
        "It follows instructions and combines passages without an adapter of its own, so untuned RAG comes closer to "
        "tuned; it costs more memory and time a turn. Measure yours: SWITCHBOARD_MODEL, then evaluate --all.",
    ),
    (
        "How much data a fact takes",
        "A small model needs a fact in many wordings before it has it; a few of them teach it to sound sure "
        f"({GEKHMAN}). The adapters' README has what was needed here.",
    ),
    (
        "Upkeep",
        "Documents need somebody who keeps them right; an adapter needs that, a training, and a measurement after it.",
    ),
)
"""What the measured set cannot say, and who says it."""


@dataclass(frozen=True)
class Advice:
    """What follows from the answers.

    `scores` has every approach's points, best first, minus infinity for what is ruled out; `reasons` are (criterion,
    points of the best approach times the weight, why), the weightiest first, and `against` those that speak against it;
    `flips` say which other answer would make which approach the best; `share` is how many of DRAWS random weightings,
    each weight between half and double, keep the best one.
    """

    scores: tuple[tuple[str, float], ...]
    reasons: tuple[tuple[str, float, str], ...]
    against: tuple[tuple[str, float, str], ...]
    flips: tuple[tuple[str, str, str], ...]
    share: float

    @property
    def best(self) -> str:
        return self.scores[0][0]

    @property
    def tied(self) -> tuple[str, ...]:
        """The approaches that have as many points as the best one."""
        return tuple(name for name, score in self.scores[1:] if score == self.scores[0][1])


def advise(
    answers: Mapping[str, str],
    weights: Mapping[str, float] | None = None,
    report: Mapping[str, Any] | None = None,
) -> Advice:
    """Rank the approaches for a case: `answers` name a choice for each criterion, a missing one is the first.

    With a `report` what has to be quick is judged by its medians. A weight of 0 leaves its question out.
    """
    weights = {c.name: (weights or {}).get(c.name, c.weight) for c in CRITERIA}
    chosen = {c.name: c.choice(answers.get(c.name, "")).name for c in CRITERIA}
    quick = _quick(report)

    def points(criterion: Criterion, name: str) -> Points:
        return quick if (criterion.name, name) == ("latency", "second") else criterion.choice(name).points

    def ranked(chosen: Mapping[str, str], weights: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
        totals = dict.fromkeys(APPROACHES, 0.0)
        for criterion in CRITERIA:
            for name, value in zip(APPROACHES, points(criterion, chosen[criterion.name]), strict=True):
                totals[name] += weighted(value, weights[criterion.name])
        return tuple(sorted(totals.items(), key=lambda item: -item[1]))

    def weighted(value: float, weight: float) -> float:
        return value * weight if value != OUT else -math.inf if weight else 0.0

    scores = ranked(chosen, weights)
    best, scores_of = scores[0][0], dict(scores)
    place = list(APPROACHES).index(best)
    parts = [
        (c.name, weighted(points(c, chosen[c.name])[place], weights[c.name]), c.choice(chosen[c.name]).why)
        for c in CRITERIA
    ]
    flips = []
    for criterion in CRITERIA:
        for choice in criterion.choices:
            other = ranked({**chosen, criterion.name: choice.name}, weights)[0][0]
            if other != best:
                flips.append((criterion.name, choice.name, other))
    spread = np.random.default_rng(7).uniform(-1, 1, (DRAWS, len(CRITERIA)))  # the same weightings each time
    drawn = np.array([weights[c.name] for c in CRITERIA]) * 2**spread
    totals = drawn @ np.array([points(c, chosen[c.name]) for c in CRITERIA])
    totals[:, [scores_of[name] == -math.inf for name in APPROACHES]] = -math.inf
    return Advice(
        scores,
        tuple(sorted((part for part in parts if part[1] > 0), key=lambda part: -part[1])),
        tuple(sorted((part for part in parts if part[1] < 0), key=lambda part: part[1])),
        tuple(flips),
        float((totals.argmax(axis=1) == place).mean()),
    )


def _quick(report: Mapping[str, Any] | None) -> Points:
    """Points for being measured within QUICK_MS: 1, and -2 for not; none where nothing was measured."""
    found = []
    for approach in APPROACHES:
        try:
            median = report["modes"][MODE_OF[approach]]["latency"]["total_ms"][0] if report else None
        except (KeyError, TypeError, IndexError):
            median = None
        found.append(0 if median is None else 1 if median <= QUICK_MS else -2)
    return (found[0], found[1], found[2], found[3])


def evidence_of(name: str, report: Mapping[str, Any] | None) -> str:
    """A measured figure in a sentence; what is not measured, or a published source, is returned as it is or empty."""
    if name not in _FIGURES:
        return name
    if report is None:
        return ""
    try:
        return str(_FIGURES[name](report))
    except (KeyError, TypeError, ValueError, IndexError):
        return ""


def _each(report: Mapping[str, Any], value: Any) -> str:
    """`Fine-tuned 54 %, RAG 76 %, ...` over the modes that have the value."""
    said = []
    for mode in ("fine-tuned", "rag", "combined"):
        row = report["modes"].get(mode)
        words = value(mode, row) if row else None
        if words is not None:
            said.append(f"{row['label']} {words}")
    if not said:
        raise ValueError("nothing measured")
    return ", ".join(said)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value * 100:.0f} %"


def _update(report: Mapping[str, Any]) -> str:
    costs = report["costs"]["modes"]

    def words(mode: str, _row: Any) -> str:
        seconds = costs[mode]["update_seconds"]
        return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"

    return "Measured, until a changed fact is answered: " + _each(report, words) + "."


_FIGURES: dict[str, Any] = {
    "update": _update,
    "changed": lambda report: (
        "Measured, right on facts that changed after training: "
        + _each(report, lambda _mode, row: _percent(row["strata"]["changed since training"]["all_facts"]))
        + "."
    ),
    "facts": lambda report: (
        "Measured, all required facts in the answer: "
        + _each(report, lambda _mode, row: _percent(row["all_facts"]))
        + "."
    ),
    "figures": lambda report: (
        "Measured, answers with a wrong figure: "
        + _each(report, lambda _mode, row: _percent(row["wrong_figures"]))
        + "."
    ),
    "cited": lambda report: (
        "Measured, the right article cited: " + _each(report, lambda _mode, row: _percent(row["cited_right"])) + "."
    ),
    "retrieved": lambda report: (
        "Measured, the right article among those found: "
        + _each(report, lambda _mode, row: _percent(row["retrieved_right"]))
        + "."
    ),
    "declined": lambda report: (
        "Measured, what nothing answers is declined: "
        + _each(report, lambda _mode, row: _percent(row["declined"]))
        + "."
    ),
    "latency": lambda report: (
        "Measured, median of whole answers: "
        + _each(report, lambda _mode, row: f"{row['latency']['total_ms'][0] / 1000:.1f} s")
        + "."
    ),
    "cost": lambda report: (
        f"Measured, a thousand turns at {report['costs']['hourly_price']:.2f} dollars an hour: "
        + _each(report, lambda mode, _row: f"${report['costs']['modes'][mode]['thousand_turns']:.3f}")
        + "."
    ),
    "memory": lambda report: (
        "Measured, peak memory alone: "
        + _each(report, lambda _mode, row: f"{row['peak_mib'] / 1024:.2f} GiB" if row.get("peak_mib") else None)
        + "."
    ),
    "data": lambda report: (
        "Trained here, tokens read in all runs: "
        + _each(report, lambda mode, _row: f"{report['costs']['modes'][mode]['training_tokens']:,}")
        + "."
    ),
}
"""Figures of the report, by the name that a criterion gives them."""
