"""Where rows are kept: SQLite files of their own, and one PostgreSQL server for several programs."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, select

from model_server import free_port
from postgres import postgres
from switchboard.conversations import KEPT, ConversationStore
from switchboard.database import Database, open_database, put
from switchboard.errors import SettingsError, StorageError
from switchboard.feedback import FeedbackStore
from switchboard.settings import Settings
from switchboard.types import Answer
from switchboard.votes import VoteStore

ANSWER = Answer("rag", "It is £36 \x00 \ud800.", done=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("postgres") / "server", free_port()) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("server")) if request.param == "postgresql" else f"sqlite:///{tmp_path}/a.sqlite"


def test_ratings_and_votes_share_a_database(url: str) -> None:
    feedback, votes = FeedbackStore(Database(url)), VoteStore(Database(url))
    feedback.add("one", "How much?\x00", ANSWER, liked=True)
    feedback.add("one", "How much?", ANSWER, liked=False)
    votes.add("one", "How much?", ANSWER, ANSWER, "left")
    votes.add("one", "How much?", ANSWER, ANSWER, "right")
    file = StringIO()
    assert feedback.export_csv(file) == 1
    assert "How much?,It is £36  ." in file.getvalue()
    assert (votes.tally()["rag"].votes, votes.tally()["rag"].won) == (2, 1)


def rate(url: str, worker: int) -> None:
    store = FeedbackStore(Database(url))
    for n in range(20):
        store.add(f"{worker}-{n}", "q", ANSWER, liked=True)
        store.add("everybody's", "q", ANSWER, liked=bool(n % 2))


def test_several_programs_lose_nothing(url: str) -> None:
    before = FeedbackStore(Database(url)).export_csv(StringIO())
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(rate, [url] * 3, range(3)))
    assert FeedbackStore(Database(url)).export_csv(StringIO()) == before + 61


def test_what_raises_is_undone(url: str) -> None:
    tables = MetaData()
    numbers = Table("numbers", tables, Column("n", Integer, primary_key=True))
    database = Database(url)
    with database.begin(tables) as opened:
        put(opened, numbers, {"n": 1}, keep=True)

    def take_away() -> None:
        with database.begin(tables) as opened:
            opened.execute(numbers.delete())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        take_away()
    with database.begin(tables) as opened:
        assert opened.execute(select(numbers.c.n)).scalars().all() == [1]


def test_each_name_is_a_file_unless_a_database_is_shared(tmp_path: Path) -> None:
    FeedbackStore(open_database(Settings(data=tmp_path), "feedback")).add("one", "q", ANSWER, liked=True)
    assert (tmp_path / "feedback.sqlite").is_file()
    shared = Settings(data=tmp_path, database_url=f"sqlite:///{tmp_path}/all.sqlite")
    FeedbackStore(open_database(shared, "feedback")).add("one", "q", ANSWER, liked=True)
    assert (tmp_path / "all.sqlite").is_file()


def test_conversations_are_kept_in_both_kinds(url: str) -> None:
    store = ConversationStore(Database(url))
    for n in range(KEPT + 2):
        store.save("ann", {"id": str(n), "title": "Fees \x00\ud800"})
    store.save("ann", {"id": "5", "title": "Fees again"})
    assert [one["id"] for one in store.of("ann")][:2] == ["5", str(KEPT + 1)]
    assert len(store.of("ann")) == KEPT
    assert store.of("bob") == []
    store.remove("ann", "5")
    assert "5" not in [one["id"] for one in store.of("ann")]


@pytest.mark.parametrize("url", ["nonsense", "nodatabase://host/name", "postgresql://host:port/name"])
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="SWITCHBOARD_DATABASE_URL") as refused:
        Database(url)
    assert url not in str(refused.value)


def test_a_server_that_is_gone_is_one_sentence_without_its_password() -> None:
    store = FeedbackStore(Database("postgresql://switchboard:secret@127.0.0.1:1/name"))
    with pytest.raises(StorageError, match="cannot be reached") as gone:
        store.add("one", "q", ANSWER, liked=True)
    assert "secret" not in str(gone.value)


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switchboard.database._BUSY_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = FeedbackStore(Database(f"postgresql://switchboard:secret@127.0.0.1:{silent.getsockname()[1]}/name"))
        began = time.monotonic()
        with pytest.raises(StorageError, match="cannot be reached"):
            store.add("one", "q", ANSWER, liked=True)
        assert time.monotonic() - began < 10


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(Settings(database_url="postgresql://u:secret@h/n"))


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("not a folder")
    with pytest.raises(StorageError, match="try again"):
        FeedbackStore(Database(f"sqlite:///{tmp_path}/folder/a.sqlite")).add("one", "q", ANSWER, liked=True)
