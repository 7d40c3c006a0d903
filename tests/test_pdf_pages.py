"""A passage's page of a PDF, drawn with the passage marked."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image

from switchboard.errors import KnowledgeError
from switchboard.retrieval.conversion import pdf_markdown
from switchboard.retrieval.pdf_pages import page_of, page_picture
from switchboard.retrieval.pdf_render import same
from switchboard.types import Document
from switchboard.ui.sources import opened_document

LINES = ("Bring your order number,\nand the router's box.", "The visit costs £45\nat the weekend.", "Nothing else.")


@pytest.fixture(scope="module")
def pdf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file: Path = tmp_path_factory.mktemp("pdf") / "visit.pdf"
    with mpl.rc_context({"pdf.fonttype": 42}), PdfPages(file) as pages:
        for text in LINES:
            figure = Figure(figsize=(6, 8))
            figure.text(0.1, 0.5, text)
            pages.savefig(figure)
    return file.read_bytes()


def marked_rows(png: bytes) -> np.ndarray:
    """The rows of the picture that have a yellow dot."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    yellow = (pixels[..., 0] > 200) & (pixels[..., 2] < 200) & (pixels[..., 1] > 150)
    return np.flatnonzero(yellow.any(axis=1)) / len(pixels)


def test_the_page_of_a_passage_is_found_and_the_passage_marked(pdf: bytes) -> None:
    _, text = pdf_markdown("visit.pdf", pdf)
    start = text.index("The visit")
    assert page_of(text, start) == 2
    assert page_of(text, 0) == 1
    drawn = page_picture("visit.pdf", pdf, 2, text[start : start + 38])
    assert (drawn.page, drawn.pages, drawn.marked) == (2, 3, True)
    rows = marked_rows(drawn.png)
    assert 0.42 < rows.min() < rows.max() < 0.53
    assert len(marked_rows(page_picture("visit.pdf", pdf, 1, "text of another page").png)) == 0


def test_a_page_that_is_not_there_is_the_last(pdf: bytes) -> None:
    assert page_picture("visit.pdf", pdf, 99, "").page == 3


def test_what_is_the_same_is_found_however_it_is_spaced() -> None:
    page = "One. The visit\ncosts £45 at the week-\nend. More."
    ((start, end),) = same(page, "The  visit costs £45 at the weekend")
    assert page[start:end] == "The visit\ncosts £45 at the week-\nend"
    assert same(page, "") == []
    assert same(page, "Something else entirely") == []


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7 nothing", b"%PDF-1.7\n" + b"(" * 100_000])
def test_what_cannot_be_drawn_is_a_sentence(data: bytes) -> None:
    with pytest.raises(KnowledgeError, match="cannot be drawn"):
        page_picture("broken.pdf", data, 1, "text")


def test_the_dialog_shows_the_page_and_the_way_to_its_neighbours(pdf: bytes) -> None:
    _, text = pdf_markdown("visit.pdf", pdf)
    document = Document("a/visit.pdf", "<Visit>", "Visits", "", text, "")
    html = opened_document(document, lambda: pdf, {"start": text.index("The visit"), "end": len(text)})
    assert "Page 2 of 3, the passage marked" in html
    assert 'data-page="1"' in html
    assert 'data-page="3"' in html
    assert "<Visit>" not in html
    first = opened_document(document, lambda: pdf, {"start": 0, "end": 0, "page": 1})
    assert "Page 1 of 3" in first
    assert 'data-page="0"' not in first
    broken = opened_document(document, lambda: b"%PDF-", {"start": 0, "end": 5})
    assert "cannot be drawn" in broken
    assert "order number" in broken
