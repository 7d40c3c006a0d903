"""Web pages, PDFs, Word files and tables as Markdown: each function returns the title, or "", and the text.

Whatever the bytes, they raise nothing but KnowledgeError.
"""

from __future__ import annotations

import csv
import io
import logging
import re
import time
import zipfile
from collections.abc import Iterator
from typing import Any

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PreformattedString
from markdownify import MarkdownConverter

from switchboard.errors import KnowledgeError
from switchboard.retrieval.formats import MAX_CHARACTERS, clean, decoded, kind, too_long

MAX_PAGES = 300
"""The most pages of a PDF."""

MAX_PDF_SECONDS = 30.0
"""How long a PDF may take, looked at after every page."""

MAX_UNPACKED = 100_000_000
"""The most bytes that a Word file may unpack to."""

MAX_XML = 10_000_000
"""The most bytes of XML in a Word file, pictures not counted: some twenty a character are usual."""

MAX_RATIO = 200
"""How many times its packed size a part of a Word file may unpack to, if it is over a million bytes."""

MAX_XML_TAGS = 300_000
"""The most tags in the XML of a Word file; a printed page has some hundreds."""

MAX_TAGS = 60_000
"""The most tags of a web page."""

MAX_DEPTH = 100
"""How deep a web page's elements may be nested."""

_PDF_LIMITS: dict[str, Any] = {
    "maximum_declared_stream_length": 20_000_000,
    "array_based_stream_maximum_output_length": 20_000_000,
    "lzw_maximum_output_length": 20_000_000,
    "run_length_maximum_output_length": 20_000_000,
    "zlib_maximum_output_length": 20_000_000,
    "stream_parsing_work_maximum_count": 500_000,
    "xform_maximum_invocations_per_extraction": 500,
}
_DROPPED = (
    "script style nav template noscript iframe frame object embed applet svg math canvas img picture source video "
    "audio map button input select textarea meta link base title colgroup"
).split()
_SECTIONS = ["thead", "tbody", "tfoot"]
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:font-size|opacity|max-height)\s*:\s*0(?![\d.]*[1-9])", re.IGNORECASE
)
"""A style under which an element is not seen."""
_SAFE_LINK = re.compile(r"""(?:https?://|mailto:|tel:)[^\s()<>\[\]"'`\\]+""", re.IGNORECASE)
_WIDE = re.compile(r"\s{100,}")
_EMPTY_LINES = re.compile(r"\n{3,}")
_MOST_NUMBERED = 1000
"""Items of a numbered list; a longer one becomes bulleted, as each number costs a walk over the items before it."""
_DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?(iso-8859-\d{1,2}|windows-125\d|koi8-[ru])\b""", re.I)
_FORBIDDEN_XML = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,\s]+%?")
_YEAR = re.compile(r"(?:19|20)\d\d")

logging.getLogger("pypdf").setLevel(logging.ERROR)  # It warns of every slip in a file; one sentence of ours is enough.


def html_markdown(source: str, data: bytes) -> tuple[str, str]:
    """A web page without its scripts, navigation, fields and pictures; links that could do harm become their words."""
    declared = _DECLARED.search(data[:2048])
    try:
        text = decoded(source, data)
    except KnowledgeError as refusal:
        if declared is None or kind(data) or b"\0" in data:
            raise
        try:
            text = data.decode(declared[1].decode("ascii"), errors="replace").replace("\r\n", "\n")
        except LookupError:  # there is no ISO-8859-12
            raise refusal from None
    return _html(source, text)


def docx_markdown(source: str, data: bytes) -> tuple[str, str]:
    """A Word file, by way of HTML; pictures are left out."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        other = "a damaged one" if data.startswith(b"PK") else kind(data) or "something else"
        raise KnowledgeError(f"{source} is not a Word file but {other}; save it as .docx, without a password.")
    import mammoth  # noqa: PLC0415  memory, and few starts read such a file

    try:
        html = mammoth.convert_to_html(
            io.BytesIO(_word_xml(source, data)),
            convert_image=lambda image: [],  # noqa: ARG005 - mammoth passes it
            include_embedded_style_map=False,
            external_file_access=False,
        ).value
    except KnowledgeError:
        raise
    except Exception as error:  # zipfile, expat and mammoth raise many things
        raise KnowledgeError(f"{source} cannot be read: the Word file is damaged; save it as .docx again.") from error
    return _html(source, html)


