"""Several examples in one sequence, with nothing computed twice and nothing seen across examples.

Examples that begin alike (the system prompt; the same passages) share that beginning: it is computed once, and
each example's rest attends to it and to itself alone, at the positions it would have by itself. The loss is that
of the examples one by one, at a fraction of the tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from switchboard.training.data import Example


@dataclass(frozen=True)
class Pack:
    """Examples whose first `shared` tokens are equal."""

    shared: int
    examples: tuple[Example, ...]

    @property
    def length(self) -> int:
        """How many tokens are computed."""
        return self.shared + sum(len(e.tokens) - self.shared for e in self.examples)

    @property
    def answer_tokens(self) -> int:
        """How many tokens are trained on."""
        return sum(sum(e.trained) for e in self.examples)


def pack(examples: Sequence[Example], limit: int, seed: int) -> list[Pack]:
    """Fill packs of at most `limit` tokens (a longer example is a pack of its own); the same seed packs alike."""
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.opening, []).append(example)
    packs: list[Pack] = []
    for name in sorted(groups):
        members = groups[name]
        rng.shuffle(members)
        shared = _shared_prefix(members)
        current: list[Example] = []
        length = shared
        for example in members:
            rest = len(example.tokens) - shared
            if current and length + rest > limit:
                packs.append(Pack(shared, tuple(current)))
                current, length = [], shared
            current.append(example)
            length += rest
        packs.append(Pack(shared, tuple(current)))
    rng.shuffle(packs)
    return packs


def tensors(packed: Pack) -> dict[str, torch.Tensor | None]:
    """A pack as the model takes it, a batch of one with T tokens and M of them trained on.

    `input_ids` and `position_ids` (1, T); `branches` (N, L), see attention.py, or None where nothing is shared;
    `predict` (M,): the positions whose logits foretell `labels` (1, M).
    """
    first = packed.examples[0]
    tokens = list(first.tokens[: packed.shared])
    positions = list(range(packed.shared))
    predict: list[int] = []
    labels: list[int] = []
    for example in packed.examples:
        offset = len(tokens) - packed.shared
        for i in range(packed.shared, len(example.tokens)):
            if example.trained[i]:
                predict.append(i + offset - 1)
                labels.append(example.tokens[i])
        tokens.extend(example.tokens[packed.shared :])
        positions.extend(range(packed.shared, len(example.tokens)))
    return {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([positions]),
        "branches": _branches(packed),
        "predict": torch.tensor(predict),
        "labels": torch.tensor([labels]),
    }


def _branches(packed: Pack) -> torch.Tensor | None:
    if len(packed.examples) == 1:
        return None
    lengths = [len(example.tokens) - packed.shared for example in packed.examples]
    rows, begin = torch.full((len(lengths), max(lengths)), -1), 0
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = torch.arange(begin, begin + length)
        begin += length
    return rows


def _shared_prefix(examples: Sequence[Example]) -> int:
    """How many tokens all examples begin with, ending before the token that foretells the first trained one."""
    if len(examples) == 1:
        return 0
    most = min(e.trained.index(True) - 1 for e in examples)
    first = examples[0].tokens
    shared = 0
    while shared < most and all(e.tokens[shared] == first[shared] for e in examples):
        shared += 1
    return shared
