"""What a LoRA adapter adds to projections that read the same input: one product down for all, one up for each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional


class Lora:
    """`down` is A of all modules, (modules x rank, in), and `up` B of each beside the other with its module's scale,
    (rank, out of all), both in the type in which the model computes; `sizes` are the modules' outputs."""

    def __init__(self, down: torch.Tensor, up: torch.Tensor, sizes: Sequence[int]) -> None:
        self.down = down
        self.up = up
        self.sizes = tuple(sizes)

    @property
    def nbytes(self) -> int:
        """What both matrices take."""
        return self.down.nbytes + self.up.nbytes

    @property
    def blocks(self) -> list[int]:
        """The number of the module for each of the equal blocks of outputs that no two modules share."""
        block = math.gcd(*self.sizes)
        return [number for number, size in enumerate(self.sizes) for _ in range(size // block)]

    def add_to(self, out: torch.Tensor, x: torch.Tensor) -> None:
        """Add to `out` (rows, out of all) what the adapter makes of `x` (rows, in)."""
        read = functional.linear(x, self.down)
        for ranks, outputs in self._modules():
            out[:, outputs].addmm_(read[:, ranks], self.up[:, outputs])

    def whole(self) -> torch.Tensor:
        """What the adapter adds to the weights of all modules, (in, out of all)."""
        made = torch.empty(self.down.shape[1], self.up.shape[1], dtype=self.up.dtype)
        for ranks, outputs in self._modules():
            made[:, outputs] = self.down[ranks].t() @ self.up[:, outputs]
        return made

    def _modules(self) -> Iterator[tuple[slice, slice]]:
        """Each module's part of the ranks of all, and of the outputs."""
        rank, start = len(self.up), 0
        for number, size in enumerate(self.sizes):
            yield slice(number * rank, (number + 1) * rank), slice(start, start + size)
            start += size


def lora_of(modules: Sequence[Any], name: str, dtype: torch.dtype) -> Lora | None:
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
            first.append(module.lora_A[name].weight.detach())
            second.append(module.lora_B[name].weight.detach() * module.scaling[name])
        else:
            first.append(torch.zeros(rank, inputs))
            second.append(torch.zeros(module.out_features, rank))
    down, up = torch.cat(first).to(dtype), torch.cat(second).t().to(dtype)
    return Lora(down.contiguous(), up.contiguous(), [len(b) for b in second])
