"""The sources panel and the article dialog as HTML: a group a turn, a card a passage."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping

from switchboard.errors import KnowledgeError
from switchboard.modes import MODES
from switchboard.retrieval.pdf_pages import page_of, page_picture
from switchboard.types import Document, Passage
from switchboard.ui.conversation import Conversation, Turn
from switchboard.ui.markup import highlight, plain, render_article, render_markdown
from switchboard.ui.render import chip, counted, source_id

_EMPTY = (
    '<p class="sources-empty">Passages from the help centre appear here, each with how close it is to the question '
    "and whether the answer cites it.</p>"
)

_PDF_PAGE = re.compile(r"Page (\d+)")


def sources_panel(conversation: Conversation) -> list[str]:
    """The groups of the panel, the latest turn's first and open."""
    if not conversation.turns:
        return [_EMPTY]
    count = len(conversation.turns)
    return [_group(turn, count - n, opened=n == 0) for n, turn in enumerate(reversed(conversation.turns))]


def opened_document(document: Document, file: Callable[[], bytes], place: Mapping[str, object]) -> str:
    """A whole document, with the passage from `place["start"]` to `place["end"]` marked.

    Of a PDF that is the page with the passage, or the one that `place["page"]` names, as a picture over the text.
    """
    start, end, page = (_number(place.get(name)) for name in ("start", "end", "page"))
    if is_pdf(document.source):
        return _head(document) + _pdf_page(document, file, start, end, page)
    return f'{_head(document)}<div class="article-text">{render_article(document.text, start, end)}</div>'


def _head(document: Document) -> str:
    updated = f" · updated {plain(document.updated)}" if document.updated else ""
    return (
        f'<p class="article-topic">{plain(document.topic)}{updated}</p>'
        f'<h2 id="article-title">{plain(document.title)}</h2>'
    )


def _pdf_page(document: Document, file: Callable[[], bytes], start: int, end: int, page: int) -> str:
    """One page of a PDF as a picture, the way to its neighbours, and all of its text."""
    text = f'<div class="article-text">{render_article(document.text, start, end)}</div>'
    wanted = page or page_of(document.text, start)
    try:
        drawn = page_picture(document.source, file(), wanted, document.text[start:end])
    except KnowledgeError as error:
        return f'<p class="notice">{plain(str(error))}</p>{text}'
    marked = ", the passage marked" if drawn.marked else ""
    words = f"Page {drawn.page} of {drawn.pages}{marked}"

    def turn(to: int, label: str) -> str:
        if not 1 <= to <= drawn.pages:
            return "<span></span>"
        return (
            f'<button type="button" class="link" data-action="article" data-source="{plain(document.source)}" '
            f'data-start="{start}" data-end="{end}" data-page="{to}">{label}</button>'
        )

    picture = b64encode(drawn.png).decode()
    return (
        f'<figure class="pdf-page"><img src="data:image/png;base64,{picture}" alt="{words} of {plain(document.title)}">'
        f"<figcaption>{turn(drawn.page - 1, '← Previous page')}<span>{words}</span>"
        f"{turn(drawn.page + 1, 'Next page →')}</figcaption></figure>"
        f'<details class="pdf-text"><summary>The text that is searched</summary>{text}</details>'
    )


def is_pdf(source: str) -> bool:
    """Whether a document is one whose pages can be drawn."""
    return source.lower().endswith(".pdf")


def _number(value: object) -> int:
    """A number that came from the page; 0 for anything else."""
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 1e9 else 0


def _group(turn: Turn, number: int, opened: bool) -> str:
    return (
        f'<details class="group" id="sources-{turn.id}" data-turn="{turn.id}"{" open" if opened else ""}>'
        f'<summary><span class="group-number">{number}</span><span class="group-question">{plain(turn.question)}</span>'
        f"{chip(turn.mode)}</summary>{_content(turn)}</details>"
    )


