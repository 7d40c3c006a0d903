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
from switchboard.types import Document

Loader = Callable[[str, bytes], Document]
"""Takes the file's path below the knowledge folder and its bytes; raises KnowledgeError that names the file."""

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FIRST_HEADING = re.compile(r"^# +(.+?)[ #]*$", re.MULTILINE)


def load_folder(folder: Path, report: Report = to_stderr) -> list[Document]:
    """Read every document below `folder`, sorted by source.

    A file that cannot be read is reported with its reason and left out, so that it does not take the others down.
    Hidden files are passed over. Raises KnowledgeError if there is no such folder.
    """
    if not folder.is_dir():
        raise KnowledgeError(f"There is no folder {folder}. Name one that holds documents in SWITCHBOARD_KNOWLEDGE.")
    documents = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            documents.append(load_file(path, folder))
        except KnowledgeError as error:
            report(f"Left out: {error}")
    return sorted(documents, key=lambda document: document.source)


def load_file(path: Path, folder: Path) -> Document:
    """Read one document of the knowledge folder. Raises KnowledgeError that names the file and the reason."""
    source = path.relative_to(folder).as_posix()
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise KnowledgeError(f"{source} cannot be read: only files ending in {' or '.join(LOADERS)} are.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KnowledgeError(f"{source} cannot be read: {error.strerror or error}.") from error
    return loader(source, data)


def load_markdown(source: str, data: bytes) -> Document:
    """Markdown, with `title`, `topic` and `updated` in YAML front matter; each of them may be missing."""
    matter, body = _split_front_matter(source, _decoded(source, data))
    first_heading = _FIRST_HEADING.search(body)
    fallback = first_heading[1] if first_heading else ""
    return _document(source, data, body, {"title": fallback, **matter})


def load_text(source: str, data: bytes) -> Document:
    """Plain text, titled by its file name."""
    return _document(source, data, _decoded(source, data), {})


LOADERS: dict[str, Loader] = {".md": load_markdown, ".txt": load_text}
"""Suffix in lower case -> what reads such a file."""


def _document(source: str, data: bytes, body: str, facts: dict[str, Any]) -> Document:
    path = Path(source)

    def fact(name: str, default: str) -> str:
        value = facts.get(name)
        return default if value is None else str(value).strip() or default

    return Document(
        source=source,
        title=fact("title", _as_words(path.stem)),
        topic=fact("topic", _as_words(path.parent.name) or "General"),
        updated=fact("updated", ""),
        text=body.lstrip("\n"),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _as_words(name: str) -> str:
    words = name.replace("-", " ").replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _decoded(source: str, data: bytes) -> str:
    """The text with \\n as its only line end, which is what the Markdown parser counts lines by."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{source} cannot be read: byte {error.start} is not UTF-8; save it as UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _split_front_matter(source: str, text: str) -> tuple[dict[str, Any], str]:
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, text
    try:
        matter = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise KnowledgeError(f"{source} cannot be read: its front matter is not YAML ({first_line(error)}).") from error
    if not isinstance(matter, dict | None):
        raise KnowledgeError(f"{source} cannot be read: its front matter must be lines such as 'title: ...'.")
    return matter or {}, text[match.end() :]
