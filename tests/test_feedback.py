"""The file of ratings."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import threading
from pathlib import Path

import pytest

from switchboard.database import Database
from switchboard.feedback import COLUMNS, FeedbackStore
from switchboard.types import Answer, Metrics, Passage

PASSAGE = Passage("a.md", "A", "H", "text", 3, 7, score=0.71234)
ANSWER = Answer("rag", "It is £36 [1].", (PASSAGE,), cited=(1,), metrics=Metrics(output_tokens=7), done=True)


@pytest.fixture
def store(tmp_path: Path) -> FeedbackStore:
    return FeedbackStore(Database(f"sqlite:///{tmp_path}/new/feedback.sqlite"))


def rows(store: FeedbackStore) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    count = store.export_csv(file)
    read = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert len(read) == count
    return read


def test_a_rating_holds_what_was_rated(store: FeedbackStore) -> None:
    store.add("one", "How much?", ANSWER, liked=True)
    (row,) = rows(store)
    assert tuple(row) == COLUMNS
    assert (row["mode"], row["question"], row["answer"], row["liked"]) == ("rag", "How much?", "It is £36 [1].", "1")
    assert json.loads(row["sources"]) == [
        {"source": "a.md", "heading": "H", "start": 3, "score": 0.7123, "cited": True}
    ]
    assert json.loads(row["metrics"])["output_tokens"] == 7


def test_changing_ones_mind_changes_the_row(store: FeedbackStore) -> None:
    store.add("one", "q", ANSWER, liked=True)
    store.add("one", "q", ANSWER, liked=False)
    assert [row["liked"] for row in rows(store)] == ["0"]
    store.add("one", "q", ANSWER, liked=None)
    assert rows(store) == []


def test_an_empty_file_has_a_header(store: FeedbackStore) -> None:
    file = io.StringIO()
    assert store.export_csv(file) == 0
    assert file.getvalue().strip() == ",".join(COLUMNS)


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_a_spreadsheet_runs_nothing(store: FeedbackStore, formula: str) -> None:
    store.add("one", formula, ANSWER, liked=True)
    assert rows(store)[0]["question"] == "'" + formula


def test_many_threads_lose_nothing(store: FeedbackStore) -> None:
    def rate(worker: int) -> None:
        for n in range(10):
            store.add(f"{worker}-{n}", "q", ANSWER, liked=bool(n % 2))

    threads = [threading.Thread(target=rate, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(store)) == 60


def test_it_survives_a_restart_and_is_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite"
    FeedbackStore(Database(f"sqlite:///{path}")).add("one", "q'; DROP TABLE feedback; --", ANSWER, liked=True)
    assert len(rows(FeedbackStore(Database(f"sqlite:///{path}")))) == 1
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("start", [0, 4096 * 3])
def test_a_damaged_file_is_set_aside_and_its_rows_are_saved(tmp_path: Path, start: int) -> None:
    path = tmp_path / "feedback.sqlite"
    store = FeedbackStore(Database.at(path))
    for n in range(100):
        store.add(f"id{n}", "q" * 200, ANSWER, liked=True)
    data = bytearray(path.read_bytes())
    data[start : start + 200] = b"\xff" * 200
    path.rename(tmp_path / "whole.sqlite")
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(data)
    store = FeedbackStore(Database.at(damaged))
    store.add("new", "q", ANSWER, liked=True)
    assert len(rows(store)) > 80
    (aside,) = tmp_path.glob("damaged-damaged-*.sqlite")
    assert aside.read_bytes() == data
    assert len(rows(FeedbackStore(Database.at(damaged)))) == len(rows(store))
    assert len(list(tmp_path.glob("damaged-damaged-*.sqlite"))) == 1


def test_a_damaged_letter_does_not_hide_the_other_rows(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite"
    FeedbackStore(Database.at(path)).add("one", "zebra", ANSWER, liked=True)
    FeedbackStore(Database.at(path)).add("two", "q", ANSWER, liked=True)
    path.write_bytes(path.read_bytes().replace(b"zebra", b"z\xffbra"))
    assert [row["question"] for row in rows(FeedbackStore(Database.at(path)))] == ["z\ufffdbra", "q"]
