"""Reading the knowledge folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from switchboard.errors import KnowledgeError
from switchboard.retrieval.chunking import chunk
from switchboard.retrieval.documents import load_file, load_folder, read_document
from test_hostile_files import docx, paragraph, pdf


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
        ("bad.odt", b"PK", r"only files ending in \.md, \.txt, \.html, \.htm, \.pdf, \.docx or \.csv are"),
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


def test_a_pdf_names_its_pages_and_passages_carry_them() -> None:
    document = read_document("fees.pdf", pdf("The late fee is 7.50.", "", "Call 150.", title="Fees 2026"))
    assert (document.title, document.source) == ("Fees 2026", "fees.pdf")
    passages = chunk(document, lambda text: len(text.split()))
    assert [(p.heading, p.text) for p in passages] == [("Page 1", "The late fee is 7.50."), ("Page 3", "Call 150.")]
    assert read_document("late-fees.pdf", pdf("x")).title == "Late fees"


def test_a_word_file_keeps_headings_lists_and_tables() -> None:
    row = "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in ("Plan", "Price")) + "</w:tr>"
    body = paragraph("Fees", "Heading1") + paragraph("Late", "Heading2") + paragraph("£7.50") + f"<w:tbl>{row}</w:tbl>"
    document = read_document("x.docx", docx(body))
    assert document.title == "Fees"
    assert document.text == "# Fees\n\n## Late\n\n£7.50\n\n| Plan | Price |\n| --- | --- |\n"


def test_a_web_page_is_titled_by_its_title_or_its_first_heading() -> None:
    assert read_document("x.html", b"<title>A &amp;\n B</title><h1>C</h1><p>d").title == "A & B"
    assert read_document("x.html", b"<h1>C <i>d</i></h1><p>e").title == "C d"
    assert read_document("late-fees.html", b"<p>e").title == "Late fees"


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_tables_rows_become_passages(sign: str) -> None:
    table = "\n".join(
        sign.join(row) for row in [("Plan", "Speed", "Price"), ("Home", "150", "£30"), ("Max", "900", "£50")]
    )
    document = read_document("plans.csv", table.encode())
    passages = chunk(document, lambda text: len(text.split()))
    assert [(p.heading, p.text) for p in passages] == [
        ("Home", "- Speed: 150\n- Price: £30"),
        ("Max", "- Speed: 900\n- Price: £50"),
    ]
