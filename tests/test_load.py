"""The figures of a load run, from turns and samples that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from load import run

SAMPLES = [{"at": 1000.0 + 5 * n, "mb": 1000.0 + n / 12, "threads": 30.0, "files": 40.0 + n % 3} for n in range(120)]


def turn(kind: str, outcome: str, whole: float, first: float = 0.1, words: str = "") -> dict[str, Any]:
    return {"at": 1100.0, "kind": kind, "outcome": outcome, "first": first, "whole": whole, "words": words}


TURNS = [
    *(turn("rag", "right", 1.0) for _ in range(8)),
    turn("combined", "other", 3.0, words="£36"),
    turn("api rag", "right", 2.0, first=0.0),
    turn("rag", "mixed", 1.0, words="N1234567"),
    turn("fine-tuned", "lost", 60.0, first=0.0, words="the stream ended before the reply"),
    turn("document", "added", 0.5, first=0.0),
    turn("left", "left", 0.5, first=0.0),
]
PAST = {"answered": 80, "refused": 119, "other": 1}


def test_a_summary_counts_what_became_of_each_turn() -> None:
    found = run.summary(TURNS, SAMPLES, PAST, number=32, seconds=600)
    assert (found["turns"], found["documents"], found["left"]) == (12, 1, 1)
    assert (found["right"], found["other"], found["mixed"], found["lost"]) == (9, 1, 1, 1)
    assert found["whole_seconds"]["p50"] == 1.0
    assert found["by_mode"]["rag"]["turns"] == 8
    assert found["memory_mb"]["growth_an_hour"] == 60
    assert found["threads_most"] == 30
    assert "1 mixed, 1 lost" in run.line(found)
    assert "80 answered, 119 told to wait, 1 otherwise" in run.line(found)


def test_growth_is_fitted_with_its_error() -> None:
    slope, error = run.fitted([0.0, 0.1, 0.2, 0.3], [10.0, 11.0, 12.0, 13.0])
    assert slope == pytest.approx(10)
    assert error == pytest.approx(0, abs=1e-6)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    run.draw(TURNS, SAMPLES, tmp_path / "load.png")
    assert (tmp_path / "load.png").stat().st_size > 10_000
