"""The page that recommends: some questions, what follows from the answers, on what figures, what would change it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from switchboard.evaluation.advice import (
    APPROACHES,
    BEYOND,
    CRITERIA,
    DRAWS,
    MODE_OF,
    Advice,
    Criterion,
    advise,
    evidence_of,
)
from switchboard.ui.markup import plain

Report = Mapping[str, Any] | None

USUAL = ("monthly", "nice", "bad", "good", "hundreds", "centre", "some", "seconds", "cores", "few")
"""Where the page begins: an ordinary help desk, an answer a question."""
HEAVIEST = 3


def verdict(report: Report, chosen: Mapping[str, str], weights: Mapping[str, float]) -> str:
    """What follows from the answers, as HTML, with the same as Markdown inside for a download."""
    advice = advise(chosen, weights, report)
    return (
        f'<section class="verdict" data-mode="{MODE_OF.get(advice.best, "base")}">'
        f'<p class="article-topic">For this case</p><h2>{APPROACHES[advice.best]}</h2>{_ranking(advice)}'
        f"<h3>Because</h3>{_reasons(advice.reasons, chosen, report)}"
        f"{_against(advice, chosen, report)}<h3>What would change it</h3>{_flips(advice)}"
        f"<p>{plain(_sensitivity(advice))}</p><h3>What the measured set cannot say</h3>{_beyond()}"
        '<p class="verdict-tools"><button type="button" class="link" data-action="advice">Download as Markdown</button>'
        '<button type="button" class="link" data-action="print">Print, or save as PDF</button></p>'
        f'<textarea id="advice-markdown" hidden readonly>{plain(as_markdown(report, chosen, weights))}</textarea>'
        "</section>"
    )


def as_markdown(report: Report, chosen: Mapping[str, str], weights: Mapping[str, float]) -> str:
    """The recommendation as one page to take along."""
    advice = advise(chosen, weights, report)
    ranking = "\n".join(f"- {APPROACHES[name]}: {_points(score)}" for name, score in advice.scores)
    case = "\n".join(
        f"| {c.question} | {c.choice(chosen.get(c.name, '')).words} | {weights.get(c.name, c.weight):g} |"
        for c in CRITERIA
    )
    flips = "\n".join(f"- {line}" for line in _flip_lines(advice)) or "- No other single answer."
    beyond = "\n".join(f"- **{title}.** {text}" for title, text in BEYOND)
    measured = ""
    if report:
        machine = report["setup"]["machine"]
        measured = (
            f"\n\nMeasured on {report['made']} with {report['questions']['n']} questions on {machine['processor']}, "
            f"{machine['cores']} cores."
        )
    return f"""# {APPROACHES[advice.best]}

{ranking}

## The case

| question | answer | weight |
| --- | --- | --- |
{case}

## Because

{_lines(advice.reasons, report)}

## Against it

{_lines(advice.against, report) or "- Nothing in these answers."}

## What would change it

{flips}

{_sensitivity(advice)}

## What the measured set cannot say

{beyond}{measured}
"""


def advice_page(report: Report, html: Mapping[str, Any]) -> None:
    """The page's components; `html` are the options of its HTML components."""
    with gr.Column(elem_id="page"), gr.Column(elem_id="compare"):
        gr.HTML(
            '<h2 class="page-title">Which one should we choose?</h2><p class="lead">Ten questions about your case. The '
            "points behind them are judgements, each with the measured figure or the published source it rests on; "
            "the weights are yours.</p>",
            apply_default_css=False,
            container=False,
            padding=False,
        )
        with gr.Row(elem_id="change-row"):
            with gr.Column(elem_id="advice-questions", min_width=320):
                radios = [_radio(c, usual) for c, usual in zip(CRITERIA, USUAL, strict=True)]
                with gr.Accordion("Weights: how much each question counts", open=False, elem_id="advice-weights"):
                    sliders = [
                        gr.Slider(
                            0, HEAVIEST, c.weight, step=0.5, label=c.question, elem_id=f"weight-{c.name}", buttons=[]
                        )
                        for c in CRITERIA
                    ]
            with gr.Column(elem_id="advice-verdict", min_width=320):
                chosen = {c.name: usual for c, usual in zip(CRITERIA, USUAL, strict=True)}
                shown = gr.HTML(verdict(report, chosen, {}), elem_id="verdict", **html)

    def follow(*values: Any) -> str:
        names = [c.name for c in CRITERIA]
        return verdict(
            report,
            dict(zip(names, map(str, values[: len(names)]), strict=True)),
            dict(zip(names, (min(HEAVIEST, max(0.0, float(v))) for v in values[len(names) :]), strict=True)),
        )

    everything = [*radios, *sliders]
    gr.on(
        [part.change for part in everything],
        follow,
        everything,
        shown,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
        trigger_mode="always_last",
    )


