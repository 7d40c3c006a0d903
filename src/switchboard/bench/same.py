"""Whether the fast decoder writes what transformers' own writes, greedily, and how near the choice was if not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from switchboard.compute import compute
from switchboard.generation.adapters import wearing
from switchboard.generation.fast.llama import FastLlama


@dataclass(frozen=True)
class Compared:
    """Prompts, those with the same text, and by how much the plain model preferred its own token to ours at the first
    difference of each other: logits, 0 being a tie."""

    prompts: int
    same: int
    gaps: tuple[float, ...]

    @property
    def largest_gap(self) -> float:
        return max(self.gaps, default=0.0)


def compare(
    fast: FastLlama,
    plain: Any,
    prompts: Sequence[Sequence[int]],
    adapters: Sequence[str | None],
    tokens: int,
    stops: set[int],
    progress: Callable[[int], object],
) -> Compared:
    """Write `tokens` tokens after each prompt, with the adapters in turn, in both ways."""
    same, gaps = 0, []
    for number, ids in enumerate(prompts):
        gap = compute(_gap, fast, plain, list(ids), adapters[number % len(adapters)], tokens, stops)
        same += gap is None
        if gap is not None:
            gaps.append(gap)
        progress(1)
    return Compared(len(prompts), same, tuple(round(gap, 3) for gap in gaps))


@torch.inference_mode()
def _gap(
    fast: FastLlama, plain: Any, ids: list[int], adapter: str | None, tokens: int, stops: set[int]
) -> float | None:
    """None where both write the same."""
    with wearing(fast, adapter), wearing(plain, adapter):
        return _first_gap(fast, plain, ids, tokens, stops)


def _first_gap(fast: FastLlama, plain: Any, ids: list[int], tokens: int, stops: set[int]) -> float | None:
    ours, theirs = fast.new_cache(), DynamicCache(config=plain.config)
    given = torch.tensor([ids])
    for _ in range(tokens):
        mine = fast(given, ours, logits_to_keep=1, likeliest=True).logits[0, -1].float()
        other = plain(input_ids=given, past_key_values=theirs, use_cache=True, logits_to_keep=1).logits[0, -1].float()
        chosen, expected = int(mine.argmax()), int(other.argmax())
        if chosen != expected:
            return float(other[expected] - other[chosen])
        if chosen in stops:
            return None
        given = torch.tensor([[chosen]])
    return None
