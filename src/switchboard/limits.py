"""How much one visitor may do within a minute: enough for a room of people behind one address, not for a flood.

A visitor is an address, as ui/serving.py finds it. Counts are kept in memory for two minutes and are this process's
own, so behind several processes whoever is spread over them may do as much on each.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from switchboard.errors import TooManyError

Kind = Literal["turns", "documents", "requests", "attempts"]
"""What is counted: questions, added documents, requests that change something, and tries to log in."""

ATTEMPTS = 30
"""Tries to log in within a minute, right or wrong, so that a class of thirty can begin together."""
_REQUESTS_A_TURN = 10
"""A turn of the page takes two requests; ratings, retries and drawers take more."""
FEWEST_REQUESTS = 600
"""To open a page takes three."""
_SENTENCES: dict[Kind, str] = {
    "turns": "One address may ask {amount:,} times a minute, and yours has. Ask again in {wait}.",
    "documents": "One address may add {amount:,} documents a minute, and yours has. Add it again in {wait}.",
    "requests": "Your address sends more requests than this page can take. Please try again in {wait}.",
    "attempts": "Too many tries to log in from your address. Please try again in {wait}.",
}


def _ignored(_reason: str) -> None:
    """Nobody counts the refusals."""


class Limits:
    """Counts what each visitor does. Safe between threads; `refused` is told the kind of whatever is refused.

    At 0 `turns` and `documents` are not limited; requests are in proportion to turns. Passwords may never be guessed
    without end, so tries to log in always are.
    """

    def __init__(self, turns: int = 0, documents: int = 0, refused: Callable[[str], None] = _ignored) -> None:
        self._window = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._most: dict[Kind, int] = {
            "turns": turns,
            "documents": documents,
            "requests": max(turns * _REQUESTS_A_TURN, FEWEST_REQUESTS) if turns else 0,
            "attempts": ATTEMPTS,
        }
        self._refused = refused

    def count(self, kind: Kind, visitor: str) -> None:
        """Count one. Raises TooManyError that says how long to wait; what is refused is not counted."""
        if not (most := self._most[kind]):
            return
        item = RateLimitItemPerMinute(most)
        if self._window.hit(item, kind, visitor):
            return
        self._refused(kind)
        seconds = max(1, math.ceil(self._window.get_window_stats(item, kind, visitor).reset_time - time.time()))
        wait = "a second" if seconds == 1 else f"{seconds} seconds"
        raise TooManyError(_SENTENCES[kind].format(amount=most, wait=wait), seconds)


NO_LIMITS = Limits()
"""For a page of one's own."""
