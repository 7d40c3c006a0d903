"""The numbers for Prometheus: each way a turn ends is counted once, and no visitor's word is among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fakes import EXIT, FIBRE, FakeGenerator, FakeRetriever
from switchboard.errors import SettingsError
from switchboard.metrics import ServiceMetrics
from switchboard.switch import Switchboard
from switchboard.types import Answer, GenerationSettings, Message

BOARD = Switchboard(FakeGenerator(), FakeRetriever([FIBRE, EXIT]), "Acme")
ASKED = [Message("user", "fibre 100 costs what?")]


def values(metrics: ServiceMetrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name.removeprefix("switchboard_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_whole_turn_is_counted_and_timed() -> None:
    metrics = ServiceMetrics()
    list(metrics.measured(BOARD.answer)(ASKED, "rag", GenerationSettings()))
    found = values(metrics)
    assert found["turns_total", "rag", "answered"] == 1
    assert found["answer_seconds_count", "rag"] == 1
    assert found["first_token_seconds_count", "rag"] == 1
    assert found["retrieval_seconds_count", "rag"] == 1
    assert found["prompt_tokens_total", "rag"] > 3
    assert found["output_tokens_total", "rag"] == 3


def test_a_turn_that_nothing_covers_is_declined() -> None:
    metrics = ServiceMetrics()
    list(metrics.measured(BOARD.answer)([Message("user", "home insurance?")], "rag", GenerationSettings()))
    assert values(metrics)["turns_total", "rag", "declined"] == 1


def test_one_that_is_left_is_stopped() -> None:
    metrics, generator = ServiceMetrics(), FakeGenerator("It is £27 a month.")
    board = Switchboard(generator, FakeRetriever([FIBRE, EXIT]), "Acme")
    answers = metrics.measured(board.answer)(ASKED, "rag", GenerationSettings())
    next(answers)
    next(answers)
    answers.close()
    assert generator.closed == 1
    found = values(metrics)
    assert found["turns_total", "rag", "stopped"] == 1
    assert ("answer_seconds_count", "rag") not in found


@pytest.mark.parametrize(("error", "outcome"), [(SettingsError("no"), "refused"), (RuntimeError("no"), "failed")])
def test_errors_are_told_apart(error: Exception, outcome: str) -> None:
    def fails(_conversation: Sequence[Message], mode: str) -> Iterator[Answer]:
        yield Answer(mode=mode)
        raise error

    metrics = ServiceMetrics()
    with pytest.raises(type(error)):
        list(metrics.measured(fails)(ASKED, "rag"))
    assert values(metrics)["turns_total", "rag", outcome] == 1


def test_no_word_of_a_visitors_is_a_label() -> None:
    metrics = ServiceMetrics()
    with pytest.raises(SettingsError):
        list(metrics.measured(BOARD.answer)(ASKED, 'my secret"} 1', GenerationSettings()))
    assert b"secret" not in metrics.text()
    assert values(metrics)["turns_total", "unknown", "refused"] == 1


def test_what_is_now_is_asked_for_when_somebody_looks() -> None:
    metrics = ServiceMetrics()
    now = [3]
    metrics.gauge("queued", "Events that wait.", lambda: now[0])
    assert values(metrics)["queued",] == 3
    now[0] = 5
    assert values(metrics)["queued",] == 5
    assert values(metrics)["process_resident_memory_bytes",] > 1e6
