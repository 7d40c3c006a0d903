"""Where rows are kept: SQLite files in the data folder, or one database that several machines share.

    switchboard.database.open_database(settings, "feedback")

SWITCHBOARD_DATABASE_URL names the shared one as SQLAlchemy does, `postgresql://user:password@host/name`; without it
each name is a file of its own, so that one that is damaged takes no other with it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from switchboard.errors import SettingsError, StorageError, first_line
from switchboard.mending import forgiving, mend
from switchboard.settings import Settings

_BUSY_SECONDS = 10
"""How long a writer waits for another one of the same file, and anybody for a server: to be let in, for a free
connection, for a statement, and for a word from one that has vanished."""
_MAKING = 7_860
"""The number of the lock under which tables are made; any will do."""
_whole: set[Path] = set()
"""The files that were looked through in this process."""
_log = logging.getLogger(__name__)


class Database:
    """Tables, opened for one transaction at a time. Safe to use from several threads, and by several programs."""

    def __init__(self, url: str) -> None:
        """`url` as SQLAlchemy takes it. Nothing is opened or made before it is needed. Raises SettingsError for a URL
        that names no database that can be reached from here."""
        try:
            parsed = make_url(url)
            if parsed.drivername in ("postgres", "postgresql"):
                parsed = parsed.set(drivername="postgresql+psycopg")
            self._file = Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
            self._engine = _sqlite(parsed) if self._file else _server(parsed)
        except (ArgumentError, NoSuchModuleError, ValueError) as error:
            raise SettingsError(
                "SWITCHBOARD_DATABASE_URL is no address of a database; it looks like postgresql://user:password@host/name."
            ) from error
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"SWITCHBOARD_DATABASE_URL needs the driver {error.name}; install it: pip install 'psycopg[binary]'."
            ) from error
        self._made: set[str] = set()

    @classmethod
    def at(cls, file: Path) -> Database:
        """An SQLite file, made when it is first written to."""
        return cls(f"sqlite:///{file}")

    @contextmanager
    def begin(self, tables: MetaData) -> Iterator[Connection]:
        """One transaction over these tables, which are made where they are not there yet.

        It is kept when the block ends, and undone when that raises. Raises StorageError where the database cannot be
        read or written at the moment.
        """
        try:
            if self._file:
                self._look_through(self._file, tables)
            with self._engine.begin() as opened:
                self._make(opened, tables)
                yield opened
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            if type(getattr(error, "orig", None)) is sqlite3.DatabaseError and self._file:
                _whole.discard(self._file)  # not one of its kinds: what SQLite says of damage
            _log.exception("The database could not be used")
            raise StorageError(_why(error, self._file)) from error

    def is_empty(self) -> bool:
        """Whether there is no file yet, so that nothing need be made to find nothing."""
        return self._file is not None and not self._file.is_file()

    def _look_through(self, file: Path, tables: MetaData) -> None:
        """Mend a damaged file, when this process first opens it and after damage was met."""
        file.parent.mkdir(parents=True, exist_ok=True)
        if file not in _whole:
            made = [CreateTable(table, if_not_exists=True) for table in tables.sorted_tables]
            mend(file, [str(statement.compile(dialect=self._engine.dialect)) for statement in made])
            _whole.add(file)

    def _make(self, opened: Connection, tables: MetaData) -> None:
        """Make the tables that are missing; a file may have been taken away since they were made."""
        if not self._file and self._made >= tables.tables.keys():
            return
        missing = tables.tables.keys() - set(inspect(opened).get_table_names())
        if missing and opened.dialect.name == "postgresql":
            # Two programs that make the same table at once would fail each other, "if not exists" or not.
            opened.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MAKING})")
        for name in sorted(missing):
            opened.execute(CreateTable(tables.tables[name], if_not_exists=True))
        self._made |= tables.tables.keys()


def open_database(settings: Settings, name: str) -> Database:
    """The shared database where one is set, one object a process; else the file `name`.sqlite in the data folder."""
    return _shared(settings.database_url) if settings.database_url else Database.at(settings.data / f"{name}.sqlite")


@cache
def _shared(url: str) -> Database:
    """Ratings, votes, documents and conversations draw on the same few connections."""
    return Database(url)


def put(opened: Connection, table: Table, row: Mapping[str, Any], keep: bool = False) -> None:
    """Store a row under its primary key, in place of the one that is there; with `keep` that one stays."""
    dialect = postgresql if opened.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table).values(**row)
    keys = [column.name for column in table.primary_key]
    others = {name: insert.excluded[name] for name in row if name not in keys}
    opened.execute(
        insert.on_conflict_do_nothing(index_elements=keys)
        if keep
        else insert.on_conflict_do_update(index_elements=keys, set_=others)
    )


def storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without null characters and half surrogates, which PostgreSQL refuses in a text."""
    return {name: _writable(value) if isinstance(value, str) else value for name, value in row.items()}


def _writable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def _sqlite(url: Any) -> Engine:
    """A file, opened anew each time: it may be replaced under a running program, and costs a tenth of a millisecond."""
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _wal(opened: Any, _: object) -> None:
        opened.text_factory = forgiving
        opened.execute("PRAGMA journal_mode=WAL")  # readers do not wait for a writer, nor it for them

    return engine


def _server(url: Any) -> Engine:
    """A server, whose connections are kept and tried before they are used."""
    options: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        options = {"connect_timeout": _BUSY_SECONDS, "tcp_user_timeout": _BUSY_SECONDS * 1000}
        if "options" not in url.query:
            options["options"] = f"-c statement_timeout={_BUSY_SECONDS}s"
    return create_engine(url, pool_pre_ping=True, pool_timeout=_BUSY_SECONDS, connect_args=options)


def _why(error: BaseException, file: Path | None) -> str:
    """One sentence, without the statement or the address that stands in the library's own."""
    cause = first_line(getattr(error, "orig", None) or error)
    if file:
        return (
            f"{file.name} cannot be read or written just now ({cause}). See that the data folder has room; try again."
        )
    return "The database cannot be reached just now. Please try again in a minute."
