"""The Results page: the report's figures, drawn from its file, with the questions behind every bar."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from switchboard.evaluation.statistics import wilson
from switchboard.evaluation.written import MEASURES, PAIR_MEASURES, duration
from switchboard.ui.markup import plain, render_markdown
from switchboard.ui.plots import Axes, Bar, Point, bars, lines, scatter

Report = Mapping[str, Any]
_log = logging.getLogger(__name__)

_NOTES = {
    "all_facts": "Of the answerable questions. More is better.",
    "wrongly_declined": "Of the answerable questions. Less is better.",
    "declined": "Of those that nothing answers. More is better.",
    "wrong_figures": "A number that stands in no source and is not asked for. Less is better.",
    "cited_right": "Of the answerable questions, where passages are read. More is better.",
}
_MOST_SHOWN = 400
_NOTHING = "<p>There is nothing behind this.</p>"
_THOUSANDS = 1000


def _answerable(row: Report) -> bool:
    return bool(row["required"] and row["articles"] and not row["decline"])


_COUNTS: dict[str, tuple[Callable[[Report], bool], str]] = {
    "all_facts": (_answerable, "all_facts"),
    "wrongly_declined": (_answerable, "declined"),
    "declined": (itemgetter("decline"), "declined"),
    "wrong_figures": (_answerable, "wrong_figures"),
    "cited_right": (_answerable, "cited_right"),
}
"""Of each measure, which questions count, and which verdict is counted of an answer."""
_BAD = {"wrongly_declined", "wrong_figures"}


def read_report(file: Path, also: Callable[[Report], object] = lambda _: None) -> Report | None:
    """The report in a file; None where there is none that can be read, or shown here and by whoever `also` shows it."""
    try:
        report: Report = json.loads(file.read_text(encoding="utf-8"))
        results(report)
        also(report)
        return report
    except FileNotFoundError:
        return None
    except Exception:  # noqa: BLE001 - whatever is wrong in it, the pages do without
        _log.warning("%s is no report that this version can show; evaluate --all makes a new one.", file)
        return None


def results(report: Report | None) -> str:
    """The page; without a report it says how to make one."""
    if report is None:
        return (
            '<section class="results"><h2>Nothing measured yet</h2><p class="lead">'
            "<code>python -m switchboard evaluate --all</code> asks the evaluation set in every mode and writes the "
            "report that this page shows. It takes about half an hour on two cores and can be stopped and taken up "
            "again.</p></section>"
        )
    return (
        f'<section class="results">{_head(report)}<div class="bars-grid">{_measures(report)}</div>'
        f'<h2>By kind of question</h2><div class="bars-grid">{_strata(report)}</div>'
        f'<h2>What it takes</h2><div class="plots">{_trade(report)}{_times(report)}{_cost(report)}'
        f"{_takeaways(report)}</div>{_costs(report)}"
        f"<h2>Is the difference real?</h2>{_pairs(report)}<h2>Measured on</h2>{_setup(report)}</section>"
        '<dialog id="behind" aria-labelledby="behind-title"><div class="article-bar">'
        '<button type="button" class="close" data-action="close-behind" aria-label="Close the questions">'
        '<i class="icon icon-close" aria-hidden="true"></i></button></div>'
        '<div id="behind-body" tabindex="0"></div></dialog>'
    )


def behind(report: Report | None, mode: str, about: str) -> str:
    """The questions behind a bar: `about` is a measure, or a measure and a stratum with a `/` between.

    Those that count against the mode come first.
    """
    try:
        return _behind(report, mode, about)
    except Exception:  # noqa: BLE001 - whatever is wrong in the report, nobody sees the trace
        _log.exception("The report's answers cannot be shown.")
        return _NOTHING


def _behind(report: Report | None, mode: str, about: str) -> str:
    if report is None or mode not in report["modes"]:
        return _NOTHING
    measure, _, stratum = about.partition("/")
    if measure not in _COUNTS:
        return _NOTHING
    counts, verdict = _COUNTS[measure]
    searches = report["modes"][mode]["searches"]
    rows = [
        row
        for row in report["answers"]
        if (_in_stratum(row, stratum, measure) if stratum else counts(row) and (searches or not row["changed"]))
    ]
    rows.sort(key=lambda row: bool(row["modes"][mode][verdict]) != (measure in _BAD))
    yes = sum(bool(row["modes"][mode][verdict]) for row in rows)
    label = report["modes"][mode]["label"]
    what = _capital(MEASURES.get(measure, measure)) + (f", {stratum}" if stratum else "")
    items = "".join(_question(row, mode, verdict) for row in rows[:_MOST_SHOWN])
    return (
        f'<p class="article-topic">{plain(label)}</p><h2 id="behind-title">{plain(what)}: {yes} of {len(rows)}</h2>'
        f'<ol class="behind-list">{items}</ol>'
    )


def _in_stratum(row: Report, stratum: str, measure: str) -> bool:
    return row["stratum"] == stratum and bool(row["required"] or measure != "all_facts")


def _question(row: Report, mode: str, verdict: str) -> str:
    said = row["modes"][mode]
    wanted = " and ".join(" or ".join(either) for either in row["required"]) or "to be declined"
    turns = row.get("conversation", [])
    before = "".join(f'<p class="behind-before">{plain(turn["content"])}</p>' for turn in turns)
    sources = ", ".join(dict.fromkeys(said["sources"])) or "none"
    wrong = f" · wrong figures: {', '.join(said['wrong_figures'])}" if said["wrong_figures"] else ""
    yes = str(bool(said[verdict])).lower()
    return (
        f'<li data-yes="{yes}">{before}<p class="behind-question">{plain(row["question"])}</p>'
        f'<div class="behind-answer">{render_markdown(said["answer"])}</div>'
        f'<p class="behind-note">Wanted: {plain(wanted)} · sources: {plain(sources)}{plain(wrong)}</p></li>'
    )


def _head(report: Report) -> str:
    questions, machine = report["questions"], report["setup"]["machine"]
    return (
        f'<h2>{int(questions["n"])} questions, every mode</h2><p class="lead">{int(questions["answerable"])} can be '
        f"answered from the help centre of {plain(str(report['setup'].get('Company', 'a company')))}, "
        f"{int(questions['to_decline'])} cannot and should be declined. Measured on "
        f"{plain(report['made'])}, {plain(machine['processor'])}, {plain(machine['cores'])} cores. The thin lines are "
        "95 % intervals. Press a bar to read the questions behind it.</p>"
    )


def _measures(report: Report) -> str:
    groups = []
    for measure, note in _NOTES.items():
        rows = [
            Bar(mode, row["label"], row[measure], tuple(row["intervals"].get(measure, (0, 0))), measure)
            for mode, row in report["modes"].items()
        ]
        if any(row.value is not None for row in rows):
            groups.append(bars(_capital(MEASURES[measure]), note, rows))
    return "".join(groups)


def _strata(report: Report) -> str:
    groups = []
    for name, stratum in next(iter(report["modes"].values()))["strata"].items():
        measure = "all_facts" if stratum["all_facts"] is not None else "declined"
        n = stratum["with_facts"] if measure == "all_facts" else stratum["n"]
        note = "All required facts" if measure == "all_facts" else "Declined, as they should be"
        rows = []
        for mode, row in report["modes"].items():
            value = row["strata"][name][measure]
            ends = wilson(value * n, n) if value is not None else (0.0, 0.0)
            rows.append(Bar(mode, row["label"], value, ends, f"{measure}/{name}"))
        groups.append(bars(_capital(name), f"{note}; {n} questions.", rows))
    return "".join(groups)


def _trade(report: Report) -> str:
    points = []
    for mode, row in report["modes"].items():
        if row["all_facts"] is not None and row["latency"]["total_ms"]:
            seconds = row["latency"]["total_ms"][0] / 1000
            says = f"{row['label']}: {row['all_facts']:.0%} with {seconds:.1f} s a turn"
            points.append(
                Point(mode, seconds, row["all_facts"], says, row["label"], tuple(row["intervals"]["all_facts"]))
            )
    longest = max([point.x for point in points], default=1.0)
    axes = Axes("seconds to the whole answer, median", "All required facts", longest * 1.3, 1.0, "{:.1f}", "{:.0%}")
    return scatter("Accuracy against latency", axes, points)


def _times(report: Report) -> str:
    points = []
    modes = list(report["modes"].items())
    for place, (mode, row) in enumerate(reversed(modes), 1):
        for first, whole in row["timings_ms"]:
            points.append(Point(mode, first / 1000, place + 0.16, f"{row['label']}: first word {first / 1000:.2f} s"))
            points.append(Point(mode, whole / 1000, place - 0.16, f"{row['label']}: whole answer {whole / 1000:.2f} s"))
    longest = max([point.x for point in points], default=1.0)
    axes = Axes(
        "seconds: above to the first word, below to the whole answer", "", longest * 1.05, len(modes) + 1, "{:.1f}", ""
    )
    drawn = scatter("Latency of single turns", axes, points)
    chips = "".join(
        f'<span class="chip" data-mode="{plain(mode)}">{plain(row["label"])} {_p50_p95(row)}</span>'
        for mode, row in modes
    )
    return drawn.replace("</figure>", f'<p class="legend">{chips}</p></figure>')


def _p50_p95(row: Report) -> str:
    times = row["latency"]["total_ms"]
    return f"{times[0] / 1000:.1f} s, p95 {times[1] / 1000:.1f} s" if times else ""


def _cost(report: Report) -> str:
    costs = report["costs"]
    rows = []
    for mode, row in report["modes"].items():
        cost = costs["modes"][mode]
        fixed = cost["training"] if cost["training_is_own"] else 0.0
        rows.append((mode, row["label"], [(0.0, fixed), (_THOUSANDS, fixed + _THOUSANDS * cost["thousand_turns"])]))
    most = max(points[-1][1] for _, _, points in rows) or 1.0
    axes = Axes(
        "thousand turns, without a retraining",
        f"US dollars, at {costs['hourly_price']:.2f} an hour",
        _THOUSANDS,
        most,
        "{:,.0f}",
        "{:.0f}",
    )
    return lines("What it costs in all", axes, rows)


def _costs(report: Report) -> str:
    costs = report["costs"]["modes"]
    head = "".join(f"<th>{plain(row['label'])}</th>" for row in report["modes"].values())
    rows = [
        ("A thousand turns", [f"${costs[mode]['thousand_turns']:.3f}" for mode in report["modes"]]),
        ("Training, all runs", [_training(costs[mode]) for mode in report["modes"]]),
        ("To change one fact", [duration(costs[mode]["update_seconds"]) for mode in report["modes"]]),
        ("Peak memory, alone", [_memory(row) for row in report["modes"].values()]),
        (
            "Tokens in / out, medians",
            [
                f"{row['median_prompt_tokens']:.0f} / {row['median_output_tokens']:.0f}"
                for row in report["modes"].values()
            ],
        ),
    ]
    body = "".join(
        f"<tr><th>{name}</th>{''.join(f'<td>{plain(cell)}</td>' for cell in cells)}</tr>" for name, cells in rows
    )
    return f'<div class="table-box"><table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _takeaways(report: Report) -> str:
    """What the costs come to, in sentences."""
    costs = report["costs"]
    labels = {mode: row["label"] for mode, row in report["modes"].items()}
    said = [
        f"{labels[mode]} takes on a changed fact after {duration(cost['update_seconds'])}."
        if cost["update_seconds"] is not None
        else f"{labels[mode]} cannot take on a changed fact at all."
        for mode, cost in costs["modes"].items()
    ]
    for name, turns in costs["break_even_turns"].items():
        first, second = name.split(" under ")
        if turns:
            said.append(f"{labels[first]} has cost less than {labels[second]} after {turns:,.0f} turns.")
    if not any(costs["break_even_turns"].values()):
        said.append("Nothing that costs more to make costs less a turn here, so no training pays for itself in turns.")
    items = "".join(f"<li>{plain(line)}</li>" for line in said)
    return f'<section class="plot"><h3>What that comes to</h3><ul class="takeaways">{items}</ul></section>'


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _training(cost: Report) -> str:
    if not cost["trainings"]:
        return "none"
    once = "" if cost["training_is_own"] else ", once for all companies"
    return f"{cost['training_hours']:.1f} h, ${cost['training']:.2f}{once}"


def _memory(row: Report) -> str:
    return f"{row['peak_mib'] / 1024:.2f} GiB" if row.get("peak_mib") else "not measured"


def _pairs(report: Report) -> str:
    labels = {mode: row["label"] for mode, row in report["modes"].items()}
    rows = ""
    for pair in report["pairs"]:
        low, high = (end * 100 for end in pair["interval"])
        p = "&lt; 0.001" if pair["p"] < 0.001 else f"{pair['p']:.3f}"
        sure = "yes" if low > 0 or high < 0 else "no"
        rows += (
            f"<tr><td>{plain(labels[pair['first']])}</td><td>{plain(labels[pair['second']])}</td>"
            f"<td>{PAIR_MEASURES[pair['measure']]}</td>"
            f"<td>{pair['difference'] * 100:+.0f} ({low:+.0f} to {high:+.0f})</td>"
            f"<td>{int(pair['first_alone'])} : {int(pair['second_alone'])}</td><td>{p}</td><td>{sure}</td></tr>"
        )
    return (
        '<p class="lead">On the same questions, in points of a hundred; the interval is Newcombe’s, the p that of an '
        f"exact McNemar test, not corrected for {len(report['pairs'])} comparisons.</p>"
        '<div class="table-box"><table><thead><tr><th>First</th><th>Second</th><th>Measure</th><th>Difference</th>'
        f"<th>Alone right</th><th>p</th><th>Clear of 0</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _setup(report: Report) -> str:
    setup = dict(report["setup"])
    machine = setup.pop("machine")
    words = [("Machine", " · ".join(machine[name] for name in ("processor", "memory", "system")))]
    rest = [
        f"{name} {text}" for name, text in machine.items() if name not in ("processor", "memory", "system", "cores")
    ]
    questions = report["questions"]
    words += [*setup.items(), ("Versions", ", ".join(rest))]
    words.append(("Questions", f"{questions['file']}, sha256 {questions['sha256']}"))
    rows = "".join(f"<div><dt>{plain(name)}</dt><dd>{plain(str(text))}</dd></div>" for name, text in words)
    return f'<dl class="about">{rows}</dl>'
