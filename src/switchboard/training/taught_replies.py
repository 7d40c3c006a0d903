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
from switchboard.words import stems

TAUGHT = 3
"""How many of a program's examples must have a reply for the adapter to bring it."""
UNSEEN = 8.0
"""What it says against a reply that no word of the question is known there. On the development questions it takes the
area under the curve of declining from .896 to .922, 4 to .918 and 15 to .916; where 44 % are answered right, 78 instead
of 69 % of the others are declined."""
LISTS = {"replies", "priors", "groups", "words"}
"""What a `replies.json` says of each reply, or of each group of them."""
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
    replies = taught_replies(records)
    row = {"decline": SERVICE_DECLINE, "margin": margin, "replies": replies, **taught_words(records, replies)}
    write_file(target / REPLIES_FILE, row)


def taught_words(records: Sequence[Record], replies: Sequence[str]) -> dict[str, Any]:
    """The replies' groups and the words of each, for a `replies.json`; nothing where no record names an article."""
    words: dict[str, set[str]] = {}
    of_reply: dict[str, str] = {}
    for record in records:
        if record.article and not record.passages and not declined(record.messages[-1].content):
            of_reply.setdefault(record.messages[-1].content, record.article)
            said = stems([message.content for message in record.messages if message.role != "system"])
            words.setdefault(record.article, set()).update(*said)
    if not words:
        return {}
    numbers = {article: number for number, article in enumerate(words)}
    return {
        "unseen": UNSEEN,
        "groups": [numbers.get(of_reply.get(reply, ""), -1) for reply in replies],
        "words": [" ".join(sorted(some)) for some in words.values()],
    }


def write_file(file: Path, row: Mapping[str, Any]) -> None:
    """Write a `replies.json`: what is said of the replies first, then they themselves, a line each."""
    ordered = {key: row[key] for key in sorted(row, key=LISTS.__contains__)}
    file.write_text(json.dumps(ordered, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
