"""The line before the model: in the order of coming, and no place is lost."""

from __future__ import annotations

import threading
import time

from switchboard.generation.line import Line


def test_the_first_to_come_is_the_first_to_be_served() -> None:
    line = Line()
    tickets = [line.join() for _ in range(3)]
    assert line.wait(tickets[0], 0.01)
    assert not line.wait(tickets[2], 0.01)
    assert [line.ahead(ticket) for ticket in tickets] == [0, 1, 2]
    line.leave(tickets[1])
    assert line.ahead(tickets[2]) == 1
    line.leave(tickets[0])
    assert line.wait(tickets[2], 0.01)


def test_turns_in_threads_follow_each_other() -> None:
    line, order = Line(), []
    first = line.join()

    def visit(number: int) -> None:
        with line.turn():
            order.append(number)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=visit, args=[number]))
        threads[-1].start()
        time.sleep(0.02)
    assert order == []
    line.leave(first)
    for thread in threads:
        thread.join(1)
    assert order == [0, 1, 2, 3, 4]


def test_how_long_a_turn_takes_is_learned() -> None:
    line = Line()
    for _ in range(30):
        with line.turn():
            pass
    assert line.seconds < 0.1
