"""Reranking: a cross-encoder reads the question and a sentence together and says how likely the one answers the other.

The embedder judges a question and a sentence apart from each other, so to it a near miss looks like a hit. The
cross-encoder is the embedder itself with a LoRA adapter (`adapters/reranker`), so there is no second model
to fetch. From: Nogueira and Cho, Passage re-ranking with BERT, 2019.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch.nn import functional

from switchboard.compute import compute
from switchboard.errors import AdapterError, first_line
from switchboard.files import damaged
from switchboard.lora_files import WEIGHTS
from switchboard.retrieval.embedding import Vectors
from switchboard.retrieval.judge import read_judge
from switchboard.retrieval.packed_bert import read_bert
from switchboard.tokenizer import read_tokenizer

MAX_TOKENS = 160
"""Of a question and a text together; what is longer is cut at the text's end."""

RERANKER = "reranker"
"""Its folder below the adapters'."""
SCALE, EVEN = 12.0, 0.5
"""The logit of a similarity: this often its distance from the one that is an even chance."""
_NEITHER = 2


class CrossEncoder:
    """A `Reranker` of one's embedder with an adapter. Safe to call from several threads."""

    def __init__(self, embedder: Path, adapter: Path) -> None:
        """Load both folders. Raises AdapterError where the adapter does not fit the embedder."""
        try:
            if damaged(adapter / WEIGHTS):
                raise ValueError("its weights are not those that were trained")
            self.judge = read_judge(adapter)
            self._tokenizer = read_tokenizer(embedder)
            exact = not torch.cpu._is_avx512_bf16_supported()
            self._model = read_bert(embedder, adapter, torch.float32 if exact else torch.bfloat16)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
            raise AdapterError(
                f"The reranker in {adapter} cannot be put on the embedder ({first_line(error)}). Remove the folder to "
                "rank by similarity alone."
            ) from error
        self._lock = threading.Lock()

    def score(self, question: str, texts: Sequence[str]) -> Vectors:
        """Logits of shape (texts,)."""
        with self._lock:
            return compute(self._score, question, texts)

    def _score(self, question: str, texts: Sequence[str]) -> Vectors:
        """As training/reranker.py computes them, without its padding."""
        pairs = self._tokenizer([question] * len(texts), list(texts), truncation="longest_first", max_length=MAX_TOKENS)
        states, rows = self._model(pairs["input_ids"])
        # Special tokens belong to neither side, and are summed up with nobody.
        sides = [_NEITHER if side is None else side for n in range(len(texts)) for side in pairs.sequence_ids(n)]
        sums = torch.zeros(len(texts) * 3, states.shape[1])
        sums.index_add_(0, rows * 3 + torch.tensor(sides), states.float())
        one, other, _ = sums.view(len(texts), 3, -1).unbind(1)
        scores: Vectors = (SCALE * (functional.cosine_similarity(one, other) - EVEN)).numpy()
        return scores