def pdf_markdown(source: str, data: bytes) -> tuple[str, str]:
    """A PDF, each page with text under a heading `Page N`; the title is the one in its metadata."""
    if not data.startswith(b"%PDF-"):
        other = kind(data)
        raise KnowledgeError(
            f"{source} is not a PDF{f' but {other}' if other else ''}; give it the ending that it had."
        )
    from pypdf import Configuration, apply_configuration  # noqa: PLC0415  memory, and few starts read such a file

    try:
        with apply_configuration(Configuration(**_PDF_LIMITS)):
            return _pdf(source, data)
    except KnowledgeError:
        raise
    except Exception as error:  # pypdf raises many things
        raise KnowledgeError(f"{source} cannot be read: the PDF is damaged; save or print it to PDF again.") from error


def csv_markdown(source: str, data: bytes) -> tuple[str, str]:
    """A table, each row an entry: its first value the heading, then a line `- column: value` for each other value."""
    text = decoded(source, data)
    delimiter = max(",;\t", key=lambda sign: len(_header(text, sign)))
    names = _header(text, delimiter)
    while names and not names[-1]:
        names.pop()
    amiss = [name for name in names if not name or (_NUMBER.fullmatch(name) and not _YEAR.fullmatch(name))]
    if len(names) < 2 or amiss or len(set(names)) < len(names):
        need = "two or more columns, each by another name that is not a number"
        raise KnowledgeError(f"{source} cannot be read: its first row must name {need}.")
    entries: list[str] = []
    length = 0
    for number, row in enumerate(_rows(source, text, delimiter), 1):
        if number == 1 or not any(row):
            continue
        lines = [f"## {row[0] or f'Row {number}'}", ""]
        length += len(lines[0])
        for column, value in enumerate(row[1:], 1):
            if value:
                lines.append(f"- {names[column] if column < len(names) else f'Column {column + 1}'}: {value}")
                length += len(lines[-1])
            if length > MAX_CHARACTERS:
                raise too_long(source)
        entries.append("\n".join(lines))
    if not entries:
        raise KnowledgeError(f"{source} holds no text: there is no row below its header.")
    return "", "\n\n".join(entries) + "\n"


def _html(source: str, html: str) -> tuple[str, str]:
    if html.count("<") > MAX_TAGS:
        raise KnowledgeError(f"{source} is too large: at most {MAX_TAGS:,} tags of HTML fit; split it.")
    try:
        # lxml, as the standard library's parser takes quadratic time over what is never closed.
        soup = BeautifulSoup(html, "lxml")
        heading = soup.title or soup.h1
        title = " ".join(heading.get_text(" ").split()) if heading else ""
        _tidy(source, soup)
        markdown = MarkdownConverter(
            heading_style="ATX",
            bullets="-",
            escape_asterisks=False,
            escape_underscores=False,
            strip_pre=None,
            table_infer_header=True,
        ).convert_soup(soup)
    except KnowledgeError:
        raise
    except Exception as error:  # the parsers raise many things
        raise KnowledgeError(f"{source} cannot be read: its HTML is damaged; save it as HTML again.") from error
    return title, _EMPTY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in markdown.split("\n"))).strip() + "\n"


def _tidy(source: str, soup: BeautifulSoup) -> None:
    """Take out what is no text, and what would mislead the converter or take it long."""
    depths = {id(soup): 0}
    for tag in soup.find_all(True):
        depth = depths[id(tag.parent)] + 1
        if depth > MAX_DEPTH:
            raise KnowledgeError(f"{source} cannot be read: its elements are nested more than {MAX_DEPTH} deep.")
        depths[id(tag)] = depth
    for hidden in soup.find_all(_unseen):
        hidden.extract()
    for special in soup.find_all(string=lambda text: isinstance(text, PreformattedString)):
        special.extract()
    for tag in soup.find_all(True):
        href = str(tag.get("href") or "").strip()
        tag.attrs = {"href": href} if tag.name == "a" and _SAFE_LINK.fullmatch(href) else {}
        if tag.name == "ol" and len(tag.find_all("li", recursive=False)) > _MOST_NUMBERED:
            tag.name = "ul"
        if tag.name == "caption" and tag.parent and tag.parent.name == "table":
            tag.name = "p"
            tag.parent.insert_before(tag)
    for table in soup.find_all("table"):
        _flatten(table)
    for stray in soup.find_all(_SECTIONS):
        stray.name = "div"
    soup.smooth()
    for text in soup.find_all(string=_WIDE):
        text.replace_with(NavigableString(_WIDE.sub("\n", text)))


