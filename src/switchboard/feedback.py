"""What visitors liked and disliked: one row a rated answer.

A row holds the question and the answer that were rated and nothing of who rated, nor of the conversation around it.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TextIO

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Table, Text, delete, select

from switchboard.database import Database, put, storable
from switchboard.types import Answer

_TABLES = MetaData()
_FEEDBACK = Table(
    "feedback",
    _TABLES,
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("time", "mode", "question", "answer", "sources", "metrics")),
    Column("liked", Integer, CheckConstraint("liked IN (0, 1)"), nullable=False),
)
COLUMNS = tuple(_FEEDBACK.columns.keys())
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class FeedbackStore:
    """The ratings. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, answer_id: str, question: str, answer: Answer, liked: bool | None) -> None:
        """Rate an answer. Rating the same `answer_id` again replaces its row; None takes the rating back.

        Raises StorageError.
        """
        with self._database.begin(_TABLES) as opened:
            if liked is None:
                opened.execute(delete(_FEEDBACK).where(_FEEDBACK.c.id == answer_id))
                return
            row = {
                "id": answer_id,
                "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "mode": answer.mode,
                "question": question,
                "answer": answer.text,
                "sources": json.dumps(_sources(answer), ensure_ascii=False),
                "metrics": json.dumps(asdict(answer.metrics)),
                "liked": int(liked),
            }
            put(opened, _FEEDBACK, storable(row))

    def export_csv(self, file: TextIO) -> int:
        """Write all rows, oldest first, with a header; returns their number. Raises StorageError.

        A cell that a spreadsheet would run as a formula gets an apostrophe in front.
        """
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        count = 0
        with self._database.begin(_TABLES) as opened:
            for row in opened.execute(select(_FEEDBACK).order_by(_FEEDBACK.c.time, _FEEDBACK.c.id)):
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
