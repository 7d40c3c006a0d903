"""What visitors liked and disliked: one row a rated answer, in a local SQLite file.

A row holds the question and the answer that were rated and nothing of who rated, nor of the conversation around it.
"""

from __future__ import annotations

import csv
import json
import threading
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from switchboard.database import connection
from switchboard.types import Answer

COLUMNS = ("id", "time", "mode", "question", "answer", "sources", "metrics", "liked")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS feedback (
    id TEXT PRIMARY KEY,
    time TEXT NOT NULL,
    mode TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    sources TEXT NOT NULL,
    metrics TEXT NOT NULL,
    liked INTEGER NOT NULL CHECK (liked IN (0, 1))
)
"""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class FeedbackStore:
    """The file of ratings. Safe to use from several threads; made on the first rating."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def add(self, answer_id: str, question: str, answer: Answer, liked: bool | None) -> None:
        """Rate an answer. Rating the same `answer_id` again replaces its row; None takes the rating back."""
        with self._lock, connection(self._path, _SCHEMA) as opened:
            if liked is None:
                opened.execute("DELETE FROM feedback WHERE id = ?", (answer_id,))
                return
            opened.execute(
                f"INSERT OR REPLACE INTO feedback ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    answer_id,
                    datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    answer.mode,
                    question,
                    answer.text,
                    json.dumps(_sources(answer), ensure_ascii=False),
                    json.dumps(asdict(answer.metrics)),
                    int(liked),
                ),
            )

    def export_csv(self, file: TextIO) -> int:
        """Write all rows, oldest first, with a header; returns their number.

        A cell that a spreadsheet would run as a formula gets an apostrophe in front.
        """
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        count = 0
        with self._lock, connection(self._path, _SCHEMA) as opened:
            for row in opened.execute(f"SELECT {', '.join(COLUMNS)} FROM feedback ORDER BY time, rowid"):  # noqa: S608
                writer.writerow([_inert(cell) for cell in row])
                count += 1
        return count


def _sources(answer: Answer) -> list[dict[str, object]]:
    return [
        {
            "source": p.source,
            "heading": p.heading,
            "start": p.start,
            "score": round(p.score, 4),
            "cited": n in answer.cited,
        }
        for n, p in enumerate(answer.passages, 1)
    ]


def _inert(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
