"""The replies that an adapter brings along: those it was taught with several wordings of a question."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from switchboard.generation.replies import REPLIES_FILE
from switchboard.prompts import SERVICE_DECLINE, declined
from switchboard.training.data import Record

TAUGHT = 3
"""How many examples must have a reply for the adapter to bring it."""


def taught_replies(records: Sequence[Record]) -> list[str]:
    """The replies that at least `TAUGHT` examples without passages end with, in their order; declines are none."""
    counts = Counter(record.messages[-1].content for record in records if not record.passages)
    return [text for text, count in counts.items() if count >= TAUGHT and not declined(text)]


def write_replies(records: Sequence[Record], target: Path, before: Path) -> None:
    """Write the replies into the folder `target`; the margin is the one in the folder `before`, else 0."""
    try:
        margin = float(json.loads((before / REPLIES_FILE).read_text(encoding="utf-8"))["margin"])
    except (OSError, ValueError, KeyError, TypeError):
        margin = 0.0
    row = {"decline": SERVICE_DECLINE, "margin": margin, "replies": taught_replies(records)}
    text = json.dumps(row, indent=0, ensure_ascii=False)
    (target / REPLIES_FILE).write_text(text + "\n", encoding="utf-8")
