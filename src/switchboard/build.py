"""The composition root: from settings to a running Switchboard."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from switchboard.compute import compute
from switchboard.errors import AdapterError, StorageError, SwitchboardError
from switchboard.files import storing
from switchboard.generation.adapters import load_adapters
from switchboard.generation.fast.llama import fast_version
from switchboard.generation.local import LocalGenerator
from switchboard.generation.model import load_model
from switchboard.memory import give_back
from switchboard.modes import MODES
from switchboard.progress import Report
from switchboard.prompts import system_prompt
from switchboard.retrieval.embedding import PACKAGED, SentenceEmbedder, open_embedder
from switchboard.retrieval.index import KnowledgeIndex, MissingIndex
from switchboard.retrieval.reranker import RERANKER, CrossEncoder, is_reranker
from switchboard.settings import Settings
from switchboard.switch import Switchboard
from switchboard.types import Message


@dataclass(frozen=True)
class Running:
    """A Switchboard at work.

    `about` says in pairs of label and text what runs here and why. `warm_up` reads what every prompt begins with, so
    that visitors find it read; it takes a second and may run while they ask.
    """

    switchboard: Switchboard
    index: KnowledgeIndex
    about: tuple[tuple[str, str], ...]
    settings: Settings
    warm_up: Callable[[], None]
    ready: bool = True


def build(settings: Settings, report: Report, strict: bool = False) -> Running:
    """Load everything that `settings` name, making what is not there yet. Raises ModelError or StorageError.

    Without an index that can be opened the modes that search refuse, with a sentence, and the others work; `strict`
    raises KnowledgeError, ModelError or StorageError instead.
    """
    with ThreadPoolExecutor(1) as side:
        # The model and the index share nothing until a question comes, so they load side by side.
        index_ready = side.submit(open_index if strict else _index_or_none, settings, report)
        generator, about = compute(load_generator, settings, report)
        index = index_ready.result()
    give_back()
    report(f"Knowledge: {index.describe()}")
    return Running(
        switchboard=Switchboard(generator, index, settings.company, settings.quoting),
        index=index,
        about=(*about, ("Knowledge", index.describe())),
        settings=settings,
        warm_up=partial(_warm_up, generator, settings.company),
    )


def load_generator(settings: Settings, report: Report) -> tuple[LocalGenerator, tuple[tuple[str, str], ...]]:
    """Load the model and its adapters; returns the engine and what there is to say about it."""
    base = load_model(settings, report)
    report(f"Model: {base.describe()}")
    adapters = load_adapters(base, settings.adapters, [mode.adapter for mode in MODES.values() if mode.adapter])
    for reason in adapters.refused.values():
        report(f"Refused: {reason}")
    fast = compute(fast_version, adapters.model, list(adapters.loaded), report)
    generator = LocalGenerator(base, adapters, fast)
    names = ", ".join(f"{name} ({revision})" for name, revision in adapters.loaded.items()) or "none"
    about = (
        ("Model", base.identity),
        ("Runs on", f"{base.device}, {base.dtype} ({base.reasons})"),
        ("Decoder", "our own, compiled" if fast and fast.compiled else "our own" if fast else "transformers"),
        ("Quantization", base.quantization_words),
        ("Adapters", "; ".join([names, *adapters.refused.values()])),
    )
    return generator, about


def open_index(settings: Settings, report: Report, spare: bool = False) -> KnowledgeIndex:
    """Load the embedder and bring the index up to date with the knowledge folder.

    Where the index cannot be written, `spare` has a copy of it opened, which lasts as long as this process. Raises
    KnowledgeError, ModelError or StorageError.
    """
    embedder = open_embedder(settings.embedder, settings.data, report)
    reranker = open_reranker(settings, embedder, report)

    def opened(data: Path) -> KnowledgeIndex:
        return KnowledgeIndex.open(settings.knowledge, data, embedder, report, settings.threshold, reranker)

    try:
        return opened(settings.data)
    except StorageError as error:
        if not spare:
            raise
        report(f"{error} Until then it is a copy that is searched.")
        with storing(Path(tempfile.gettempdir())):
            copy = Path(tempfile.mkdtemp(prefix="switchboard-"))
            atexit.register(shutil.rmtree, copy, ignore_errors=True)
            with suppress(shutil.Error, FileNotFoundError):  # what cannot be copied is made anew
                shutil.copytree(settings.data / "index", copy / "index")
        return opened(copy)


def _index_or_none(settings: Settings, report: Report) -> KnowledgeIndex:
    """The index, or what stands in for one that cannot be had."""
    try:
        return open_index(settings, report, spare=True)
    except SwitchboardError as error:
        report(f"RAG and Combined cannot answer: {error}")
        return MissingIndex()


def open_reranker(settings: Settings, embedder: SentenceEmbedder, report: Report) -> CrossEncoder | None:
    """The reranker that belongs to the embedder; None where there is none, or where a threshold was asked for."""
    folder = settings.adapters / RERANKER
    if settings.threshold is not None or settings.embedder != PACKAGED or not is_reranker(folder):
        return None
    try:
        return CrossEncoder(embedder.folder, folder)
    except AdapterError as error:
        report(f"Refused: {error}")
        return None


def _warm_up(generator: LocalGenerator, company: str) -> None:
    """Read each mode's system prompt once."""
    for mode in MODES.values():
        if (mode.adapter or "") not in generator.refused_adapters:
            system = Message("system", system_prompt(company, with_passages=mode.searches))
            generator.warm_up([system, Message("user", "Hello")], mode.adapter)
