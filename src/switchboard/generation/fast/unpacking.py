"""NF4 weights as the bfloat16 matrix that oneDNN multiplies with, in the order in which oneDNN reads it.

That is 64 outputs side by side and two inputs of each together. The 4-bit kernel has 32 outputs side by side and two
inputs of each together too, so that what lies together in one lies together in the other.
"""

# Compiled with bfloat16.py bbe1890e388c, parallel.py 374322608c35.
# mypy: disable-error-code="call-arg, var-annotated, import-untyped, attr-defined, no-untyped-call, untyped-decorator"
# The intrinsics' first argument is the compiler's, and llvmlite has no types.

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, int64, njit, types, void
from numba.core import cgutils
from numba.extending import intrinsic

from switchboard.generation.fast.bfloat16 import FAST, halves_at, widen
from switchboard.generation.fast.expanded import SIDE
from switchboard.generation.fast.nf4 import BLOCK
from switchboard.generation.fast.parallel import place_in_team

_SIDE = SIDE
_LANES = 16
"""float32 numbers that a vector holds."""
_PAIRS = BLOCK // 2
"""Pairs of inputs that share a scale."""


def _expander(added: bool) -> Any:
    """What expands 64 weights, of 32 outputs and two inputs; with `added` something is added to each before it is
    rounded."""

    @intrinsic
    def expand(_typing: Any, _packed: Any, _table: Any, _scales: Any, _more: Any, _further: Any, _out: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            byte, half, word, real = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.FloatType()
            bytes_, halves, words, reals = (ir.VectorType(kind, _LANES) for kind in (byte, half, word, real))
            packed, table, scales, more, further, out = arguments

            def all_of(number: int) -> Any:
                return ir.Constant(words, [number] * _LANES)

            def at(address: Any, kind: Any, number: int) -> Any:
                return builder.gep(builder.inttoptr(address, kind.as_pointer()), [word(number)])

            def read(address: Any, kind: Any, number: int) -> Any:
                return builder.load(at(address, kind, number), align=1)

            def more_of(number: int) -> Any:
                one, other = (read(row, halves, number // 2) for row in (more, builder.add(more, further)))
                first = number % 2 * (_LANES // 2)
                by_turns = [n + side for n in range(first, first + _LANES // 2) for side in (0, _LANES)]
                both = builder.shuffle_vector(one, other, ir.Constant(words, by_turns))
                return builder.bitcast(builder.shl(builder.zext(both, words), all_of(16)), reals)

            looked_up = ir.FunctionType(reals, [reals, words])
            look_up = cgutils.get_or_insert_function(builder.module, looked_up, "llvm.x86.avx512.permvar.sf.512")
            values = read(table, reals, 0)
            codes = [builder.zext(read(packed, bytes_, n), words) for n in range(2)]
            for number in range(4):
                code = codes[number % 2]
                code = builder.and_(code, all_of(15)) if number < 2 else builder.lshr(code, all_of(4))
                value = builder.fmul(builder.call(look_up, [values, code]), read(scales, reals, number))
                if added:
                    value = builder.fadd(value, more_of(number))
                bits = builder.bitcast(value, words)
                odd = builder.and_(builder.lshr(bits, all_of(16)), all_of(1))
                bits = builder.add(builder.add(bits, all_of(0x7FFF)), odd)
                builder.store(builder.trunc(builder.lshr(bits, all_of(16)), halves), at(out, halves, number), align=1)
            return context.get_dummy_value()

        return void(*[int64] * 6), generate

    return expand


_expand, _expand_and_add = _expander(added=False), _expander(added=True)
"""Write 64 bfloat16 numbers: each code of 4 bits at the first address stands for one of the 16 float32 at the second,
times one of the 64 float32 at the third. What is added are 32 bfloat16 numbers for one input at the fourth address, and
those for the other input so many bytes further. The last address is where they are written."""


@njit(**FAST)
def _expand_side(packed: Any, scales: Any, table: Any, more: Any, further: Any, block: Any, out: Any) -> None:
    """The weights of 32 outputs: `packed` and `out` are addresses, `scales` (inputs / 64, 32) bfloat16 bits, and `more`
    is where what is added begins, 0 for nothing. In `out` pairs of inputs are `block` outputs apart."""
    wide = np.empty(2 * _SIDE, np.float32)
    for group in range(scales.shape[0]):
        for n in range(_SIDE):
            wide[2 * n] = wide[2 * n + 1] = widen(scales[group, n])
        for pair in range(group * _PAIRS, (group + 1) * _PAIRS):
            at, to = packed + pair * _SIDE, out + pair * block * 4
            if more:
                _expand_and_add(at, table, wide.ctypes.data, more + 2 * pair * further, further, to)
            else:
                _expand(at, table, wide.ctypes.data, 0, 0, to)


@cfunc(void(types.voidptr), cache=True)
def expanded(data: Any) -> None:
    """Quantized weights in the order of the products: (outputs / block, inputs / 2, block, 2).

    Outputs, inputs, the block; the packed weights, their scales (inputs / 64, outputs), the 16 numbers that the codes
    stand for (float32), what is added to the weights (inputs, outputs) or 0, and where they are written.
    """
    task = carray(data, (10,), np.int64)
    number, team = place_in_team(task)
    rows, columns, block = task[2], task[3], task[4]
    scales = carray(halves_at(task[6]), (columns // (2 * _PAIRS), rows))
    for side in range(number, rows // _SIDE, team):
        first = side * _SIDE
        packed = task[5] + first * columns // 2
        more = task[8] + first * 2 if task[8] else 0
        out = task[9] + (first // block * block * columns + first % block * 2) * 2
        _expand_side(packed, scales[:, first : first + _SIDE], task[7], more, rows * 2, block, out)
