"""The composition root: from settings to a running Switchboard."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from switchboard.compute import compute
from switchboard.database import open_database
from switchboard.errors import AdapterError, StorageError
from switchboard.files import storing
from switchboard.generation.adapters import Adapters, load_adapters
from switchboard.generation.fast.llama import FastLlama, fast_version
from switchboard.generation.fast.stored import Stored
from switchboard.generation.local import LocalGenerator
from switchboard.generation.model import LoadedModel, load_model
from switchboard.lora_files import for_an_embedder
from switchboard.memory import few_arenas, give_back
from switchboard.modes import ABLATION, MODES
from switchboard.progress import Report
from switchboard.prompts import system_prompt
from switchboard.retrieval.embedding import PACKAGED, SentenceEmbedder, open_embedder
from switchboard.retrieval.index import KnowledgeIndex, name_of
from switchboard.retrieval.knowledge import Knowledge
from switchboard.retrieval.reranker import RERANKER, CrossEncoder
from switchboard.retrieval.server import ChromaServer
from switchboard.retrieval.shared import SharedDocuments
from switchboard.settings import Settings
from switchboard.switch import Switchboard
from switchboard.types import Generator, Message

About = tuple[tuple[str, str], ...]

WATCH_SECONDS = 5.0
"""How soon a process notices that the shared documents, or the knowledge folder's, have changed."""


@dataclass(frozen=True)
class Running:
    """A Switchboard at work.

    `about` says in pairs of label and text what runs here and why. `warm_up` reads what every prompt begins with, so
    that visitors find it read; it takes a second and may run while they ask.
    """

    answers: Switchboard
    knowledge: Knowledge
    about: About
    settings: Settings
    warm_up: Callable[[], None]
    ready: bool = True
    missing: tuple[str, ...] = ()

    @property
    def index(self) -> KnowledgeIndex:
        """The index that is searched now."""
        return self.knowledge.current

    @property
    def switchboard(self) -> Switchboard:
        """The switch over that index."""
        return self.answers.over(self.index)


def build(settings: Settings, report: Report, strict: bool = False) -> Running:
    """Load everything that `settings` name, making what is not there yet. Raises ModelError or StorageError.

    Without an index that can be opened the modes that search refuse, with a sentence, and the others work; `strict`
    raises KnowledgeError, ModelError or StorageError instead.
    """
    few_arenas()
    with ThreadPoolExecutor(1) as side:
        # The model and the index share nothing until a question comes, so they load side by side.
        knowledge_ready = side.submit(open_knowledge, settings, report, not strict)
        generator, elsewhere, about = load_generators(settings, report)
        knowledge = knowledge_ready.result()
    vectors = (("Vectors", "on a Chroma server"),) if settings.chroma_url else ()
    give_back()
    index = knowledge.current
    report(f"Knowledge: {index.describe()}")
    return Running(
        answers=Switchboard(generator, index, settings.company, settings.quoting, elsewhere),
        knowledge=knowledge,
        about=(*about, ("Knowledge", index.describe()), *vectors),
        settings=settings,
        warm_up=partial(_warm_up, generator, settings.company, elsewhere),
    )


def load_generators(settings: Settings, report: Report) -> tuple[Generator, Mapping[str, Generator], About]:
    """What writes answers: in most modes, and in those, by name, that a server answers; and what there is to say of it.

    Where the server answers all of them no model is loaded here.
    """
    if not settings.generator_url:
        local, about = compute(load_generator, settings, report)
        return local, {}, about
    from switchboard.generation.remote import RemoteGenerator  # noqa: PLC0415  (a second that few starts need)

    there = [mode for mode in MODES.values() if mode.name in settings.generator_modes]
    here = [mode for mode in MODES.values() if mode not in there]
    remote = RemoteGenerator(
        settings.generator_url,
        settings.generator_key,
        settings.generator_model,
        sorted({mode.adapter for mode in there if mode.adapter}),
        [mode.label for mode in here if mode.in_chat],
    )
    described = remote.describe()
    report(f"Model server at {settings.generator_url}: {described}")
    elsewhere = {mode.name: remote for mode in there}
    if "rag" in elsewhere:
        elsewhere[ABLATION.name] = remote  # it is the same without the reader
    # Without its address, as the page is everybody's.
    labels = ", ".join(mode.label for mode in there)
    about = (("Model server", f"{labels}: {described}; answers freely, prompt lengths are estimated"),)
    if not here:
        return remote, elsewhere, about
    local, own = compute(load_generator, settings, report)
    return local, elsewhere, (*own, *about)


