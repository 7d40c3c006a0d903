"""The turns that are timed, as token ids of the shipped model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from switchboard.prompts import build_prompt
from switchboard.types import Document, Message, Passage

OUT = 64
"""Tokens that each turn writes."""
SHORT, LONG = 80, 900
"""Tokens of a prompt without passages, and of one with five."""


@dataclass(frozen=True)
class Work:
    """A turn: its name and its prompt. `after` is read before it, where it goes on from there."""

    name: str
    ids: tuple[int, ...]
    adapter: str | None
    after: tuple[int, ...] = ()


def works(
    encode: Callable[[Sequence[Message]], list[int]], tokenizer: Any, company: str, documents: Sequence[Document]
) -> list[Work]:
    """W1 to W3 over these documents, of which five are cut to passages of the same length; `encode` makes prompts."""

    def prompt(conversation: Sequence[Message], some: Sequence[Document], each: int) -> list[int]:
        passages = [
            Passage(d.source, d.title, "", tokenizer.decode(tokenizer.encode(d.text)[:each]), 0, each) for d in some
        ]
        return encode(build_prompt(conversation, passages, company, lambda m: len(encode(m)), 10_000))

    asked = [Message("user", "How much is Fibre 500 a month?")]
    again = [
        *asked,
        Message("assistant", "Fibre 500 is £36 a month."),
        Message("user", "And what does it cost to set up?"),
    ]
    short = _sized(lambda words: prompt([Message("user", words)], (), 0), SHORT)
    first = _longest(lambda each: prompt(asked, documents[:5], each), LONG)
    second = _longest(lambda each: prompt(again, documents[5:10], each), LONG)
    return [
        Work("w1", tuple(short), "customer-service"),
        Work("w2", tuple(first), "reader"),
        Work("w3", tuple(second), "reader", tuple(first)),
    ]


def _sized(make: Callable[[str], list[int]], tokens: int) -> list[int]:
    """The prompt of a question of so many words that it has about so many tokens."""
    words = "How much is Fibre 500 a month, and what else is there to pay in the first month with the router".split()
    return next((ids for n in range(3, len(words)) if len(ids := make(" ".join(words[:n]) + "?")) >= tokens), make("?"))


def _longest(make: Callable[[int], list[int]], tokens: int) -> list[int]:
    """The longest prompt of at most so many tokens."""
    best = make(16)
    for each in range(24, 400, 4):
        ids = make(each)
        if len(ids) > tokens:
            break
        best = ids
    return best
