"""Choose the probability above which an adapter declines, on questions known to be covered or not.

    python -m switchboard.training.calibrate_decline rag

Asks evaluation/coverage in a mode that searches and writes `decline.json` into the folder of the mode's adapter.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from itertools import pairwise

from tqdm import tqdm

from switchboard.build import build
from switchboard.errors import SettingsError
from switchboard.generation.decline import DECLINE_FILE
from switchboard.generation.local import LocalGenerator
from switchboard.modes import mode_named
from switchboard.progress import to_stderr
from switchboard.retrieval.calibration import read_coverage
from switchboard.settings import ROOT, Settings
from switchboard.types import GenerationSettings, Message

_SETTINGS = GenerationSettings(max_tokens=16)
_PLACES = 2


def choose_above(covered: Sequence[float], uncovered: Sequence[float]) -> float:
    """The threshold that best tells the two apart by Youden's J; of equally good ones the middle of the widest gap.

    J is the share of the uncovered above it less that of the covered. From: Youden, Index for rating diagnostic tests,
    Cancer 3, 1950.

    >>> choose_above([-9.0, -8.0, -7.0], [-2.0, -1.0])
    -4.5
    """
    gaps: dict[float, float] = {(low + high) / 2: high - low for low, high in pairwise(sorted({*covered, *uncovered}))}

    def youden(above: float) -> float:
        return share_above(uncovered, above) - share_above(covered, above)

    best = max(gaps, key=lambda above: (round(youden(above), 6), gaps[above]))
    return round(best, _PLACES)


def share_above(scores: Sequence[float], above: float) -> float:
    """The share of scores above a threshold; 0 for none."""
    return sum(score > above for score in scores) / len(scores) if scores else 0.0


def main() -> None:
    """Calibrate on half of the questions and say on the other half what comes of it."""
    mode = mode_named(sys.argv[1] if len(sys.argv) > 1 else "rag")
    if not mode.searches or not mode.adapter:
        raise SettingsError(f"{mode.name} has no adapter that declines over passages; choose rag or combined.")
    settings = Settings.from_environment()
    switchboard = build(settings, to_stderr).switchboard
    generator = switchboard.generator_of(mode)
    if not isinstance(generator, LocalGenerator):
        raise SettingsError("Only the local engine can be calibrated; unset the setting that names a server.")
    rows = read_coverage(ROOT / "evaluation" / "coverage")
    turns = [(row, switchboard.prepare([Message("user", row.question)], mode.name, _SETTINGS)) for row in rows]
    asked = [(row, turn) for row, turn in turns if not turn.answer.done]
    with tqdm(total=len(asked), unit="question", file=sys.stderr, desc=mode.name) as bar:
        done = generator.complete(
            [turn.prompt for _, turn in asked],
            _SETTINGS,
            mode.adapter,
            [turn.grounding for _, turn in asked],
            bar.update,
        )
    halves: tuple[dict[bool, list[float]], ...] = ({True: [], False: []}, {True: [], False: []})
    for (row, turn), completion in zip(asked, done, strict=True):
        found = any(passage.source.rsplit(".", 1)[0] == row.article for passage in turn.answer.passages)
        if completion.decline is not None and (found or not row.article):
            half = hashlib.sha256(row.question.encode()).digest()[0] % 2
            halves[half][bool(row.article)].append(completion.decline)
    above = choose_above(halves[0][True], halves[0][False])
    result = {
        "log_probability": above,
        "chosen_on": sum(map(len, halves[0].values())),
        "judged_on": sum(map(len, halves[1].values())),
        "covered_declined": round(share_above(halves[1][True], above), 3),
        "uncovered_declined": round(share_above(halves[1][False], above), 3),
    }
    path = settings.adapters / mode.adapter / DECLINE_FILE
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
