"""Reading the knowledge folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from switchboard.errors import KnowledgeError
from switchboard.retrieval.documents import load_file, load_folder


def write(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_front_matter_becomes_facts_and_is_not_part_of_the_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a/b.md", "---\ntitle: 'Fees: late'\ntopic: Bills\nupdated: 2026-04-21\n---\n\nBody.\n")
    document = load_file(path, tmp_path)
    assert (document.source, document.title, document.topic) == ("a/b.md", "Fees: late", "Bills")
    assert document.updated == "2026-04-21"
    assert document.text == "Body.\n"
    assert len(document.sha256) == 64


def test_without_front_matter_heading_and_file_name_stand_in(tmp_path: Path) -> None:
    assert load_file(write(tmp_path, "fees/late-fee.md", "# Late fees\n\nText"), tmp_path).title == "Late fees"
    plain = load_file(write(tmp_path, "fees/late-fee.txt", "---\nText"), tmp_path)
    assert (plain.title, plain.topic, plain.updated, plain.text) == ("Late fee", "Fees", "", "---\nText")


def test_line_ends_and_byte_order_mark_are_normalised(tmp_path: Path) -> None:
    path = write(tmp_path, "x.md", b"\xef\xbb\xbf---\r\ntitle: T\r\n---\r\none\r\ntwo\r")
    document = load_file(path, tmp_path)
    assert (document.title, document.text) == ("T", "one\ntwo\n")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("bad.md", b"caf\xe9", "byte 3 is not UTF-8"),
        ("bad.md", b"---\ntitle: [\n---\nx", "front matter is not YAML"),
        ("bad.md", b"---\njust words\n---\nx", "must be lines such as"),
        ("bad.pdf", b"%PDF", "only files ending in .md or .txt"),
    ],
)
def test_an_unreadable_file_is_named_with_its_reason(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(KnowledgeError, match=reason) as caught:
        load_file(write(tmp_path, name, data), tmp_path)
    assert name in str(caught.value)


def test_a_folder_is_read_sorted_and_the_unreadable_left_out_with_a_line(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.md", "a/.hidden.md", ".git/x.md"):
        write(tmp_path, name, "text")
    write(tmp_path, "a/bad.md", b"\xff")
    lines: list[str] = []
    assert [document.source for document in load_folder(tmp_path, lines.append)] == ["a/z.md", "b.md"]
    assert len(lines) == 1
    assert "a/bad.md" in lines[0]


def test_a_missing_folder_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="SWITCHBOARD_KNOWLEDGE"):
        load_folder(tmp_path / "none")
