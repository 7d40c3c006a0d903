"""What `step.step` is called with: addresses of the weights, adapters side by side, numbers as it reads them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from switchboard.generation.fast.lora import Lora
from switchboard.generation.fast.nf4 import Nf4


class Stepping:
    """One token a row, for a model whose projections (layers x 4) are all quantized.

    Raises ValueError for an adapter whose matrices differ in shape from layer to layer.
    """

    def __init__(
        self,
        embedding: torch.Tensor,
        norms: torch.Tensor,
        weights: Sequence[Sequence[Nf4]],
        loras: Mapping[str, Sequence[Sequence[Lora | None]]],
        eps: float,
    ) -> None:
        from switchboard.generation.fast.step import step  # noqa: PLC0415  (the compiler takes a second to import)

        self._step = step
        self._embedding = bits(embedding)
        self._norms = norms.float().numpy()
        self._keep = weights
        self._addresses = np.array(
            [weights[0][0].kernel, *(at for row in weights for weight in row for at in weight.at)], np.int64
        )
        self._sizes = np.array([[weight.rows, weight.columns] for weight in weights[0]], np.int64)
        self._eps = np.float32(eps)
        self._worn: dict[str | None, tuple[Any, Any, np.ndarray]] = {
            name: _side_by_side(layers, self._sizes) for name, layers in loras.items()
        }
        blank = tuple(np.zeros((1, 1, 1), np.uint16) for _ in range(8))
        nothing = tuple(np.zeros(1, np.int64) for _ in range(4))
        self._worn[None] = (blank, nothing, np.full(len(weights), -1, np.int64))

    def __call__(
        self,
        tokens: torch.Tensor,
        length: int,
        states: torch.Tensor,
        tables: torch.Tensor,
        adapter: str | None,
        mask: torch.Tensor | None,
        places: torch.Tensor | None,
    ) -> torch.Tensor:
        """The normed output after one token a row, (rows, hidden) in bfloat16; `tokens` (rows,)."""
        rows = len(tokens)
        out = torch.empty(rows, self._embedding.shape[1], dtype=torch.bfloat16)
        firsts = np.zeros(rows, np.int64) if mask is None else (mask == 0).sum(1).numpy()
        at = np.full(rows, length, np.int64) if places is None else np.ascontiguousarray(places[:, -1].numpy())
        lora, which, dressed = self._worn[adapter]
        self._step(
            tokens.numpy(),
            at,
            firsts,
            length,
            self._embedding,
            self._norms,
            self._addresses,
            self._sizes,
            lora,
            which,
            dressed,
            tables.numpy(),
            bits(states),
            self._eps,
            bits(out),
        )
        return out


def is_compiled() -> bool:
    """Whether a compiled step was kept by an earlier run."""
    from switchboard.generation.fast.step import step  # noqa: PLC0415

    return any(Path(str(step.stats.cache_path)).glob("step.step-*.nbi"))


def bits(numbers: torch.Tensor) -> np.ndarray:
    """bfloat16 numbers as the uint16 that hold them, in the same memory."""
    return numbers.view(torch.int16).numpy().view(np.uint16)


def _side_by_side(layers: Sequence[Sequence[Lora | None]], sizes: np.ndarray) -> tuple[Any, Any, np.ndarray]:
    """An adapter as step.step reads it: its matrices, the modules that their blocks read, and which layers have it.

    A projection that it leaves alone in a layer where it is on others gets zeros.
    """
    whole = [row for row in layers if any(row)]
    if not whole:
        raise ValueError("the adapter is on no layer")
    columns: Any = [_filled(column, *size) for column, size in zip(zip(*whole, strict=True), sizes, strict=True)]
    matrices = tuple(_stacked(column, part) for column in columns for part in ("down", "up"))
    which = tuple(np.array(column[0].blocks, np.int64) for column in columns)
    numbers = iter(range(len(whole)))
    return matrices, which, np.array([next(numbers) if any(row) else -1 for row in layers], np.int64)


def _stacked(column: Sequence[Lora], part: str) -> np.ndarray:
    """One of the matrices of all, one below the other; they themselves become views of it."""
    whole = torch.stack([getattr(lora, part) for lora in column])
    for lora, view in zip(column, whole, strict=True):
        setattr(lora, part, view)
    return bits(whole)


def _filled(column: Sequence[Lora | None], outputs: int, inputs: int) -> list[Lora]:
    """The column with matrices of zeros where there are none. Raises ValueError where those that are there differ."""
    found = next((lora for lora in column if lora), None)
    blank = found or Lora(torch.zeros(1, inputs).bfloat16(), torch.zeros(1, outputs).bfloat16(), [outputs])
    zeros = Lora(torch.zeros_like(blank.down), torch.zeros_like(blank.up), blank.sizes)
    filled = [lora or copy.copy(zeros) for lora in column]
    if any(lora.down.shape != blank.down.shape or lora.sizes != blank.sizes for lora in filled):
        raise ValueError("the adapter's matrices differ from layer to layer")
    return filled
