"""The recommendation: what follows from the answers, what would change it, and on what figures it rests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switchboard.evaluation.advice import APPROACHES, BEYOND, CRITERIA, OUT, advise, evidence_of
from switchboard.ui.advice import USUAL, as_markdown, verdict

cases = st.fixed_dictionaries({c.name: st.sampled_from([choice.name for choice in c.choices]) for c in CRITERIA})
weights = st.fixed_dictionaries({c.name: st.sampled_from([0.5, 1.0, 2.0, 3.0]) for c in CRITERIA})
USUAL_CASE = {c.name: usual for c, usual in zip(CRITERIA, USUAL, strict=True)}


def measured(**more: Any) -> dict[str, Any]:
    def row(label: str, milliseconds: int) -> dict[str, Any]:
        return {
            "label": label,
            "all_facts": 0.5,
            "wrong_figures": 0.1,
            "declined": 0.7,
            "cited_right": None if label == "Fine-tuned" else 0.9,
            "retrieved_right": 0.95,
            "strata": {"changed since training": {"all_facts": 0.25}},
            "latency": {"total_ms": [milliseconds, 2000]},
            "peak_mib": 1024,
        }

    cost = {"update_seconds": 0.4, "thousand_turns": 0.031, "training_tokens": 1_000_000}
    return {
        "made": "2026-11-25",
        "questions": {"n": 306},
        "setup": {"machine": {"processor": "A processor", "cores": "2"}},
        "modes": {"fine-tuned": row("Fine-tuned", 900), "rag": row("RAG", 1500), "combined": row("Combined", 1500)},
        "costs": {
            "hourly_price": 0.08,
            "modes": {"fine-tuned": {**cost, "update_seconds": 3000}, "rag": cost, "combined": cost},
        },
        **more,
    }


def test_the_cases_that_everybody_agrees_on() -> None:
    assert advise({**USUAL_CASE, "change": "weekly", "cite": "must", "wrong": "terrible"}).best == "rag"
    learned = {"change": "never", "cite": "no", "wrong": "mild", "dialogues": "thousands", "narrow": "fixed"}
    assert advise({**USUAL_CASE, **learned, "voice": "much", "documents": "patchy"}).best == "fine-tuning"
    assert advise({**USUAL_CASE, "dialogues": "thousands", "voice": "much"}).best == "both"
    assert advise({**USUAL_CASE, "documents": "none", "dialogues": "none"}).best == "neither"


@given(cases, weights)
def test_what_cannot_be_done_is_not_recommended(case: dict[str, str], weight: dict[str, float]) -> None:
    best = advise(case, weight).best
    if case["documents"] == "none":
        assert best not in ("rag", "both")
    if case["dialogues"] == "none" or case["hardware"] == "hosted":
        assert best not in ("fine-tuning", "both")
    if case["cite"] == "must":
        assert best != "fine-tuning"


@given(cases, weights)
def test_only_the_ratio_of_the_weights_counts(case: dict[str, str], weight: dict[str, float]) -> None:
    doubled = {name: 2 * value for name, value in weight.items()}
    assert [name for name, _ in advise(case, weight).scores] == [name for name, _ in advise(case, doubled).scores]


@settings(max_examples=25, deadline=None)
@given(cases)
def test_every_flip_is_true_and_none_is_missing(case: dict[str, str]) -> None:
    advice = advise(case)
    said = {(name, choice): other for name, choice, other in advice.flips}
    for criterion in CRITERIA:
        for choice in criterion.choices:
            best = advise({**case, criterion.name: choice.name}).best
            assert said.get((criterion.name, choice.name), advice.best) == best
    assert 0 <= advice.share <= 1


@given(cases, weights)
def test_reasons_add_up_to_the_score(case: dict[str, str], weight: dict[str, float]) -> None:
    advice = advise(case, weight)
    total = sum(points for _, points, _ in (*advice.reasons, *advice.against))
    assert total == pytest.approx(advice.scores[0][1])


def test_a_weight_of_nothing_leaves_a_question_out() -> None:
    nothing = {c.name: 0.0 for c in CRITERIA}
    assert {score for _, score in advise(USUAL_CASE, nothing).scores} == {0.0}
    only = {**nothing, "voice": 1.0}
    assert advise({**USUAL_CASE, "voice": "much"}, only).best in ("fine-tuning", "both")


def test_what_has_to_be_quick_is_judged_by_what_was_measured() -> None:
    hurried = {**USUAL_CASE, "latency": "second"}
    scores, slow = (dict(advise(case, report=measured()).scores) for case in (hurried, USUAL_CASE))
    assert scores["fine-tuning"] - slow["fine-tuning"] == 1
    assert scores["rag"] - slow["rag"] == -2
    assert advise(hurried).scores == advise(USUAL_CASE).scores  # nothing was measured


def test_every_question_rests_on_a_figure_or_a_source() -> None:
    for criterion in CRITERIA:
        lines = [evidence_of(name, measured()) for name in criterion.evidence]
        assert all(lines), criterion.name
        assert all(line.startswith(("Measured", "Trained")) or ", " in line for line in lines)
    assert evidence_of("facts", measured()) == (
        "Measured, all required facts in the answer: Fine-tuned 50 %, RAG 50 %, Combined 50 %."
    )
    assert "Fine-tuned" not in evidence_of("cited", measured())
    assert evidence_of("facts", None) == ""
    assert evidence_of("facts", {"modes": {}}) == ""


def test_the_points_are_within_their_range() -> None:
    for criterion in CRITERIA:
        for choice in criterion.choices:
            assert all(-2 <= value <= 2 or value == OUT for value in choice.points)
            assert len(choice.points) == len(APPROACHES)
        assert 0 <= criterion.weight <= 3


def test_the_page_to_take_along_has_the_case_the_reasons_and_what_would_change_it() -> None:
    text = as_markdown(measured(), USUAL_CASE, {})
    assert text.startswith("# RAG\n")
    for criterion in CRITERIA:
        assert criterion.question in text
    assert all(title in text for title, _ in BEYOND)
    assert "random weightings" in text
    assert "306 questions on A processor" in text
    assert "then Both" in text
    assert "Measured on" not in as_markdown(None, USUAL_CASE, {})


def test_the_verdict_names_what_is_ruled_out_and_escapes_the_report() -> None:
    report = measured()
    report["modes"]["rag"]["label"] = "<img src=x>"
    html = verdict(report, {**USUAL_CASE, "documents": "none"}, {})
    assert "ruled out" in html
    assert "<img" not in html


def test_an_answer_that_nobody_offers_counts_as_the_first() -> None:
    first = {c.name: c.choices[0].name for c in CRITERIA}
    assert advise({"change": "<script>"}).scores == advise(first).scores
