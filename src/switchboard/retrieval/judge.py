"""What a reranker's scores mean beside similarities: which sentence to read first, and whether any answers at all."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

from switchboard.retrieval.embedding import Vectors

JUDGE_FILE = "judge.json"


@dataclass(frozen=True)
class Judge:
    """Weights of logistic regressions, made by `training/reranker.py` on questions that neither reranker nor index
    had seen.

    `sentence` weighs a sentence's logit, its similarity to the question, and that of the nearest known question that
    it answers. `question` weighs the highest of the first two over all sentences, how near the question is to known
    ones that something answers and that nothing does (`asked.Nearness`), which share of its words what was found lacks
    (`search.Rankings.unseen`), and 1; `alone` weighs the first two, that share and 1, where not both kinds of question
    are known.
    """

    sentence: tuple[float, float, float] = (1.0, 0.0, 0.0)
    question: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    alone: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)

    def odds(self, logit: float, similar: float, known: float) -> float:
        """Log odds that a sentence answers; only their differences within a question matter."""
        return sum(w * x for w, x in zip(self.sentence, (logit, similar, known), strict=True))

    def coverage(self, logit: float, similar: float, known: float, unanswered: float, unseen: float) -> float:
        """The probability, 0 to 1, that something answers the question."""
        if not known or not unanswered:
            odds = sum(w * x for w, x in zip(self.alone, (logit, similar, unseen, 1.0), strict=True))
        else:
            evidence = (logit, similar, known, unanswered, unseen, 1.0)
            odds = sum(w * x for w, x in zip(self.question, evidence, strict=True))
        return 1 / (1 + math.exp(-odds))


def read_judge(adapter: Path) -> Judge:
    """The weights in an adapter's folder. Raises OSError, ValueError, KeyError or TypeError where they are no good."""
    row = json.loads((adapter / JUDGE_FILE).read_text(encoding="utf-8"))
    weights = [tuple(map(float, row[name])) for name in ("sentence", "question", "alone")]
    if [len(some) for some in weights] != [len(some) for some in astuple(Judge())]:
        raise ValueError(f"its {JUDGE_FILE} has other weights than are known")
    return Judge(*weights)  # type: ignore[arg-type]


class Reranker(Protocol):
    """Scores texts for a question."""

    judge: Judge

    def score(self, question: str, texts: Sequence[str]) -> Vectors:
        """Logits of shape (texts,): 0 is an even chance that the text answers the question, higher is likelier."""
