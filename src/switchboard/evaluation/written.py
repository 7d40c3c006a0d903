"""A report as files: `report.json`, and `report.md` with its plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from switchboard.evaluation.statistics import wilson

JSON = "report.json"
MARKDOWN = "report.md"
PLOTS = "plots"
COLOURS = {
    "base": "#4d5663",
    "fine-tuned": "#b86a12",
    "rag": "#0a7a75",
    "combined": "#5940a8",
    "rag-without-reader": "#7fb5b2",
}
"""The modes' colours on the page, a little stronger; see ui/theme.py."""
MEASURES = {
    "all_facts": "all required facts in the answer",
    "wrongly_declined": "answerable, but declined",
    "declined": "not answerable, and declined",
    "wrong_figures": "answers with a wrong figure",
    "cited_right": "right article cited",
    "retrieved_right": "right article retrieved",
}
"""The figures of a mode, and what each is a share of."""

PAIR_MEASURES = {"all_facts": "all facts", "declined": "rightly declined", "no_wrong_figure": "no wrong figure"}
"""What two modes are compared by."""

Report = Mapping[str, Any]


def write_report(report: Report, folder: Path) -> None:
    """Write the files into `folder`. Raises OSError where it cannot be written."""
    plots = folder / PLOTS
    plots.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, ensure_ascii=False, separators=(",", ":"))
    # A line an answer, so that a difference between two reports can be read.
    (folder / JSON).write_text(text.replace('{"id":', '\n{"id":') + "\n", encoding="utf-8")
    (folder / MARKDOWN).write_text(as_markdown(report, draw(report, plots)), encoding="utf-8")


def as_markdown(report: Report, plots: Sequence[tuple[str, str]]) -> str:
    """The report as Markdown; `plots` are pairs of a title and a file beside it."""
    modes, questions, costs = report["modes"], report["questions"], report["costs"]
    pictures = "\n\n".join(f"![{title}]({file})" for title, file in plots)
    return f"""# What was measured

{questions["n"]} questions ({questions["answerable"]} answerable, {questions["to_decline"]} to be declined) in every
mode on {report["made"]}; `{questions["file"]}`, sha256 {questions["sha256"]}. Shares with 95 % intervals (Wilson).
{_machine(report)} Made by `python -m switchboard evaluate --all`.

{_table(["", *(row["label"] for row in modes.values())], _figures(modes))}

{pictures}

## By kind of question: all required facts

{_table(["", *(row["label"] for row in modes.values())], _strata(modes))}

## Differences on the same questions

The difference of the shares with its 95 % interval (Newcombe's method 10), the questions that each one alone has right,
and the p of an exact McNemar test, not corrected for {len(report["pairs"])} tests.

{_table(["first", "second", "measure", "difference", "alone right", "p"], _pairs(report))}

## What it costs

At {costs["hourly_price"]:.2f} US dollars an hour for this machine, one turn after the other. {_trainings(modes, costs)}

{_table(["", *(row["label"] for row in modes.values())], _costs(modes, costs))}

{_break_even(modes, costs)}

## On what

{_setup(report)}
"""


def share(row: Mapping[str, Any], name: str) -> str:
    """A share with its interval, in per cent: `76 % (70 to 81)`; a dash where nothing counts."""
    if row.get(name) is None:
        return "-"
    low, high = row["intervals"][name]
    return f"{row[name]:.0%} ({low * 100:.0f} to {high * 100:.0f})".replace("%", " %", 1)


def duration(seconds: float | None) -> str:
    """How long a changed fact takes: seconds of indexing, or minutes of training; a mode may not be able to."""
    if seconds is None:
        return "cannot"
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min of training"


