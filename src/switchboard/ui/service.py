"""What the requests of a page share besides the page: limits, numbers, and what is open. No visitor's words."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from switchboard.limits import Limits
from switchboard.metrics import ServiceMetrics


class Connections:
    """The requests that are open, by visitor. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self.pages = 0
        """How many pages are open: each has one request that never ends."""

    @property
    def visitors(self) -> int:
        """How many visitors have a request open."""
        return len(self._open)

    @contextmanager
    def one(self, visitor: str, page: bool) -> Iterator[int]:
        """While a request is open; the how manieth of its visitor it is."""
        with self._lock:
            self._open[visitor] += 1
            self.pages += page
            number = self._open[visitor]
        try:
            yield number
        finally:
            with self._lock:
                self.pages -= page
                self._open[visitor] -= 1
                if not self._open[visitor]:
                    del self._open[visitor]


@dataclass(frozen=True)
class Service:
    """One page's. `missing` says what has to be loaded before a question can be answered."""

    limits: Limits
    metrics: ServiceMetrics
    missing: Callable[[], tuple[str, ...]]
    connections: Connections = field(default_factory=Connections)


def service_in(scope: MutableMapping[str, Any]) -> Service:
    """The Service of the page that an ASGI connection is for; `create_app` put it there."""
    service: Service = scope["app"].get_blocks().service
    return service
