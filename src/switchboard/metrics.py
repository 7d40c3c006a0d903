"""What this process does, in numbers, for Prometheus: turns, how long they take, refusals, uploads, memory.

Nothing that a visitor wrote is in a label: modes are the table's, outcomes and reasons are the words listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from switchboard.errors import SwitchboardError
from switchboard.modes import MODES
from switchboard.types import Answer, Message

OUTCOMES = ("answered", "declined", "stopped", "refused", "failed")
"""How a turn ends: with an answer, with the word that nothing covers it, before its end because nobody wanted it any
more, with an error that the visitor can mend, or with one of ours."""
REASONS = ("turns", "documents", "requests", "attempts", "size", "connections", "queue")
"""Why something is refused: too much within a minute, too large, too many open at once, or too long a queue."""
TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 13, 21, 34, 60, 120)
_OTHER = "unknown"


class ServiceMetrics:
    """The numbers of one page, in a registry of their own. Safe between threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def named(kind: Any, name: str, help_text: str, *labels: str, **more: Any) -> Any:
            return kind(f"switchboard_{name}", help_text, labels, registry=self.registry, **more)

        timed = {"buckets": _SECONDS}
        self._turns = named(Counter, "turns", "Turns by mode and by how they ended.", "mode", "outcome")
        self._first = named(Histogram, "first_token_seconds", "From the question to its first token.", "mode", **timed)
        self._whole = named(Histogram, "answer_seconds", "From the question to its whole answer.", "mode", **timed)
        self._search = named(Histogram, "retrieval_seconds", "Searches for passages.", "mode", **timed)
        self._tokens_in = named(Counter, "prompt_tokens", "Tokens of prompts, read or found read.", "mode")
        self._tokens_out = named(Counter, "output_tokens", "Tokens of answers.", "mode")
        self._refused = named(Counter, "refused", "What was refused, by reason.", "reason")
        self._documents = named(Counter, "documents", "Documents that visitors added, and those refused.", "outcome")
        for reason in REASONS:
            self._refused.labels(reason)
        for outcome in ("added", "refused"):
            self._documents.labels(outcome)

    def measured(self, answer: Callable[..., Iterator[Answer]]) -> Callable[..., Iterator[Answer]]:
        """The same way to answer a conversation, with each turn counted and timed."""

        def answered(conversation: Sequence[Message], mode: str, *more: Any) -> Iterator[Answer]:
            label = mode if mode in MODES else _OTHER
            last, outcome = Answer(mode=label), "stopped"
            answers = answer(conversation, mode, *more)
            try:
                for last in answers:
                    yield last
                outcome = "declined" if last.abstained else "answered"
            except SwitchboardError:
                outcome = "refused"
                raise
            except Exception:
                outcome = "failed"
                raise
            finally:
                if close := getattr(answers, "close", None):
                    close()
                self._turn(label, outcome, last)

        return answered

    def refused(self, reason: str) -> None:
        """Count a refusal, see REASONS."""
        self._refused.labels(reason).inc()

    def document(self, added: bool) -> None:
        """Count a document that a visitor brought."""
        self._documents.labels("added" if added else "refused").inc()

    def gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Show a value as it is whenever somebody looks."""
        Gauge(f"switchboard_{name}", help_text, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """All of them in Prometheus's text format, which is of TYPE."""
        return generate_latest(self.registry)

    def _turn(self, mode: str, outcome: str, last: Answer) -> None:
        self._turns.labels(mode, outcome).inc()
        took = last.metrics
        if took.retrieval_ms:
            self._search.labels(mode).observe(took.retrieval_ms / 1000)
        if took.time_to_first_token_ms:
            self._first.labels(mode).observe(took.time_to_first_token_ms / 1000)
        self._tokens_in.labels(mode).inc(took.prompt_tokens)
        self._tokens_out.labels(mode).inc(took.output_tokens)
        if outcome in ("answered", "declined"):
            self._whole.labels(mode).observe(took.total_ms / 1000)
