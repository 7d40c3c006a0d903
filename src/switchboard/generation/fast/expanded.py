"""Room for one matrix of quantized weights as bfloat16, in the order in which oneDNN's products read it.

Given a plain matrix, PyTorch has oneDNN put it into that order anew for each product, which takes four times as long as
to expand it. Here it is expanded into that order at once; see unpacking.py. One room does for all layers, as they are
computed one after the other.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

import torch

_MKLDNN = torch.ops.mkldnn
SIDE = 32
"""Outputs that the 4-bit kernel has side by side."""
_BLOCK = 64
"""Outputs that oneDNN has side by side, with two inputs of each together."""
_TRIED = 32
"""Rows of the product that tells whether it has."""


class Room:
    """A matrix (rows, columns), written at the address `at` as (rows / block, columns / 2, block, 2) in bfloat16."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows = rows
        self.columns = columns
        self.block = SIDE if rows % _BLOCK else _BLOCK
        self._numbers = torch.zeros(rows // self.block, columns // 2, self.block, 2, dtype=torch.bfloat16)
        self.at = self._numbers.data_ptr()

    def plain(self) -> torch.Tensor:
        """The matrix as it is written elsewhere, (rows, columns)."""
        return self._numbers.transpose(1, 2).reshape(self.rows, self.columns)

    def times(self, x: torch.Tensor) -> torch.Tensor:
        """`x` (n, columns) times the matrix, (n, rows)."""
        return torch.nn.functional.linear(x, self.plain())


class Ready(Room):
    """The same in memory of oneDNN's own. Raises RuntimeError or AttributeError where PyTorch does not give it out, and
    ValueError where its order is another."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__(rows, columns)
        plain = self._numbers.normal_(generator=torch.Generator().manual_seed(0))
        self._packed = _MKLDNN._reorder_linear_weight(self.plain(), _TRIED)
        self.at = _MKLDNN.data_ptr(self._packed)
        if rows % _BLOCK or _MKLDNN._nbytes(self._packed) != plain.nbytes:
            raise ValueError("oneDNN puts these weights into another order")
        ctypes.memmove(self.at, plain.data_ptr(), plain.nbytes)
        x = torch.linspace(0, 1, _TRIED * columns).view(_TRIED, columns).bfloat16()
        if not torch.allclose(self.times(x), super().times(x), rtol=0.1, atol=0.1):
            raise ValueError("oneDNN puts these weights into another order")
        del self._numbers

    def times(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = _MKLDNN._linear_pointwise(x, self._packed, None, "none", [], "")
        return made


@cache
def room_for(rows: int, columns: int) -> Room:
    """The room of all matrices of a shape, for the computing thread alone."""
    with suppress(RuntimeError, AttributeError, ValueError):
        return Ready(rows, columns)
    return Room(rows, columns)
