"""The layers below an adapter: they never change, so what they make of a pack is computed once and kept.

With the lowest third of the layers frozen, an epoch costs two thirds: nothing flows back through them, and after
the first epoch nothing flows forward through them either.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

MAX_BYTES = 4 * 2**30
"""Memory for kept states; what does not fit is computed again each time it is needed."""


class FrozenLayers:
    """The embedding and the lowest `count` layers of a decoder, taken out of it while it trains.

    They are replaced by modules that pass their input on, so the layers above keep their names; `put_back` undoes it.
    """

    def __init__(self, decoder: Any, count: int) -> None:
        """`decoder` has `embed_tokens`, `rotary_emb` and `layers`, as the Llama family's have."""
        self._decoder = decoder
        self._layers = [decoder.layers[i] for i in range(count)]
        self._kept: dict[int, torch.Tensor] = {}
        self._bytes = 0
        for i in range(count):
            decoder.layers[i] = _PassOn()

    @torch.no_grad()
    def states(self, key: int, inputs: dict[str, Any]) -> torch.Tensor:
        """What the layers make of a pack's `input_ids` (1, T), shape (1, T, hidden); kept under `key`."""
        if key in self._kept:
            return self._kept[key]
        device = self._decoder.embed_tokens.weight.device
        positions = inputs["position_ids"].to(device)
        hidden: torch.Tensor = self._decoder.embed_tokens(inputs["input_ids"].to(device))
        rotary = self._decoder.rotary_emb(hidden, position_ids=positions)
        for layer in self._layers:
            out = layer(
                hidden,
                attention_mask=None,
                position_ids=positions,
                position_embeddings=rotary,
                branches=inputs.get("branches"),
            )
            hidden = out[0] if isinstance(out, tuple) else out
        size = hidden.nbytes
        if self._bytes + size <= MAX_BYTES:
            self._kept[key] = hidden
            self._bytes += size
        return hidden

    def put_back(self) -> None:
        """Give the decoder its layers back."""
        for i, layer in enumerate(self._layers):
            self._decoder.layers[i] = layer


class _PassOn(nn.Module):
    def forward(self, hidden: torch.Tensor, *_more: Any, **_named: Any) -> torch.Tensor:
        return hidden
