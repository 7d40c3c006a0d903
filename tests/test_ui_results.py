"""The Results page as HTML: every figure of the report, the questions behind it, and no markup of a file's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from switchboard.evaluation.costs import break_even
from switchboard.ui.plots import Axes, Bar, Point, bars, lines, scatter
from switchboard.ui.results import behind, read_report, results

HOSTILE = '<img src=x onerror="window.hacked=1">'


def mode(label: str, value: float, searches: bool) -> dict[str, Any]:
    shares = dict.fromkeys(("all_facts", "wrongly_declined", "declined", "wrong_figures"), value)
    intervals = {name: [max(0.0, value - 0.1), min(1.0, value + 0.1)] for name in (*shares, "cited_right")}
    return {
        "label": label,
        "searches": searches,
        "adapter": "a",
        **shares,
        "cited_right": value if searches else None,
        "intervals": intervals,
        "strata": {
            "single fact": {"n": 2, "with_facts": 2, "all_facts": value, "declined": 0.0, "wrong_figures": 0.0},
            "out of scope": {"n": 1, "with_facts": 0, "all_facts": None, "declined": 1.0, "wrong_figures": 0.0},
        },
        "latency": {"time_to_first_token_ms": [900, 1500], "total_ms": [1300, 2100]},
        "timings_ms": [[900, 1300], [1500, 2100]],
        "peak_mib": 1024,
        "median_prompt_tokens": 300,
        "median_output_tokens": 28,
    }


def said(text: str, right: bool, declined: bool = False, wrong: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "answer": text,
        "sources": ["plans/fibre.md"],
        "cited": [1],
        "all_facts": right,
        "declined": declined,
        "wrong_figures": list(wrong),
        "cited_right": right,
    }


def question(text: str, **more: Any) -> dict[str, Any]:
    row = {"id": text, "stratum": "single fact", "question": text, "required": [["£27", "27 pounds"]]}
    return {**row, "articles": ["plans/fibre"], "conversation": [], "decline": False, "changed": "", **more}


@pytest.fixture
def report() -> dict[str, Any]:
    cost = {
        "thousand_turns": 0.03,
        "trainings": 2,
        "training": 0.2,
        "training_hours": 2.5,
        "training_is_own": True,
        "update_seconds": 3000,
    }
    return {
        "made": "2026-11-25",
        "seconds": 10,
        "setup": {"machine": {"processor": "A processor", "cores": "2", "memory": "8 GiB", "system": "Linux"}},
        "questions": {"file": "q.jsonl", "sha256": "abc", "n": 3, "answerable": 2, "to_decline": 1},
        "modes": {"fine-tuned": mode("Fine-tuned", 0.5, False), "rag": mode("RAG", 0.75, True)},
        "pairs": [
            {
                "first": "fine-tuned",
                "second": "rag",
                "measure": "all_facts",
                "n": 2,
                "first_alone": 0,
                "second_alone": 1,
                "difference": -0.25,
                "interval": [-0.5, -0.01],
                "p": 0.0002,
            }
        ],
        "costs": {
            "hourly_price": 0.08,
            "modes": {
                "fine-tuned": cost,
                "rag": {**cost, "training_is_own": False, "update_seconds": 0.4, "thousand_turns": 0.02},
            },
            "break_even_turns": {"rag under fine-tuned": break_even(0.2, 2e-5, 0.0, 3e-5)},
        },
        "answers": [
            question(
                "What is Fibre 100?", modes={"fine-tuned": said("£99", False, wrong=("99",)), "rag": said("£27", True)}
            ),
            question(HOSTILE, modes={"fine-tuned": said(HOSTILE, True), "rag": said(HOSTILE, False)}),
            question(
                "New price?",
                changed="2026-11-16",
                modes={"fine-tuned": said("Old", False), "rag": said("New", True)},
            ),
            question(
                "Boats?",
                stratum="out of scope",
                required=[],
                articles=[],
                decline=True,
                modes={"fine-tuned": said("No idea.", False, True), "rag": said("No.", False, True)},
            ),
        ],
    }


def test_without_a_report_the_page_says_how_to_make_one() -> None:
    assert "evaluate --all" in results(None)
    assert "nothing behind" in behind(None, "rag", "all_facts")


def test_every_figure_has_its_bar_interval_and_way_to_the_questions(report: dict[str, Any]) -> None:
    page = results(report)
    assert page.count('data-about="all_facts"') == 2
    assert page.count('data-about="cited_right"') == 1  # a mode that does not search cites nothing
    assert 'data-about="declined/out of scope"' in page
    assert "RAG: 75%, 95 % interval 65% to 85%" in page
    assert "50 min of training" in page
    assert "20,000 turns" in page
    assert "A processor" in page


def test_the_page_shows_the_reports_numbers(report: dict[str, Any]) -> None:
    page = results(report)
    for row in report["modes"].values():
        for measure in ("all_facts", "wrongly_declined", "declined", "wrong_figures", "cited_right"):
            if row[measure] is not None:
                low, high = row["intervals"][measure]
                assert f"{row['label']}: {row[measure]:.0%}, 95 % interval {low:.0%} to {high:.0%}." in page
    shown = re.findall(r'data-mode="([\w-]+)" data-about="(\w+)".*?width:([\d.]+)%', page)
    assert len(shown) == 9
    for mode, measure, width in shown:
        assert float(width) == pytest.approx(report["modes"][mode][measure] * 100, abs=0.05)


def test_behind_a_bar_are_its_questions_those_that_count_against_the_mode_first(report: dict[str, Any]) -> None:
    shown = behind(report, "rag", "all_facts")
    assert "All required facts in the answer: 2 of 3" in shown
    assert shown.index('data-yes="false"') < shown.index('data-yes="true"')
    assert "Wanted: £27 or 27 pounds" in shown
    # What changed after training is not held against a mode that cannot look it up.
    assert "1 of 2" in behind(report, "fine-tuned", "all_facts")
    wrong = behind(report, "fine-tuned", "wrong_figures")
    assert wrong.index("wrong figures: 99") < wrong.index('data-yes="false"')
    assert "of 1" in behind(report, "rag", "declined")
    assert "single fact: 2 of 3" in behind(report, "rag", "all_facts/single fact")


@pytest.mark.parametrize(("name", "about"), [("rag", "nonsense"), ("none", "all_facts"), ("rag", "")])
def test_what_no_bar_asks_for_shows_nothing(report: dict[str, Any], name: str, about: str) -> None:
    assert "nothing behind" in behind(report, name, about)


@pytest.mark.parametrize("make", [results, lambda report: behind(report, "rag", "all_facts")])
def test_texts_of_the_file_are_never_markup(report: dict[str, Any], make: Callable[[Any], str]) -> None:
    report["modes"]["rag"]["label"] = HOSTILE
    report["setup"]["Model"] = HOSTILE
    assert "<img" not in make(report)


def test_what_is_no_report_is_none(tmp_path: Path) -> None:
    for number, text in enumerate(["", "[]", "{}", '"x"', "\ufeff{"]):
        file = tmp_path / f"{number}.json"
        file.write_text(text, encoding="utf-8")
        assert read_report(file) is None
    assert read_report(tmp_path / "none.json") is None


def test_a_report_is_read(report: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report), encoding="utf-8")
    assert read_report(file) == report


def test_bars_leave_out_what_does_not_count() -> None:
    shown = bars("T", "n", [Bar("rag", "RAG", None), Bar("base", "Base", 0.5, (0.4, 0.6), "x")])
    assert shown.count("<li>") == 1
    assert "width:50.0%" in shown
    assert "left:40.0%;width:20.0%" in shown


def test_points_stand_where_their_values_say() -> None:
    axes = Axes("x", "y", 10, 1)
    assert axes.at(0, 0) < axes.at(10, 0)
    assert axes.at(0, 1)[1] < axes.at(0, 0)[1]
    assert axes.at(99, 0) == axes.at(10, 0)
    shown = scatter(
        "T", axes, [Point("rag", 5, 0.5, "here", "RAG", (0.4, 0.6)), Point("base", 5, 0.52, "there", "Base")]
    )
    assert shown.count("<circle") == 2
    heights = [
        float(part.split('y="')[1].split('"')[0])
        for part in shown.split("<text ")[1:]
        if ">RAG<" in part or ">Base<" in part
    ]
    assert abs(heights[0] - heights[1]) > 15  # labels of points that are close do not cover each other
    assert "<polyline" in lines("T", axes, [("rag", "RAG", [(0, 0), (10, 1)])])
