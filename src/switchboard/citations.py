"""Citations and addresses in an answer's text: which are real, and what becomes of the others."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CITATION = re.compile(r"\[(\d{1,3})\]")
_GROUP = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})+)\]")
_ADDRESS = re.compile(
    r"(?:https?://|www\.)[^\s<>()\[\]\"']+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?<![\w£$€.,])\+?\d[\d ()-]{7,}\d(?!\w)"
)
_SIGNS = re.compile(r"[^a-z0-9]+")
REMOVED = "(an address that no passage has was removed)"
_UNFINISHED = re.compile(r"\s*\[[\d,; ]*$")


def without_citations(text: str) -> str:
    """A text with every citation taken out: what an earlier answer is to a model that has other passages before it."""
    return re.sub(r" *\[\d{1,3}\]", "", text)


def check_addresses(text: str, texts: Iterable[str]) -> str:
    """The text with REMOVED for each web address, e-mail address and phone number that stands in none of `texts`.

    >>> check_addresses("Call 0800 555 0142 or see www.evil.example.", ["Our number is 08005550142."])
    'Call 0800 555 0142 or see (an address that no passage has was removed)'
    """
    if not _ADDRESS.search(text):
        return text
    known = " ".join(_SIGNS.sub("", one.lower()) for one in texts)

    def checked(match: re.Match[str]) -> str:
        return match[0] if _SIGNS.sub("", match[0].lower()) in known else REMOVED

    return _ADDRESS.sub(checked, text)


def check_citations(text: str, passages: int) -> tuple[str, tuple[int, ...], int]:
    """Keep the citations [1] to [passages]; remove the rest together with the blank before them.

    Returns the text, the cited numbers in the order of their first mention, and how many citations were removed.
    A group such as [1, 2] is written out as [1][2]. A citation cut off at the end, by streaming or by the limit of an
    answer's length, is left out, so that nobody sees half of one.
    """
    text = _UNFINISHED.sub("", text)
    text = _GROUP.sub(lambda group: "".join(f"[{n}]" for n in re.findall(r"\d+", group[1])), text)
    cited: list[int] = []
    removed = 0
    kept: list[str] = []
    end = 0
    for match in _CITATION.finditer(text):
        number = int(match[1])
        before = text[end : match.start()]
        end = match.end()
        if 1 <= number <= passages:
            kept.append(before + f"[{number}]")
            if number not in cited:
                cited.append(number)
        else:
            kept.append(before.rstrip(" "))
            removed += 1
    return "".join(kept) + text[end:], tuple(cited), removed
