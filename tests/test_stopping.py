"""Stopping an answer: what is left of it, when it ends, and that its maker is closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from switchboard.ui.stopping import Stops, until


def counting(closed: threading.Event, pause: float = 0.0) -> Iterator[int]:
    try:
        for number in range(1000):
            time.sleep(pause)
            yield number
    finally:
        closed.set()


def test_many_answers_are_drawn_less_often_each() -> None:
    stops = Stops()
    assert stops.pace(0.05) == 0.05
    with ExitStack() as stack:
        for n in range(16):
            stack.enter_context(stops.under_way(str(n)))
        assert stops.pace(0.05) == pytest.approx(0.4)
    assert stops.pace(0.05) == 0.05


def test_all_items_come_in_order_and_their_maker_is_closed() -> None:
    closed = threading.Event()
    assert list(until(lambda: False, counting(closed))) == list(range(1000))
    assert closed.is_set()


def test_a_reader_is_free_at_once_though_a_step_takes_long() -> None:
    closed = threading.Event()
    began = time.monotonic()
    assert list(until(lambda: time.monotonic() - began > 0.2, counting(closed, pause=1.0))) == []
    assert time.monotonic() - began < 0.7
    assert closed.wait(3)


def test_closing_the_reader_closes_the_maker() -> None:
    closed = threading.Event()
    reader = until(lambda: False, counting(closed, pause=0.01))
    assert next(reader) == 0
    reader.close()  # type: ignore[attr-defined]
    assert closed.wait(3)


def test_an_error_is_raised_where_the_items_are_read() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("no coal")

    reader = until(lambda: False, failing())
    assert next(reader) == 1
    with pytest.raises(ValueError, match="no coal"):
        next(reader)


def test_stopping_says_whether_anybody_was_answering() -> None:
    stops = Stops()
    assert not stops.stop("waiting")
    with stops.under_way("waiting"):
        assert stops.left("waiting")
    with stops.under_way("one"):
        assert not stops.stopped("one")
        assert stops.stop("one")
        assert stops.stopped("one")
        assert not stops.left("one")
    assert not stops.stopped("one")


def test_leaving_waits_until_the_answer_has_ended() -> None:
    stops = Stops()
    began = threading.Event()
    ended: list[float] = []

    def answering() -> None:
        with stops.under_way("one"):
            began.set()
            while not stops.left("one"):
                time.sleep(0.01)
            time.sleep(0.1)
            ended.append(time.monotonic())

    threading.Thread(target=answering).start()
    assert began.wait(1)
    stops.leave("one")
    assert ended
    assert ended[0] <= time.monotonic()


def test_words_for_answers_that_never_begin_do_not_pile_up() -> None:
    stops = Stops()
    for number in range(5000):
        stops.stop(str(number))
    assert stops.left("4999")
    assert not stops.left("0")
