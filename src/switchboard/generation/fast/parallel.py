"""What lies between the products of a prompt, compiled and on all cores, by the threads of PyTorch's products.

These are tasks for `team.Team`, each of which finds out which of the team it is. They are given one array of numbers:
the addresses of what tells them that and how many they are, then what is said at each of them. Arrays are given by
their addresses, are without gaps, and hold bfloat16, but for the rotary tables, which are float32, and places,
which are int64. Everything is rounded where transformers' own model rounds.
"""

# Compiled with bfloat16.py bbe1890e388c.
# mypy: disable-error-code="call-arg, var-annotated, import-untyped, attr-defined, no-untyped-call, untyped-decorator"
# The intrinsics' first argument is the compiler's, and llvmlite has no types.

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, int32, int64, njit, types, uint16, uint32, void
from numba.extending import intrinsic

from switchboard.generation.fast.bfloat16 import (
    FAST,
    as_float,
    exp,
    floats_at,
    halves_at,
    narrow,
    order,
    rounded,
    silu,
    turn_head,
    widen,
    words_at,
)

_task = void(types.voidptr)


@intrinsic
def _asked(_typing: Any, _address: Any) -> Any:
    """What the function at an address says, an int."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = ir.FunctionType(ir.IntType(32), []).as_pointer()
        return builder.sext(builder.call(builder.inttoptr(arguments[0], pointer), []), ir.IntType(64))

    return int64(int64), generate


@njit
def place_in_team(task: Any) -> Any:
    """Which of the team a task runs on, and how many they are."""
    return _asked(task[0]), _asked(task[1])


@njit(**FAST)
def _norm_row(x: Any, more: Any, weight: Any, eps: Any, out: Any) -> None:
    total = np.float32(0.0)
    for n in range(len(x)):
        value = rounded(widen(x[n]) + widen(more[n]))
        x[n] = narrow(value)
        total += value * value
    scale = np.float32(1.0) / np.sqrt(total / np.float32(len(x)) + eps)
    for n in range(len(x)):
        out[n] = narrow(rounded(widen(weight[n]) * rounded(widen(x[n]) * scale)))


@cfunc(_task, cache=True)
def added_norm(data: Any) -> None:
    """`x` += `more`, and its RMSNorm. Rows, width, the bits of epsilon as float32; `x` (rows, width), `more` the same,
    the weight (width,), out (rows, width)."""
    task = carray(data, (9,), np.int64)
    number, team = place_in_team(task)
    rows, width, eps = task[2], task[3], as_float(uint32(task[4]))
    x = carray(halves_at(task[5]), (rows, width))
    more = carray(halves_at(task[6]), (rows, width))
    weight = carray(halves_at(task[7]), (width,))
    out = carray(halves_at(task[8]), (rows, width))
    for row in range(number, rows, team):
        _norm_row(x[row], more[row], weight, eps, out[row])


@njit(**FAST)
def _gate_row(gates: Any, out: Any) -> None:
    opening, up = gates[: len(out)], gates[len(out) :]
    for n in range(len(out)):
        out[n] = narrow(rounded(silu(opening[n]) * widen(up[n])))


@cfunc(_task, cache=True)
def gated(data: Any) -> None:
    """SiLU of the first half of each row times the second. Rows, width; gates (rows, 2 x width), out (rows, width)."""
    task = carray(data, (6,), np.int64)
    number, team = place_in_team(task)
    rows, width = task[2], task[3]
    gates = carray(halves_at(task[4]), (rows, 2 * width))
    out = carray(halves_at(task[5]), (rows, width))
    for row in range(number, rows, team):
        _gate_row(gates[row], out[row])


@cfunc(_task, cache=True)
def turned(data: Any) -> None:
    """Queries and keys turned to their places, the queries scaled too; keys and values go to the others.

    Texts, tokens of each, groups, heads of a group, width, room, the place of the first new key; what the projection
    made (texts, tokens, heads + 2 x groups, width); queries (texts, groups, tokens, heads of a group, width); keys and
    values (texts, 2, groups, room, width); places for the rotary embedding (texts, tokens), int64; how many of them the
    rotary cosines and signed sines are for, and those (2, places, width).
    """
    task = carray(data, (15,), np.int64)
    number, team = place_in_team(task)
    texts, tokens, groups, each, width, room, start = task[2], task[3], task[4], task[5], task[6], task[7], task[8]
    heads = groups * each
    read = carray(halves_at(task[9]), (texts, tokens, heads + 2 * groups, width))
    queries = carray(halves_at(task[10]), (texts, groups, tokens, each, width))
    states = carray(halves_at(task[11]), (texts, 2, groups, room, width))
    places = carray(words_at(task[12]), (texts, tokens))
    tables = carray(floats_at(task[14]), (2, task[13], width))
    scale = np.float32(1.0) / np.sqrt(np.float32(width))
    for n in range(number, texts * tokens, team):
        text, token = n // tokens, n % tokens
        row, at = read[text, token], start + token
        cos, sin = tables[0, places[text, token]], tables[1, places[text, token]]
        for head in range(heads):
            turn_head(row[head], cos, sin, scale, queries[text, head // each, token, head % each])
        for group in range(groups):
            turn_head(row[heads + group], cos, sin, np.float32(1.0), states[text, 0, group, at])
            states[text, 1, group, at, :] = row[heads + groups + group]


@njit(**FAST)
def _softmax(scores: Any, first: Any, end: Any, wide: Any) -> None:
    """The shares of a row's places from `first` to `end`, the others get none; `wide` is scratch."""
    seen, wide = scores[first:end], wide[: end - first]
    highest = int32(-(2**15))
    for n in range(len(seen)):
        place = order(seen[n])
        highest = place if place > highest else highest
    most = widen(uint16(order(highest)))
    total = np.float32(0.0)
    for n in range(len(seen)):
        share = exp(widen(seen[n]) - most)
        wide[n] = share
        total += share
    for n in range(len(seen)):
        seen[n] = narrow(rounded(wide[n] / total))
    scores[:first] = 0
    scores[end:] = 0


@cfunc(_task, cache=True)
def shares(data: Any) -> None:
    """Scores become shares: softmax of each row over the places that its token may see.

    Texts, groups, tokens, heads of a group, places, the first token's own place, the places of the texts' first tokens
    that are not padding (texts,), int64; scores (texts, groups, tokens, heads of a group, places).
    """
    task = carray(data, (10,), np.int64)
    number, team = place_in_team(task)
    texts, groups, tokens, each, places, own = task[2], task[3], task[4], task[5], task[6], task[7]
    firsts = carray(words_at(task[8]), (texts,))
    rows = groups * tokens * each
    scores = carray(halves_at(task[9]), (texts * rows, places))
    wide = np.empty(places, np.float32)
    for n in range(number, texts * rows, team):
        at = own + n // each % tokens
        first = min(firsts[n // rows], at)  # padding sees itself, which nobody looks at
        _softmax(scores[n], first, at + 1, wide)
