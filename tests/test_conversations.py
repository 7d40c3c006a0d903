"""Conversations of people who log in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from switchboard.conversations import KEPT, ConversationStore
from switchboard.database import Database


@pytest.fixture
def store(tmp_path: Path) -> ConversationStore:
    return ConversationStore(Database(f"sqlite:///{tmp_path}/conversations.sqlite"))


def conversation(name: str, title: str = "Fees") -> dict[str, Any]:
    return {"id": name, "title": title, "turns": [{"question": "How much?\x00"}]}


def test_each_person_finds_their_own_alone(store: ConversationStore) -> None:
    store.save("ann", conversation("same"))
    store.save("bob", conversation("same", "Boats"))
    store.save("ann", conversation("same", "Fees again"))
    assert [one["title"] for one in store.of("ann")] == ["Fees again"]
    assert [one["title"] for one in store.of("bob")] == ["Boats"]
    assert store.of("ann' OR '1'='1") == []
    store.remove("ann", "same")
    assert store.of("ann") == []
    assert len(store.of("bob")) == 1


def test_the_latest_are_kept_and_come_first(store: ConversationStore) -> None:
    for n in range(KEPT + 3):
        store.save("ann", conversation(str(n)))
    store.save("ann", conversation("5"))
    names = [one["id"] for one in store.of("ann")]
    assert names[:2] == ["5", str(KEPT + 2)]
    assert len(names) == KEPT
    assert "0" not in names
    assert store.of("ann")[0]["saved"] >= store.of("ann")[1]["saved"] > 1.7e12


def test_nobody_has_any_before_the_first(store: ConversationStore) -> None:
    assert store.of("ann") == []
