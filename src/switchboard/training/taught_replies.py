"""The replies that an adapter brings along: those it was taught with several wordings of a question."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from switchboard.generation.replies import REPLIES_FILE
from switchboard.prompts import SERVICE_DECLINE, declined
from switchboard.training.data import Record

TAUGHT = 3
"""How many of a program's examples must have a reply for the adapter to bring it."""
FILE = ".jsonl:"
"""What tells a record of a file by where it is from."""


def taught_replies(records: Sequence[Record]) -> list[str]:
    """The replies that at least `TAUGHT` examples without passages end with, and those written by hand, in files.

    Declines are none of them.
    """
    closed = [record for record in records if not record.passages]
    counts = Counter(record.messages[-1].content for record in closed)
    by_hand = {record.messages[-1].content for record in closed if FILE in record.where}
    return [text for text, count in counts.items() if (count >= TAUGHT or text in by_hand) and not declined(text)]


def write_replies(records: Sequence[Record], target: Path, before: Path) -> None:
    """Write the replies into the folder `target`; the margin is the one in the folder `before`, else 0."""
    try:
        margin = float(json.loads((before / REPLIES_FILE).read_text(encoding="utf-8"))["margin"])
    except (OSError, ValueError, KeyError, TypeError):
        margin = 0.0
    row = {"decline": SERVICE_DECLINE, "margin": margin, "replies": taught_replies(records)}
    write_file(target / REPLIES_FILE, row)


def write_file(file: Path, row: Mapping[str, Any]) -> None:
    """Write a `replies.json`: what is said of the replies first, then they themselves, a line each."""
    ordered = {key: row[key] for key in sorted(row, key=lambda key: key in {"replies", "priors"})}
    file.write_text(json.dumps(ordered, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
