"""Whether to decline, decided once before the first word: by how likely the model finds the sentence that declines.

Greedy decoding declines or answers as the first words fall, and a small model leans too far to one side. Here the
probability of the whole sentence is compared with a threshold that was calibrated for the adapter (`decline.json`
beside its weights, made by `python -m switchboard.training.calibrate_decline`): the answer is that sentence, or it is
another one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from switchboard.errors import AdapterError, first_line

DECLINE_FILE = "decline.json"


@dataclass(frozen=True)
class DeclineRule:
    """`phrase` are the tokens of the sentence that declines, at least two; `above` is a natural logarithm."""

    phrase: tuple[int, ...]
    above: float

    def forbid(self, written: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """The logits (vocabulary,) without the second word of the sentence where its first was just written."""
        if tuple(written) != self.phrase[:1]:
            return logits
        return logits.index_fill(0, torch.tensor([self.phrase[1]], device=logits.device), -torch.inf)


def read_threshold(adapter: Path) -> float | None:
    """The threshold in an adapter's folder; None where it has none. Raises AdapterError where it cannot be read."""
    try:
        return float(json.loads((adapter / DECLINE_FILE).read_text(encoding="utf-8"))["log_probability"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(unreadable(adapter / DECLINE_FILE, error)) from error


def unreadable(file: Path, error: Exception) -> str:
    """Why an adapter is refused whose `file` cannot be read: without it, it would answer in another way."""
    return (
        f"The adapter '{file.parent.name}' has no readable {file.name} ({first_line(error)}). Restore the file, or "
        f"train the adapter again with `python -m switchboard train {file.parent.name}`."
    )


@torch.inference_mode()
def log_probability(
    model: Any, logits: torch.Tensor, phrase: Sequence[int], cache: Any, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """The natural logarithm of the probability that each row's answer begins with the phrase, shape (B,).

    `logits` (B, vocabulary) follow the prompts whose states are in `cache`, which is left as it was; `mask` (B, T) is
    the prompts' where they are padded on the left.
    """
    rows = logits.shape[0]
    total = logits.float().log_softmax(-1)[:, phrase[0]]
    if len(phrase) == 1:
        return total
    said = torch.tensor([list(phrase[:-1])] * rows, device=logits.device)
    extra = {}
    if mask is not None:
        grown = torch.cat([mask, mask.new_ones(said.shape)], dim=1)
        extra = {"attention_mask": grown, "position_ids": (grown.cumsum(1) - 1)[:, -said.shape[1] :]}
    out = model(input_ids=said, past_key_values=cache, use_cache=True, **extra).logits.float().log_softmax(-1)
    cache.crop(-said.shape[1])
    following = torch.tensor(list(phrase[1:]), device=logits.device).expand(rows, -1)
    more: torch.Tensor = out.gather(2, following[:, :, None])[:, :, 0].sum(1)
    return total + more
