"""What lies between the products of a prompt, in two ways: with PyTorch's operations, and compiled.

The compiled way reads and writes each number once, where PyTorch's operations pass over them three to eight times. Both
give the same up to the order of sums. Texts are (texts, tokens) side by side; `firsts` are the places of their first
tokens that are not padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from switchboard.generation.fast.team import open_team

_FAR = -1e30
"""What is added to a score that must not count."""


class Shape(NamedTuple):
    """Of attention: key heads, the heads that read each of them, and their width."""

    groups: int
    each: int
    width: int


class Between(Protocol):
    """What a decoder does between two products; all numbers in the model's type, without gaps."""

    def normed(self, x: torch.Tensor, more: torch.Tensor | None, weight: torch.Tensor) -> torch.Tensor:
        """RMSNorm of `x` (rows, width), to which `more` is added first, for good."""
        ...

    def gated(self, gates: torch.Tensor) -> torch.Tensor:
        """SiLU of the first half of each row (rows, 2 x width) times the second, (rows, width)."""
        ...

    def turned(
        self, read: torch.Tensor, states: torch.Tensor, start: int, places: torch.Tensor, tables: torch.Tensor
    ) -> torch.Tensor:
        """Queries turned to their places and scaled, (texts x groups, tokens, heads of a group, width).

        `read` (texts x tokens, all heads x width) has queries, keys and values; these are put into `states` (texts, 2,
        groups, room, width) from the place `start` on. `places` (texts, tokens) are those for the rotary embedding, and
        `tables` (2, places, width) its cosines and signed sines.
        """
        ...

    def shares(self, scores: torch.Tensor, own: int, firsts: Sequence[int] | None) -> torch.Tensor:
        """What each token makes of the places: softmax of the scores (texts x groups, tokens, heads of a group, places)
        over those that it may see, `own` being the first token's. The scores may be overwritten."""
        ...


class Plain:
    """With PyTorch's operations."""

    def __init__(self, shape: Shape, eps: float) -> None:
        self._shape = shape
        self._eps = eps

    def normed(self, x: torch.Tensor, more: torch.Tensor | None, weight: torch.Tensor) -> torch.Tensor:
        if more is not None:
            x += more
        exact = x.float()
        scales = (torch.linalg.vector_norm(exact, dim=-1, keepdim=True).square_() / x.shape[-1] + self._eps).rsqrt_()
        normed: torch.Tensor = weight * (exact * scales).to(x.dtype)
        return normed

    def gated(self, gates: torch.Tensor) -> torch.Tensor:
        gate, up = gates.chunk(2, dim=-1)
        return torch.nn.functional.silu(gate) * up

    def turned(
        self, read: torch.Tensor, states: torch.Tensor, start: int, places: torch.Tensor, tables: torch.Tensor
    ) -> torch.Tensor:
        groups, each, width = self._shape
        texts, tokens = places.shape
        heads = groups * each
        cos, sin = (table[places].to(read.dtype)[:, :, None] for table in tables)
        read = read.view(texts, tokens, heads + 2 * groups, width)
        some = read[:, :, : heads + groups]
        some = some * cos + some.roll(width // 2, -1) * sin
        states[:, 0, :, start : start + tokens] = some[:, :, heads:].transpose(1, 2)
        states[:, 1, :, start : start + tokens] = read[:, :, heads + groups :].transpose(1, 2)
        queries: torch.Tensor = (some[:, :, :heads] * width**-0.5).view(texts, tokens, groups, each, width)
        return queries.transpose(1, 2).reshape(texts * groups, tokens, each, width)

    def shares(self, scores: torch.Tensor, own: int, firsts: Sequence[int] | None) -> torch.Tensor:
        tokens, places = scores.shape[1], scores.shape[3]
        exact = scores.float()
        exact[..., own:] += torch.full((tokens, places - own), _FAR).triu(1)[:, None]
        if firsts is not None:
            hidden = torch.arange(places) < torch.tensor(firsts)[:, None]
            exact.view(len(firsts), -1, places).masked_fill_(hidden[:, None], _FAR).clamp_(min=_FAR)
        return exact.softmax(-1).to(scores.dtype)


class Compiled:
    """On all threads of PyTorch's products, each number read and written once; for bfloat16 alone."""

    def __init__(self, shape: Shape, eps: float) -> None:
        from switchboard.generation.fast import parallel  # noqa: PLC0415  (the compiler takes a second to import)

        self._shape = shape
        self._eps = int(np.float32(eps).view(np.uint32))
        self._tasks = parallel
        self._do = open_team().do

    def normed(self, x: torch.Tensor, more: torch.Tensor | None, weight: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        more = torch.zeros_like(x) if more is None else more
        self._do(self._tasks.added_norm, *x.shape, self._eps, x, more, weight, out)
        return out

    def gated(self, gates: torch.Tensor) -> torch.Tensor:
        rows, both = gates.shape
        out = gates.new_empty(rows, both // 2)
        self._do(self._tasks.gated, *out.shape, gates, out)
        return out

    def turned(
        self, read: torch.Tensor, states: torch.Tensor, start: int, places: torch.Tensor, tables: torch.Tensor
    ) -> torch.Tensor:
        groups, each, width = self._shape
        texts, tokens = places.shape
        queries = read.new_empty(texts * groups, tokens, each, width)
        where = (*places.shape, *self._shape, states.shape[3], start)
        self._do(self._tasks.turned, *where, read, queries, states, places, tables.shape[1], tables)
        return queries

    def shares(self, scores: torch.Tensor, own: int, firsts: Sequence[int] | None) -> torch.Tensor:
        groups, each, _ = self._shape
        blocks, tokens, _, places = scores.shape
        first = torch.tensor(firsts) if firsts is not None else torch.zeros(blocks // groups, dtype=torch.int64)
        self._do(self._tasks.shares, len(first), groups, tokens, each, places, own, first, scores)
        return scores
