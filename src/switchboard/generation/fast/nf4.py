"""Weights as the fast decoder reads them: NF4 through the 4-bit kernel of bitsandbytes, or dense.

Few rows go through the kernel that reads the quantized weights directly; many are cheaper through a matrix product with
the weights expanded for that one product (expanded.py). `torch.nn.Linear4bit` does the first alone, and spends three
times the kernel's own time around it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path
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
_LEAST = 1e-30
"""What a block of zeros is divided by."""
CODES = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
"""The numbers of NF4. From: Dettmers and others, QLoRA, 2023, appendix E."""


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
        states = [module.weight.quant_state for module in modules]
        for module, state in zip(modules, states, strict=True):
            fits = state.quant_type == "nf4" and state.blocksize == BLOCK and not state.nested
            if not fits or getattr(state, "packing_format_for_cpu", False):
                raise ValueError("these weights are not plain NF4")
            if state.shape[0] % SIDE or state.shape[1] % BLOCK or module.weight.data.dtype != torch.uint8:
                raise ValueError("the kernel does not know this shape")
        library = _library()
        self.rows = sum(state.shape[0] for state in states)
        self.columns = int(states[0].shape[1])
        self._packed = torch.cat([_packed(_codes(module.weight)) for module in modules])
        self._scales = torch.cat([_scales(state).t().bfloat16() for state in states], dim=1).contiguous()
        self._codes = torch.tensor(CODES)
        self._multiply = library.gemv_4bit_inference_cpu_nf4_bf16
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
        parts = []
        borders = torch.tensor([(one + other) / 2 for one, other in itertools.pairwise(CODES)])
        for some in torch.split(weight, _AT_ONCE):  # sorting numbers takes many times their memory
            if some.shape[1] % BLOCK:
                raise ValueError("the kernel does not know this shape")
            blocks = some.reshape(-1, BLOCK).float()
            absmax = blocks.abs().amax(1)
            codes = torch.bucketize(blocks / absmax.clamp(min=_LEAST)[:, None], borders, out_int32=True).to(torch.uint8)
            first, second = codes.view(-1, 2).t()
            state = SimpleNamespace(quant_type="nf4", blocksize=BLOCK, nested=False, shape=some.shape, absmax=absmax)
            parts.append(SimpleNamespace(weight=SimpleNamespace(data=first << 4 | second, quant_state=state)))
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


def expanded_exactly(weight: Any) -> torch.Tensor:
    """The numbers that NF4 weights stand for, (out, in) in float32."""
    scales = _scales(weight.quant_state).repeat_interleave(BLOCK, dim=1)
    return torch.tensor(CODES)[_codes(weight).int()] * scales


def _codes(weight: Any) -> torch.Tensor:
    """The codes of weights, of which bitsandbytes has two in a byte, (out, in), uint8."""
    both = weight.data.reshape(-1)
    return torch.stack([both >> 4, both & 15], dim=1).view(weight.quant_state.shape)


def _scales(state: Any) -> torch.Tensor:
    """(out, in / 64)."""
    return state.absmax.view(state.shape[0], state.shape[1] // BLOCK)  # type: ignore[no-any-return]


def _packed(codes: torch.Tensor) -> torch.Tensor:
    """Codes (out, in) in the kernel's order, (out, in / 2).

    Two inputs of 32 outputs are 32 bytes, which have the codes of the last 16 outputs above those of the first.
    """
    rows, columns = codes.shape
    together = codes.view(rows // SIDE, SIDE, columns // 2, 2).transpose(1, 2).reshape(-1, 2, SIDE)
    return (together[:, 0] | together[:, 1] << 4).view(rows, columns // 2)


@cache
def _library() -> ctypes.CDLL:
    """bitsandbytes' kernels for processors, without what the package imports. Raises OSError where they are not."""
    found = importlib.util.find_spec("bitsandbytes")
    folder = next(iter(found.submodule_search_locations or ()), "") if found else ""
    return ctypes.CDLL(str(Path(folder) / "libbitsandbytes_cpu.so"))