def _content(turn: Turn) -> str:
    answer = turn.answer
    if not MODES[turn.mode].searches:
        return (
            '<p class="no-sources">No sources on this path: it answers from what it learned in training, and '
            "nothing was looked up.</p>"
        )
    if answer.passages:
        cards = "".join(_card(turn, n, passage, n in answer.cited) for n, passage in enumerate(answer.passages, 1))
        return f'<p class="group-note">{_note(turn)}</p><ol class="cards">{cards}</ol>'
    if turn.state == "working":
        return '<p class="no-sources">Looking for passages …</p>'
    if answer.nearest:
        return _nearest(turn, answer.nearest)
    return '<p class="no-sources">Nothing was found.</p>'


def _note(turn: Turn) -> str:
    retrieved, cited = len(turn.answer.passages), len(turn.answer.cited)
    found = f"{retrieved} passage{'' if retrieved == 1 else 's'} found"
    if turn.state == "working":
        return f"{found}."
    return f"{found}, {cited or 'none'} cited."


def _card(turn: Turn, number: int, passage: Passage, cited: bool) -> str:
    badge = '<span class="cited-badge">Cited</span>' if cited else ""
    body = highlight(render_markdown(passage.text.strip()), turn.question)
    more = "" if cited else '<button type="button" class="link" data-action="expand">Show all of it</button>'
    return (
        f'<li class="card" id="{source_id(turn.id, number)}" data-cited="{str(cited).lower()}" tabindex="-1" '
        f'data-mode="{turn.mode}" aria-label="Source {number}{", cited" if cited else ""}: {plain(passage.label)}">'
        f'<div class="card-head"><span class="card-number" aria-hidden="true">{number}</span>'
        f'<h3 class="card-title">{_title(passage)}</h3>{badge}</div>{_similarity(passage.score)}'
        f'<div class="card-text">{body}</div>{_left_out(passage)}'
        f'<div class="card-foot">{_open_button(passage)}{more}'
        f'<a class="link back" href="#turn-{turn.id}">Back to the answer</a>{_updated(passage)}</div></li>'
    )


def _nearest(turn: Turn, passage: Passage) -> str:
    body = highlight(render_markdown(passage.text.strip()), turn.question)
    return (
        f'<p class="no-sources">{plain(turn.answer.notice)} The threshold for that was set on questions '
        "known to be covered or not. The nearest passage:</p>"
        '<div class="card nearest" data-cited="false">'
        f'<div class="card-head"><h3 class="card-title">{_title(passage)}</h3></div>'
        f'{_similarity(passage.score)}<div class="card-text">{body}</div>{_left_out(passage)}'
        f'<div class="card-foot">{_open_button(passage)}{_updated(passage)}</div></div>'
    )


def _title(passage: Passage) -> str:
    heading = f' <span class="card-heading">› {plain(passage.heading)}</span>' if passage.heading else ""
    return f"{plain(passage.title)}{heading}"


def _similarity(score: float) -> str:
    width = round(max(0.0, min(1.0, score)) * 100)
    return (
        f'<p class="similarity"><span class="bar" aria-hidden="true"><span style="width:{width}%"></span></span>'
        f"<span>{score:.2f} similarity <small>1 is closest</small></span></p>"
    )


def _left_out(passage: Passage) -> str:
    if not passage.left_out:
        return ""
    sentences = counted(passage.left_out, "sentence")
    return f'<p class="no-sources">{sentences} left out of the answer, from one on that gives orders to a model.</p>'


def _open_button(passage: Passage) -> str:
    page = _PDF_PAGE.match(passage.heading) if is_pdf(passage.source) else None
    label = f"Open page {page[1]}" if page else "Open article"
    return (
        f'<button type="button" class="link" data-action="article" data-source="{plain(passage.source)}" '
        f'data-start="{int(passage.start)}" data-end="{int(passage.end)}">{label}</button>'
    )


def _updated(passage: Passage) -> str:
    return f'<time class="updated">Updated {plain(passage.updated)}</time>' if passage.updated else ""
