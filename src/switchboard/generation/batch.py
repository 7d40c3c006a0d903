"""Many answers at once: prompts of a batch are read together and their answers written together, greedily.

On a small machine writing is bound by reading the weights, which a batch does once for all its rows. It serves
evaluation, where nobody waits for a first word; visitors are answered by the engine in local.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import torch

from switchboard.generation.decline import DeclineRule, log_probability

BATCH = 8
"""Rows of a batch; on two cores a row more costs as much as it brings from about here on."""

Limit = Callable[[str, torch.Tensor], torch.Tensor]
"""What becomes of the logits (vocabulary,) after a text; see figures.py."""


@torch.inference_mode()
def complete_batch(
    model: Any,
    cache: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[Limit | None],
    rule: DeclineRule | None,
    stops: set[int],
    max_tokens: int,
) -> tuple[list[list[int]], list[float | None]]:
    """The tokens that answer each prompt, without the stop token: at most `max_tokens` of them a prompt.

    `cache` is an empty one of the model's.

    With a `rule` also the log probability of each prompt's decline; a rule whose threshold is infinite measures it and
    leaves the decision to the decoding.
    """
    device = model.device
    longest = max(map(len, prompts))
    pad = tokenizer.pad_token_id or 0
    ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    written: list[list[int]] = [[] for _ in prompts]
    open_rows = set(range(len(prompts)))
    scores: list[float | None] = [None] * len(prompts)
    for _ in range(max_tokens):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = out.logits[:, -1]
        if rule and scores[0] is None:
            scores = log_probability(model, logits, rule.phrase, cache, mask).tolist()
            for row in [row for row, score in enumerate(scores) if score is not None and score > rule.above]:
                written[row] = list(rule.phrase)
                open_rows.discard(row)
        chosen = []
        for row, limit in enumerate(limits):
            if row not in open_rows:
                chosen.append(pad)
                continue
            text = tokenizer.decode(written[row], skip_special_tokens=True) if limit else ""
            scored = rule.forbid(written[row], logits[row]) if rule and isfinite(rule.above) else logits[row]
            token = int((limit(text, scored) if limit else scored).argmax())
            if token in stops:
                open_rows.discard(row)
            else:
                written[row].append(token)
            chosen.append(token)
        if not open_rows:
            break
        ids = torch.tensor(chosen, device=device)[:, None]
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
    return written, scores


def batches(lengths: Sequence[int], size: int = BATCH) -> list[list[int]]:
    """Which prompts go together: numbers of prompts of similar lengths, so that little is padded.

    >>> batches([5, 90, 7, 80], size=2)
    [[0, 2], [3, 1]]
    """
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    return [order[start : start + size] for start in range(0, len(order), size)]
