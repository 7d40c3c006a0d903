"""The vectors of passages' parts: embedded once, kept in a file, and made anew where that does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from switchboard.progress import quietly
from switchboard.retrieval import part_vectors
from switchboard.retrieval.part_vectors import PartVectors, open_parts
from switchboard.types import Passage

ONE = Passage("a.md", "A", "", "It is red. It costs £5.", 0, 23)
OTHER = Passage("b.md", "B", "", "It is blue.", 0, 11)


class Counting:
    """An embedder that counts what it was asked for."""

    name = "counting"
    identity = "counting 1"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        return np.array([[len(text), 1.0] for text in texts], np.float32)


def opened(embedder: Counting, file: Path, *passages: Passage) -> PartVectors:
    return open_parts(passages, file, embedder, quietly)  # type: ignore[arg-type]


def test_parts_are_embedded_once_and_found_at_the_next_start(tmp_path: Path) -> None:
    embedder = Counting()
    first = opened(embedder, tmp_path / "parts.npz", ONE, OTHER).of(ONE)
    assert embedder.texts == ["A. It is red.", "A. It costs £5.", "B. It is blue."]
    again = opened(embedder, tmp_path / "parts.npz", ONE, OTHER)
    assert np.array_equal(again.of(ONE), first)
    assert again.of(OTHER).shape == (1, 2)
    assert len(embedder.texts) == 3


def test_a_changed_passage_is_embedded_and_one_that_is_gone_is_dropped(tmp_path: Path) -> None:
    embedder = Counting()
    opened(embedder, tmp_path / "parts.npz", ONE, OTHER)
    changed = Passage("b.md", "B", "", "It is green.", 0, 12)
    opened(embedder, tmp_path / "parts.npz", ONE, changed)
    assert embedder.texts[3:] == ["B. It is green."]
    assert len(np.load(tmp_path / "parts.npz")["names"]) == 2


@pytest.mark.parametrize("spoiled", [b"", b"PK\x03\x04 nonsense", b"\x93NUMPY"])
def test_a_spoiled_file_is_made_anew(tmp_path: Path, spoiled: bytes) -> None:
    (tmp_path / "parts.npz").write_bytes(spoiled)
    assert opened(Counting(), tmp_path / "parts.npz", ONE).of(ONE).shape == (2, 2)
    assert len(np.load(tmp_path / "parts.npz")["names"]) == 1


def test_another_embedder_reads_nothing_of_it(tmp_path: Path) -> None:
    opened(Counting(), tmp_path / "parts.npz", ONE)
    other = Counting()
    other.identity = "counting 2"
    opened(other, tmp_path / "parts.npz", ONE)
    assert len(other.texts) == 2


def test_without_a_place_to_keep_them_they_are_there_all_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    parts = open_parts([ONE], tmp_path / "missing" / "parts.npz", Counting(), said.append)  # type: ignore[arg-type]
    assert parts.of(ONE).shape == (2, 2)
    assert "could not be kept" in said[-1]


def test_a_large_index_embeds_what_is_asked_for_and_remembers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_vectors, "MOST", 2)
    embedder = Counting()
    parts = opened(embedder, tmp_path / "parts.npz", ONE, OTHER)
    assert embedder.texts == []
    parts.of(ONE)
    parts.of(ONE)
    assert len(embedder.texts) == 2
