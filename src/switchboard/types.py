"""The values that travel through the program: frozen, and built from the standard library alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from switchboard.errors import SettingsError

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One message of a conversation. Sources and metrics are never part of it."""

    role: Role
    content: str


@dataclass(frozen=True)
class Document:
    """One file of the knowledge base.

    `source` is its path below the knowledge folder with forward slashes; `text` is its body without front
    matter, which every offset counts in characters of; `sha256` is the digest of the file's bytes.
    """

    source: str
    title: str
    topic: str
    updated: str
    text: str
    sha256: str


@dataclass(frozen=True)
class Passage:
    """A piece of a document: `text == document.text[start:end]`.

    `score` is the cosine similarity of the passage to the question, from -1 to 1, higher is closer; it is 0 for
    a passage that was not searched for. `left_out` counts its sentences that no model is shown, as they give orders.
    """

    source: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    updated: str = ""
    score: float = 0.0
    left_out: int = 0

    @property
    def id(self) -> str:
        """Names the passage in the index: its source and its first character."""
        return f"{self.source}#{self.start}"

    @property
    def label(self) -> str:
        """The title, and the heading where there is one: `Fibre plans and prices › Set-up`."""
        return f"{self.title} › {self.heading}" if self.heading else self.title


@dataclass(frozen=True)
class Quote:
    """A sentence or list of a passage: its text, the passage's number from 1, and the log odds that it answers.

    `asked` counts from 0 which of the things asked it may answer, where a message asks several.
    """

    text: str
    passage: int
    score: float
    asked: int = 0


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    `passages` come best first and are empty when nothing reached `threshold`, or when `coverage`, the probability
    that they answer the query at all, is too low (None where it was not estimated); `nearest` is the closest passage
    either way, None only for an empty index. `query` is what was searched for, which differs from the question
    when that was a follow-up. `quotes`, best first, are what a model reads of the passages; none where it reads all.
    """

    query: str
    passages: tuple[Passage, ...]
    nearest: Passage | None
    threshold: float
    milliseconds: float
    quotes: tuple[Quote, ...] = ()
    coverage: float | None = None

    @property
    def read(self) -> tuple[Passage, ...]:
        """The passages with what is read of them as their text, best first."""
        if not self.quotes:
            return self.passages
        return tuple(
            replace(passage, text="\n".join(q.text for q in self.quotes if q.passage == number))
            for number, passage in enumerate(self.passages, 1)
        )


LIMITS: Mapping[str, tuple[float, float]] = {
    "passages": (1, 8),
    "temperature": (0.0, 1.5),
    "max_tokens": (16, 512),
}
"""The inclusive range of each field of GenerationSettings."""


@dataclass(frozen=True)
class GenerationSettings:
    """What a visitor may turn.

    `passages` retrieved for a turn; `temperature` of sampling, 0 is greedy and deterministic; `max_tokens` of
    the answer. Raises SettingsError outside of LIMITS.
    """

    passages: int = 3
    temperature: float = 0.0
    max_tokens: int = 256

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{name} is {value:g}; it must be from {low:g} to {high:g}.")


@dataclass(frozen=True)
class Grounding:
    """What an answer may copy figures from: `texts`; and how many `passages` there are to cite.

    `decline` is the sentence that says that they do not answer the question. With `quotes` the answer is made of them
    alone, see generation/quoting.py. Without passages there are `asked`: the prompts of each thing asked, which an
    adapter that brings replies answers in them, see generation/replies.py.
    """

    texts: tuple[str, ...] = ()
    passages: int = 0
    decline: str = ""
    quotes: tuple[Quote, ...] = ()
    asked: tuple[tuple[Message, ...], ...] = ()


@dataclass(frozen=True)
class Token:
    """One step of generation: `text` is what it adds to the answer, empty inside a multi-byte character.

    A step that waits for the model adds nothing; it is there so that the visitor can be told, and can stop: `waiting`
    says how many others are answered first, and `wait_seconds` about how long that takes. An `idle` one waits for a
    server to go on. One that was `copied` from a passage or a taught reply cost no computing.
    """

    text: str
    prompt_tokens: int
    reused_tokens: int
    waiting: int = 0
    copied: bool = False
    wait_seconds: float = 0.0
    idle: bool = False


@dataclass(frozen=True)
class Completion:
    """A whole answer that nobody watched being written.

    `decline` is the natural logarithm of the probability of declining, where the grounding says how one does.
    """

    text: str
    prompt_tokens: int
    output_tokens: int
    decline: float | None = None


@dataclass(frozen=True)
class Metrics:
    """What one answer cost, measured in the program.

    `retrieval_ms` is 0 for a mode that does not search. `time_to_first_token_ms` counts from the question,
    retrieval included. `reused_tokens` of the `prompt_tokens` came from a cache. `tokens_per_second` is decoding
    alone: tokens after the first over the time after the first.
    """

    retrieval_ms: float = 0.0
    time_to_first_token_ms: float = 0.0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    output_tokens: int = 0
    tokens_per_second: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True)
class Answer:
    """An answer so far. Each one yielded for a turn replaces the one before.

    `cited` are the numbers of cited passages, counted from 1; `removed_citations` counts those that pointed at
    nothing. `abstained` says that the question is not covered: nothing relevant was found, or the model
    declined. `notice` is a sentence about how the answer came to be, shown beside it; it says why where an answer is
    `cut_off`: the generator failed before its end. `waiting` says how many others the model answers first, and
    `wait_seconds` about how long that takes.
    """

    mode: str
    text: str = ""
    passages: tuple[Passage, ...] = ()
    nearest: Passage | None = None
    cited: tuple[int, ...] = ()
    removed_citations: int = 0
    abstained: bool = False
    notice: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    waiting: int = 0
    wait_seconds: float = 0.0
    done: bool = False
    cut_off: bool = False


class Generator(Protocol):
    """What writes answers: the local engine, a server, or a fake in the tests."""

    @property
    def context_tokens(self) -> int:
        """The most tokens that a prompt and its answer may have together."""

    @property
    def refused_adapters(self) -> Mapping[str, str]:
        """Adapters that cannot be used with this base, and why, in a sentence."""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The length of the prompt that these messages make."""

    def stream(
        self,
        messages: Sequence[Message],
        settings: GenerationSettings,
        adapter: str | None,
        grounding: Grounding | None = None,
    ) -> Iterator[Token]:
        """Yield the answer token by token; an `adapter` of None is the untouched base.

        With a `grounding` the local engine says no figure and no citation but those of its texts and passages; a
        server's model answers freely. Closing the iterator stops the model. Raises GeneratorError where a server fails,
        which may be after some tokens.
        """


class Retriever(Protocol):
    """What finds passages."""

    def search(self, query: str, k: int) -> SearchResult:
        """Find at most k passages, best first."""

    def small_talk(self, message: str) -> str:
        """A reply, where a message resembles known small talk more than any known question; else nothing."""
