"""Giving memory back: what loading a model leaves behind is a third of what the app takes."""

from __future__ import annotations

import ctypes
import gc
import sys

_ARENA_MAX = -8
"""glibc's number for the most arenas, from malloc.h."""


def few_arenas(most: int = 2) -> None:
    """Have all threads take memory from so few pools, where the C library has them (glibc).

    Otherwise every one of fifty threads that answer visitors keeps what it once needed.
    """
    _call("mallopt", _ARENA_MAX, most)


def give_back() -> None:
    """Hand freed memory back to the system, where its C library can (glibc)."""
    gc.collect()
    trim()


def trim() -> None:
    """The same without looking for garbage first, which takes a moment in which nothing else runs."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    if function:
        function(*arguments)
