"""The benchmark as a table, as JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PEERS = ("switchboard", "transformers", "llama.cpp q4_1", "llama.cpp q4_0", "llama.cpp q8_0", "llama.cpp q4_k_m")
_TITLES = {"w1": "W1, fine-tuned turn", "w2": "W2, RAG turn, cold", "w3": "W3, second RAG turn"}


def table(found: Mapping[str, Any]) -> str:
    """All figures as Markdown."""
    lines = ["| turn | engine | first token, s | all, s | tokens a second |", "| --- | --- | --- | --- | --- |"]
    for work, engines in found["turns"].items():
        for name, row in engines.items():
            lines.append(
                f"| {_TITLES[work]} | {name} | {row['first_s']:.3f} | {row['total_s']:.3f} | "
                f"{row['tokens_per_second']:.0f} |"
            )
    lines += ["", "| ratio | measured |", "| --- | --- |"]
    lines += [f"| {name} | {value:.2f} |" for name, value in found["ratios"].items()]
    return "\n".join(lines)


def write(found: Mapping[str, Any], out: Path) -> None:
    """Write the figures to `out` (JSON) and a picture beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _plot(found, out.with_suffix(".png"))


def _plot(found: Mapping[str, Any], path: Path) -> None:
    """Seconds to the first token and to the last, by turn and engine."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    turns = found["turns"]
    figure, axes = plt.subplots(1, len(turns), figsize=(11, 3.2), sharey=True, layout="constrained")
    for axis, (work, engines) in zip(axes, turns.items(), strict=True):
        names = [name for name in PEERS if name in engines][::-1]
        totals = [engines[name]["total_s"] for name in names]
        firsts = [engines[name]["first_s"] for name in names]
        axis.barh(names, totals, color=["#0f766e" if name == "switchboard" else "#94a3b8" for name in names])
        axis.barh(names, firsts, color="#00000033")
        for place, total in enumerate(totals):
            axis.annotate(f"{total:.2f} s", (total, place), xytext=(3, 0), textcoords="offset points", va="center")
        axis.set_title(_TITLES[work], loc="left", fontsize=10)
        axis.set_xlim(0, max(totals) * 1.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("seconds; shaded: to the first token", fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)
