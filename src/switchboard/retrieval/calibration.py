"""Choosing the threshold below which a question counts as not covered, on questions known to be covered or not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from switchboard.errors import EvaluationError
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.search import Rankings

MOST_LOST = 0.02
"""The largest share of covered questions that the threshold may turn away."""

_CUTS = (1, 3, 5)


@dataclass(frozen=True)
class CoverageRow:
    """A question, and the article that answers it; None where none does."""

    question: str
    article: str | None


@dataclass(frozen=True)
class Calibration:
    """What calibrating found.

    `threshold` was chosen on half of the questions. On the other half, `covered_passed` of the covered ones reach
    it and `uncovered_stopped` of the others do not; both are shares. `recall` is the share of all covered questions
    with a passage of the right article among the first 1, 3 and 5, by `dense`, `bm25` and `fused`.
    """

    threshold: float
    covered_passed: float
    uncovered_stopped: float
    held_out: int
    recall: dict[str, dict[int, float]]


def read_coverage(folder: Path) -> list[CoverageRow]:
    """Read `{"question", "covered", "article"}` a line from *.jsonl. Raises EvaluationError that names the line."""
    rows = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                article = str(row["article"]) if row["covered"] else None
                rows.append(CoverageRow(str(row["question"]), article))
            except (ValueError, KeyError, TypeError) as error:
                raise EvaluationError(
                    f"{path}, line {number}: a row needs 'question', 'covered' and 'article'."
                ) from error
    if not any(row.article for row in rows) or all(row.article for row in rows):
        raise EvaluationError(f"{folder} needs *.jsonl files with both covered and uncovered questions.")
    return rows


def calibrate(
    index: KnowledgeIndex, rows: Sequence[CoverageRow], progress: Callable[[int, int], None] | None = None
) -> Calibration:
    """Choose the highest threshold, to two places, that turns away at most MOST_LOST of the covered questions.

    Chosen on one half of the rows, told apart by a hash of the question, and judged on the other.
    """
    best: dict[CoverageRow, float] = {}
    ranks: dict[CoverageRow, Rankings] = {}
    for number, row in enumerate(rows, 1):
        ranks[row] = index.searcher.rank(row.question)
        best[row] = max(ranks[row].similarity.values(), default=0.0)
        if progress:
            progress(number, len(rows))
    threshold = choose_threshold([best[row] for row in best if row.article and not _held_out(row)])
    held_out = [row for row in best if _held_out(row)]
    return Calibration(
        threshold=threshold,
        covered_passed=_share([best[row] >= threshold for row in held_out if row.article]),
        uncovered_stopped=_share([best[row] < threshold for row in held_out if not row.article]),
        held_out=len(held_out),
        recall=_recall(ranks),
    )


def choose_threshold(covered: Sequence[float], most_lost: float = MOST_LOST) -> float:
    """The highest threshold, to two places, that at most `most_lost` of the covered similarities fall below."""
    allowed = int(most_lost * len(covered))
    fits = [n / 100 for n in range(101) if sum(similarity < n / 100 for similarity in covered) <= allowed]
    return max(fits)


def _held_out(row: CoverageRow) -> bool:
    return hashlib.sha256(row.question.encode()).digest()[0] % 2 == 1


def _recall(ranks: dict[CoverageRow, Rankings]) -> dict[str, dict[int, float]]:
    recall: dict[str, dict[int, float]] = {}
    for name in ("dense", "lexical", "fused"):
        # A passage's id begins with its article's path and suffix.
        found = [
            [passage.split("#")[0].rsplit(".", 1)[0] == row.article for passage in getattr(ranking, name)]
            for row, ranking in ranks.items()
            if row.article
        ]
        recall["bm25" if name == "lexical" else name] = {k: _share([any(hits[:k]) for hits in found]) for k in _CUTS}
    return recall


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0