def _unseen(tag: Tag) -> bool:
    """Whether a browser shows nothing of an element, as far as its own attributes say, or nothing that is text."""
    if tag.name in _DROPPED or tag.get("role") == "navigation" or tag.has_attr("hidden"):
        return True
    return bool(_HIDING.search(str(tag.get("style") or "")))


def _flatten(table: Tag) -> None:
    """Put a table's rows into itself: of each section the converter would make a head, after a search of all of it."""
    for child in list(table.contents):
        if isinstance(child, Tag) and child.name in _SECTIONS:
            for row in list(child.contents):
                table.append(row)
            child.extract()
        else:
            table.append(child)


def _word_xml(source: str, data: bytes) -> bytes:
    """A Word file of nothing but the XML of this one, unpacked. Raises KnowledgeError where it is none or too large.

    Reading a part in one go would unpack it to the end, whatever size the archive's directory says it has.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as unpacked:
        parts = archive.infolist()
        if "word/document.xml" not in archive.namelist():
            raise KnowledgeError(f"{source} is not a Word file: there is no document in it; save it as .docx.")
        if any(part.flag_bits & 1 for part in parts):
            raise KnowledgeError(f"{source} is encrypted; save it without a password.")
        xml = [part for part in parts if part.filename.lower().endswith((".xml", ".rels"))]
        size, size_of_xml = (sum(part.file_size for part in some) for some in (parts, xml))
        bombs = [part for part in parts if part.file_size > max(1_000_000, MAX_RATIO * part.compress_size)]
        if bombs or size > MAX_UNPACKED or size_of_xml > MAX_XML:
            raise KnowledgeError(f"{source} is too large when it is unpacked; split it, or save it as a PDF.")
        if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in xml):
            raise KnowledgeError(f"{source} is packed as Word never does; save it as .docx again.")
        tags = 0
        for part in xml:
            with archive.open(part) as packed:
                content = packed.read(part.file_size)
            tags += content.count(b"<")
            if _FORBIDDEN_XML.search(content.replace(b"\0", b"")):
                raise KnowledgeError(f"{source} defines entities, which Word never does; save it as .docx again.")
            unpacked.writestr(part.filename, content)
    if tags > MAX_XML_TAGS:
        raise KnowledgeError(f"{source} is too large: at most {MAX_XML_TAGS:,} tags of XML fit; split it.")
    return out.getvalue()


def _pdf(source: str, data: bytes) -> tuple[str, str]:
    from pypdf import PasswordType, PdfReader  # noqa: PLC0415

    until = time.monotonic() + MAX_PDF_SECONDS
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise KnowledgeError(f"{source} is encrypted; save it without a password.")
    if len(reader.pages) > MAX_PAGES:
        raise KnowledgeError(f"{source} has {len(reader.pages):,} pages, and at most {MAX_PAGES} fit; split it.")
    pages: list[str] = []
    length = 0
    for number, page in enumerate(reader.pages, 1):
        text = clean(page.extract_text().replace("\r", "\n")).strip()
        if text:
            pages.append(f"## Page {number}\n\n{text}\n")
            length += len(pages[-1])
        if length > MAX_CHARACTERS:
            raise too_long(source)
        if time.monotonic() > until:
            raise KnowledgeError(f"{source} takes too long to read; split it, or print it to PDF again.")
    if not pages:
        raise KnowledgeError(
            f"{source} holds no text that can be read, as in a scan; run it through text recognition (OCR) first."
        )
    title = reader.metadata.title if reader.metadata else ""
    return str(title or ""), "\n".join(pages)


def _header(text: str, delimiter: str) -> list[str]:
    try:
        return next(_rows("", text, delimiter), [])
    except KnowledgeError:
        return []


def _rows(source: str, text: str, delimiter: str) -> Iterator[list[str]]:
    """The rows, each value in one line. Raises KnowledgeError with the line that a quote is amiss in."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    begun = 1
    try:
        for row in reader:
            yield [" ".join(value.split()) for value in row]
            begun = reader.line_num + 1
    except csv.Error as error:
        if "field limit" in str(error):
            reason = f"a value in line {begun} or below is too long: at most {csv.field_size_limit():,} characters fit"
            raise KnowledgeError(f"{source} cannot be read: {reason}.") from error
        reason = f"in the row from line {begun} on, a quote is not closed or stands amiss"
        raise KnowledgeError(f'{source} cannot be read: {reason}; put "" for each quote inside of a value.') from error
