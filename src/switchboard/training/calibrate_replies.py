"""How much likelier declining has to be than the likeliest reply of an adapter that brings its replies.

    python -m switchboard.training.calibrate_replies customer-service evaluation/development.jsonl

`train` writes `replies.json`; this sets its `margin` on questions that are known to be answerable or not.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from switchboard.build import load_generator
from switchboard.errors import SettingsError
from switchboard.evaluation.questions import read_questions
from switchboard.generation.replies import REPLIES_FILE
from switchboard.progress import to_stderr
from switchboard.prompts import PROMPT_TOKENS, build_prompt
from switchboard.settings import Settings

WRONGLY = 0.06
"""The share of answerable questions that may be declined."""


def margin_for(answerable: Sequence[float], allowed: float = WRONGLY) -> float:
    """The smallest margin that at most the share `allowed` of the answerable questions' scores exceeds.

    >>> margin_for([-3.0, -2.0, -1.0, 5.0], 0.25)
    -1.0
    """
    ranked = sorted(answerable, reverse=True)
    return ranked[min(len(ranked) - 1, math.floor(allowed * len(ranked)))]


def main() -> None:
    """Set the margin on half of the questions and say on the other half what comes of it."""
    name, path = sys.argv[1], Path(sys.argv[2])
    settings = Settings.from_environment()
    generator, _ = load_generator(settings, to_stderr)
    file = settings.adapters / name / REPLIES_FILE
    if not file.is_file():
        raise SettingsError(f"The adapter '{name}' brings no replies: set `taught_replies: true` in its recipe.")
    halves: tuple[dict[bool, list[float]], ...] = ({True: [], False: []}, {True: [], False: []})
    questions = [q for q in read_questions(path) if (q.answerable and not q.changed) or q.decline]
    for number, question in enumerate(tqdm(questions, unit="question", file=sys.stderr)):
        prompt = build_prompt(question.messages, (), settings.company, generator.count_tokens, PROMPT_TOKENS)
        (choice,) = generator.choices([prompt], name)
        halves[number % 2][question.answerable].append(choice.decline)
    margin = round(margin_for(halves[0][True]), 2)
    said = {
        "judged_on": sum(map(len, halves[1].values())),
        "answerable_declined": _share_above(halves[1][True], margin),
        "unanswerable_declined": _share_above(halves[1][False], margin),
    }
    row = json.loads(file.read_text(encoding="utf-8"))
    replies = row.pop("replies")
    text = json.dumps({**row, "margin": margin, **said, "replies": replies}, indent=0, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
    to_stderr(json.dumps({"margin": margin, **said}))


def _share_above(scores: Sequence[float], above: float) -> float:
    return round(sum(score > above for score in scores) / max(1, len(scores)), 3)


if __name__ == "__main__":
    main()
