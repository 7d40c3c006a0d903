"""The switch itself: one function that answers a turn down the path of its mode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from switchboard.citations import check_addresses, check_citations
from switchboard.errors import AdapterError, GeneratorError, SettingsError
from switchboard.followups import search_query
from switchboard.modes import Mode, mode_named
from switchboard.prompts import HISTORY_TOKENS, PROMPT_TOKENS, READER_DECLINE, build_prompt, declined
from switchboard.smalltalk import is_small_talk
from switchboard.subquestions import sub_questions
from switchboard.types import (
    Answer,
    GenerationSettings,
    Generator,
    Grounding,
    Message,
    Metrics,
    Passage,
    Quote,
    Retriever,
    SearchResult,
    Token,
)

_NOTHING_ASKED = "No passages were read, as nothing was asked."
_GREETING = "Hello! What would you like to know?"
"""What is said to small talk that resembles none that is known."""


@dataclass(frozen=True)
class Turn:
    """A turn up to where the model begins to write, which it does not where `answer` is `done` already.

    With passages `grounding` says what the answer's figures have to stand in; without, what an adapter is asked.
    """

    answer: Answer
    prompt: Sequence[Message] = ()
    adapter: str | None = None
    grounding: Grounding | None = None


@dataclass(frozen=True)
class Switchboard:
    """A generator and a retriever behind one switch. It keeps nothing of any visitor.

    With `quoting` an adapter over passages answers in their own sentences, see generation/quoting.py, and one without
    passages in the replies that it was taught, where it brings them, see generation/replies.py. `elsewhere` has the
    generators of modes, by name, that another than `generator` answers; they write freely.
    """

    generator: Generator
    retriever: Retriever
    company: str
    quoting: bool = True
    elsewhere: Mapping[str, Generator] = field(default_factory=dict)

    def generator_of(self, mode: Mode) -> Generator:
        """What writes the answers of a mode."""
        return self.elsewhere.get(mode.name, self.generator)

    def over(self, retriever: Retriever | None) -> Switchboard:
        """The same switch over another retriever; over its own for None."""
        return replace(self, retriever=retriever) if retriever else self

    def answer(
        self, conversation: Sequence[Message], mode: str | Mode, settings: GenerationSettings | None = None
    ) -> Iterator[Answer]:
        """Answer the last message of `conversation`, which alternates user and assistant and ends with the user.

        `mode` is one of MODES by its name, or any other mode as it is.
        Yields whole answers so far: the first with the passages and no text, the last with `done`. Closing the
        iterator stops the model. Raises a SwitchboardError for whatever the visitor can mend.
        """
        settings = settings or GenerationSettings()
        began = time.perf_counter()
        chosen = mode if isinstance(mode, Mode) else mode_named(mode)
        turn = self.prepare(conversation, chosen, settings)
        if turn.answer.done:
            yield replace(turn.answer, metrics=replace(turn.answer.metrics, total_ms=_since(began)))
            return
        if turn.answer.passages:
            yield turn.answer
        tokens = self.generator_of(chosen).stream(turn.prompt, settings, turn.adapter, turn.grounding)
        yield from self._generated(turn, tokens, began)

    def prepare(self, conversation: Sequence[Message], mode: str | Mode, settings: GenerationSettings) -> Turn:
        """Do all of a turn but write: search, decide whether it is covered, and make the prompt. Raises as `answer`."""
        chosen = mode if isinstance(mode, Mode) else mode_named(mode)
        if not conversation or conversation[-1].role != "user" or not conversation[-1].content.strip():
            raise SettingsError("There is no question. Please type one.")
        generator = self.generator_of(chosen)
        there = chosen.name in self.elsewhere
        quoting = self.quoting and not there
        adapter, notice = _adapter_for(chosen, generator)
        answer = Answer(mode=chosen.name, notice=notice)
        read: tuple[Passage, ...] = ()
        quotes: tuple[Quote, ...] = ()
        said = conversation[-1].content
        talk, reply = is_small_talk(said), ""
        if chosen.searches and not talk:
            query = search_query(conversation)
            found = self.retriever.search(query, settings.passages)
            # What is found for small talk in a conversation is what was found for the question before it.
            if not found.passages or "\n" in query:
                reply = self.retriever.small_talk(said)
                talk = bool(reply)
        if chosen.searches and not talk:
            answer = replace(
                answer,
                passages=found.passages,
                nearest=found.nearest,
                metrics=Metrics(retrieval_ms=found.milliseconds),
            )
            if not found.passages:
                why = _why_not_covered(found)
                return Turn(replace(answer, text=_not_covered(self.company), abstained=True, notice=why, done=True))
            read, quotes = found.read, found.quotes if quoting and adapter else ()
        if chosen.searches and talk:
            answer = replace(answer, notice=_NOTHING_ASKED)
            if not chosen.needs_adapter:
                # An adapter that its mode can do without knows passages and nothing else: no company.
                reply = reply or self.retriever.small_talk(said) or _GREETING
                return Turn(replace(answer, text=reply, done=True))
        budget = min(PROMPT_TOKENS, generator.context_tokens - settings.max_tokens)
        history = budget if there else HISTORY_TOKENS
        prompt = build_prompt(conversation, read, self.company, generator.count_tokens, budget, history, there)
        texts = (*(f"{p.label}\n{p.text}" for p in read), *(m.content for m in conversation))
        if answer.passages:
            grounding = Grounding(texts, len(answer.passages), READER_DECLINE, quotes)
            return Turn(answer, prompt, adapter, grounding)
        if chosen.searches or not adapter or not quoting or talk:
            return Turn(answer, prompt, adapter)
        return Turn(answer, prompt, adapter, Grounding(asked=asked_apart(prompt)))

    def _generated(self, turn: Turn, tokens: Iterator[Token], began: float) -> Iterator[Answer]:
        """Grow the turn's answer by its tokens and finish it."""
        answer = turn.answer
        text, count, decoded, first_ms = "", 0, 0, 0.0
        try:
            for token in tokens:
                if token.waiting or token.idle:
                    yield replace(answer, waiting=token.waiting, wait_seconds=token.wait_seconds)
                    continue
                count += 1
                decoded += not token.copied
                first_ms = first_ms or _since(began)
                text += token.text
                total_ms = _since(began)
                answer = _with_text(
                    replace(turn, answer=answer),
                    text,
                    replace(
                        answer.metrics,
                        time_to_first_token_ms=first_ms,
                        prompt_tokens=token.prompt_tokens,
                        reused_tokens=token.reused_tokens,
                        output_tokens=count,
                        tokens_per_second=max(0, decoded - 1) / (total_ms - first_ms) * 1000
                        if total_ms > first_ms
                        else 0.0,
                        total_ms=total_ms,
                    ),
                )
                yield answer
        except GeneratorError as error:
            if not text.strip():
                raise
            # What was said so far is kept.
            answer = replace(answer, notice=f"{answer.notice} {error}".strip(), cut_off=True)
        finally:
            close = getattr(tokens, "close", None)
            if close:
                close()
        metrics = answer.metrics if count else replace(answer.metrics, total_ms=_since(began))
        yield finished(replace(turn, answer=answer), text, metrics)


