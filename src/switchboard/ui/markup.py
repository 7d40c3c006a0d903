"""Text to HTML that cannot do harm: everything is escaped, and only a little Markdown becomes markup.

Paragraphs, bold, italics, lists, headings and code are rendered; links, images and HTML of a document, a model or
a visitor stay the characters they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from html import escape

import Stemmer
from markdown_it import MarkdownIt
from markdown_it.token import Token

_RULES = ("heading", "list", "emphasis", "newline", "backticks", "fence", "blockquote", "table", "hr", "escape")
_markdown = MarkdownIt("zero").enable(list(_RULES))
_TAG_OR_ENTITY = re.compile(r"(<[^>]*>|&[#\w]+;)")
_CITATION = re.compile(r"\[(\d{1,3})\]")
_WORD = re.compile(r"[\w£$€%]+")

_STOP_WORDS = frozenset(
    "a about all also am an and any are as at be been being but by can could did do does doing don for from get give "
    "had has have hello help here hi how i if in into is isn it its just like long many may me might mine more most "
    "much must my need no not of on one only or our out over please shall she should so some tell than thank thanks "
    "that the their them then there these they this those to too under until up us very want was we were what when "
    "where which while who whom whose why will with without would you your".split()
)


def render_markdown(text: str) -> str:
    """Markdown to HTML by the short list of rules above; raises nothing, whatever the text."""
    return str(_markdown.render(text))


def render_article(text: str, start: int, end: int) -> str:
    """An article as HTML in which the blocks that `text[start:end]` touches carry the class `here`.

    Blocks are found by their lines, so a passage that ends within a paragraph marks the whole paragraph.
    """
    lines = _line_span(text, start, end)
    tokens = _markdown.parse(text)
    if lines:
        for token in tokens:
            if _is_leaf(token) and token.map and token.map[0] < lines[1] and token.map[1] > lines[0]:
                token.attrJoin("class", "here")
    return str(_markdown.renderer.render(tokens, _markdown.options, {}))


def link_citations(html: str, link: Callable[[int], str | None]) -> str:
    """Replace each [n] in the text of some HTML by what `link` makes of n; None leaves it as it is."""

    def linked(match: re.Match[str]) -> str:
        made = link(int(match[1]))
        return match[0] if made is None else made

    return in_text(html, lambda text: _CITATION.sub(linked, text))


def highlight(html: str, question: str) -> str:
    """Put <mark> around the words in some HTML that matter in the question, in whatever inflection."""
    stem = Stemmer.Stemmer("english").stemWord  # One a call: a stemmer must not be shared between threads.
    stems = {stem(word) for word in meaningful_words(question)}

    def marked(match: re.Match[str]) -> str:
        return f"<mark>{match[0]}</mark>" if stem(match[0].lower()) in stems else match[0]

    return in_text(html, lambda text: _WORD.sub(marked, text))


@lru_cache(maxsize=256)
def meaningful_words(question: str) -> tuple[str, ...]:
    """The words of a question without the ones every question has."""
    words = (word.lower() for word in _WORD.findall(question))
    return tuple(word for word in words if word not in _STOP_WORDS and (len(word) > 2 or not word.isalpha()))


def plain(text: str) -> str:
    """Escaped text for an element's content or a quoted attribute."""
    return escape(text, quote=True)


def in_text(html: str, change: Callable[[str], str]) -> str:
    """Change what stands between the tags and the entities."""
    parts = _TAG_OR_ENTITY.split(html)
    return "".join(part if n % 2 else change(part) for n, part in enumerate(parts))


def _is_leaf(token: Token) -> bool:
    return token.type in ("paragraph_open", "heading_open", "fence", "tr_open", "list_item_open")


def _line_span(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The lines, first and after the last, that hold `text[start:end]` without the white space around it."""
    passage = text[max(0, start) : max(0, end)]
    if not passage.strip():
        return None
    start += len(passage) - len(passage.lstrip())
    end -= len(passage) - len(passage.rstrip())
    return text.count("\n", 0, start), text.count("\n", 0, end) + 1
