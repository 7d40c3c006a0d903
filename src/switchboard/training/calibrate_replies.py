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
from switchboard.evaluation.score import score
from switchboard.generation.replies import NEUTRAL, REPLIES_FILE
from switchboard.progress import to_stderr
from switchboard.prompts import PROMPT_TOKENS, build_prompt
from switchboard.settings import Settings
from switchboard.switch import asked_apart
from switchboard.training.calibrate_decline import share_above
from switchboard.training.taught_replies import LISTS, write_file
from switchboard.types import Answer, Message

WRONGLY = 0.1
"""The share of answerable questions that may be declined; the development questions are harder than most."""


def margin_for(answerable: Sequence[float], allowed: float = WRONGLY) -> float:
    """The smallest margin that at most the share `allowed` of the answerable questions' scores exceeds.

    >>> margin_for([-3.0, -2.0, -1.0, 5.0], 0.25)
    -1.0
    """
    ranked = sorted(answerable, reverse=True)
    return ranked[min(len(ranked) - 1, math.floor(allowed * len(ranked)))]


def main() -> None:
    """Measure the priors, set the margin on half of the questions and say on the other half what comes of it."""
    name, path = sys.argv[1], Path(sys.argv[2])
    settings = Settings.from_environment()
    file = settings.adapters / name / REPLIES_FILE
    if not file.is_file():
        raise SettingsError(f"The adapter '{name}' brings no replies: set `taught_replies: true` in its recipe.")
    row = json.loads(file.read_text(encoding="utf-8"))
    generator, _ = load_generator(settings, to_stderr)

    def prompt(messages: Sequence[Message]) -> list[Message]:
        return build_prompt(messages, (), settings.company, generator.count_tokens, PROMPT_TOKENS)

    to_stderr(f"How likely {len(row['replies']):,} replies are whatever is asked ...")
    row["priors"] = [round(value, 2) for value in generator.priors(prompt([Message("user", NEUTRAL)]), name)]
    write_file(file, row)
    generator, _ = load_generator(settings, to_stderr)
    halves: tuple[dict[bool, list[float]], ...] = ({True: [], False: []}, {True: [], False: []})
    right = asked = 0
    questions = [q for q in read_questions(path) if (q.answerable and not q.changed) or q.decline]
    for number, question in enumerate(tqdm(questions, unit="question", file=sys.stderr)):
        choices = generator.choices(asked_apart(prompt(question.messages)), name)  # it declines where it declines all
        halves[number % 2][question.answerable].append(min(choice.decline for choice in choices))
        if question.answerable:
            asked += 1
            answer = Answer("fine-tuned", text=" ".join(generator.text(choice.tokens) for choice in choices))
            right += score(question, answer).all_facts
    margin = round(margin_for(halves[0][True]), 2)
    row["margin"] = margin
    row["judged_on"] = sum(map(len, halves[1].values()))
    row["answerable_declined"] = round(share_above(halves[1][True], margin), 3)
    row["unanswerable_declined"] = round(share_above(halves[1][False], margin), 3)
    write_file(file, row)
    said = {key: value for key, value in row.items() if key not in LISTS}
    to_stderr(json.dumps({**said, "right_replies": round(right / max(1, asked), 3)}))


if __name__ == "__main__":
    main()
