"""What the requests of a page share besides the page: limits, numbers, and what is open. No visitor's words."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from switchboard.limits import Limits
from switchboard.metrics import ServiceMetrics


class Connections:
    """The requests that are open, by visitor, and the pages, by session. Safe between threads.

    A page has one request that never ends, so that the server knows when it is closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._pages: Counter[str] = Counter()
        self._closed: dict[str, float] = {}

    @property
    def pages(self) -> int:
        """How many pages are open."""
        return len(self._pages)

    @property
    def visitors(self) -> int:
        """How many visitors have a request open."""
        return len(self._open)

    @contextmanager
    def one(self, visitor: str, page: str = "") -> Iterator[int]:
        """While a request is open, which may be that of a page; the how manieth of its visitor it is."""
        with self._lock:
            self._open[visitor] += 1
            number = self._open[visitor]
            if page:
                self._pages[page] += 1
        try:
            yield number
        finally:
            with self._lock:
                _less(self._open, visitor)
                if page and _less(self._pages, page):
                    self._closed[page] = time.monotonic()

    def gone(self, page: str, seconds: float) -> bool:
        """Whether a page has been closed for so long; also where it never was one."""
        with self._lock:
            return page not in self._pages and time.monotonic() - self._closed.get(page, 0.0) >= seconds

    def forget(self, pages: Collection[str]) -> None:
        """Forget when all but these were closed."""
        with self._lock:
            self._closed = {page: at for page, at in self._closed.items() if page in pages}


@dataclass(frozen=True)
class Service:
    """One page's. `missing` says what has to be loaded before a question can be answered."""

    limits: Limits
    metrics: ServiceMetrics
    missing: Callable[[], tuple[str, ...]]
    connections: Connections = field(default_factory=Connections)


def _less(counter: Counter[str], name: str) -> bool:
    """Count one less, and say whether none is left."""
    counter[name] -= 1
    if counter[name]:
        return False
    del counter[name]
    return True


def service_in(scope: MutableMapping[str, Any]) -> Service:
    """The Service of the page that an ASGI connection is for; `create_app` put it there."""
    service: Service = scope["app"].get_blocks().service
    return service
