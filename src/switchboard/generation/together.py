"""Writing several answers at once: a step reads one token of each, whoever wears which adapter.

Writing is bound by reading the weights, and a step reads them once for all its rows. It is one task of the computing
thread and asks for the next one itself, so that whatever else has to be computed, a newcomer's prompt or a search,
comes between two steps. An answer whose reader has left is out of the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

import torch

from switchboard.compute import compute_later
from switchboard.generation.fast.llama import FastLlama
from switchboard.generation.fast.states import States

AT_ONCE = 8
"""The most answers that are written at once; on two cores a row more costs as much as it brings from about here on."""

Choose = Callable[[torch.Tensor], int | None]
"""The next token of logits (vocabulary,), or None at the end."""


@dataclass(eq=False)
class _Answer:
    """One of them: its states, what follows them, and where its tokens go, None for the end."""

    logits: torch.Tensor
    states: States
    adapter: str | None
    choose: Choose
    exact: bool
    left: int
    said: SimpleQueue[int | BaseException | None] = field(default_factory=SimpleQueue)
    gone: bool = False

    def next(self) -> int | None:
        """Choose a token and hand it out; None where that was the last one, or nobody reads it."""
        if self.gone:
            return None
        try:
            token = self.choose(self.logits) if self.left else None
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is read
            self.said.put(error)
            return None
        self.said.put(token)
        self.left -= 1
        return token


class Together:
    """Answers under way, on a model that reads single tokens of several texts. Safe between threads."""

    def __init__(self, model: FastLlama) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._answers: list[_Answer] = []
        self._running = False

    @property
    def free(self) -> bool:
        """Whether one more can be written."""
        with self._lock:
            return len(self._answers) < AT_ONCE

    def begin(
        self, logits: torch.Tensor, states: States, adapter: str | None, choose: Choose, exact: bool, most: int
    ) -> Iterator[int]:
        """The answer after `states`, whose next token has these `logits` (vocabulary,): at most so many tokens.

        It is written from now on, whether it is read or not, until the iterator is closed. `choose` is called in the
        computing thread; unless all logits have to be `exact`, those of all but the likeliest tokens are rough. The
        iterator raises what is raised there.
        """
        answer = _Answer(logits, states, adapter, choose, exact, most)
        with self._lock:
            self._answers.append(answer)
            starts, self._running = not self._running, True
        if starts:
            compute_later(self._step)
        return _read(answer)

    @torch.inference_mode()
    def _step(self) -> None:
        with self._lock:
            answers = list(self._answers)
        tokens = [answer.next() for answer in answers]
        rows = [(answer, token) for answer, token in zip(answers, tokens, strict=True) if token is not None]
        try:
            for exact in (False, True):
                some = [(answer, token) for answer, token in rows if answer.exact == exact]
                if some:
                    self._read_one(some, exact)
        except Exception as error:  # noqa: BLE001 - it is raised where the answers are read
            for answer, _ in rows:
                answer.said.put(error)
            rows = []
        ended = {*answers} - {answer for answer, _ in rows}
        with self._lock:
            self._answers = [answer for answer in self._answers if answer not in ended]
            self._running = bool(self._answers)
            if not self._running:
                return
        compute_later(self._step)

    def _read_one(self, rows: list[tuple[_Answer, int]], exact: bool) -> None:
        """Read a token of each, and keep what follows it."""
        answers = [answer for answer, _ in rows]
        states, adapters = [answer.states for answer in answers], [answer.adapter for answer in answers]
        logits = self._model.step_each([token for _, token in rows], states, adapters, likeliest=not exact)
        for answer, row in zip(answers, logits, strict=True):
            answer.logits = row


def _read(answer: _Answer) -> Iterator[int]:
    try:
        while (got := answer.said.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            yield got
    finally:
        answer.gone = True
