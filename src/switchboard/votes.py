"""Blind votes: which of two answers people preferred.

A row holds the question, both modes with what their answers cost, and the vote; nothing of who voted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Literal, get_args

from sqlalchemy import CheckConstraint, Column, MetaData, Table, Text, func, select

from switchboard.database import Database, put, storable
from switchboard.types import Answer

Vote = Literal["left", "right", "tie", "bad"]
VOTES: tuple[Vote, ...] = get_args(Vote)
"""What can be said of two answers; `bad` is that neither will do."""

_TABLES = MetaData()
_VOTES = Table(
    "votes",
    _TABLES,
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("time", "question", "left_mode", "right_mode")),
    Column("vote", Text, CheckConstraint("vote IN ('left', 'right', 'tie', 'bad')"), nullable=False),
    *(Column(name, Text, nullable=False) for name in ("left_answer", "right_answer", "left_metrics", "right_metrics")),
)


@dataclass(frozen=True)
class Record:
    """How a mode fared: of `votes` it was preferred in `won`, shared `tied`, and was one of two that would not do in
    `bad`."""

    votes: int = 0
    won: int = 0
    tied: int = 0
    bad: int = 0

    @property
    def rate(self) -> float:
        """Wins and half the ties, as a share of all votes; 0 without any."""
        return (self.won + self.tied / 2) / self.votes if self.votes else 0.0


class VoteStore:
    """The votes. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, vote_id: str, question: str, left: Answer, right: Answer, vote: Vote) -> None:
        """Store a vote; a second one with the same id is not counted.

        Raises ValueError for anything but VOTES, and StorageError.
        """
        if vote not in VOTES:
            raise ValueError(vote)
        row = {
            "id": vote_id,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "question": question,
            "left_mode": left.mode,
            "right_mode": right.mode,
            "vote": vote,
            "left_answer": left.text,
            "right_answer": right.text,
            "left_metrics": json.dumps(asdict(left.metrics)),
            "right_metrics": json.dumps(asdict(right.metrics)),
        }
        with self._database.begin(_TABLES) as opened:
            put(opened, _VOTES, storable(row), keep=True)

    def tally(self) -> Mapping[str, Record]:
        """Every mode's record, the most preferred first. Raises StorageError."""
        records: dict[str, Record] = {}
        if self._database.is_empty():
            return records
        sides = (_VOTES.c.left_mode, _VOTES.c.right_mode, _VOTES.c.vote)
        with self._database.begin(_TABLES) as opened:
            rows = opened.execute(select(*sides, func.count()).group_by(*sides)).all()
        for left, right, vote, count in rows:
            for mode, side in ((left, "left"), (right, "right")):
                before = records.get(mode, Record())
                records[mode] = Record(
                    before.votes + count,
                    before.won + count * (vote == side),
                    before.tied + count * (vote == "tie"),
                    before.bad + count * (vote == "bad"),
                )
        return dict(sorted(records.items(), key=lambda item: -item[1].rate))
