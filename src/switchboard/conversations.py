"""Conversations of people who log in, so that they find them in another browser; others' are in their browser alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Column, MetaData, Table, Text, delete, select

from switchboard.database import Database, put, storable

KEPT = 20
"""The most conversations of one person; the oldest go."""
_TABLES = MetaData()
_CONVERSATIONS = Table(
    "conversations",
    _TABLES,
    Column("person", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("time", Text, nullable=False),
    Column("content", Text, nullable=False),
)


class ConversationStore:
    """Everybody's conversations, each found by its own person alone. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, person: str, conversation: Mapping[str, Any]) -> None:
        """Store a conversation as JSON, in place of the one of its `id`. Raises StorageError."""
        row = {
            "person": person,
            "id": str(conversation["id"]),
            "time": datetime.now(timezone.utc).isoformat(),
            "content": json.dumps(conversation),
        }
        mine = _CONVERSATIONS.c.person == person
        with self._database.begin(_TABLES) as opened:
            put(opened, _CONVERSATIONS, storable(row))
            latest = select(_CONVERSATIONS.c.id).where(mine).order_by(_CONVERSATIONS.c.time.desc())
            old = opened.execute(latest.offset(KEPT)).scalars().all()
            if old:
                opened.execute(delete(_CONVERSATIONS).where(mine & _CONVERSATIONS.c.id.in_(old)))

    def of(self, person: str) -> list[dict[str, Any]]:
        """A person's conversations, the latest first, each with when it was `saved`, in ms since the epoch.

        One that a damaged database has kept half of is left out. Raises StorageError.
        """
        if self._database.is_empty():
            return []
        columns = (_CONVERSATIONS.c.content, _CONVERSATIONS.c.time)
        mine = select(*columns).where(_CONVERSATIONS.c.person == person).order_by(_CONVERSATIONS.c.time.desc())
        with self._database.begin(_TABLES) as opened:
            rows = opened.execute(mine).all()
        found = []
        for content, time in rows:
            with suppress(ValueError, TypeError):
                found.append({**json.loads(content), "saved": _milliseconds(time)})
        return found

    def remove(self, person: str, conversation_id: str) -> None:
        """Forget one conversation of a person. Raises StorageError."""
        row = (_CONVERSATIONS.c.person == person) & (_CONVERSATIONS.c.id == conversation_id)
        with self._database.begin(_TABLES) as opened:
            opened.execute(delete(_CONVERSATIONS).where(row))


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
