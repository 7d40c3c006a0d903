"""Reading the knowledge folder: one function a file format, chosen by suffix.

A new format is a function and its line in LOADERS.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from switchboard.errors import KnowledgeError, first_line
from switchboard.progress import Report, to_stderr
from switchboard.retrieval.conversion import csv_markdown, docx_markdown, html_markdown, pdf_markdown
from switchboard.retrieval.formats import MAX_BYTES, MAX_CHARACTERS, clean, decoded, too_long
from switchboard.retrieval.injection import visible
from switchboard.types import Document

Loader = Callable[[str, bytes], Document]
"""Takes the file's path below the knowledge folder and its bytes; raises KnowledgeError that names the file."""

ASKED = "asked.jsonl"
"""What holds known questions in a knowledge folder, see asked.py: no document, and no mistake."""
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FIRST_HEADING = re.compile(r"^# +(.+)$", re.MULTILINE)
_MAX_FRONT_MATTER = 10_000
_MAX_FRONT_MATTER_DEPTH = 10
_MAX_FACT = 200


def load_folder(folder: Path, report: Report = to_stderr) -> list[Document]:
    """Read every document below `folder`, sorted by source.

    A file that cannot be read is reported with its reason and left out, so that it does not take the others down.
    Hidden files, and the one of known questions, are passed over. Raises KnowledgeError if there is no such folder.
    """
    if not folder.is_dir():
        raise KnowledgeError(f"There is no folder {folder}. Name one that holds documents in SWITCHBOARD_KNOWLEDGE.")
    documents = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or path == folder / ASKED:
            continue
        try:
            documents.append(load_file(path, folder))
        except KnowledgeError as error:
            report(f"Left out: {error}")
    return sorted(documents, key=lambda document: document.source)


def load_file(path: Path, folder: Path) -> Document:
    """Read one document of the knowledge folder. Raises KnowledgeError that names the file and the reason."""
    source = path.relative_to(folder).as_posix()
    _loader(source)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _too_large(source)
        data = path.read_bytes()
    except OSError as error:
        raise KnowledgeError(f"{source} cannot be read: {error.strerror or error}.") from error
    return read_document(source, data)


def read_document(source: str, data: bytes) -> Document:
    """A document of a file's bytes, as its suffix says. Raises KnowledgeError that names the file and the reason."""
    loader = _loader(source)
    if len(data) > MAX_BYTES:
        raise _too_large(source)
    if not data:
        raise KnowledgeError(f"{source} is empty.")
    document = loader(source, data)
    if not document.text.strip():
        raise KnowledgeError(f"{source} holds no text.")
    return document


def load_markdown(source: str, data: bytes) -> Document:
    """Markdown, with `title`, `topic` and `updated` in YAML front matter; each of them may be missing."""
    matter, body = _split_front_matter(source, decoded(source, data))
    first_heading = _FIRST_HEADING.search(body)
    fallback = first_heading[1].rstrip(" #") if first_heading else ""
    return _document(source, data, body, {"title": fallback, **matter})


def load_text(source: str, data: bytes) -> Document:
    """Plain text, titled by its file name."""
    return _document(source, data, decoded(source, data), {})


def _converted(convert: Callable[[str, bytes], tuple[str, str]]) -> Loader:
    """The loader of a format that becomes Markdown."""

    def load(source: str, data: bytes) -> Document:
        title, text = convert(source, data)
        return _document(source, data, text, {"title": title})

    return load


LOADERS: dict[str, Loader] = {
    ".md": load_markdown,
    ".txt": load_text,
    ".html": _converted(html_markdown),
    ".htm": _converted(html_markdown),
    ".pdf": _converted(pdf_markdown),
    ".docx": _converted(docx_markdown),
    ".csv": _converted(csv_markdown),
}
"""Suffix in lower case -> what reads such a file."""


def _loader(source: str) -> Loader:
    loader = LOADERS.get(Path(source).suffix.lower())
    if loader is None:
        *some, last = LOADERS
        raise KnowledgeError(f"{source} cannot be read: only files ending in {', '.join(some)} or {last} are.")
    return loader


def _too_large(source: str) -> KnowledgeError:
    return KnowledgeError(f"{source} is too large: at most {MAX_BYTES // 1_000_000} MB a file fit; split it.")


def _document(source: str, data: bytes, body: str, facts: dict[str, Any]) -> Document:
    path = Path(source)
    text = visible(clean(body)).lstrip("\n")
    if len(text) > MAX_CHARACTERS:
        raise too_long(source)

    def fact(name: str, default: str) -> str:
        value = facts.get(name)
        words = "" if value is None else " ".join(visible(clean(str(value))).split())[:_MAX_FACT].strip()
        return words or default

    return Document(
        source=source,
        title=fact("title", _as_words(path.stem)),
        topic=fact("topic", _as_words(path.parent.name) or "General"),
        updated=fact("updated", ""),
        text=text,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _as_words(name: str) -> str:
    words = name.replace("-", " ").replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _split_front_matter(source: str, text: str) -> tuple[dict[str, Any], str]:
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, text
    if len(match[1]) > _MAX_FRONT_MATTER:
        raise KnowledgeError(f"{source} cannot be read: its front matter has over {_MAX_FRONT_MATTER:,} characters.")
    try:
        _check_front_matter(source, match[1])
        matter = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: the 45th of May, or a huge number
        raise KnowledgeError(f"{source} cannot be read: its front matter is not YAML ({first_line(error)}).") from error
    if not isinstance(matter, dict | None):
        raise KnowledgeError(f"{source} cannot be read: its front matter must be lines such as 'title: ...'.")
    return matter or {}, text[match.end() :]


def _check_front_matter(source: str, matter: str) -> None:
    """Raise KnowledgeError where reading it or writing it out could take for ever."""
    depth = 0
    for event in yaml.parse(matter, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_FRONT_MATTER_DEPTH:
            raise KnowledgeError(f"{source} cannot be read: its front matter is nested too deep.")
        if isinstance(event, yaml.AliasEvent):
            raise KnowledgeError(f"{source} cannot be read: its front matter has aliases (*name); write them out.")
