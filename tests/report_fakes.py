"""A small evaluation over fakes: three questions, a generator that knows one price."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from fakes import EXIT, FIBRE, FakeGenerator, FakeRetriever
from switchboard.evaluation.questions import read_questions
from switchboard.evaluation.report import Plan
from switchboard.settings import Settings
from switchboard.switch import Switchboard
from switchboard.types import GenerationSettings, Grounding, Message, Token

ROWS = [
    {
        "question": "What does Fibre 100 cost a month?",
        "stratum": "single fact",
        "required": [["£27"]],
        "articles": ["plans/fibre"],
    },
    {
        "question": "How much is the early exit fee?",
        "stratum": "single fact",
        "required": [["60%"]],
        "articles": ["contracts/cancel"],
        "changed": "2026-11-01",
    },
    {"question": "Do you sell boats or planes here?", "stratum": "out of scope", "decline": True},
]


class Knowing(FakeGenerator):
    """Says the fibre's price with passages, nothing of use without; fails once it has answered `until` questions."""

    def __init__(self, until: int = 10**6) -> None:
        super().__init__()
        self.until = until

    def stream(
        self,
        messages: Sequence[Message],
        settings: GenerationSettings,
        adapter: str | None,
        grounding: Grounding | None = None,
    ) -> Iterator[Token]:
        if len(self.history) >= self.until:
            raise KeyboardInterrupt
        self.replies = ["It costs £27 a month [1]." if grounding and grounding.passages else "It costs £99."]
        return super().stream(messages, settings, adapter, grounding)


def plan_in(tmp_path: Path) -> Plan:
    """A plan over fakes that keeps its files below a folder."""
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    settings = Settings(data=tmp_path / "data", adapters=tmp_path / "adapters")
    folder = settings.adapters / "customer-service"
    folder.mkdir(parents=True)
    loss = {
        "counts": {"tokens_an_epoch": 360_000},
        "epochs": 2,
        "before": [{"tokens": 100, "hours": 0.5}],
        "losses": [{"step": 1, "tokens_per_second": 100.0}],
    }
    (folder / "loss.json").write_text(json.dumps(loss), encoding="utf-8")
    board = Switchboard(Knowing(), FakeRetriever([FIBRE, EXIT]), settings.company)
    about = (("Model", "a fake"), ("Runs on", "cpu"))
    return Plan(board, about, "f" * 64, settings, file, read_questions(file), 0.1, lambda _mode: 512.0, lambda: 0.4)
