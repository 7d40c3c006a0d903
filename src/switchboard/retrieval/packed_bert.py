"""BERT over many short texts at once, without computing anything for padding.

It takes the place of transformers' BertModel where only inference matters: the projections read all tokens of all texts
as one matrix, and only attention, a small part of the work, is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

_FAR = -1e30
"""What is added to a score that must not count."""
_ROUNDED, _LONGEST_ROUNDED = 32, 8
"""All tokens together, and those of the longest text, are made a multiple of so many by a text that nobody looks at:
PyTorch's bfloat16 products keep a program for each shape that they have met."""


class PackedBert:
    """The computation of a loaded BertModel, in the type of its weights, every token being of the first kind.

    Raises ValueError for a model of another make.
    """

    def __init__(self, model: Any) -> None:
        if model.config.model_type != "bert" or model.config.hidden_act != "gelu":
            raise ValueError(f"{model.config.model_type} is computed in another way")
        embeddings = model.embeddings
        self._words = embeddings.word_embeddings.weight.detach()
        self._places = (embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]).detach()
        self._norm = embeddings.LayerNorm
        self._heads = int(model.config.num_attention_heads)
        self._layers = [(_together(layer.attention.self), layer) for layer in model.encoder.layer]

    @torch.inference_mode()
    def __call__(self, texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The last states of all tokens of all texts, one text after the other, (tokens, hidden), and the number of
        each token's text, (tokens,)."""
        tokens = sum(map(len, texts))
        if self._words.dtype == torch.bfloat16:
            texts = [*texts, [0] * (_ROUNDED - tokens % _ROUNDED)]
        lengths = torch.tensor([len(text) for text in texts])
        count, longest = len(texts), -(-int(lengths.max()) // _LONGEST_ROUNDED) * _LONGEST_ROUNDED
        rows = torch.repeat_interleave(torch.arange(count), lengths)
        places = torch.cat([torch.arange(len(text)) for text in texts])
        padded = rows * longest + places
        x = functional.embedding(torch.tensor([token for text in texts for token in text]), self._words)
        x = self._norm(x + functional.embedding(places, self._places))
        hidden = x.shape[1]
        width = hidden // self._heads
        missing = torch.arange(longest) >= lengths[:, None]
        unseen = torch.zeros(missing.shape, dtype=x.dtype).masked_fill_(missing, _FAR)[:, None, None]
        spread = torch.zeros(count * longest, 3 * hidden, dtype=x.dtype)
        for (weight, bias), layer in self._layers:
            spread[padded] = functional.linear(x, weight, bias)
            query, key, value = spread.view(count, longest, 3, self._heads, width).permute(2, 0, 3, 1, 4)
            scores = torch.matmul(query * width**-0.5, key.transpose(-1, -2)).add_(unseen)
            seen = torch.matmul(scores.softmax(-1), value).permute(0, 2, 1, 3).reshape(-1, hidden)[padded]
            x = layer.attention.output.LayerNorm(layer.attention.output.dense(seen).add_(x))
            inner = functional.gelu(layer.intermediate.dense(x))
            x = layer.output.LayerNorm(layer.output.dense(inner).add_(x))
        return x[:tokens], rows[:tokens]

    def embedded(self, text: Sequence[int]) -> NDArray[np.float32]:
        """The mean state of one text's tokens, of length 1, (hidden,)."""
        states, _ = self([text])
        vector: NDArray[np.float32] = functional.normalize(states.float().mean(0), dim=0).numpy()
        return vector


def _together(attention: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and biases of query, key and value, one below the other; they themselves become views of these."""
    parts = (attention.query, attention.key, attention.value)
    weight, bias = torch.cat([p.weight.detach() for p in parts]), torch.cat([p.bias.detach() for p in parts])
    for part, own_weight, own_bias in zip(parts, weight.chunk(3), bias.chunk(3), strict=True):
        part.weight.data, part.bias.data = own_weight, own_bias
    return weight, bias