def asked_apart(prompt: Sequence[Message]) -> tuple[tuple[Message, ...], ...]:
    """The prompt once for each thing that its question asks."""
    *before, question = prompt
    parts = [f"{p.context} {p.question}".strip() for p in sub_questions(question.content)] or [question.content]
    return tuple((*before, replace(question, content=part)) for part in parts)


def _adapter_for(mode: Mode, generator: Generator) -> tuple[str | None, str]:
    """The adapter to put on, and a notice where the mode has to do without. Raises AdapterError."""
    refusal = generator.refused_adapters.get(mode.adapter or "")
    if refusal is None:
        return mode.adapter, ""
    if mode.needs_adapter:
        raise AdapterError(refusal)
    return None, f"{refusal} This answer is the untuned model's."


def finished(turn: Turn, text: str, metrics: Metrics) -> Answer:
    """The turn's answer with its whole text."""
    return replace(_with_text(turn, text.strip(), metrics), done=True)


def _with_text(turn: Turn, text: str, metrics: Metrics) -> Answer:
    answer = turn.answer
    if turn.grounding and answer.passages:
        text = check_addresses(text, turn.grounding.texts)
    shown, cited, removed = check_citations(text, len(answer.passages))
    return replace(
        answer, text=shown, cited=cited, removed_citations=removed, abstained=declined(shown), metrics=metrics
    )


def _since(began: float) -> float:
    """Milliseconds since `began`."""
    return (time.perf_counter() - began) * 1000


def _not_covered(company: str) -> str:
    return f"The help centre of {company} does not cover this, so I would only be guessing."


def _why_not_covered(found: SearchResult) -> str:
    if not found.nearest:
        return "The knowledge base is empty: there is nothing to search."
    if found.coverage is not None:
        return (
            f"That the knowledge base answers this was judged {max(1, round(found.coverage * 100))} % likely, "
            "so the model was not asked to guess."
        )
    return (
        f"Nothing in the knowledge base reached a similarity of {found.threshold:.2f} (1 is closest), "
        "so the model was not asked to guess."
    )