def draw(report: Report, folder: Path) -> list[tuple[str, str]]:
    """Draw the plots into `folder`; returns their titles and files, with the folder's own name."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import, and only needed here)

    drawn = []
    for title, file, height, paint in (
        ("Accuracy by kind of question, with 95 % intervals", "accuracy.png", 4.6, _draw_strata),
        ("Latency of a turn: first word and whole answer", "latency.png", 3.6, _draw_latency),
        ("Accuracy against latency", "accuracy-latency.png", 4.2, _draw_trade),
        ("Declined, rightly and wrongly", "declines.png", 3.6, _draw_declines),
        ("Tokens of a turn, medians", "tokens.png", 3.0, _draw_tokens),
        ("Memory of each mode alone, peak", "memory.png", 3.0, _draw_memory),
        ("What it costs in all, by turns", "cost.png", 4.2, _draw_cost),
    ):
        figure = Figure(figsize=(8, height), dpi=110, layout="constrained")
        axes: Any = figure.subplots()
        paint(axes, report)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(folder / file)
        drawn.append((title, f"{folder.name}/{file}"))
    return drawn


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _figures(modes: Report) -> list[list[str]]:
    rows = [[words, *(share(row, name) for row in modes.values())] for name, words in MEASURES.items()]
    for key, words in (("time_to_first_token_ms", "first word, p50 / p95"), ("total_ms", "whole answer, p50 / p95")):
        rows.append([words, *(_seconds(row["latency"][key]) for row in modes.values())])
    rows.append(
        ["tokens in / out, medians"]
        + [f"{row['median_prompt_tokens']:.0f} / {row['median_output_tokens']:.0f}" for row in modes.values()]
    )
    rows.append(
        ["peak memory, alone"]
        + [f"{row['peak_mib']:.0f} MiB" if row.get("peak_mib") else "-" for row in modes.values()]
    )
    return rows


def _seconds(values: Sequence[float] | None) -> str:
    return f"{values[0] / 1000:.1f} / {values[1] / 1000:.1f} s" if values else "-"


def _strata(modes: Report) -> list[list[str]]:
    first = next(iter(modes.values()))["strata"]
    rows = []
    for name, stratum in first.items():
        cells = [row["strata"][name]["all_facts"] for row in modes.values()]
        if any(cell is not None for cell in cells):
            rows.append([f"{name} ({stratum['n']})", *("-" if c is None else f"{c:.0%}" for c in cells)])
    return rows


def _pairs(report: Report) -> list[list[str]]:
    labels = {name: row["label"] for name, row in report["modes"].items()}
    return [
        [
            labels[pair["first"]],
            labels[pair["second"]],
            PAIR_MEASURES[pair["measure"]],
            f"{pair['difference'] * 100:+.0f} ({pair['interval'][0] * 100:+.0f} to {pair['interval'][1] * 100:+.0f})",
            f"{pair['first_alone']} : {pair['second_alone']}",
            "< 0.001" if pair["p"] < 0.001 else f"{pair['p']:.3f}",
        ]
        for pair in report["pairs"]
    ]


def _costs(modes: Report, costs: Report) -> list[list[str]]:
    by_mode = [costs["modes"][name] for name in modes]
    return [
        ["seconds a turn, mean", *(f"{row['seconds_a_turn']:.2f}" for row in by_mode)],
        ["a thousand turns", *(f"${row['thousand_turns']:.3f}" for row in by_mode)],
        [
            "training, all runs",
            *(f"{row['training_hours']:.1f} h, ${row['training']:.2f}" if row["trainings"] else "-" for row in by_mode),
        ],
        ["to change one fact", *(duration(row["update_seconds"]) for row in by_mode)],
    ]


def _trainings(modes: Report, costs: Report) -> str:
    shared = [
        modes[name]["adapter"]
        for name, row in costs["modes"].items()
        if row["trainings"] and not row["training_is_own"]
    ]
    if not shared:
        return ""
    return f"The adapter `{shared[0]}` knows no company: it is trained once, for all of them, and not charged below."


def _break_even(modes: Report, costs: Report) -> str:
    lines = []
    for name, turns in costs["break_even_turns"].items():
        first, second = name.split(" under ")
        if turns:
            lines.append(
                f"- {modes[first]['label']} has cost less than {modes[second]['label']} after {turns:,.0f} turns "
                "without a retraining."
            )
    return "\n".join(lines) or "- No mode that costs more to make costs less a turn, so none of them breaks even."


def _machine(report: Report) -> str:
    machine = report["setup"]["machine"]
    return f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}."


def _setup(report: Report) -> str:
    setup = dict(report["setup"])
    machine = setup.pop("machine")
    versions = ", ".join(f"{name} {text}" for name, text in machine.items() if name not in _WORDS_OF_MACHINE)
    lines = [f"- **{name}**: {text}" for name, text in setup.items()]
    return "\n".join([f"- **Machine**: {_machine(report)}", *lines, f"- **Versions**: {versions}"])


_WORDS_OF_MACHINE = ("processor", "cores", "memory", "system")


def _draw_strata(axes: Any, report: Report) -> None:
    modes = report["modes"]
    strata = [
        (name, row["with_facts"])
        for name, row in next(iter(modes.values()))["strata"].items()
        if row["all_facts"] is not None
    ]
    width = 0.8 / len(modes)
    for place, (mode, row) in enumerate(modes.items()):
        at = [number + (place - (len(modes) - 1) / 2) * width for number in range(len(strata))]
        shares = [row["strata"][name]["all_facts"] or 0.0 for name, _ in strata]
        ends = [wilson(part * n, n) for part, (_, n) in zip(shares, strata, strict=True)]
        errors = [
            [max(0.0, part - low) for part, (low, _) in zip(shares, ends, strict=True)],
            [max(0.0, high - part) for part, (_, high) in zip(shares, ends, strict=True)],
        ]
        axes.bar(at, shares, width, color=COLOURS.get(mode), label=row["label"])
        axes.errorbar(at, shares, errors, fmt="none", ecolor="#222", elinewidth=0.8, capsize=1.5)
    axes.set_xticks(range(len(strata)), [f"{name}\n({n})" for name, n in strata], fontsize=8)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(lambda value, _at: f"{value:.0%}")
    axes.legend(fontsize=8, ncols=len(modes), frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))


def _draw_latency(axes: Any, report: Report) -> None:
    modes = report["modes"]
    for place, (mode, row) in enumerate(reversed(modes.items())):
        for offset, part, alpha in ((0.16, 0, 0.55), (-0.16, 1, 1.0)):
            times = sorted(pair[part] / 1000 for pair in row["timings_ms"])
            axes.plot(times, [place + offset] * len(times), "o", ms=4, alpha=0.45, color=COLOURS.get(mode))
            key = ("time_to_first_token_ms", "total_ms")[part]
            for value, mark in zip(row["latency"][key] or (), ("|", "|"), strict=False):
                axes.plot(value / 1000, place + offset, mark, ms=14, mew=2, alpha=alpha, color="#222")
    labels = [f"{row['label']}\nfirst word above, whole below" for row in reversed(modes.values())]
    axes.set_yticks(range(len(modes)), labels, fontsize=8)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds; a dot is a turn, the bars are p50 and p95", fontsize=9)


def _draw_trade(axes: Any, report: Report) -> None:
    for mode, row in report["modes"].items():
        if row["all_facts"] is None or not row["latency"]["total_ms"]:
            continue
        seconds = row["latency"]["total_ms"][0] / 1000
        low, high = row["intervals"]["all_facts"]
        errors = [[max(0.0, row["all_facts"] - low)], [max(0.0, high - row["all_facts"])]]
        axes.errorbar([seconds], [row["all_facts"]], errors, fmt="o", ms=9, capsize=3, color=COLOURS.get(mode))
        axes.annotate(row["label"], (seconds, row["all_facts"]), xytext=(9, 5), textcoords="offset points", fontsize=9)
    axes.set_ylim(0, 1)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(lambda value, _at: f"{value:.0%}")
    axes.set_xlabel("seconds to the whole answer, median", fontsize=9)
    axes.set_ylabel("all required facts", fontsize=9)
    axes.grid(alpha=0.25)


def _draw_declines(axes: Any, report: Report) -> None:
    modes = list(report["modes"].items())
    for place, (mode, row) in enumerate(modes):
        for offset, name, hatch in ((-0.2, "declined", ""), (0.2, "wrongly_declined", "///")):
            if row[name] is None:
                continue
            low, high = row["intervals"][name]
            axes.bar(
                place + offset, row[name], 0.38, color=COLOURS.get(mode), hatch=hatch, alpha=0.9, edgecolor="white"
            )
            errors = [[max(0.0, row[name] - low)], [max(0.0, high - row[name])]]
            axes.errorbar(place + offset, row[name], errors, fmt="none", ecolor="#222", capsize=2)
    axes.set_xticks(range(len(modes)), [row["label"] for _, row in modes], fontsize=9)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(lambda value, _at: f"{value:.0%}")
    axes.set_xlabel(
        "plain: of what nothing answers (more is better); hatched: of what is answerable (less is better)", fontsize=8
    )


def _draw_tokens(axes: Any, report: Report) -> None:
    modes = list(reversed(report["modes"].items()))
    read = [row["median_prompt_tokens"] for _, row in modes]
    axes.barh(range(len(modes)), read, color=[COLOURS.get(name) for name, _ in modes], alpha=0.45)
    written = [row["median_output_tokens"] for _, row in modes]
    axes.barh(range(len(modes)), written, left=read, color=[COLOURS.get(name) for name, _ in modes])
    axes.set_yticks(range(len(modes)), [row["label"] for _, row in modes], fontsize=9)
    axes.set_xlabel("tokens read (pale) and written (full)", fontsize=9)


def _draw_memory(axes: Any, report: Report) -> None:
    modes = [(name, row) for name, row in reversed(report["modes"].items()) if row.get("peak_mib")]
    bars = axes.barh(
        range(len(modes)), [row["peak_mib"] for _, row in modes], color=[COLOURS.get(name) for name, _ in modes]
    )
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=9)
    axes.set_yticks(range(len(modes)), [row["label"] for _, row in modes], fontsize=9)
    axes.set_xlabel("MiB", fontsize=9)


def _draw_cost(axes: Any, report: Report) -> None:
    costs = report["costs"]
    turns = [0, 1_000_000]
    for mode, row in report["modes"].items():
        cost = costs["modes"][mode]
        fixed = cost["training"] if cost["training_is_own"] else 0.0
        axes.plot(
            turns,
            [fixed + n / 1000 * cost["thousand_turns"] for n in turns],
            color=COLOURS.get(mode),
            label=row["label"],
        )
    axes.set_xlim(0, turns[1])
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(lambda value, _at: f"{value:,.0f}")
    axes.set_xlabel("turns, without a retraining", fontsize=9)
    axes.set_ylabel(f"US dollars at {costs['hourly_price']:.2f} an hour", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
