"""A damaged SQLite file: set aside, with a new one in its place that has every row that can still be read."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from filelock import FileLock

from switchboard.files import aside_of

_MOST_LOST = 10_000
"""So many row numbers without a readable row, one after the other, are taken for the end of a damaged table."""
_LOG = logging.getLogger(__name__)


def mend(path: Path, schema: Sequence[str]) -> Path | None:
    """Set a damaged SQLite file aside, under a dated name beside it, and put one with its readable rows in its place.

    `schema` are the statements that made its tables. Returns where it lies now, or None for a file that is whole, or is
    not there.
    Nothing of it is deleted. Raises OSError or sqlite3.Error where the disk is full or cannot be written; the file is
    then where it was.
    """
    if not path.exists() or _is_whole(path):
        return None
    with FileLock(path.with_name(f".{path.name}.lock")):
        if _is_whole(path):
            return None  # another process has mended it meanwhile
        made, patched = (path.with_name(f".{path.name}.{what}") for what in ("mended", "patched"))
        for left in (made, patched):
            left.unlink(missing_ok=True)
        rows = 0
        if path.is_file():
            rows = _rescue(path, made, schema)
            if not rows:
                _patch(path, patched, schema)
                rows = _rescue(patched, made, schema)
                patched.unlink()
        aside = aside_of(path)
        for ending in ("-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.rename(aside.with_name(aside.name + ending))
        path.rename(aside)
        if made.exists():
            made.rename(path)
    _LOG.warning("%s is damaged: it is set aside as %s, and %d rows of it were saved.", path, aside.name, rows)
    return aside


def _is_whole(path: Path) -> bool:
    """Whether SQLite finds nothing wrong in a file. Raises sqlite3.OperationalError where it cannot look."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        header = file.read(20)
    if header and not (header.startswith(b"SQLite format 3\0") and {*header[18:]} <= {1, 2}):
        return False
    try:
        with closing(sqlite3.connect(path, timeout=10)) as opened:
            return bool(opened.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",))
    except sqlite3.OperationalError as error:
        if "unsupported" in str(error) or "malformed" in str(error):
            return False
        raise
    except sqlite3.DatabaseError:
        return False


def _rescue(path: Path, made: Path, schema: Sequence[str]) -> int:
    """Write the rows that can be read in a damaged file into a new one; returns how many."""
    count = 0
    with closing(sqlite3.connect(path)) as damaged, closing(sqlite3.connect(made)) as whole:
        damaged.text_factory = forgiving
        for statement in schema:
            whole.execute(statement)
        for (table,) in whole.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in _rows(damaged, table):
                added = f'INSERT OR IGNORE INTO "{table}" VALUES ({", ".join("?" * len(row))})'  # noqa: S608
                with suppress(sqlite3.Error):  # what is damaged within a row may break the table's rules
                    count += whole.execute(added, row).rowcount
        whole.commit()
    return count


def _patch(path: Path, patched: Path, schema: Sequence[str]) -> None:
    """Copy a damaged file with the first page of a new one: it says where the table is, and so what all others are.

    (The SQLite file format, https://www.sqlite.org/fileformat2.html: the number of pages is in bytes 28 to 31.)
    """
    with closing(sqlite3.connect(patched)) as new:
        for statement in schema:
            new.execute(statement)
    fresh, data = patched.read_bytes(), path.read_bytes()
    page = int.from_bytes(fresh[16:18], "big")
    pages = (len(data) // page).to_bytes(4, "big")
    patched.write_bytes(fresh[:28] + pages + fresh[32:page] + data[page:])


def _rows(damaged: sqlite3.Connection, table: str) -> Iterator[tuple[object, ...]]:
    """A table's rows in their order. Where a page cannot be read, those after it are looked for by their number."""
    last, lost = -1, 0
    query = f'SELECT rowid, * FROM "{table}" WHERE rowid > ? ORDER BY rowid'  # noqa: S608
    while lost < _MOST_LOST:
        try:
            for number, *row in damaged.execute(query, (last,)):
                last, lost = number, 0
                yield tuple(row)
        except sqlite3.DatabaseError:
            last, lost = last + 1, lost + 1
        else:
            return


def forgiving(data: bytes) -> str:
    """A damaged letter is no reason to do without the rest."""
    return data.decode("utf-8", errors="replace")