def load_generator(settings: Settings, report: Report) -> tuple[LocalGenerator, About]:
    """Load the model and its adapters; returns the engine and what there is to say about it."""
    base, adapters, fast = _loaded(settings, report)
    report(f"Model: {base.describe()}")
    for reason in adapters.refused.values():
        report(f"Refused: {reason}")
    if fast:  # It has weights of its own: nothing else of what was loaded is needed any longer.
        base, adapters = replace(base, model=fast), replace(adapters, model=fast)
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


def _loaded(settings: Settings, report: Report) -> tuple[LoadedModel, Adapters, FastLlama | None]:
    """The model with its adapters for the fast decoder; where that cannot compute them, by transformers and PEFT."""
    wanted = [mode.adapter for mode in MODES.values() if mode.adapter]
    base = load_model(settings, report, bare=True)
    with suppress(ValueError):  # an adapter of a kind that only PEFT knows
        adapters = load_adapters(base, settings.adapters, wanted)
        fast = compute(fast_version, adapters.model, list(adapters.loaded), report)
        if fast or not isinstance(base.model, Stored):
            return base, adapters, fast
    base = load_model(settings, report)
    adapters = load_adapters(base, settings.adapters, wanted)
    return base, adapters, compute(fast_version, adapters.model, list(adapters.loaded), report)


def open_knowledge(settings: Settings, report: Report, patient: bool = False) -> Knowledge:
    """Load the embedder, bring the index up to date with the knowledge folder and its changes, and look for more.

    Where the index cannot be written, a `patient` caller gets a copy of it, for as long as this process lasts; where
    it cannot be had at all, an empty one until it can. Otherwise raises KnowledgeError, ModelError or StorageError.
    """

    # An index that could not be had is tried again every few seconds: what was loaded for it is loaded once.
    @cache
    def models() -> tuple[SentenceEmbedder, CrossEncoder | None]:
        embedder = open_embedder(settings.embedder, settings.data, report)
        return embedder, open_reranker(settings, embedder, report)

    copied = cache(_copied)

    def opened(edits: SharedDocuments | None, data: Path = settings.data) -> KnowledgeIndex:
        embedder, reranker = models()
        server = ChromaServer(settings.chroma_url, settings.company) if settings.chroma_url else None
        folder, threshold = settings.knowledge, settings.threshold
        try:
            return KnowledgeIndex.open(folder, data, embedder, report, threshold, reranker, edits, server)
        except StorageError as error:
            if not patient or data != settings.data:
                raise
            report(f"{error} Until then it is a copy that is searched.")
            return opened(edits, copied(data))

    edits = SharedDocuments(open_database(settings, "documents"), name_of(settings.knowledge))
    knowledge = Knowledge(settings.knowledge, settings.data, edits, opened, report, patient)
    if settings.admin_password or settings.database_url or settings.chroma_url or knowledge.missing:
        knowledge.watch(WATCH_SECONDS)
    return knowledge


def _copied(data: Path) -> Path:
    """A data folder of this process's own with a copy of the index. Raises StorageError."""
    with storing(Path(tempfile.gettempdir())):
        copy = Path(tempfile.mkdtemp(prefix="switchboard-"))
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
        with suppress(shutil.Error, FileNotFoundError):  # what cannot be copied is made anew
            shutil.copytree(data / "index", copy / "index")
    return copy


def open_index(settings: Settings, report: Report) -> KnowledgeIndex:
    """The index alone, as `open_knowledge` opens it."""
    return open_knowledge(settings, report).current


def open_reranker(settings: Settings, embedder: SentenceEmbedder, report: Report) -> CrossEncoder | None:
    """The reranker that belongs to the embedder; None where there is none, or where a threshold was asked for."""
    folder = settings.adapters / RERANKER
    if settings.threshold is not None or settings.embedder != PACKAGED or not for_an_embedder(folder):
        return None
    try:
        return CrossEncoder(embedder.folder, folder)
    except AdapterError as error:
        report(f"Refused: {error}")
        return None


def _warm_up(generator: Generator, company: str, elsewhere: Mapping[str, Generator]) -> None:
    """Read the system prompt of each mode that is answered here once."""
    if not isinstance(generator, LocalGenerator):
        return
    for mode in MODES.values():
        if mode.name not in elsewhere and (mode.adapter or "") not in generator.refused_adapters:
            system = Message("system", system_prompt(company, with_passages=mode.searches))
            generator.warm_up([system, Message("user", "Hello")], mode.adapter)
