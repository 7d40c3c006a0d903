"""What `step.step` is called with: addresses of the weights, adapters side by side, numbers as it reads them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from switchboard.generation.fast.lora import Lora
from switchboard.generation.fast.nf4 import Nf4
from switchboard.generation.fast.states import Row


class Family(NamedTuple):
    """Adapters of the same shapes, as step.step reads them: their matrices, the modules that blocks of outputs are of,
    and for each adapter where each layer's are, -1 where it has none."""

    matrices: tuple[np.ndarray, ...]
    which: tuple[np.ndarray, ...]
    worn: dict[str, np.ndarray]


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
        self._families = _families(loras, self._sizes)
        self._family = {name: number for number, family in enumerate(self._families) for name in family.worn}
        self._bare = np.full(len(weights), -1, np.int64)

    def __call__(
        self,
        tokens: Sequence[int],
        states: Sequence[Row],
        tables: torch.Tensor,
        adapters: Sequence[str | None],
        firsts: Sequence[int] | None = None,
        places: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """The normed output after one token a row, (rows, hidden) in bfloat16.

        `firsts` are the places of the first tokens that are not padding, and `places` those of the new ones for the
        rotary embedding, both by default as without padding.
        """
        rows = len(tokens)
        out = torch.empty(rows, self._embedding.shape[1], dtype=torch.bfloat16)
        places = places or [row.length for row in states]
        ids, at, first = (np.array(numbers, np.int64) for numbers in (tokens, places, firsts or [0] * rows))
        where = np.array(states, np.int64)
        for family, some in self._by_family(adapters):
            worn = np.array([family.worn.get(adapters[row] or "", self._bare) for row in some], np.int64)
            made = torch.empty(len(some), out.shape[1], dtype=torch.bfloat16)
            self._step(
                ids[some],
                at[some],
                first[some],
                where[some],
                self._embedding,
                self._norms,
                self._addresses,
                self._sizes,
                family.matrices,
                family.which,
                worn,
                tables.numpy(),
                self._eps,
                bits(made),
            )
            out[some] = made
        return out

    def _by_family(self, adapters: Sequence[str | None]) -> list[tuple[Family, list[int]]]:
        """The rows that are computed together: those whose adapters have the same shapes, the bare ones with any."""
        found: dict[int, list[int]] = {}
        worn = [self._family[name] if name else None for name in adapters]
        usual = next((number for number in worn if number is not None), 0)
        for row, number in enumerate(worn):
            found.setdefault(usual if number is None else number, []).append(row)
        return [(self._families[number], some) for number, some in found.items()]


def is_compiled() -> bool:
    """Whether what is compiled for single tokens and for prompts was kept by an earlier run."""
    from switchboard.generation.fast.step import step  # noqa: PLC0415

    kept = Path(str(step.stats.cache_path))
    return all(any(kept.glob(f"{name}-*.nbi")) for name in ("step.step", "parallel.shares", "unpacking.expanded"))


def bits(numbers: torch.Tensor) -> np.ndarray:
    """bfloat16 numbers as the uint16 that hold them, in the same memory."""
    return numbers.view(torch.int16).numpy().view(np.uint16)


def _families(loras: Mapping[str, Sequence[Sequence[Lora | None]]], sizes: np.ndarray) -> list[Family]:
    """Adapters (layers x 4) of the same shapes side by side; one family without any where there are none.

    A projection that an adapter leaves alone in a layer where it is on others gets zeros.
    """
    by_shape: dict[Any, list[str]] = {}
    columns: dict[str, list[list[Lora]]] = {}
    for name, layers in loras.items():
        whole = [row for row in layers if any(row)]
        if not whole:
            raise ValueError("the adapter is on no layer")
        parts = zip(zip(*whole, strict=True), sizes, strict=True)
        columns[name] = [_filled(column, *size) for column, size in parts]
        shape = tuple((column[0].down.shape, column[0].up.shape, column[0].sizes) for column in columns[name])
        by_shape.setdefault(shape, []).append(name)
    families = []
    for names in by_shape.values():
        together = [[lora for name in names for lora in columns[name][part]] for part in range(len(sizes))]
        matrices = tuple(_stacked(column, part) for column in together for part in ("down", "up"))
        which = tuple(np.array(column[0].blocks, np.int64) for column in together)
        numbers = itertools.count()
        worn = {name: np.array([next(numbers) if any(row) else -1 for row in loras[name]]) for name in names}
        families.append(Family(matrices, which, worn))
    if not families:
        blank = tuple(np.zeros((1, 1, 1), np.uint16) for _ in range(2 * len(sizes)))
        families.append(Family(blank, tuple(np.zeros(1, np.int64) for _ in sizes), {}))
    return families


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
