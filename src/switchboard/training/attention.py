"""Attention over a pack: examples that share a beginning, each seeing that beginning and itself alone.

The general way, one mask over all T x T pairs, computes mostly pairs that may not see each other: it was 43 % of a
training step. Here the beginning attends to itself, and each example's rest to the beginning and to itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "packed"


def packed_attention(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: Any,
    scaling: float | None = None,
    branches: torch.Tensor | None = None,
    **_more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within a pack of T tokens, of which the first P are shared by all its branches.

    `query` (1, H, T, D); `key` and `value` (1, K, T, D) with H a multiple of K. `branches` (N, L) holds each
    branch's places among the T - P tokens after the shared ones, filled up with -1; without it the sequence is causal
    as a whole. Returns (1, T, H, D), and no weights.
    """
    scale = scaling or query.shape[-1] ** -0.5
    tokens = query.shape[2]
    shared = tokens if branches is None else tokens - int((branches >= 0).sum())
    parts = []
    if shared:
        parts.append(
            scaled_dot_product_attention(
                query[:, :, :shared],
                key[:, :, :shared],
                value[:, :, :shared],
                is_causal=True,
                scale=scale,
                enable_gqa=query.shape[1] != key.shape[1],
            )[0]
        )
    if branches is not None:
        parts.append(_branches(query[0] * scale, key[0], value[0], shared, branches))
    return torch.cat(parts, dim=1).transpose(0, 1)[None], None


def _branches(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, shared: int, branches: torch.Tensor
) -> torch.Tensor:
    """What the tokens after the shared ones see: (H, T - P, D), from a scaled query (H, T, D)."""
    heads, _, width = query.shape
    groups, (count, longest) = key.shape[0], branches.shape
    each = heads // groups
    # Each branch in a row of its own: (K, G, N, L, D) for the queries, (K, N, L, D) for the rest.
    asked = _rows(query[:, shared:], branches).view(groups, each, count, longest, width)
    own_key, own_value = _rows(key[:, shared:], branches), _rows(value[:, shared:], branches)
    over_shared = asked.reshape(groups, -1, width) @ key[:, :shared].transpose(1, 2)
    over_own = asked.transpose(1, 2).reshape(groups, count, -1, width) @ own_key.transpose(2, 3)
    over_own = over_own.view(groups, count, each, longest, longest).transpose(1, 2)
    later = torch.ones(longest, longest, dtype=torch.bool, device=query.device).triu(1)
    over_own = over_own.masked_fill(later, torch.finfo(query.dtype).min)
    scores = torch.cat([over_shared.view(groups, each, count, longest, shared), over_own], dim=-1)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    of_shared = (weights[..., :shared].reshape(groups, -1, shared) @ value[:, :shared]).view(asked.shape)
    of_own = weights[..., shared:].transpose(1, 2).reshape(groups, count, -1, longest) @ own_value
    seen = of_shared + of_own.view(groups, count, each, longest, width).transpose(1, 2)
    flat = seen.reshape(heads, -1, width)
    return flat[:, branches.flatten() >= 0]


def _rows(flat: torch.Tensor, branches: torch.Tensor) -> torch.Tensor:
    """(X, T - P, D) as (X, N, L, D), zero where a branch is shorter than L: -1 is the row of zeros put at the end."""
    return pad(flat, (0, 0, 0, 1))[:, branches.flatten()].view(flat.shape[0], *branches.shape, flat.shape[2])


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, lambda *_args, **_named: None)
