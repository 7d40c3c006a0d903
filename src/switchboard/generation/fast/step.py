"""One token's way through a Llama, compiled: everything between the 4-bit products, without Python or torch around it.

In Python a token is 800 small operations, and with the weights streaming through the caches each takes three times what
it takes alone: 10 ms of 15, measured. Here a token is one call. The products with the quantized weights are those of
bitsandbytes, on all cores; the rest is little and runs on one.

Numbers are rounded to bfloat16 where transformers' own model rounds.
"""

# Compiled with bfloat16.py bbe1890e388c.
# mypy: disable-error-code="call-arg, var-annotated, import-untyped, attr-defined, no-untyped-call, untyped-decorator"
# The intrinsics' first argument is the compiler's, and llvmlite has no types.

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, int64, njit, void
from numba.extending import intrinsic

from switchboard.generation.fast.bfloat16 import FAST, exp, halves_at, narrow, rounded, silu, turn_head, widen
from switchboard.generation.fast.nf4 import BLOCK

_BLOCK = BLOCK


@intrinsic
def _kernel(
    _typing: Any,
    _address: Any,
    _rows: Any,
    _outputs: Any,
    _inputs: Any,
    _x: Any,
    _weights: Any,
    _scales: Any,
    _result: Any,
    _block: Any,
) -> Any:
    """Call bitsandbytes' product at an address; all are int64, arrays as their addresses and without gaps."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        address, rows, outputs, inputs, *arrays, block = arguments
        function = ir.FunctionType(ir.VoidType(), [word] * 3 + [pointer] * 4 + [word] * 3)
        at = [builder.inttoptr(array, pointer) for array in arrays]
        kernel = builder.inttoptr(address, function.as_pointer())
        builder.call(kernel, [rows, outputs, inputs, *at, block, inputs, outputs])
        return context.get_dummy_value()

    return void(*[int64] * 9), generate


@njit(**FAST)
def _norm(x: Any, weight: Any, eps: Any, out: Any, wide: Any) -> None:
    """RMSNorm of the rows of `x` (rows, width), into `out` as bits and `wide` as float32."""
    width = x.shape[1]
    for row in range(x.shape[0]):
        total = np.float32(0.0)
        for n in range(width):
            total += x[row, n] * x[row, n]
        scale = np.float32(1.0) / np.sqrt(total / np.float32(width) + eps)
        for n in range(width):
            value = rounded(weight[n] * rounded(x[row, n] * scale))
            wide[row, n] = value
            out[row, n] = narrow(value)


@njit(**FAST)
def _add_lora(x: Any, down: Any, up: Any, which: Any, out: Any, scratch: Any) -> None:
    """Add to one row's `out` (out,) in bits what an adapter makes of its `x` (in,); see lora.Lora for the others."""
    rank, outputs = up.shape
    block = outputs // len(which)
    for n in range(down.shape[0]):
        total = np.float32(0.0)
        for m in range(down.shape[1]):
            total += widen(down[n, m]) * x[m]
        scratch[n] = total
    made = scratch[down.shape[0] :]
    for number in range(len(which)):
        start = number * block
        for m in range(block):
            made[m] = np.float32(0.0)
        for n in range(rank):
            factor = scratch[which[number] * rank + n]
            for m in range(block):
                made[m] += factor * widen(up[n, start + m])
        for m in range(block):
            out[start + m] = narrow(rounded(widen(out[start + m]) + rounded(made[m])))


@njit
def _add_loras(x: Any, lora: Any, which: Any, worn: Any, out: Any, scratch: Any) -> None:
    """The same for the rows (rows, in) that wear one: `worn` (rows,) says where it is among `lora`, -1 for none."""
    for row in range(x.shape[0]):
        if worn[row] >= 0:
            _add_lora(x[row], lora[0][worn[row]], lora[1][worn[row]], which, out[row], scratch)


@njit(**FAST)
def _turn(read: Any, states: Any, place: Any, cos: Any, sin: Any, query: Any) -> None:
    """Turn one row's queries and keys to their place, the queries scaled; keys and values go into `states`.

    The queries, in bits, take the place of those in `read`, and as float32 go into `query` (heads x width,).
    """
    groups, width = states.shape[1], states.shape[3]
    heads = len(query) // width
    scale = np.float32(1.0) / np.sqrt(np.float32(width))
    for head in range(heads):
        asked, wide = read[head * width : (head + 1) * width], query[head * width : (head + 1) * width]
        turn_head(asked.copy(), cos, sin, scale, asked)
        for n in range(width):
            wide[n] = widen(asked[n])
    for group in range(groups):
        at = (heads + group) * width
        turn_head(read[at : at + width], cos, sin, np.float32(1.0), states[0, group, place])
        at += groups * width
        states[1, group, place, :] = read[at : at + width]


