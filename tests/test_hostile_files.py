"""Broken and hostile files: each is refused with a reason or comes out clean, and none takes long."""

from __future__ import annotations

import io
import random
import re
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from retrieval_fakes import FakeEmbedder
from switchboard.database import Database
from switchboard.errors import KnowledgeError
from switchboard.progress import quietly
from switchboard.retrieval.documents import LOADERS, read_document
from switchboard.retrieval.formats import MAX_BYTES, MAX_CHARACTERS, MAX_NAME, safe_name
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.knowledge import Knowledge
from switchboard.retrieval.shared import SharedDocuments
from switchboard.ui.shelf import add_own, add_shared

LINE = "word " * 200_000
NAMESPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'

MOST_SECONDS = 6.0
"""Of a core. On the machine it was written on none takes two; others are slower."""


def pdf(*pages: str, title: str = "", password: str = "", owner: str = "") -> bytes:
    """A PDF with these pages, one line each."""
    writer = PdfWriter()
    font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    for text in pages:
        page = writer.add_blank_page(300, 300)
        fonts = DictionaryObject(
            {NameObject("/F1"): DictionaryObject({NameObject(k): NameObject(v) for k, v in font.items()})}
        )
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode() if text else b"")
        page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
    if title:
        writer.add_metadata({"/Title": title})
    if password or owner:
        writer.encrypt(password, owner or password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def docx(body: str = "", parts: dict[str, bytes] | None = None, start: str = "") -> bytes:
    """A Word file with this body, and other parts."""
    kinds = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    content = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        f'<Override PartName="/word/document.xml" ContentType="{kinds}"/></Types>',
        "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{relation}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f"{start}<w:document {NAMESPACE}><w:body>{body}</w:body></w:document>",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**content, **(parts or {})}.items():
            archive.writestr(name, text)
    return out.getvalue()


def paragraph(text: str, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def zipped(**parts: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def lying_archive() -> bytes:
    """A Word file whose document unpacks to 50 MB while the directory says that it is a hundred bytes."""
    data = bytearray(zipped(**{"word/document.xml": b" " * 50_000_000}))
    for head, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(head) + at
        data[start : start + 4] = (100).to_bytes(4, "little")
    return bytes(data)


def squeezed() -> bytes:
    """A Word file packed with LZMA, whose header may ask for gigabytes of memory."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("word/document.xml", "<a/>")
    return out.getvalue()


def endless_tree() -> bytes:
    """A PDF whose tree of pages holds itself."""
    return re.sub(rb"/Kids \[ *\d+ 0 R *\]", b"/Kids [ 1 0 R 1 0 R ]", pdf("One"))


def bombs_in_pages() -> bytes:
    """A PDF of a hundred kilobytes whose page is a hundred million bytes long."""
    writer = PdfWriter()
    page = writer.add_blank_page(300, 300)
    stream = DecodedStreamObject()
    stream.set_data(b" " * 100_000_000)
    page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


LAUGHS = "a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
XML_LAUGHS = '<!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;">]>'
NOISE = random.Random(1).randbytes(4000)

REFUSED: list[tuple[str, str, bytes | Callable[[], bytes], str]] = [
    *((f"empty {suffix}", f"x{suffix}", b"", "is empty") for suffix in LOADERS),
    ("blank Markdown", "x.md", b" \n\t\n", "holds no text"),
    ("too many bytes", "x.txt", b"a" * (MAX_BYTES + 1), "too large: at most 10 MB"),
    ("too much text", "x.md", b"a b\n" * (MAX_CHARACTERS // 4 + 1), "too long: at most 500,000 characters"),
    ("a line of a million characters", "x.txt", LINE.encode(), "too long"),
    ("a heading of a million spaces and signs", "x.md", b"# " + b"# " * 500_000 + b"x", "too long"),
    ("unknown suffix", "x.exe", b"MZ", r"only files ending in \.md"),
    ("no suffix", "README", b"text", "only files ending in"),
    ("null bytes", "x.txt", b"text\0text", "not a text file"),
    ("null characters in UTF-16", "x.txt", "a\0b".encode("utf-16"), "not a text file"),
    ("half a character of UTF-16", "x.txt", b"\xff\xfea", "is not UTF-16"),
    ("UTF-16 without its mark", "x.txt", "text".encode("utf-16-le"), "null bytes"),
    ("noise", "x.txt", NOISE.replace(b"\0", b"\xff"), "not UTF-8"),
    ("Latin-1 too short to be sure of", "x.md", b"caf\xe9", "byte 3 is not UTF-8"),
    ("PDF called text", "x.txt", pdf("One"), "not a text file but a PDF"),
    ("Word file called Markdown", "x.md", docx(paragraph("x")), "not a text file but a zip"),
    ("picture called text", "x.txt", b"\x89PNG\r\n\x1a\n....", "a PNG picture"),
    ("program called text", "x.txt", b"MZ\x90\0\x03\0", "a program"),
    ("picture called web page", "x.html", b"GIF89a....", "a GIF picture"),
    ("archive called table", "x.csv", zipped(a=b"1"), "zip archive"),
    ("text called PDF", "x.pdf", b"Just text.", "not a PDF"),
    ("Word file called PDF", "x.pdf", docx(paragraph("x")), "not a PDF but a zip"),
    ("PDF called Word file", "x.docx", pdf("One"), "not a Word file but a PDF"),
    ("old Word file", "x.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old or a password-protected"),
    ("only the head of a PDF", "x.pdf", b"%PDF-1.7\n", "damaged"),
    ("half a PDF", "x.pdf", pdf("One", "Two")[:300], "damaged|no text"),
    ("noise behind a PDF's head", "x.pdf", b"%PDF-1.7\n" + NOISE, "damaged"),
    ("encrypted PDF", "x.pdf", pdf("Secret", password="s3cret"), "encrypted; save it without a password"),
    ("PDF of pictures", "x.pdf", pdf("", ""), r"text recognition \(OCR\)"),
    ("PDF of 301 pages", "x.pdf", lambda: pdf(*(["x"] * 301)), "301 pages, and at most 300"),
    ("PDF whose tree of pages has no end", "x.pdf", endless_tree, "damaged|no text"),
    ("PDF that unpacks to 100 MB", "x.pdf", bombs_in_pages, "damaged|no text"),
    ("Word file without a document", "x.docx", zipped(a=b"1"), "there is no document in it"),
    ("half a Word file", "x.docx", docx(paragraph("x"))[:200], "not a Word file but a damaged one"),
    ("Word file of broken XML", "x.docx", docx("<w:p><w:r>"), "damaged"),
    ("Word file nested too deep", "x.docx", docx("<w:p>" * 5000 + "</w:p>" * 5000), "damaged"),
    ("Word file of noise", "x.docx", zipped(**{"word/document.xml": NOISE}), "damaged"),
    ("zip bomb", "x.docx", docx(parts={"word/media/a.png": b"\0" * 30_000_000}), "too large when it is unpacked"),
    ("archive that lies about its size", "x.docx", lying_archive, "damaged"),
    ("archive packed in another way", "x.docx", squeezed, "packed as Word never does"),
    ("endless XML", "x.docx", docx(paragraph("x") * 250_000), "too large when it is unpacked"),
    (
        "too many tags of XML",
        "x.docx",
        docx("".join(map(paragraph, map(str, range(50_000))))),
        "at most 300,000 tags of XML",
    ),
    ("entities in XML", "x.docx", docx(paragraph("&b;"), start=XML_LAUGHS), "defines entities"),
    ("web page in a code page that is none", "x.html", b"<meta charset=iso-8859-12>caf\xe9", "not UTF-8"),
    ("web page of scripts alone", "x.html", b"<script>alert(1)</script><style>p{}</style>", "holds no text"),
    ("web page nested too deep", "x.html", b"<div>" * 20_000 + b"x", "nested more than 100 deep|damaged"),
    ("web page of 250,000 tags", "x.html", b"<b>x</b>" * 125_000, "at most 60,000 tags"),
    ("comments never closed", "x.html", b"<!--" * 250_000, "at most 60,000 tags|holds no text"),
    ("table without a header", "x.csv", b"1,2,3\n4,5,6\n", "its first row must name"),
    ("table of one column", "x.csv", b"name\nAnn\n", "two or more columns"),
    ("table that names a column twice", "x.csv", b"a,b,b\n1,2,3\n", "each by another name"),
    ("table without a row", "x.csv", b"a,b\n", "no row below its header"),
    ("quote never closed", "x.csv", b'a,b\n1,2\n3,"4\n5,6\n', "from line 3 on, a quote is not closed"),
    (
        "table of 100,000 columns",
        "x.csv",
        (",".join(f"c{n}" for n in range(100_000)) + "\n" + "1," * 99_999 + "1\n").encode(),
        "too long",
    ),
    ("value of a million characters", "x.csv", b"a,b\n1," + LINE.encode() + b"\n", "at most 131,072 characters fit"),
    ("long names over many rows", "x.csv", b"a," + b"b" * 100_000 + b"\n" + b"1,2\n" * 100_000, "too long"),
    ("front matter that is a list", "x.md", b"---\n- a\n- b\n---\nText", "must be lines such as"),
    ("billion laughs", "x.md", f"---\n{LAUGHS}title: *i\n---\nText".encode(), "has aliases"),
    ("front matter that holds itself", "x.md", b"---\na: &a [*a]\ntitle: *a\n---\nText", "has aliases"),
    ("front matter nested too deep", "x.md", b"---\na: " + b"[" * 5000 + b"\n---\nText", "nested too deep"),
    ("front matter that is too long", "x.md", b"---\na: " + b"x" * 20_000 + b"\n---\nText", "over 10,000 characters"),
    ("a day that there is not", "x.md", b"---\nupdated: 2026-05-45\n---\nText", "not YAML"),
    ("a number of 9,000 digits", "x.md", b"---\nupdated: " + b"1" * 9000 + b"\n---\nText", "not YAML"),
    ("front matter that makes objects", "x.md", b"---\ntitle: !!python/object/apply:os.getcwd []\n---\nx", "not YAML"),
]

PAGE = """<!doctype html><title> A &amp; B </title><meta charset=utf-8><nav>Home Menu</nav><!-- secret -->
<template>hollow</template><h1>Fees</h1><p onclick="steal()">Late: <b>£7.50</b> <a href="JaVaScript:alert(1)">one</a>
<a href="java&#10;script:alert(2)">two</a> <a href="data:text/html,x">three</a> <a href="https://a.example/x">four</a>
<a href="https://a.example) [five](javascript:alert(3)">five</a><img src=x onerror="alert(4)" alt="pic">
<iframe src="https://evil.example"></iframe><svg onload="alert(5)"><text>drawn</text></svg><object data="x">obj</object>
<ul><li>first<li>second</ul><table><caption>Prices</caption><tr><th>Plan<th>Price<tr><td colspan=99999>Fast<td>£30
</table><div hidden>unseen</div><script>alert(6)"""
ACTIVE = ["alert", "javascript", "onclick", "onerror", "iframe", "secret", "hollow", "Menu", "drawn", "unseen", "data:"]

CLEANED: list[tuple[str, str, bytes | Callable[[], bytes], list[str], list[str]]] = [
    (
        "web page full of tricks",
        "x.html",
        PAGE.encode(),
        ["# Fees", "**£7.50**", "one", "[four](https://a.example/x)", "five", "- first\n- second", "| Plan | Price |"],
        ACTIVE,
    ),
    (
        "web page in Latin-1",
        "x.htm",
        "<meta charset=iso-8859-1><p>Gebühr für Öl".encode("latin-1"),
        ["Gebühr für Öl"],
        [],
    ),
    ("tags never closed", "x.html", b"<p><b>Bold <i>both" + b"<a " * 1000, ["Bold", "both"], ["<a"]),
    (
        "spaces without end",
        "x.html",
        b"<pre>a" + b"&#32;" * 150_000 + b"b</pre><p>c" + b" " * 1_000_000 + b"d",
        ["a\nb", "c\nd"],
        ["    "],
    ),
    ("a list of 8,000", "x.html", b"<ol>" + b"<li>x" * 8_000 + b"</ol>", ["- x"], ["1."]),
    (
        "a table of 8,000 rows",
        "x.html",
        b"<table><thead>" + b"<tr><td>x<td>y" * 8_000,
        ["| x | y |\n| --- | --- |\n| x | y |"],
        [],
    ),
    (
        "a table of 8,000 sections",
        "x.html",
        b"<table><thead><tr><th>a<th>b</thead>" + b"<tbody><tr><td>x<td>y" * 8_000,
        ["| a | b |\n| --- | --- |\n| x | y |\n| x | y |"],
        [],
    ),
    (
        "Word file with a link that is a script",
        "x.docx",
        docx(paragraph("Fees", "Heading1") + paragraph("&lt;script&gt; costs £7.50")),
        ["# Fees", "costs £7.50"],
        [],
    ),
    ("PDF that only its owner may change", "x.pdf", pdf("Open", owner="s3cret"), ["## Page 1\n\nOpen"], []),
    ("formulas", "x.csv", b"name,note\n=1+1,@SUM(A1)\n", ["## =1+1", "- note: @SUM(A1)"], []),
    (
        "ragged rows",
        "x.csv",
        b"name;price;note\nA;7,50\nB;1;2;3\n\n;5\n",
        ["## A\n\n- price: 7,50\n", "- note: 2\n- Column 4: 3", "## Row 5\n\n- price: 5"],
        [],
    ),
    ("a value that looks like a heading", "x.csv", b'name,note\nA,"one\n# two"\n', ["- note: one # two"], ["\n# two"]),
    ("UTF-16", "x.txt", "Gebühr: 7,50 €".encode("utf-16"), ["Gebühr: 7,50 €"], []),
    (
        "Windows-1252, which is sure here",
        "x.txt",
        "Die Gebühr beträgt 7,50 € und wird fällig, wenn die Rechnung nicht rechtzeitig bezahlt wird.".encode("cp1252"),
        ["Gebühr beträgt 7,50 €"],
        [],
    ),
    ("escape signs of a terminal", "x.txt", b"a\x1b[31mred\x07\x7f", ["a[31mred"], ["\x1b", "\x07", "\x7f"]),
    ("a title that is a list", "x.md", b"---\ntitle: [a, b]\n---\nText", ["Text"], ["title"]),
]


def in_time(name: str, data: bytes | Callable[[], bytes]) -> tuple[str, str]:
    """The title and the text. Fails where they take more work than MOST_SECONDS."""
    made = data() if callable(data) else data
    begun = time.process_time()
    try:
        document = read_document(name, made)
    finally:
        assert time.process_time() - begun < MOST_SECONDS
    return document.title, document.text


@pytest.mark.parametrize(("name", "data", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_broken_or_hostile_file_is_refused_with_its_reason(
    name: str, data: bytes | Callable[[], bytes], reason: str
) -> None:
    with pytest.raises(KnowledgeError, match=reason) as caught:
        in_time(name, data)
    message = str(caught.value)
    assert message.startswith(name)
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "data", "there", "gone"), [case[1:] for case in CLEANED], ids=[case[0] for case in CLEANED]
)
def test_what_could_do_harm_is_gone_and_the_rest_is_there(
    name: str, data: bytes | Callable[[], bytes], there: list[str], gone: list[str]
) -> None:
    _, text = in_time(name, data)
    assert [part for part in there if part not in text] == []
    assert [part for part in gone if part.lower() in text.lower()] == []


@pytest.mark.parametrize("suffix", LOADERS)
def test_noise_and_halves_raise_nothing_else(suffix: str) -> None:
    whole = {".pdf": pdf("One", "Two"), ".docx": docx(paragraph("One"))}.get(suffix, PAGE.encode())
    chance = random.Random(2)
    for _ in range(60):
        data = bytearray(whole[: chance.randrange(len(whole) // 2, len(whole))])
        for _ in range(chance.randrange(12)):
            data[chance.randrange(8, len(data))] = chance.randrange(256)
        with suppress(KnowledgeError):
            read_document(f"x{suffix}", bytes(data))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.md", "y.md"),
        ("..\\..\\y.PDF", "y.PDF"),
        ("con\0trol.md", "control.md"),
        ("\u202egpj.exe\u200b.txt", "gpj.exe.txt"),
        ("😀 fees.md", "😀 fees.md"),
        ("....", "document"),
        (".md", "document.md"),
        ("", "document"),
        ("/", "document"),
        ("a/..", "document"),
        ('a<b>:"c"|?*#.txt', "a b c.txt"),
        ("two\nlines \t.md", "two lines.md"),
        (".hidden.html", "hidden.html"),
        ("Ｇebühr e\u0301.md", "Ｇebühr é.md"),
    ],
)
def test_an_uploaded_files_name_becomes_harmless(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_long_name_is_cut_before_its_suffix() -> None:
    assert safe_name("x" * 500 + ".docx") == "x" * (MAX_NAME - 5) + ".docx"
    assert len(safe_name("x" * 500)) == MAX_NAME
    assert len(safe_name("." + "y" * 500)) == MAX_NAME


def test_a_file_that_is_refused_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    """All of them, one after the other, into a visitor's layer and into everybody's."""
    folder = tmp_path / "knowledge"
    folder.mkdir()
    (folder / "fees.md").write_text("The late fee is £7.50.", encoding="utf-8")

    def opened(edits: SharedDocuments | None) -> KnowledgeIndex:
        return KnowledgeIndex.open(folder, tmp_path / "data", FakeEmbedder(), quietly, 0.2, edits=edits)

    edits = SharedDocuments(Database.at(tmp_path / "documents.sqlite"), "help")
    knowledge = Knowledge(folder, tmp_path / "data", edits, opened, quietly)
    _, mine = add_own("boats.md", b"A rowing boat costs 12 an hour.", None, knowledge.current)
    assert mine
    for index in (knowledge.current, mine.index):
        assert index.search("late fee", 1).passages
    before = [(passage.source, passage.text) for passage in knowledge.current.passages]
    own = [(passage.source, passage.text) for passage in mine.index.passages]
    for _, name, data, _ in REFUSED:
        made = data() if callable(data) else data
        line, after = add_own(name, made, mine, knowledge.current)
        assert 'class="error"' in line, name
        assert after is mine
        assert 'class="error"' in add_shared(name, made, knowledge), name
    assert [(passage.source, passage.text) for passage in knowledge.current.passages] == before
    assert [(passage.source, passage.text) for passage in mine.index.passages] == own
    assert knowledge.current._store.count() == len(before)
    assert edits.changes() == {}
    knowledge.current.close()
