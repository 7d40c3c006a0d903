"""Attention for decoding on a CPU: one query row over a grown cache, as two small matrix products.

PyTorch's scaled-dot-product kernel splits its work over query rows, of which decoding has one; on a CPU it leaves most
of the machine idle. Grouping the query heads that share a key head makes it a batched matrix product instead. Whatever
is not such a step goes to the stock kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "switchboard_decode"


def decode_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend; query is (1, heads, 1, size), key and value (1, key heads, length, size). Returns (1, 1, heads, size)."""
    batch, heads, rows, size = query.shape
    if batch != 1 or rows != 1 or attention_mask is not None or query.device.type != "cpu" or options.get("softcap"):
        attended: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return attended
    key_heads = key.shape[1]
    grouped = query.view(key_heads, heads // key_heads, size)
    scores = torch.bmm(grouped, key[0].transpose(1, 2)).float() * (scaling or size**-0.5)
    mixed = torch.bmm(torch.softmax(scores, dim=-1).to(value.dtype), value[0])
    return mixed.view(1, 1, heads, size), None


def register() -> str:
    """Make the attention known to transformers; returns the name to load a model with."""
    AttentionInterface.register(NAME, decode_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME
