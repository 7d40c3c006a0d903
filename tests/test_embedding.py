"""The embedder: what it refuses, and the packaged one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from switchboard import assets
from switchboard.errors import ModelError
from switchboard.progress import quietly
from switchboard.retrieval.embedding import SentenceEmbedder, embedded_text, open_embedder
from switchboard.settings import Settings
from switchboard.types import Passage


def passage(text: str) -> Passage:
    return Passage("a.md", "Late fees", "The fee", text, 0, len(text))


def test_title_heading_and_text_are_embedded_together() -> None:
    assert embedded_text(passage("£7.50")) == "Late fees\nThe fee\n£7.50"
    assert embedded_text(Passage("a", "", "", "text", 0, 4)) == "text"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"modules.json": json.dumps([{"type": "custom_st.Own"}])}, "code of its own"),
        ({"modules.json": "[oops"}, "cannot be read"),
        ({"modules.json": "[]", "pytorch_model.bin": "x"}, "safetensors"),
        ({"config.json": "{}"}, "cannot be loaded"),
    ],
)
def test_an_unsafe_or_broken_folder_is_refused(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=reason):
        open_embedder(str(tmp_path), tmp_path, quietly)


@pytest.fixture(scope="module")
def real() -> SentenceEmbedder:
    return open_embedder("packaged", Settings().data, quietly)


@pytest.mark.real
def test_vectors_have_length_one_and_near_meanings_are_near(real: SentenceEmbedder) -> None:
    done: list[int] = []
    vectors = real.embed_passages([passage("You pay £7.50"), passage("Sheep eat grass " * 40)], done.append)
    assert vectors.shape == (2, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)
    query = real.embed_query("What does paying late cost?")
    assert query @ vectors[0] > query @ vectors[1]
    assert done == [2]
    assert real.embed_passages([]).shape == (0, 384)


@pytest.mark.real
def test_tokens_are_counted_beyond_what_is_read(real: SentenceEmbedder) -> None:
    assert real.max_tokens == 254
    assert real.count_tokens("word " * 1000) == 1000


@pytest.mark.real
def test_a_copy_is_the_same_model_and_a_changed_one_is_not(real: SentenceEmbedder, tmp_path: Path) -> None:
    folder = assets.unpack(assets.EMBEDDER, Settings().data / "models" / "all-MiniLM-L6-v2", quietly) / "model"
    copy = Path(shutil.copytree(folder, tmp_path / "all-MiniLM-L6-v2"))
    assert open_embedder(str(copy), tmp_path, quietly).identity == real.identity
    pooling = copy / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert open_embedder(str(copy), tmp_path, quietly).identity != real.identity


@pytest.mark.real
def test_a_question_alone_is_embedded_as_among_others(real: SentenceEmbedder) -> None:
    questions = ["How much is Fibre 500 a month?", "", "  HELLO\n", "word " * 1000]
    alone = np.stack([real.embed_query(question) for question in questions])
    assert np.allclose(alone, real.embed_queries(questions), atol=1e-5)
    assert real._packed


@pytest.mark.real
def test_an_embedder_of_half_precision_embeds_too(real: SentenceEmbedder, tmp_path: Path) -> None:
    real._model.half().save(str(tmp_path))
    real._model.float()
    half = SentenceEmbedder(tmp_path, "half")
    assert half.embed_query("What is the fee?") @ real.embed_query("What is the fee?") > 0.99
