"""Weights as the fast decoder reads them: NF4 through the 4-bit kernel of bitsandbytes, or dense.

Few rows go through the kernel that reads the quantized weights directly; many are cheaper through a matrix product with
the weights expanded for that one product (expanded.py). `torch.nn.Linear4bit` does the first alone, and spends three
times the kernel's own time around it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import torch

from switchboard.generation.fast.expanded import SIDE, Room, room_for
from switchboard.generation.fast.team import open_team

BLOCK = 64
"""Weights that share a scale (bitsandbytes' default)."""
MANY = 20
"""Rows from which on expanding the weights pays. Measured on two cores (Zen 4): 20 rows take the kernel 15 ms over a
whole model of 135 million weights; expanding them takes 7.5 ms, and the product 10."""


_AT_ONCE = 4096


class Weight(Protocol):
    """A matrix, shape (out, in), that rows are multiplied with."""

    @property
    def nbytes(self) -> int:
        """What few rows have to be multiplied with."""
        ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """`x` (rows, in) times the matrix: (rows, out), in the type of `x`."""
        ...


class Dense:
    """Weights of several matrices with the same input, one below the other, as they are.

    Raises ValueError for weights that are not plain numbers.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        if not all(module.weight.is_floating_point() for module in modules):
            raise ValueError("these weights are quantized in another way")
        self._weight = torch.cat([module.weight.detach() for module in modules]).contiguous()
        start = 0
        for module in modules:  # Views, so that no weight is in memory twice.
            rows = module.weight.shape[0]
            module.weight.data = self._weight[start : start + rows]
            start += rows

    @property
    def nbytes(self) -> int:
        return self._weight.nbytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self._weight)


class Nf4:
    """The same of bitsandbytes' NF4 layers, bfloat16 rows alone. Raises ValueError for layers it cannot read.

    The kernel wants the weights of 32 outputs side by side, and the scales in bfloat16; both are what the layers
    themselves would compute with. `kernel` is the kernel's address, and `at` those of the weights and their scales.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        from bitsandbytes.cextension import lib  # noqa: PLC0415  (slow, and not needed for other weights)
        from bitsandbytes.functional import _convert_weight_packed_for_cpu  # noqa: PLC0415

        states = [module.weight.quant_state for module in modules]
        packed, scales = [], []
        for module, state in zip(modules, states, strict=True):
            fits = state.quant_type == "nf4" and state.blocksize == BLOCK and not state.nested
            if not fits or getattr(state, "packing_format_for_cpu", False):
                raise ValueError("these weights are not plain NF4")
            if state.shape[0] % SIDE or state.shape[1] % BLOCK or module.weight.data.dtype != torch.uint8:
                raise ValueError("the kernel does not know this shape")
            copied = type(state)(
                absmax=state.absmax.clone(),
                shape=state.shape,
                code=state.code,
                blocksize=state.blocksize,
                quant_type=state.quant_type,
                dtype=state.dtype,
            )
            weight, copied = _convert_weight_packed_for_cpu(module.weight.data.clone(), copied)
            packed.append(weight)
            scales.append(copied.absmax)
        self.rows = sum(state.shape[0] for state in states)
        self.columns = int(states[0].shape[1])
        self._packed = torch.cat(packed).contiguous()
        self._scales = torch.cat(scales, dim=1).contiguous()
        self._codes = states[0].code.float().contiguous()
        self._multiply = lib.gemv_4bit_inference_cpu_nf4_bf16
        self._n = ctypes.c_int64(self.rows)
        self._k = ctypes.c_int64(self.columns)
        self._weight_at = ctypes.c_void_p(self._packed.data_ptr())
        self._scales_at = ctypes.c_void_p(self._scales.data_ptr())
        self._block = ctypes.c_int64(BLOCK)
        self.kernel = int(ctypes.cast(self._multiply, ctypes.c_void_p).value or 0)
        self.at = (self._packed.data_ptr(), self._scales.data_ptr())

    @property
    def nbytes(self) -> int:
        return self._packed.nbytes + self._scales.nbytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.shape[0]
        if rows >= MANY:
            return self._expanded(room_for(self.rows, self.columns)).times(x)
        out = torch.empty(rows, self.rows, dtype=torch.bfloat16)
        x = x.contiguous()
        self._multiply(
            ctypes.c_int64(rows),
            self._n,
            self._k,
            ctypes.c_void_p(x.data_ptr()),
            self._weight_at,
            self._scales_at,
            ctypes.c_void_p(out.data_ptr()),
            self._block,
            self._k,
            self._n,
        )
        return out

    @classmethod
    def of(cls, weight: torch.Tensor) -> Nf4:
        """The NF4 numbers nearest to a dense matrix. Raises ValueError for some shapes."""
        from bitsandbytes.functional import quantize_4bit  # noqa: PLC0415

        parts = []
        for rows in torch.split(weight, _AT_ONCE):  # packing takes nine times the memory of what is packed
            data, state = quantize_4bit(rows, blocksize=BLOCK, quant_type="nf4")
            parts.append(SimpleNamespace(weight=SimpleNamespace(data=data, quant_state=state)))
        return cls(parts)

    def times_with(self, x: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
        """As a call for many rows, with `more` (in, out) added to the weights."""
        return self._expanded(room_for(self.rows, self.columns), more).times(x)

    def expanded(self) -> torch.Tensor:
        """The weights as bfloat16, shape (out, in)."""
        return self._expanded(Room(self.rows, self.columns)).plain()

    def _expanded(self, room: Room, more: torch.Tensor | None = None) -> Room:
        from switchboard.generation.fast.unpacking import expanded  # noqa: PLC0415  (the compiler takes a second)

        sizes = (self.rows, self.columns, room.block)
        numbers = (self._packed, self._scales, self._codes, 0 if more is None else more, room.at)
        open_team().do(expanded, *sizes, *numbers)
        return room
