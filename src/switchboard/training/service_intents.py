"""Dialogues from the intents of Bitext's customer-support set: the customers' words are theirs, the answers ours.

Looked for below the data folder's `public/`, and left out where it is absent:

    public/bitext_support_4514/Bitext_Sample_Customer_Support_Training_Dataset.csv
        github.com/bitext/customer-support-llm-chatbot-training-dataset, CDLA-Sharing 1.0

Rows with numbers or names that a program put in are left out, so no slot is ever seen.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from switchboard.prompts import SERVICE_DECLINE

FILE = Path("bitext_support_4514/Bitext_Sample_Customer_Support_Training_Dataset.csv")
_FILLED_IN = re.compile(r"\d|\{\{|\b(Mr|Mrs|Ms|Dr)\b")

Row = dict[str, Any]


def intent_rows(public: Path, intents: Path, seed: int, each: int) -> Iterator[Row]:
    """At most `each` rows an intent that `intents` (YAML) answers or declines; none where the set is absent."""
    path = public / FILE
    if not path.is_file():
        return
    given = yaml.safe_load(intents.read_text(encoding="utf-8"))
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    asked: dict[str, list[str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            text = row["instruction"].strip()
            if not _FILLED_IN.search(text):
                asked.setdefault(row["intent"], []).append(text)
    for intent, answers in [*given["answers"].items(), *((name, [SERVICE_DECLINE]) for name in given["declined"])]:
        questions = sorted(set(asked.get(intent, [])))
        for number, question in enumerate(rng.sample(questions, min(each, len(questions)))):
            yield {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answers[number % len(answers)]},
                ]
            }
