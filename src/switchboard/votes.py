"""Blind votes: which of two answers people preferred, in a local SQLite file.

A row holds the question, both modes with what their answers cost, and the vote; nothing of who voted.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, get_args

from switchboard.database import connection
from switchboard.types import Answer

Vote = Literal["left", "right", "tie", "bad"]
VOTES: tuple[Vote, ...] = get_args(Vote)
"""What can be said of two answers; `bad` is that neither will do."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS votes (
    id TEXT PRIMARY KEY,
    time TEXT NOT NULL,
    question TEXT NOT NULL,
    left_mode TEXT NOT NULL,
    right_mode TEXT NOT NULL,
    vote TEXT NOT NULL CHECK (vote IN ('left', 'right', 'tie', 'bad')),
    left_answer TEXT NOT NULL,
    right_answer TEXT NOT NULL,
    left_metrics TEXT NOT NULL,
    right_metrics TEXT NOT NULL
)
"""


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
    """The file of votes. Safe to use from several threads; made on the first vote."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def add(self, vote_id: str, question: str, left: Answer, right: Answer, vote: Vote) -> None:
        """Store a vote; a second one with the same id is not counted. Raises ValueError for anything but VOTES."""
        if vote not in VOTES:
            raise ValueError(vote)
        row = (
            vote_id,
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
            question,
            left.mode,
            right.mode,
            vote,
            left.text,
            right.text,
            json.dumps(asdict(left.metrics)),
            json.dumps(asdict(right.metrics)),
        )
        with self._lock, connection(self._path, _SCHEMA) as opened:
            opened.execute("INSERT OR IGNORE INTO votes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def tally(self) -> Mapping[str, Record]:
        """Every mode's record, the most preferred first."""
        records: dict[str, Record] = {}
        if not self._path.is_file():
            return records
        with self._lock, connection(self._path, _SCHEMA) as opened:
            rows = opened.execute(
                "SELECT left_mode, right_mode, vote, COUNT(*) FROM votes GROUP BY left_mode, right_mode, vote"
            ).fetchall()
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
