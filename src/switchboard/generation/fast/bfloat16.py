"""bfloat16 numbers in compiled functions: held as their 16 bits (uint16), computed with as float32.

Numba keeps what it compiled until the file of the function itself changes, so the files that compile these name this
one's digest; a test says what it is.
"""

# mypy: disable-error-code="call-arg, var-annotated, import-untyped, attr-defined, no-untyped-call, untyped-decorator"
# The intrinsics' first argument is the compiler's, and llvmlite has no types.

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, int16, int32, int64, njit, types, uint16, uint32
from numba.extending import intrinsic

FAST: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}
"""What the compiler may do so that it can use the processor's vectors: reorder sums, and divide without looking for
zeros. It cannot use them either where an index may count from the end, so halves of a row are slices."""


@intrinsic
def as_float(_typing: Any, _bits: Any) -> Any:
    """32 bits as a float32."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return float32(uint32), generate


@intrinsic
def as_bits(_typing: Any, _number: Any) -> Any:
    """A float32 as its 32 bits."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return uint32(float32), generate


@njit(inline="always", **FAST)
def rounded(number: Any) -> Any:
    """The nearest bfloat16, as a float32."""
    bits = as_bits(number)
    bits = bits + uint32(0x7FFF) + ((bits >> uint32(16)) & uint32(1))
    return as_float(bits & uint32(0xFFFF0000))


def _pointer(kind: Any, made: Any) -> Any:
    @intrinsic
    def pointer_at(_typing: Any, _address: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], made.as_pointer())

        return types.CPointer(kind)(int64), generate

    return pointer_at


halves_at = _pointer(uint16, ir.IntType(16))
"""An address, int64, as that of bfloat16 bits; `floats_at` of float32 and `words_at` of int64 numbers."""
floats_at = _pointer(float32, ir.FloatType())
words_at = _pointer(int64, ir.IntType(64))


@njit(inline="always", **FAST)
def widen(half: Any) -> Any:
    """bfloat16 bits as a float32."""
    return as_float(uint32(half) << uint32(16))


@njit(inline="always", **FAST)
def narrow(number: Any) -> Any:
    """A float32 that is a bfloat16 number, as its bits."""
    return np.uint16(as_bits(number) >> uint32(16))


@njit(inline="always")
def order(half: Any) -> Any:
    """A whole number, int32, that is greater where bfloat16 bits stand for a greater number: of whole numbers vectors
    find the greatest. The order of an order are the bits again."""
    bits = int32(int16(half))
    return int32(bits ^ (int32(bits >> int32(15)) & int32(0x7FFF)))


@njit(inline="always", **FAST)
def exp(x: Any) -> Any:
    """e to the x for x from -87 to 87, within 2e-7 of it. Cephes' expf (Moshier), which a vector can compute."""
    x = min(max(x, np.float32(-87.0)), np.float32(87.0))
    whole = np.floor(x * np.float32(1.44269504088896341) + np.float32(0.5))
    x = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * x + np.float32(1.3981999507e-3)
    y = y * x + np.float32(8.3334519073e-3)
    y = y * x + np.float32(4.1665795894e-2)
    y = y * x + np.float32(1.6666665459e-1)
    y = y * x + np.float32(5.0000001201e-1)
    y = y * x * x + x + np.float32(1.0)
    return y * as_float(uint32(np.int32(whole) + np.int32(127)) << uint32(23))


@njit(inline="always", **FAST)
def silu(half: Any) -> Any:
    """SiLU of bfloat16 bits, a bfloat16 number as a float32."""
    x = widen(half)
    return rounded(x / (np.float32(1.0) + exp(-x)))


@njit(**FAST)
def turn_head(head: Any, cos: Any, sin: Any, scale: Any, out: Any) -> None:
    """A head's numbers turned to their place and scaled, all in bits; `cos` and `sin` are the rotary embedding's
    there, (width,), the sines of the first half negative."""
    half = len(head) // 2
    for start in (0, half):
        own, other, made = head[start : start + half], head[half - start : len(head) - start], out[start : start + half]
        across, along = sin[start : start + half], cos[start : start + half]
        for n in range(half):
            value = rounded(rounded(widen(own[n]) * along[n]) + rounded(widen(other[n]) * across[n]))
            made[n] = narrow(rounded(value * scale))
