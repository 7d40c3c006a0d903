"""Constrained decoding: a figure may only be copied from given texts, a citation only name a passage that is there.

A small model reads a price rightly and then writes another one. Here, while a number is being written, only those
digits may follow that go on with a number of the texts, and it may only end where such a number ends. Words are free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch

from switchboard.types import Grounding

_NUMBER = re.compile(r"[0-9]+(?:[.,:][0-9]+)*")
_OPEN_NUMBER = re.compile(r"[0-9]+(?:[.,:][0-9]+)*[.,:]?$")
_OPEN_CITATION = re.compile(r"\[([0-9]*)$")
_DIGIT = re.compile(r"[0-9]")


def numbers_in(texts: Iterable[str]) -> frozenset[str]:
    """The numbers that stand in the texts, as they are written.

    >>> sorted(numbers_in(["£1,250.50 from 8:30, for 24 months."]))
    ['1,250.50', '24', '8:30']
    """
    return frozenset(match for text in texts for match in _NUMBER.findall(text))


class FigureTokens:
    """The tokens of a vocabulary that matter inside of numbers, with the text that each one adds."""

    def __init__(self, tokenizer: Any) -> None:
        pieces = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        self.digits = {number: piece for number, piece in enumerate(pieces) if _DIGIT.search(piece)}
        self.separators = {number: piece for number, piece in enumerate(pieces) if piece in (",", ".", ":")}


class FigureLimit:
    """Which tokens may follow a text so that all its figures are those of a grounding."""

    def __init__(self, tokens: FigureTokens, grounding: Grounding) -> None:
        self._tokens = tokens
        self._numbers = numbers_in(grounding.texts)
        self._citations = frozenset(map(str, range(1, grounding.passages + 1)))

    def apply(self, text: str, logits: torch.Tensor) -> torch.Tensor:
        """The logits, shape (vocabulary,), with those of forbidden tokens at minus infinity.

        `text` is the answer so far.
        """
        digits = {number: self.fits(text + piece) for number, piece in self._tokens.digits.items()}
        if self._may_end(text):
            forbidden = [number for number, fits in digits.items() if not fits]
            return logits.index_fill(0, torch.tensor(forbidden, dtype=torch.long, device=logits.device), -torch.inf)
        going_on = [number for number, fits in digits.items() if fits]
        begun = tail[0] if (tail := _OPEN_NUMBER.search(text)) else ""
        going_on += [n for n, piece in self._tokens.separators.items() if self._begins(begun + piece)]
        kept = torch.full_like(logits, -torch.inf)
        kept[going_on] = logits[going_on]
        return kept if going_on else logits

    def fits(self, text: str) -> bool:
        """Whether the number or citation that the text ends in is one of those allowed, or the beginning of one."""
        if citation := _OPEN_CITATION.search(text):
            return any(number.startswith(citation[1]) for number in self._citations)
        tail = _OPEN_NUMBER.search(text)
        return tail is None or self._begins(tail[0])

    def _begins(self, figure: str) -> bool:
        return any(number.startswith(figure) for number in self._numbers)

    def _may_end(self, text: str) -> bool:
        """Whether the text ends outside of a number, or in one that may end there."""
        if citation := _OPEN_CITATION.search(text):
            return not citation[1] or citation[1] in self._citations
        tail = _OPEN_NUMBER.search(text)
        return tail is None or tail[0].rstrip(".,:") in self._numbers
