"""Reranking: a cross-encoder reads the question and a sentence together and says how likely the one answers the other.

The embedder judges a question and a sentence apart from each other, so to it a near miss looks like a hit. The
cross-encoder is the embedder itself with a LoRA adapter (`adapters/reranker`), so there is no second model
to fetch. From: Nogueira and Cho, Passage re-ranking with BERT, 2019.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.nn import functional

from switchboard.compute import compute
from switchboard.errors import AdapterError, first_line
from switchboard.files import damaged
from switchboard.retrieval.embedding import Vectors
from switchboard.retrieval.judge import read_judge
from switchboard.retrieval.packed_bert import PackedBert

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
            if damaged(adapter / "adapter_model.safetensors"):
                raise ValueError("its weights are not those that were trained")
            self.judge = read_judge(adapter)
            self._tokenizer, model = load(embedder, adapter)
            self._model = PackedBert(model.bfloat16() if torch.cpu._is_avx512_bf16_supported() else model)
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
        """As `logits` below, without its padding."""
        pairs = self._tokenizer([question] * len(texts), list(texts), truncation="longest_first", max_length=MAX_TOKENS)
        states, rows = self._model(pairs["input_ids"])
        # Special tokens belong to neither side, and are summed up with nobody.
        sides = [_NEITHER if side is None else side for n in range(len(texts)) for side in pairs.sequence_ids(n)]
        sums = torch.zeros(len(texts) * 3, states.shape[1])
        sums.index_add_(0, rows * 3 + torch.tensor(sides), states.float())
        one, other, _ = sums.view(len(texts), 3, -1).unbind(1)
        scores: Vectors = (SCALE * (functional.cosine_similarity(one, other) - EVEN)).numpy()
        return scores


def logits(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
    """The logits of pairs of question and text, shape (pairs,).

    Both are read as one sequence, so that each sees the other; the logit is then the scaled cosine similarity of the
    mean state of the question's tokens and that of the text's, which is where an embedder starts from already.
    """
    questions, texts = zip(*pairs, strict=True)
    options = {"truncation": "longest_first", "max_length": MAX_TOKENS, "padding": True, "return_tensors": "pt"}
    batch = tokenizer(list(questions), list(texts), return_special_tokens_mask=True, **options)
    words = batch["attention_mask"] * (1 - batch["special_tokens_mask"])
    # The embedder was trained on single texts: to it all tokens are of one kind.
    states = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        token_type_ids=torch.zeros_like(batch["input_ids"]),
    ).last_hidden_state.float()
    sides = [(words * (batch["token_type_ids"] == side)).float().unsqueeze(-1) for side in (0, 1)]
    one, other = ((states * side).sum(1) / side.sum(1).clamp(min=1) for side in sides)
    return SCALE * (functional.cosine_similarity(one, other) - EVEN)


def load(embedder: Path, adapter: Path | None) -> tuple[Any, Any]:
    """The tokenizer, and the embedder with the adapter or as it is, in float32."""
    from peft import PeftModel  # noqa: PLC0415  seconds, for those who only read documents
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(embedder, local_files_only=True)
    model = AutoModel.from_pretrained(embedder, dtype=torch.float32, local_files_only=True, use_safetensors=True)
    if adapter:
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return tokenizer, model.eval()


def is_reranker(folder: Path) -> bool:
    """Whether an adapter's folder holds a reranker and not a language model's adapter."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        return bool(config["task_type"] == "FEATURE_EXTRACTION")
    except (OSError, ValueError, KeyError, TypeError):
        return False
