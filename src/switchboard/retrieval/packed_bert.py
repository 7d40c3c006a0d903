"""BERT over many short texts at once, read from its files, without computing anything for padding.

It takes the place of transformers' BertModel where only inference matters: the projections read all tokens of all texts
as one matrix, and only attention, a small part of the work, is padded. What transformers and PEFT would bring along is
more than the model itself: a quarter of a gigabyte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional

from switchboard.lora_files import read_lora

_FAR = -1e30
"""What is added to a score that must not count."""
_ROUNDED, _LONGEST_ROUNDED = 32, 8
"""All tokens together, and those of the longest text, are made a multiple of so many by a text that nobody looks at:
PyTorch's bfloat16 products keep a program for each shape that they have met."""
_ATTENTION, _PARTS = "attention.self", ("query", "key", "value")
_WORDS = "embeddings.word_embeddings.weight"


class _Layer:
    """One layer's weights by their names in it; query, key and value are one matrix, one below the other."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], prefix: str) -> None:
        self._own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        for kind in ("weight", "bias"):
            parts = [self._own.pop(f"{_ATTENTION}.{part}.{kind}") for part in _PARTS]
            self._own[f"{_ATTENTION}.{kind}"] = torch.cat(parts)

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """A projection of `x` (tokens, in)."""
        return functional.linear(x, self._own[f"{name}.weight"], self._own[f"{name}.bias"])

    def norm(self, x: torch.Tensor, name: str, eps: float) -> torch.Tensor:
        """The layer norm of a name."""
        return functional.layer_norm(x, x.shape[-1:], self._own[f"{name}.weight"], self._own[f"{name}.bias"], eps)


class PackedBert:
    """BertModel's computation in the type of its weights, every token being of the first kind.

    `tensors` are named as in transformers' files; that of the words may be of another type. Raises ValueError for a
    model of another make, and KeyError where a tensor is missing.
    """

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
            raise ValueError(f"{config['model_type']} is computed in another way")
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError("its places are told in another way")
        own = {name.removeprefix("embeddings."): t for name, t in tensors.items() if name.startswith("embeddings.")}
        self._words = own["word_embeddings.weight"]
        self._places = own["position_embeddings.weight"] + own["token_type_embeddings.weight"][0]
        self._dtype = self._places.dtype
        self._norm = own["LayerNorm.weight"], own["LayerNorm.bias"], float(config["layer_norm_eps"])
        self._heads = int(config["num_attention_heads"])
        self._layers = [
            _Layer(tensors, f"encoder.layer.{number}.") for number in range(int(config["num_hidden_layers"]))
        ]

    @property
    def width(self) -> int:
        """The numbers of a state."""
        return int(self._words.shape[1])

    @torch.inference_mode()
    def __call__(self, texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The last states of all tokens of all texts, one text after the other, (tokens, hidden), and the number of
        each token's text, (tokens,)."""
        tokens = sum(map(len, texts))
        if self._dtype == torch.bfloat16:
            texts = [*texts, [0] * (_ROUNDED - tokens % _ROUNDED)]
        lengths = torch.tensor([len(text) for text in texts])
        count, longest = len(texts), -(-int(lengths.max()) // _LONGEST_ROUNDED) * _LONGEST_ROUNDED
        rows = torch.repeat_interleave(torch.arange(count), lengths)
        places = torch.cat([torch.arange(len(text)) for text in texts])
        padded = rows * longest + places
        x = functional.embedding(torch.tensor([token for text in texts for token in text]), self._words)
        x = x.to(self._dtype) + functional.embedding(places, self._places)
        hidden, eps = x.shape[1], self._norm[2]
        x = functional.layer_norm(x, (hidden,), *self._norm)
        width = hidden // self._heads
        missing = torch.arange(longest) >= lengths[:, None]
        unseen = torch.zeros(missing.shape, dtype=x.dtype).masked_fill_(missing, _FAR)[:, None, None]
        spread = torch.zeros(count * longest, 3 * hidden, dtype=x.dtype)
        for layer in self._layers:
            spread[padded] = layer.linear(x, _ATTENTION)
            query, key, value = spread.view(count, longest, 3, self._heads, width).permute(2, 0, 3, 1, 4)
            scores = torch.matmul(query * width**-0.5, key.transpose(-1, -2)).add_(unseen)
            seen = torch.matmul(scores.softmax(-1), value).permute(0, 2, 1, 3).reshape(-1, hidden)[padded]
            x = layer.norm(layer.linear(seen, "attention.output.dense").add_(x), "attention.output.LayerNorm", eps)
            inner = functional.gelu(layer.linear(x, "intermediate.dense"))
            x = layer.norm(layer.linear(inner, "output.dense").add_(x), "output.LayerNorm", eps)
        return x[:tokens], rows[:tokens]

    def embedded(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The mean state of each text's tokens, of length 1, (texts, width)."""
        states, rows = self(texts)
        sums = torch.zeros(len(texts), self.width).index_add_(0, rows, states.float())
        vectors: NDArray[np.float32] = functional.normalize(sums, dim=1).numpy()
        return vectors


def read_bert(folder: Path, adapter: Path | None = None, dtype: torch.dtype = torch.float32) -> PackedBert:
    """The model in a folder, a LoRA adapter added to its weights.

    Raises ValueError for a model or an adapter of another make; OSError, KeyError, TypeError, RuntimeError or
    SafetensorError for damaged files.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    file = folder / "model.safetensors"
    read = {name.removeprefix("bert."): t for name, t in load_file(file).items() if t.is_floating_point()}
    # Half of the model is the words' table, of which a text needs a few rows: it stays where it is, in the file. All
    # else is copied, so that nothing more of the file stays in memory.
    tensors = {name: t.to(dtype, copy=True) for name, t in read.items() if name != _WORDS}
    if adapter:
        lora = read_lora(adapter)
        for name, (down, up) in lora.matrices.items():
            tensors[f"{name}.weight"] = (read[f"{name}.weight"].float() + up @ down * lora.scaling).to(dtype)
    del read
    with safe_open(file, "pt") as opened:
        own = next((name for name in opened.keys() if name.endswith(_WORDS)), _WORDS)  # noqa: SIM118 - no mapping
        tensors[_WORDS] = opened.get_tensor(own)
    return PackedBert(config, tensors)
