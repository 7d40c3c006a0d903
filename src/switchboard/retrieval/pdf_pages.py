"""Which page of a PDF a passage is on, and that page as a picture with the passage marked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from switchboard.errors import KnowledgeError
from switchboard.retrieval import pdf_render

_PAGE = re.compile(r"^#{1,6} Page (\d+)$", re.MULTILINE)
_PATIENCE = 2 * pdf_render.SECONDS
"""Seconds to wait for a picture; the machine may be busy."""

_DRAWING = threading.Semaphore(1)
"""One page is drawn at a time: whoever turns many pages must not take the processors from those who ask."""


class PagePicture(NamedTuple):
    """A page as PNG; `page` counts from 1 and is one of `pages`; `marked` says whether the passage was found on it."""

    png: bytes
    page: int
    pages: int
    marked: bool


def page_of(text: str, start: int) -> int:
    """The number of the page that a PDF's text, see `conversion.pdf_markdown`, is on at `start`; 1 before the first."""
    before = [int(match[1]) for match in _PAGE.finditer(text) if match.start() <= start]
    return before[-1] if before else 1


def page_picture(source: str, data: bytes, page: int, marked: str) -> PagePicture:
    """A page of a PDF, with the text `marked` on it where it is found. Raises KnowledgeError where it cannot be drawn.

    A process of its own draws it, see pdf_render.py.
    """
    request = json.dumps({"page": page, "text": _PAGE.sub("", marked)}).encode() + b"\n" + data
    command = [sys.executable, "-I", str(Path(pdf_render.__file__))]
    if not _DRAWING.acquire(timeout=_PATIENCE):
        raise KnowledgeError(f"Page {page} of {source} cannot be drawn now, as many others are; its text is below.")
    try:
        done = subprocess.run(command, input=request, capture_output=True, timeout=_PATIENCE, check=True)
        about, _, png = done.stdout.partition(b"\n")
        said = json.loads(about)
        return PagePicture(png, int(said["page"]), int(said["pages"]), bool(said["marked"]))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise KnowledgeError(f"Page {page} of {source} cannot be drawn; its text is below.") from error
    finally:
        _DRAWING.release()
