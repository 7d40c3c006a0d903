"""The keys and values of what a model has read, in one piece of memory that grows now and then.

It takes the place of transformers' DynamicCache, whose methods' names it keeps, for the decoder in llama.py: there
each token copies all that was read before it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

_ROOM = 128
"""Tokens to have room for beyond those that are there, whenever room is made."""


class Row(NamedTuple):
    """Where a row's keys and values are: the address of the first layer's (2, heads, room, width), the bytes from
    there to the next layer's, the room, and how many tokens are there."""

    address: int
    further: int
    room: int
    length: int


class States:
    """Keys and values, shape (layers, rows, 2, heads, room, width); `length` tokens of them are there."""

    def __init__(self, layers: int, heads: int, width: int, dtype: torch.dtype) -> None:
        self._shape = (layers, heads, width)
        self._dtype = dtype
        self.length = 0
        self.data: torch.Tensor | None = None
        self._alike = 0
        """How many of the first tokens are the same in all rows."""

    @property
    def nbytes(self) -> int:
        """What a copy of it takes, in bytes."""
        return 0 if self.data is None else self._filled().nbytes

    def make_room(self, rows: int, tokens: int) -> torch.Tensor:
        """The data, with room for so many more tokens. Raises ValueError for another number of rows than it has."""
        layers, heads, width = self._shape
        if self.data is not None and self.data.shape[1] != rows:
            raise ValueError("these states are of another number of rows")
        if self.data is None or self.data.shape[4] < self.length + tokens:
            # Zeros: attention reads places to come too and gives them no share, and nought times NaN would be NaN.
            grown = torch.zeros(layers, rows, 2, heads, self.length + tokens + _ROOM, width, dtype=self._dtype)
            if self.data is not None:
                grown[..., : self.length, :] = self._filled()
            self.data = grown
        return self.data

    def rows(self) -> list[Row]:
        """Where each row lies in memory."""
        assert self.data is not None
        _, rows, *block = self.data.shape
        each = math.prod(block) * self.data.element_size()
        start, room = self.data.data_ptr(), self.data.shape[4]
        return [Row(start + row * each, rows * each, room, self.length) for row in range(rows)]

    def crop(self, tokens: int) -> None:
        """Forget the last tokens; `tokens` is their number below zero, as transformers has it."""
        self.length = max(0, self.length + tokens)
        self._alike = min(self._alike, self.length)

    def batch_repeat_interleave(self, times: int) -> None:
        """Have each row so many times."""
        if self.data is not None:
            self._alike = self.length if self.data.shape[1] == 1 else 0
            self.data = self._filled().repeat_interleave(times, dim=1)

    def batch_select_indices(self, rows: torch.Tensor) -> None:
        """Keep these rows, in this order: as many as there are move within their memory, others get their own."""
        if self.data is None or rows.tolist() == list(range(self.data.shape[1])):
            return
        if len(rows) != self.data.shape[1]:
            self.data = self.data.index_select(1, rows)
        else:  # of a prompt's copies only what was written after it
            written = self.data[..., self._alike : self.length, :]
            written.copy_(written.index_select(1, rows))

    def beginning(self, tokens: int) -> States:
        """A copy of what was there after so many tokens."""
        layers, heads, width = self._shape
        copied = States(layers, heads, width, self._dtype)
        copied.length = tokens
        if self.data is not None:
            copied.data = self.data[..., :tokens, :].clone()
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> States:
        return self.beginning(self.length)

    def _filled(self) -> torch.Tensor:
        assert self.data is not None
        return self.data[..., : self.length, :]
