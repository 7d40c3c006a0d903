"""Limits by visitor: counted apart, said with the seconds to wait, and let go of after their minute."""

from __future__ import annotations

import time

import pytest

from switchboard.errors import TooManyError
from switchboard.limits import ATTEMPTS, NO_LIMITS, Limits

NOON = 1_800_000_000.0
"""A full minute, on which a window of the counter begins."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [NOON]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_past_the_limit_it_says_how_long_to_wait(clock: list[float]) -> None:
    refused: list[str] = []
    limits = Limits(turns=3, documents=2, refused=refused.append)
    clock[0] += 20
    for _ in range(3):
        limits.count("turns", "a")
    with pytest.raises(TooManyError, match="One address may ask 3 times a minute") as error:
        limits.count("turns", "a")
    assert error.value.seconds == 40
    assert str(error.value).endswith("Ask again in 40 seconds.")
    assert refused == ["turns"]


def test_visitors_and_kinds_are_counted_apart(clock: list[float]) -> None:
    limits = Limits(turns=1, documents=1)
    limits.count("turns", "a")
    limits.count("turns", "b")
    limits.count("documents", "a")
    with pytest.raises(TooManyError, match="may add 1 documents"):
        limits.count("documents", "a")


def test_it_is_allowed_again_when_it_said_and_refusals_are_not_counted(clock: list[float]) -> None:
    clock[0] += 5
    limits = Limits(turns=2)
    limits.count("turns", "a")
    limits.count("turns", "a")
    for _ in range(50):
        with pytest.raises(TooManyError) as error:
            limits.count("turns", "a")
    clock[0] += error.value.seconds + 1
    limits.count("turns", "a")


def test_nought_lifts_all_but_tries_to_log_in(clock: list[float]) -> None:
    for _ in range(1000):
        NO_LIMITS.count("turns", "a")
        NO_LIMITS.count("requests", "a")
    for _ in range(ATTEMPTS):
        NO_LIMITS.count("attempts", "test_limits")
    with pytest.raises(TooManyError, match="Too many tries to log in"):
        NO_LIMITS.count("attempts", "test_limits")


def test_a_clock_that_is_put_back_locks_nobody_out(clock: list[float]) -> None:
    limits = Limits(turns=1)
    limits.count("turns", "a")
    clock[0] -= 7200
    limits.count("turns", "a")


def test_visitors_who_are_gone_are_forgotten(clock: list[float]) -> None:
    limits = Limits(turns=5)
    for n in range(2000):
        limits.count("turns", f"visitor {n}")
    storage = limits._window.storage
    assert len(storage.storage) == 2000
    clock[0] += 180
    deadline = time.monotonic() + 5
    while len(storage.storage) > 2 and time.monotonic() < deadline:
        limits.count("turns", "the next one")
        clock[0] += 60
        time.sleep(0.02)
    assert len(storage.storage) <= 2
