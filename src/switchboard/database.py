"""A local SQLite file that several threads, or programs, may write to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def connection(path: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """Open the file, made on the first time with the statement `schema`, for one transaction."""
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = sqlite3.connect(path, timeout=10)
    try:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute(schema)
        with opened:
            yield opened
    finally:
        opened.close()