@njit(**FAST)
def _attend(read: Any, states: Any, place: Any, first: Any, cos: Any, sin: Any, seen: Any, scratch: Any) -> None:
    """One row's attention; `states` (2, groups, room, width) gets the key and value at `place`."""
    groups, width = states.shape[1], states.shape[3]
    heads = seen.shape[0] // width
    each = heads // groups
    query = scratch[: heads * width]
    scores = scratch[heads * width :]
    _turn(read, states, place, cos, sin, query)
    first = min(first, place)  # padding sees itself, which nobody looks at
    length = place + 1 - first
    for head in range(heads):
        group = head // each
        asked = query[head * width : (head + 1) * width]
        highest = np.float32(-np.inf)
        for place_seen in range(length):
            key = states[0, group, first + place_seen]
            total = np.float32(0.0)
            for n in range(width):
                total += asked[n] * widen(key[n])
            scores[place_seen] = total
            highest = max(highest, total)
        total = np.float32(0.0)
        for place_seen in range(length):
            scores[place_seen] = exp(scores[place_seen] - highest)
            total += scores[place_seen]
        for n in range(width):
            asked[n] = np.float32(0.0)
        for place_seen in range(length):
            share = scores[place_seen]
            value = states[1, group, first + place_seen]
            for n in range(width):
                asked[n] += share * widen(value[n])
        for n in range(width):
            seen[head * width + n] = rounded(asked[n] / total)


@njit(inline="always")
def _product(kernel: Any, weight: Any, x: Any, out: Any) -> None:
    """Rows times a quantized matrix; `weight` has the addresses of its numbers and scales."""
    _kernel(kernel, x.shape[0], out.shape[1], x.shape[1], x.ctypes.data, weight[0], weight[1], out.ctypes.data, _BLOCK)


@njit(**FAST)
def _add(x: Any, more: Any) -> None:
    """Add bits to `x`, rounded."""
    for row in range(x.shape[0]):
        for n in range(x.shape[1]):
            x[row, n] = rounded(x[row, n] + widen(more[row, n]))


@njit(nogil=True, cache=True, **FAST)
def step(
    tokens: Any,
    places: Any,
    firsts: Any,
    states: Any,
    embedding: Any,
    norms: Any,
    addresses: Any,
    sizes: Any,
    lora: Any,
    which: Any,
    worn: Any,
    tables: Any,
    eps: Any,
    out: Any,
) -> None:
    """Read one token a row, and write the last layer's normed output into `out` (rows, hidden), as bits.

    `tokens`, `places` (for the rotary embedding) and `firsts` (what is not padding), each (rows,). `states` (rows, 4)
    say where each row's keys and values are: the address of the first layer's (2, groups, room, width), how many bytes
    further the next layer's are, the room, which is for one token more than are there, and how many are there. `norms`
    (2 x layers + 1, hidden); `addresses` (1 + layers x 4 x 2,): the kernel's, then those of each projection's weights
    and scales; `sizes` (4, 2): each projection's outputs and inputs. `lora`: (down, up) of the four projections in
    bits, each with one layer of one adapter after the other along the first axis, `which` module each block of outputs
    is of, and `worn` (rows, layers) where each row's is there, -1 where it has none. `tables` are the rotary cosines
    and signed sines (2, places, width).
    """
    rows, hidden = tokens.shape[0], embedding.shape[1]
    inner, across, width = sizes[3, 1], sizes[1, 1], tables.shape[2]
    groups = (sizes[0, 0] - across) // (2 * width)
    x = np.empty((rows, hidden), np.float32)
    for row in range(rows):
        for n in range(hidden):
            x[row, n] = widen(embedding[tokens[row], n])
    # What each projection reads, as bits for the kernel and as float32 for the adapter; and what it makes.
    read, wide = np.empty((rows, hidden), np.uint16), np.empty((rows, hidden), np.float32)
    read_seen, wide_seen = np.empty((rows, across), np.uint16), np.empty((rows, across), np.float32)
    read_inner, wide_inner = np.empty((rows, inner), np.uint16), np.empty((rows, inner), np.float32)
    qkv, back = np.empty((rows, sizes[0, 0]), np.uint16), np.empty((rows, hidden), np.uint16)
    gates = np.empty((rows, sizes[2, 0]), np.uint16)
    scratch = np.empty(across + states[:, 3].max() + 1 + 2 * sizes[2, 0], np.float32)
    kernel = addresses[0]
    for layer in range(norms.shape[0] // 2):
        at = 1 + layer * 8
        wears = worn[:, layer]
        _norm(x, norms[2 * layer], eps, read, wide)
        _product(kernel, addresses[at : at + 2], read, qkv)
        _add_loras(wide, lora[0:2], which[0], wears, qkv, scratch)
        for row in range(rows):
            cos, sin = tables[0, places[row]], tables[1, places[row]]
            start, further, room, length = states[row]
            held = carray(halves_at(start + layer * further), (2, groups, room, width))
            _attend(qkv[row], held, length, firsts[row], cos, sin, wide_seen[row], scratch)
            for n in range(across):
                read_seen[row, n] = narrow(wide_seen[row, n])
        _product(kernel, addresses[at + 2 : at + 4], read_seen, back)
        _add_loras(wide_seen, lora[2:4], which[1], wears, back, scratch)
        _add(x, back)
        _norm(x, norms[2 * layer + 1], eps, read, wide)
        _product(kernel, addresses[at + 4 : at + 6], read, gates)
        _add_loras(wide, lora[4:6], which[2], wears, gates, scratch)
        for row in range(rows):
            opening, up = gates[row, :inner], gates[row, inner:]
            for n in range(inner):
                value = rounded(silu(opening[n]) * widen(up[n]))
                wide_inner[row, n] = value
                read_inner[row, n] = narrow(value)
        _product(kernel, addresses[at + 6 : at + 8], read_inner, back)
        _add_loras(wide_inner, lora[6:8], which[3], wears, back, scratch)
        _add(x, back)
    _norm(x, norms[norms.shape[0] - 1], eps, out, wide)
