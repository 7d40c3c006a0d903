"""Answering by quoting: the model writes, but only what stands in the passages, sentence by sentence.

A small model that may write freely takes a figure of the next line or joins two sentences to a third that is not so.
Here it may only write sentences that it was given to read, each with its citation: at every token those are allowed
with which one of the sentences goes on, so the model chooses between sentences where they part. How well each
sentence suits the question (its score) counts as well as what the model finds likely. Where all sentences that are
left go on alike, nothing has to be computed, so most of an answer costs no time. A second sentence is the best of the
others by its score alone: of 200 development questions 70.5 % are answered right so, and 66.5 % where the model, which
was taught short replies, chooses that one too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from switchboard.types import Quote

MODEL_WEIGHT = 0.3
"""What the model's log probabilities count beside the sentences' scores, which are log odds."""
STOP = 3.0
"""Log odds by which a second sentence may suit the question less than the best one and still be written: a second one
holds what the first lacks more often than it is beside the point. The model is not asked, as one that was taught short
replies always ends here."""
SENTENCES = 2
"""The most sentences of an answer to one thing; where several are asked, each gets one."""

Forward = Callable[[list[int]], torch.Tensor]
"""Reads tokens after what was read before, and returns the logits after them, shape (vocabulary,)."""


@dataclass(frozen=True)
class Option:
    """A sentence that can be written next, as tokens."""

    quote: Quote
    tokens: tuple[int, ...]


def quoted(quote: Quote) -> str:
    """The sentence with its citation; a bullet loses its mark.

    >>> quoted(Quote("- It costs £5.", 2, 0.0))
    'It costs £5 [2].'
    """
    return f"{quote.text.removeprefix('- ').removeprefix('* ').strip().rstrip('.:;')} [{quote.passage}]."


def write(
    forward: Forward, logits: torch.Tensor, tokenizer: Any, quotes: Sequence[Quote]
) -> Iterator[tuple[int, bool]]:
    """Yield the answer's tokens, and with each whether it was computed rather than copied.

    `logits` (vocabulary,) follow the prompt.
    """
    left = list(quotes)
    best = max((quote.score for quote in quotes), default=0.0)
    pending: list[int] = []
    asked = sorted({quote.asked for quote in quotes})
    several = len(asked) > 1
    for number in range(len(asked) if several else min(SENTENCES, len(left))):
        suited = [quote for quote in left if not several or quote.asked == asked[number]]
        if number:
            suited = [max(suited, key=lambda quote: quote.score)]
            if not several and suited[0].score < best - STOP:
                return
        options = [Option(q, _tokens(tokenizer, ("\n" if number else "") + quoted(q))) for q in suited]
        place = 0
        while True:
            following = {option.tokens[place] for option in options if place < len(option.tokens)}
            if len(following) > 1:
                if pending:
                    logits, pending = forward(pending), []
                token, computed = _choose(logits, options, place), True
            elif following:
                token, computed = next(iter(following)), False
            else:
                break
            options = [option for option in options if option.tokens[place : place + 1] == (token,)]
            pending.append(token)
            yield token, computed
            place += 1
        left = [quote for quote in left if quote != options[0].quote]


def _choose(logits: torch.Tensor, options: Sequence[Option], place: int) -> int:
    """The token of the options to go on with."""
    likely = logits.float().log_softmax(-1)
    best: dict[int, float] = {}
    for option in options:
        if place < len(option.tokens):
            token = option.tokens[place]
            value = option.quote.score + MODEL_WEIGHT * float(likely[token])
            best[token] = max(value, best.get(token, -math.inf))
    return max(best, key=lambda one: best[one])


def _tokens(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False))
