"""What each way costs: once to make, per thousand turns, and to change one fact; at a stated hourly price."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HOURLY_PRICE = 0.08
"""US dollars an hour for two virtual cores and 8 GiB: AWS's on-demand t3.large was 0.0832 in us-east-1 in 2025."""


Run = dict[str, Any]
"""One training: `tokens` read and `hours`; `adapter` where it made another adapter, from which this one went on."""


def trainings_of(adapter: Path) -> list[Run]:
    """All trainings that led to an adapter's weights, the first one first, by its `loss.json`; none without it."""
    try:
        row = json.loads((adapter / "loss.json").read_text(encoding="utf-8"))
        tokens = row["counts"]["tokens_an_epoch"] * row.get("epochs", 1)
        speed = [point["tokens_per_second"] for point in row["losses"] if "tokens_per_second" in point][-1]
        return [*row.get("before", []), {"tokens": round(tokens), "hours": round(tokens / speed / 3600, 3)}]
    except (OSError, ValueError, KeyError, TypeError, IndexError, ZeroDivisionError):
        return []


def per_thousand_turns(seconds: float, hourly: float) -> float:
    """The price of a thousand turns of so many seconds, one after the other on a machine that does nothing else.

    >>> round(per_thousand_turns(1.8, 0.10), 3)
    0.05
    """
    return seconds * 1000 / 3600 * hourly


def break_even(fixed: float, per_turn: float, other_fixed: float, other_per_turn: float) -> float | None:
    """After how many turns the first way has cost less than the other in all; 0 from the start, None for never.

    >>> break_even(10, 0.01, 0, 0.02), break_even(10, 0.02, 0, 0.01), break_even(0, 0.01, 1, 0.02)
    (1000.0, None, 0.0)
    """
    if fixed <= other_fixed and per_turn <= other_per_turn:
        return 0.0
    if per_turn >= other_per_turn:
        return None
    return (fixed - other_fixed) / (other_per_turn - per_turn)
