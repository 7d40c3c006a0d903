"""The vectors on disk, in the real Chroma."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval_fakes import FakeEmbedder
from switchboard.files import MANIFEST
from switchboard.progress import quietly
from switchboard.retrieval.store import PassageStore
from switchboard.types import Passage


def passages(source: str, *texts: str) -> list[Passage]:
    return [Passage(source, "T", f"h{n}", text, n * 100, n * 100 + len(text)) for n, text in enumerate(texts)]


def fill(store: PassageStore, source: str, *texts: str, sha256: str = "s") -> None:
    made = passages(source, *texts)
    stored = store.documents().get(source)
    store.delete(stored.ids if stored else [])
    store.add_documents([(sha256, made)], FakeEmbedder().embed_passages(made))
    store.seal()


def test_similarity_is_cosine_and_nearest_comes_first(tmp_path: Path) -> None:
    store = PassageStore(tmp_path / "index", "a", quietly)
    fill(store, "a.md", "router lights", "late fee")
    query = FakeEmbedder().embed_query("router lights")
    found = store.nearest(query, 5)
    assert [name for name, _ in found] == ["a.md#0", "a.md#100"]
    stored = store.vectors([name for name, _ in found])
    expected = [float(stored[name] @ query) for name, _ in found]
    assert [score for _, score in found] == pytest.approx(expected, abs=1e-5)
    store.close()


def test_what_was_stored_is_there_after_reopening(tmp_path: Path) -> None:
    store = PassageStore(tmp_path / "index", "a", quietly)
    fill(store, "a.md", "one", "two")
    fill(store, "b.md", "three")
    store.delete(["b.md#0", "never.md#0"])
    store.close()
    again = PassageStore(tmp_path / "index", "a", quietly)
    stored = again.documents()
    assert list(stored) == ["a.md"]
    assert stored["a.md"].complete
    assert [(p.heading, p.start, p.end) for p in stored["a.md"].passages] == [("h0", 0, 3), ("h1", 100, 103)]
    again.close()


def test_replacing_leaves_nothing_of_the_old(tmp_path: Path) -> None:
    store = PassageStore(tmp_path / "index", "a", quietly)
    fill(store, "a.md", "one", "two", "three")
    fill(store, "a.md", "four", sha256="t")
    assert store.count() == 1
    assert store.documents()["a.md"].sha256 == "t"
    store.close()


def test_a_document_cut_short_is_not_complete(tmp_path: Path) -> None:
    store = PassageStore(tmp_path / "index", "a", quietly)
    fill(store, "a.md", "one", "two")
    store._collection.delete(ids=["a.md#100"])
    assert not store.documents()["a.md"].complete
    store.close()


def test_another_embedder_empties_it_and_says_so(tmp_path: Path) -> None:
    store = PassageStore(tmp_path / "index", "a", quietly)
    fill(store, "a.md", "one")
    store.close()
    lines: list[str] = []
    again = PassageStore(tmp_path / "index", "b", lines.append)
    assert again.count() == 0
    assert "anew" in lines[0]
    fill(again, "a.md", "one")
    again.close()
    kept = PassageStore(tmp_path / "index", "b", quietly)
    assert kept.count() == 1
    kept.close()


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("damage", ["rubbish", "half", "hole"])
def test_a_damaged_store_is_set_aside_and_made_anew(tmp_path: Path, damage: str, sealed: bool) -> None:
    store = PassageStore(tmp_path / "index", "a", quietly)
    fill(store, "a.md", "one")
    store.close()
    if not sealed:  # as one who is killed while writing leaves it
        (tmp_path / "index" / MANIFEST).unlink()
    database = tmp_path / "index" / "chroma.sqlite3"
    data = database.read_bytes()
    half = len(data) // 2
    hole = data[:4096] + b"\xff" * half + data[4096 + half :]
    database.write_bytes({"rubbish": b"rubbish" * 1000, "half": data[:half], "hole": hole}[damage])
    lines: list[str] = []
    again = PassageStore(tmp_path / "index", "a", lines.append)
    assert again.count() == 0
    assert "set aside" in lines[0]
    assert list(tmp_path.glob("index-damaged-*"))
    fill(again, "a.md", "one")
    assert again.nearest(np.ones(64, np.float32), 1)
    again.close()


def test_an_empty_store_finds_nothing(tmp_path: Path) -> None:
    store = PassageStore(tmp_path / "index", "a", quietly)
    assert store.nearest(np.ones(64, np.float32), 3) == []
    store.close()
