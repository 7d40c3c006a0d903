"""Cutting documents into passages: by heading, and where a section is too long, at its paragraphs and sentences.

A passage is always a slice of its document's text, so a page can open the article at that place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt
from semantic_text_splitter import MarkdownSplitter, TextSplitter

from switchboard.types import Document, Passage

MAX_TOKENS = 180
"""The most tokens of a passage, its title and heading counted; see the README for what other sizes measured."""

METHOD = "by heading, 1"
"""Part of the index's identity: change it whenever the same document would be cut differently."""

_MIN_CAPACITY = 32
_LINE_END = re.compile(r"\r\n|\r|\n")
_MARKDOWN = MarkdownIt("commonmark")


@dataclass(frozen=True)
class Section:
    """The text between two heading lines: `text[start:end]`; the heading's line is not part of it."""

    heading: str
    start: int
    end: int


def chunk(document: Document, count_tokens: Callable[[str], int], max_tokens: int = MAX_TOKENS) -> list[Passage]:
    """Cut a document into passages, in reading order.

    `count_tokens` counts as the embedder does. Nothing but white space and heading lines is left out. A passage has
    at most `max_tokens` with its title and heading, unless those alone leave fewer than 32 for the text.
    """
    is_markdown = not document.source.lower().endswith(".txt")
    sections = markdown_sections(document) if is_markdown else [Section("", 0, len(document.text))]
    splitter = MarkdownSplitter if is_markdown else TextSplitter
    passages = []
    for section in sections:
        text = document.text[section.start : section.end]
        room = max(_MIN_CAPACITY, max_tokens - count_tokens(f"{document.title}\n{section.heading}"))
        pieces = [(0, text)] if count_tokens(text) <= room else None
        for offset, piece in pieces or splitter.from_callback(count_tokens, room).chunk_indices(text):
            passage = _passage(document, section.heading, section.start + offset, piece)
            if passage.text:
                passages.append(passage)
    return passages


def markdown_sections(document: Document) -> list[Section]:
    """The sections of a Markdown document, in order; the first one, before any heading, has an empty heading.

    A heading below the second level is named with the ones above it: `Moving out › The router`. A first-level
    heading that only repeats the title is not named.
    """
    lines = [0, *(match.end() for match in _LINE_END.finditer(document.text)), len(document.text)]
    sections: list[Section] = []
    heading, start = "", 0
    path: list[tuple[int, str]] = []
    for level, name, first_line, end_line in _headings(document.text):
        sections.append(Section(heading, start, lines[first_line]))
        path = [(above, title) for above, title in path if above < level]
        if not (level == 1 and name == document.title):
            path.append((level, name))
        heading = " › ".join(title for _, title in path)
        start = lines[min(end_line, len(lines) - 1)]
    return [*sections, Section(heading, start, len(document.text))]


def _headings(text: str) -> Iterator[tuple[int, str, int, int]]:
    """Each heading's level, plain words, first line and the line after it.

    Headings inside of lists and quotes are part of the text around them.
    """
    tokens = _MARKDOWN.parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            words = "".join(child.content for child in inline.children or [])
            yield int(opening.tag[1:]), words.strip(), opening.map[0], opening.map[1]


def _passage(document: Document, heading: str, start: int, piece: str) -> Passage:
    """The piece without the white space around it."""
    text = piece.strip()
    start += len(piece) - len(piece.lstrip())
    return Passage(document.source, document.title, heading, text, start, start + len(text), document.updated)