def _radio(criterion: Criterion, usual: str) -> Any:
    choices = [(choice.words, choice.name) for choice in criterion.choices]
    return gr.Radio(choices, value=usual, label=criterion.question, elem_id=f"ask-{criterion.name}", container=True)


def _points(score: float) -> str:
    return "ruled out" if score == -math.inf else f"{score:+g}"


def _ranking(advice: Advice) -> str:
    most = max(abs(score) for _, score in advice.scores if score > -math.inf) or 1.0
    rows = ""
    for name, score in advice.scores:
        width = max(0.0, min(1.0, score / most)) * 100
        rows += (
            f'<li class="bar-row" data-mode="{MODE_OF.get(name, "base")}"><span class="bar-label">{APPROACHES[name]}'
            f'</span><span class="bar-track"><span class="bar-fill" style="width:{width:.0f}%"></span></span>'
            f'<span class="bar-value">{_points(score)}</span></li>'
        )
    return f'<ul class="ranking">{rows}</ul>'


def _reasons(parts: Sequence[tuple[str, float, str]], chosen: Mapping[str, str], report: Report) -> str:
    items = ""
    for name, points, why in parts:
        criterion = _criterion(name)
        answer = criterion.choice(chosen.get(name, "")).words
        sources = "".join(f"<small>{plain(line)}</small>" for line in _evidence(criterion, report))
        items += (
            f"<li><p><b>{plain(criterion.question)} {plain(answer)}</b> ({points:+g}): {plain(why)}.</p>{sources}</li>"
        )
    return f'<ul class="reasons">{items}</ul>' if items else "<p>Nothing speaks for it but that all else is worse.</p>"


def _against(advice: Advice, chosen: Mapping[str, str], report: Report) -> str:
    return f"<h3>Against it</h3>{_reasons(advice.against, chosen, report)}" if advice.against else ""


def _evidence(criterion: Criterion, report: Report) -> list[str]:
    return [line for line in (evidence_of(name, report) for name in criterion.evidence) if line]


def _lines(parts: Sequence[tuple[str, float, str]], report: Report) -> str:
    return "\n".join(
        f"- {_criterion(name).question} {why} ({points:+g}). {' '.join(_evidence(_criterion(name), report))}".rstrip()
        for name, points, why in parts
    )


def _flip_lines(advice: Advice) -> list[str]:
    return [
        f"{_criterion(name).question} {_criterion(name).choice(choice).words}: then {APPROACHES[other]}."
        for name, choice, other in advice.flips
    ]


def _flips(advice: Advice) -> str:
    lines = _flip_lines(advice)
    if not lines:
        return "<p>No other single answer would.</p>"
    return f'<ul class="takeaways">{"".join(f"<li>{plain(line)}</li>" for line in lines)}</ul>'


def _sensitivity(advice: Advice) -> str:
    tied = f"It ties with {' and '.join(APPROACHES[name] for name in advice.tied)}. " if advice.tied else ""
    return (
        f"{tied}With {DRAWS} random weightings, each weight between half and double of what it is, "
        f"{APPROACHES[advice.best]} stays first in {advice.share:.0%}."
    )


def _beyond() -> str:
    items = "".join(f"<li><b>{plain(title)}.</b> {plain(text)}</li>" for title, text in BEYOND)
    return f'<ul class="takeaways">{items}</ul>'


def _criterion(name: str) -> Criterion:
    return next(criterion for criterion in CRITERIA if criterion.name == name)
