"""Stopping an answer under way, so that everything the page shows of it comes from one event, in order.

Gradio can cancel an event, but a frame of it may then reach the page after what Stop showed, and one that is inside a
long computation is not let go of. So nothing is cancelled: Stop leaves a word here, and the event that answers finds
it within a moment, shows the end itself and returns.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TypeVar

_Item = TypeVar("_Item")
_LOOK_SECONDS = 0.1
"""How often a reader who waits for the next item looks whether it is still wanted."""
_DRAWN_SECONDS = 0.15
"""How long the page has to draw the last frame of an answer before what comes instead of it."""
_SHARE_SECONDS = 0.025
"""What each answer under way adds to that: forty frames a second for all of them together."""
_MOST = 1024
"""The most words left for answers that never began; the oldest go first."""
_log = logging.getLogger(__name__)


class Stops:
    """Which answers, by their ids, are under way, are to stop, or were left by their visitor. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # What was asked of each: False to end, True to end without another word.
        self._words: OrderedDict[str, bool] = OrderedDict()
        self._under_way: dict[str, threading.Event] = {}

    def stop(self, name: str) -> bool:
        """Have the answer end, and say whether it was under way: then whoever makes it shows what was said until then.

        One that still waits in line will end without a word when its turn comes.
        """
        with self._lock:
            began = name in self._under_way
            self._leave_word(name, silent=not began)
        return began

    def leave(self, name: str, seconds: float = 5.0) -> None:
        """Have the answer end without another word, and wait at most so long until it has."""
        with self._lock:
            self._leave_word(name, silent=True)
            ended = self._under_way.get(name)
        if ended and ended.wait(seconds):
            time.sleep(_DRAWN_SECONDS)

    def pace(self, seconds: float) -> float:
        """How long an answer waits between two frames: so long, and longer where many are under way.

        A frame takes Gradio some milliseconds of Python, which the computing thread waits for.
        """
        return max(seconds, len(self._under_way) * _SHARE_SECONDS)

    def stopped(self, name: str) -> bool:
        """Whether the answer is to end, in either way."""
        with self._lock:
            return name in self._words

    def left(self, name: str) -> bool:
        """Whether nothing more of the answer is to be shown."""
        with self._lock:
            return self._words.get(name, False)

    @contextmanager
    def under_way(self, name: str) -> Iterator[None]:
        """While the answer is being made."""
        ended = threading.Event()
        with self._lock:
            self._under_way[name] = ended
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[name]
                self._words.pop(name, None)
            ended.set()

    def _leave_word(self, name: str, silent: bool) -> None:
        self._words[name] = silent or self._words.get(name, False)
        if len(self._words) > _MOST:
            self._words.popitem(last=False)


def until(stopped: Callable[[], bool], items: Iterator[_Item]) -> Generator[_Item, None, None]:
    """Yield the items, which another thread takes, until `stopped` says so or this iterator is closed.

    The items' iterator is then closed as soon as its present step is done, and nobody waits for that. It raises what
    they raise.
    """
    taken: SimpleQueue[tuple[_Item] | BaseException | None] = SimpleQueue()
    over = threading.Event()

    def take() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                taken.put((item,))
                if over.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 - it is raised again, where the items are read
            end = error
        try:
            close = getattr(items, "close", None)
            if close:
                close()
        except Exception:  # noqa: BLE001 - nobody reads the items any more, and the log gets the trace
            _log.exception("An answer that was stopped did not close.")
        taken.put(end)

    threading.Thread(target=contextvars.copy_context().run, args=(take,), daemon=True).start()
    try:
        while not stopped():
            try:
                got = taken.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            if isinstance(got, BaseException):
                raise got
            if got is None:
                return
            yield got[0]
    finally:
        over.set()
