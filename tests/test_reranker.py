"""The reranker without padding against the same one with it, which is what was trained."""

from __future__ import annotations

import pytest
import torch

from switchboard.progress import quietly
from switchboard.retrieval.embedding import open_embedder
from switchboard.retrieval.reranker import MAX_TOKENS, RERANKER, CrossEncoder
from switchboard.settings import Settings
from switchboard.training.reranker import load, logits

pytestmark = pytest.mark.real

QUESTION = "How much is Fibre 500 a month?"
TEXTS = (
    "Fibre plans and prices › Monthly prices. - Fibre 500 costs £36 a month.",
    "Late payment. The fee is £7.50.",
    "Tea.",
    "A text that is cut, " * MAX_TOKENS,
)


def test_texts_read_together_score_as_each_by_itself(real_settings: Settings) -> None:
    embedder = open_embedder(real_settings.embedder, real_settings.data, quietly)
    adapter = real_settings.adapters / RERANKER
    reranker = CrossEncoder(embedder.folder, adapter)
    tokenizer, model = load(embedder.folder, adapter)
    with torch.inference_mode():
        alone = torch.cat([logits(model, tokenizer, [(QUESTION, text)]) for text in TEXTS])
    found = torch.from_numpy(reranker.score(QUESTION, TEXTS))
    assert torch.allclose(found, alone, atol=0.1)
    assert found.argmax() == 0
    again = torch.from_numpy(reranker.score(QUESTION, TEXTS[::-1])).flip(0)
    assert torch.allclose(found, again, atol=0.05)
