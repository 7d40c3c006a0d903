"""The embedder: what it refuses, and the packaged one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

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


@pytest.fixture(scope="module")
def library() -> SentenceTransformer:
    folder = assets.unpack(assets.EMBEDDER, Settings().data / "models" / "all-MiniLM-L6-v2", quietly) / "model"
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@pytest.mark.real
def test_vectors_are_those_of_sentence_transformers(real: SentenceEmbedder, library: SentenceTransformer) -> None:
    assert type(real._model).__name__ == "_Bert"
    texts = ["How much is Fibre 500 a month?", "", "  HELLO\n", "£7.50 – naïve 😀", "word " * 1000, "Fees\n- a\n- b"]
    assert np.allclose(real.embed_queries(texts), library.encode(texts), atol=1e-5)
    documents = [passage(text) for text in texts]
    theirs = library.encode([embedded_text(one) for one in documents])
    assert np.allclose(real.embed_passages(documents), theirs, atol=1e-5)
    assert [real.count_tokens(text) for text in texts[:2]] == [8, 0]


@pytest.mark.real
@pytest.mark.parametrize("change", [{"pooling_mode_cls_token": True}, {"pooling_mode_mean_tokens": False}])
def test_a_model_that_is_put_together_otherwise_is_left_to_sentence_transformers(
    library: SentenceTransformer, tmp_path: Path, change: dict[str, bool]
) -> None:
    library.save(str(tmp_path))
    pooling = tmp_path / "1_Pooling" / "config.json"
    config = json.loads(pooling.read_text(encoding="utf-8"))
    pooling.write_text(json.dumps({**config, "pooling_mode_max_tokens": True, **change}), encoding="utf-8")
    embedder = SentenceEmbedder(tmp_path, "other")
    assert type(embedder._model).__name__ == "_Library"
    theirs = SentenceTransformer(str(tmp_path), device="cpu").encode("What is the fee?", normalize_embeddings=True)
    assert np.allclose(embedder.embed_query("What is the fee?"), theirs, atol=1e-5)


@pytest.mark.real
def test_an_embedder_of_half_precision_embeds_too(
    real: SentenceEmbedder, library: SentenceTransformer, tmp_path: Path
) -> None:
    library.half().save(str(tmp_path))
    library.float()
    half = SentenceEmbedder(tmp_path, "half")
    assert half.embed_query("What is the fee?") @ real.embed_query("What is the fee?") > 0.99
