"""Who is answered next: one at a time, in the order in which they came."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_WEIGHT = 0.2
"""What the latest turn counts in the average of how long one takes."""


class Line:
    """A lock that is fair, and says how long it will take. Safe between threads; a ticket is one's place in it."""

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._tickets: list[object] = []
        self._began: dict[object, float] = {}
        self.seconds = 1.0
        """How long one turn takes, on average."""

    def join(self) -> object:
        """Take a place at the end. Whoever has one must `leave`, served or not."""
        ticket = object()
        with self._moved:
            self._tickets.append(ticket)
        return ticket

    def wait(self, ticket: object, seconds: float) -> bool:
        """Wait at most so long for one's turn, and say whether it is there."""
        with self._moved:
            there = self._moved.wait_for(lambda: self._tickets[0] is ticket, seconds)
            if there:
                self._began.setdefault(ticket, time.monotonic())
            return there

    def ahead(self, ticket: object) -> int:
        """How many are served before."""
        with self._moved:
            return self._tickets.index(ticket)

    def leave(self, ticket: object) -> None:
        """Give the place up."""
        with self._moved:
            self._tickets.remove(ticket)
            if ticket in self._began:
                took = time.monotonic() - self._began.pop(ticket)
                self.seconds += _WEIGHT * (took - self.seconds)
            self._moved.notify_all()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn as long as it takes, and have it."""
        ticket = self.join()
        try:
            while not self.wait(ticket, 60.0):
                pass
            yield
        finally:
            self.leave(ticket)
