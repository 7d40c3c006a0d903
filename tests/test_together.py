"""Answers written side by side: each its own, and nobody's end is another's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from switchboard.generation.fast.states import States
from switchboard.generation.together import Together


class Counting:
    """A model after whose every token comes the next number; it keeps how many texts each step had."""

    def __init__(self, after: Callable[[], None] = lambda: None) -> None:
        self.steps: list[int] = []
        self._after = after

    def step_each(self, tokens: Sequence[int], states: Any, adapters: Any, likeliest: bool) -> torch.Tensor:
        """Logits (texts, 100)."""
        self.steps.append(len(tokens))
        self._after()
        return torch.eye(100)[[token + 1 for token in tokens]]


def begin(together: Together, first: int, most: int = 5, **options: Any) -> Any:
    choose = options.get("choose", lambda logits: int(logits.argmax()))
    return together.begin(torch.eye(100)[first], States(1, 1, 1, torch.float32), None, choose, False, most)


def test_each_gets_its_own_tokens_up_to_its_own_end() -> None:
    gate = threading.Event()
    together = Together(Counting(lambda: gate.wait(5) and None))  # type: ignore[arg-type]
    texts = [begin(together, 10), begin(together, 30, most=3), begin(together, 50, most=1)]
    gate.set()
    assert [list(text) for text in texts] == [[10, 11, 12, 13, 14], [30, 31, 32], [50]]
    assert together.free


def test_they_share_their_steps() -> None:
    gate = threading.Event()
    model = Counting(lambda: gate.wait(5) and None)  # type: ignore[arg-type]
    together = Together(model)  # type: ignore[arg-type]
    texts = [begin(together, first) for first in (10, 30, 50)]
    gate.set()
    for text in texts:
        list(text)
    assert max(model.steps) == 3
    assert len(model.steps) < 10


def test_whoever_leaves_is_not_written_for_any_more() -> None:
    model = Counting(lambda: time.sleep(0.01))
    together = Together(model)  # type: ignore[arg-type]
    text = begin(together, 1, most=90)
    next(text)
    text.close()
    time.sleep(0.2)
    assert len(model.steps) < 10
    assert together.free
    assert list(begin(together, 5, most=2)) == [5, 6]


def test_an_error_reaches_the_one_it_belongs_to() -> None:
    together = Together(Counting(lambda: time.sleep(0.01)))  # type: ignore[arg-type]

    def refuse(_logits: torch.Tensor) -> int:
        raise ValueError("no such token")

    good, bad = begin(together, 10), begin(together, 30, choose=refuse)
    with pytest.raises(ValueError, match="no such token"):
        list(bad)
    assert list(good) == [10, 11, 12, 13, 14]
