"""What a LoRA adapter adds to projections that read the same input, in two products instead of two each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch


class Lora:
    """`down` is A of all modules, (ranks, in); `up` is B in blocks, each with its module's scale, (blocks, rank,
    block); `which` says for each block which module's part it reads."""

    def __init__(self, down: torch.Tensor, up: torch.Tensor, which: Sequence[int]) -> None:
        self.down = down
        self.up = up
        self.which = tuple(which)
        self._reads = None if self.which == tuple(range(len(up))) else torch.tensor(self.which)

    @property
    def nbytes(self) -> int:
        """What both matrices take."""
        return self.down.nbytes + self.up.nbytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """What is added for `x` (rows, in), both float32: (rows, out)."""
        read = torch.nn.functional.linear(x, self.down)
        if len(self.up) == 1:
            return read @ self.up[0]
        rows = x.shape[0]
        read = read.view(rows, -1, self.up.shape[1]).transpose(0, 1)
        if self._reads is not None:
            read = read.index_select(0, self._reads)
        return torch.bmm(read, self.up).transpose(0, 1).reshape(rows, -1)


def lora_of(modules: Sequence[Any], name: str) -> Lora | None:
    """What the adapter `name` adds to PEFT's modules; None where it adds nothing to any of them.

    Raises ValueError for adapters of other kinds than plain LoRA, or of different ranks.
    """
    ours = [module for module in modules if name in getattr(module, "lora_A", {})]
    if not ours:
        return None
    if any(name in module.lora_variant for module in ours):
        raise ValueError(f"'{name}' is another kind of adapter")
    ranks = {module.lora_A[name].weight.shape for module in ours}
    if len(ranks) > 1:
        raise ValueError(f"'{name}' has matrices of different ranks")
    ((rank, inputs),) = ranks
    first, second = [], []
    for module in modules:
        if module in ours:
            first.append(module.lora_A[name].weight.detach().float())
            second.append(module.lora_B[name].weight.detach().float() * module.scaling[name])
        else:
            first.append(torch.zeros(rank, inputs))
            second.append(torch.zeros(module.out_features, rank))
    block = math.gcd(*(b.shape[0] for b in second))
    up = torch.cat([b.view(-1, block, b.shape[1]) for b in second]).transpose(1, 2).contiguous()
    which = [number for number, b in enumerate(second) for _ in range(b.shape[0] // block)]
    return Lora(torch.cat(first).contiguous(), up, which)
