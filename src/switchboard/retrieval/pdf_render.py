"""A page of a PDF as a picture, with a passage marked: the program of a process of its own.

    python pdf_render.py < request

A PDF may come from anybody, and what reads it is not written in Python: here it cannot take the app with it, nor use
more than SECONDS of a processor or MEMORY. The request is a line of JSON (`page` from 1, `text` to mark), then the
file; the reply a line of JSON (`pages`, `marked`), then the picture as PNG. It imports nothing of ours, as it is run
without our path.
"""

from __future__ import annotations

import io
import json
import re
import sys
from difflib import SequenceMatcher
from typing import Any

SECONDS = 10
MEMORY = 2_000_000_000
"""Bytes of addresses, most of which are libraries'."""
WIDTH = 1100
"""Pixels of a page's width: sharp on a phone and on a desk, some hundred kB."""
TALLEST = 3.0
"""A page that is taller than so many widths is drawn narrower."""
_COLOUR = (255, 196, 0, 90)
_GROUP = 12
"""Letters that a run must have at least to be taken for the same text."""
_LETTER = re.compile(r"\w", re.UNICODE)


def letters(text: str) -> tuple[str, list[int]]:
    """The text's letters and digits in lower case, and where in it each stands: how a text is spaced says nothing."""
    places = [n for n, char in enumerate(text) if _LETTER.match(char)]
    return "".join(text[n].lower()[:1] for n in places), places


def same(page: str, text: str) -> list[tuple[int, int]]:
    """The stretches of a page's text, as (start, end), that are also in `text`: the whole of it where it is there."""
    (on_page, places), (wanted, _) = letters(page), letters(text)
    if not wanted:
        return []
    start = on_page.find(wanted)
    if start >= 0:
        return [(places[start], places[start + len(wanted) - 1] + 1)]
    blocks = SequenceMatcher(None, on_page, wanted, autojunk=False).get_matching_blocks()
    return [(places[b.a], places[b.a + b.size - 1] + 1) for b in blocks if b.size >= _GROUP]


def _lines(boxes: list[tuple[float, float, float, float]]) -> list[tuple[float, float, float, float]]:
    """Boxes of letters as (left, bottom, right, top), those of a line made one."""
    merged: list[tuple[float, float, float, float]] = []
    for left, bottom, right, top in boxes:
        if merged:
            l0, b0, r0, t0 = merged[-1]
            middle = (bottom + top) / 2
            if b0 <= middle <= t0 and left >= r0 - (t0 - b0) and left - r0 < 2 * (t0 - b0):
                merged[-1] = (l0, min(b0, bottom), max(r0, right), max(t0, top))
                continue
        merged.append((left, bottom, right, top))
    return merged


def render(data: bytes, number: int, text: str) -> tuple[dict[str, Any], bytes]:
    """The page `number`, from 1 and at most the last, as PNG, and what there is to say of it."""
    import pypdfium2  # noqa: PLC0415  (only the process that renders has it)
    from PIL import Image, ImageDraw  # noqa: PLC0415

    document = pypdfium2.PdfDocument(data)
    number = min(max(1, number), len(document))
    page = document[number - 1]
    wide, tall = page.get_size()
    scale = WIDTH / max(wide, tall / TALLEST, 1.0)
    picture = page.render(scale=scale).to_pil().convert("RGB")
    words = page.get_textpage()
    boxes = [
        words.get_charbox(place) for start, end in same(words.get_text_range(), text) for place in range(start, end)
    ]
    veil = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(veil)
    for left, bottom, right, top in _lines([box for box in boxes if box[2] > box[0] and box[3] > box[1]]):
        draw.rectangle(
            (left * scale - 2, (tall - top) * scale - 2, right * scale + 2, (tall - bottom) * scale + 2), fill=_COLOUR
        )
    out = io.BytesIO()
    marked = Image.alpha_composite(picture.convert("RGBA"), veil).convert("RGB")
    marked.quantize(128, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return {"page": number, "pages": len(document), "marked": bool(boxes)}, out.getvalue()


def _limited() -> None:
    """Take no more than is allowed, where the system can see to it."""
    try:
        import resource  # noqa: PLC0415  (there is none on Windows)
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    _limited()
    request, _, file = sys.stdin.buffer.read().partition(b"\n")
    asked = json.loads(request)
    about, png = render(file, int(asked["page"]), str(asked["text"]))
    sys.stdout.buffer.write(json.dumps(about).encode() + b"\n" + png)
