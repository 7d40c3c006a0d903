"""How long steps say what they are doing: a function that takes one line."""

from __future__ import annotations

import sys
from collections.abc import Callable

Report = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Say one line of progress, out of the way of a command's output."""
    print(line, file=sys.stderr, flush=True)


def quietly(_line: str) -> None:
    """Say nothing."""
