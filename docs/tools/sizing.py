"""Work docs/sizing.md out of docs/bench.json, docs/load.json and evaluation/report.json: python docs/tools/sizing.py"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "sizing.md"

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Turns a day."""

# Assumed, and said so on the page. Whoever knows their own visitors puts their own numbers here.
BUSIEST_HOUR = 0.15
"""The share of a day's turns that come in its busiest hour."""
BUSY = 0.7
"""The share of that hour in which a replica computes; the rest is what keeps lines short."""
SEARCHING = 0.8
"""The share of turns in modes that search."""
RATED = 0.02
"""The share of answers that a visitor rates."""
ROW_KB = 1.5
"""A rated answer with its question, sources and costs, in kB."""
TURN_KB = 3.0
"""A kept turn with its passages' names and its answer, in kB."""
SECONDS_BETWEEN = 60
"""From one turn of a visitor to their next, their page being open all the while."""
LEAST_REPLICAS = 2
"""So that one may die, or be replaced."""

# Of hardware that was not there: data sheets, not measurements.
GPU, GPU_GB_PER_S, GPU_TFLOPS = "NVIDIA A10", 600, 125
"""Memory bandwidth, and dense bfloat16 arithmetic."""
SMALL, LARGE = 0.135, 8.0
"""Parameters in thousand millions: of the shipped model, and of one that would write freely well."""
TOGETHER = 16
"""Answers that a GPU writes in one step."""


@dataclass(frozen=True)
class Measured:
    """What the benchmark and the evaluation measured. Seconds are of both cores of a two-core machine."""

    alone_s: float
    """A RAG turn as shipped, search included, the longest of the four modes, with nobody else there."""
    turn_s: float
    """A turn of visitors who keep the machine busy, each with a document of their own."""
    free_tokens_per_s: float
    """Eight visitors' together, written freely."""
    search_s: float
    large_search_s: float
    """Both rankings over 100,000 passages."""
    memory_mib: int
    """At most, with thirty-two visitors."""
    prompt_tokens: float
    output_tokens: float
    eight_first_s: float
    """Median wait for the first word among eight visitors who ask without a pause."""
    machine: str


@dataclass(frozen=True)
class Size:
    """What so many turns a day ask for."""

    turns: int
    peak: float
    """Turns a second in the busiest hour."""
    load: float
    """Two-core machines kept busy by them."""
    replicas: int
    memory_gib: float
    line_s: float
    """Mean wait before a turn begins."""


def measured() -> Measured:
    """The figures of the last published benchmark, load and report."""
    bench: dict[str, Any] = json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))
    load: dict[str, Any] = json.loads((ROOT / "docs" / "load.json").read_text(encoding="utf-8"))
    rag = json.loads((ROOT / "evaluation" / "report.json").read_text(encoding="utf-8"))["modes"]["rag"]
    return Measured(
        alone_s=bench["product_turn_s"]["switchboard"],
        turn_s=max(bench["product_turn_s"]["switchboard"], 1 / load["turns_per_second"]),
        free_tokens_per_s=bench["w4"]["written freely"]["together"]["tokens_per_second"],
        search_s=bench["retrieval_ms"]["as shipped"]["p50"] / 1000,
        large_search_s=bench["retrieval_ms"]["100,000 passages"]["p50"] / 1000,
        memory_mib=round(load["memory_mb"]["most"] * 1e6 / 2**20),
        prompt_tokens=rag["median_prompt_tokens"],
        output_tokens=rag["median_output_tokens"],
        eight_first_s=bench["w4"]["as shipped"]["together"]["first_p50_s"],
        machine=f"{bench['machine']['processor']}, {bench['machine']['cores']} cores",
    )


def size(turns: int, turn_s: float, memory_mib: float) -> Size:
    """What `turns` a day need of replicas that take `turn_s` seconds for one.

    Turns come by chance (Poisson) and take equally long, one after the other (M/D/1, Pollaczek and Khinchine).

    >>> size(1_000_000, 0.5, 1000).replicas
    30
    """
    peak = turns * BUSIEST_HOUR / 3600
    load = peak * turn_s
    replicas = max(LEAST_REPLICAS, math.ceil(load / BUSY))
    busy = load / replicas
    line_s = busy * turn_s / (2 * (1 - busy))
    return Size(turns, peak, load, replicas, replicas * memory_mib / 1024, line_s)


def page() -> str:
    """The whole page."""
    m = measured()
    free_s = m.output_tokens / m.free_tokens_per_s
    shipped = [size(turns, m.turn_s, m.memory_mib) for turns in SIZES]
    free = [size(turns, free_s, m.memory_mib) for turns in SIZES]
    without = [size(turns, SEARCHING * m.search_s, m.memory_mib) for turns in SIZES]
    one, ten, hundred, most = shipped
    pages = hundred.peak * SECONDS_BETWEEN / hundred.replicas
    rows = "\n".join(
        f"| {own.turns:,} | {_short(own.peak)} | {_short(own.load)} | **{own.replicas}** | {own.memory_gib:.1f} GiB "
        f"| {own.line_s:.2f} s | {other.replicas} | {gpu.replicas} |"
        for own, other, gpu in zip(shipped, free, without, strict=True)
    )
    per_replica = 86_400 * BUSY / m.turn_s * (1 / 24 / BUSIEST_HOUR)
    return f"""# Sizing

How many machines so many turns a day need, and what breaks first. Worked out by
[tools/sizing.py](tools/sizing.py) from [bench.json](bench.json), [load.json](load.json) and [the report](../evaluation/report.md); a
test fails while this page is not what those figures make. **Measured** is what one process did on one machine ({m.machine}); everything about
more than one process is **arithmetic**, and everything about a GPU is an **estimate from data sheets**: none was there.

## Measured

| | |
| --- | --- |
| a RAG turn as shipped, alone, search included, both cores | {m.alone_s:.2f} s |
| a turn of 32 visitors who keep both cores busy, each with a document of their own; **reckoned with below** | {m.turn_s:.2f} s |
| of which the search, reranking included | {m.search_s * 1000:.0f} ms |
| both rankings over 100,000 made-up passages instead of the 434 there are | {m.large_search_s * 1000:.0f} ms |
| tokens read and written in a turn, medians | {m.prompt_tokens:.0f}, {m.output_tokens:.0f} |
| written freely, eight visitors together | {m.free_tokens_per_s:.0f} tokens a second, so {free_s:.2f} s a turn |
| memory of a process, at most with those 32 visitors | {m.memory_mib:,} MiB |
| first word for eight visitors who ask without a pause, median | {m.eight_first_s:.1f} s, so {8 / m.eight_first_s:.1f} turns a second |

A turn alone would be {1 / m.alone_s:.1f} turns a second; under load they are {1 / m.turn_s:.2f}, as pages are drawn, documents are laid over the index
and longer conversations are read meanwhile. Half of the eight's turns in the last row were in modes that do not search.

## Assumed

- {BUSIEST_HOUR:.0%} of a day's turns come in its busiest hour, {BUSIEST_HOUR * 24:.1f} times the mean; in it they come by chance.
- Each turn is the longest kind that was measured; {SEARCHING:.0%} search; {RATED:.0%} of the answers are rated.
- A visitor whose page is open asks every {SECONDS_BETWEEN} s. A rated answer is a row of {ROW_KB} kB, a kept turn one of {TURN_KB:.0f} kB.
- A replica may be busy for {BUSY:.0%} of that hour. There are at least {LEAST_REPLICAS}, so that one may die.
- A replica is a process with two cores of its own, in the {m.memory_mib / 1024:.1f} GiB that it took at most; [deploy](../deploy/README.md) allows 2.5.

## So many replicas

| turns a day | turns a second at peak | machines kept busy | replicas | memory | mean wait in line | replicas, written freely | replicas beside a GPU (estimate) |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

One replica serves about {per_replica / 1000:.0f},000 turns a day. The last column is what is left when another machine writes the
answers and a replica only searches; see below.

## What breaks first

**1,000 turns a day.** Nothing that a figure shows: one process would be busy for {one.load:.0%} of the busiest hour. The machine itself is
what breaks, and the second replica is there for that. With it ratings go to PostgreSQL (`SWITCHBOARD_DATABASE_URL`), as a container's
SQLite file goes with the container; and where the shared documents are edited while it runs, vectors go to a Chroma server
(`SWITCHBOARD_CHROMA_URL`), as a folder of Chroma's is for one process.

**10,000.** The line of one process. On average a turn waits {ten.line_s:.2f} s, but eight visitors who ask without a pause wait {m.eight_first_s:.1f} s for a
first word: as shipped, most of what is written is copied, and the work is reading prompts, which keeps both cores busy for one
visitor already. 64 turns may wait, {64 * m.turn_s:.0f} s of work; whoever comes after them is told to try again.

**100,000.** The processors, by reading prompts: {hundred.replicas} replicas. nginx gives a visitor to a replica by chance, whether that is busy or not:
{pages:.0f} open pages each, give or take {math.sqrt(pages):.0f}, so one of them is busier than the mean says; add the next before it is reached. Ratings are {RATED * 100_000:,.0f} rows a
day, {100_000 * RATED * ROW_KB / 1000:.0f} MB: nothing.

**1,000,000.** The processors still: {most.replicas} replicas on {2 * most.replicas} cores and in {most.memory_gib:.0f} GiB. After them:

- *Connections*: each open page holds one. If a visitor asks every {SECONDS_BETWEEN} s, {most.peak * SECONDS_BETWEEN:,.0f} pages are open at the peak, each of them two
  connections of nginx, which allows 1,024 a worker process unless `worker_connections` says more. Not measured.
- *Chroma*: {SEARCHING * most.peak:.0f} searches a second. If all of a ranking over 100,000 passages were its work, {SEARCHING * most.peak * m.large_search_s:.1f} two-core machines would be busy
  with it, so give it four cores of its own. How many requests it serves was not measured.
- *Every replica's own index*: words (BM25) and known questions are in the memory of each, so a changed document is read {most.replicas} times.
- *Disk*: ratings are {1_000_000 * RATED * ROW_KB / 1000:.0f} MB a day. If every turn is kept as well, at about {TURN_KB:.0f} kB, that is {TURN_KB:.0f} GB a day and {TURN_KB * 365 / 1000:.1f} TB a year: decide
  how long before it is needed.
- *PostgreSQL*: {RATED * most.peak:.1f} rows a second of ratings, {most.peak:.0f} if every turn is kept. Not measured, and not near what it is known for.

## When a GPU

Writing on a GPU (`SWITCHBOARD_GENERATOR_URL`, vLLM with the adapters) leaves a replica its search, {m.search_s * 1000:.0f} ms for {SEARCHING:.0%} of the turns: at
a million turns a day {without[-1].replicas} replicas instead of {most.replicas}. It pays when the replicas it saves cost more than it does, so with the shipped
model hardly below {_turns_for(10, m):,} turns a day, which are ten replicas. A model of eight thousand million parameters needs one from the
first turn on. Either writes freely there, so the answers are other ones than those in the report.

**Not measured; an estimate for one {GPU}**, {GPU_GB_PER_S} GB/s and {GPU_TFLOPS} TFLOP/s by its data sheet, of which programs reach a part. Memory holds more than {TOGETHER}
answers in a step, so a larger model may need fewer than this says:

| at a million turns a day | {SMALL * 1000:.0f} million parameters | {LARGE:.0f} thousand million |
| --- | --- | --- |
| weights in bfloat16, read for each step | {2 * SMALL:.2f} GB | {2 * LARGE:.0f} GB |
| steps a second at most: {GPU_GB_PER_S} / that | {GPU_GB_PER_S / (2 * SMALL):,.0f} | {GPU_GB_PER_S / (2 * LARGE):.0f} |
| tokens a second at most, {TOGETHER} answers a step | {TOGETHER * GPU_GB_PER_S / (2 * SMALL):,.0f} | {TOGETHER * GPU_GB_PER_S / (2 * LARGE):,.0f} |
| tokens a second to be written: {most.peak:.1f} × {m.output_tokens:.0f} | {most.peak * m.output_tokens:,.0f} | {most.peak * m.output_tokens:,.0f} |
| arithmetic to read prompts: 2 × parameters × {most.peak:.1f} × {m.prompt_tokens:.0f} | {_tflops(SMALL, most, m):.1f} TFLOP/s | {_tflops(LARGE, most, m):.0f} TFLOP/s |
| so GPUs, at half of what the data sheet says | {_gpus(SMALL, most, m)} | {_gpus(LARGE, most, m)} |

## Under load

{_under_load()}
"""


def _under_load() -> str:
    """What `make load` found."""
    found = json.loads((ROOT / "docs" / "load.json").read_text(encoding="utf-8"))
    first, whole, memory = (found[name] for name in ("first_frame_seconds", "whole_seconds", "memory_mb"))
    return f"""`make load`: {found["visitors"]} visitors for {found["seconds"]} seconds on one process with two cores, each with a document of their own
([how](operating.md#load)). {found["turns"]:,} turns were answered, {found["turns_per_second"]} a second; {found["mixed"]} were mixed up and {found["lost"]} lost. The first frame took
{first["p50"]} s (median) and {first["p99"]} s (99 %), the whole answer {whole["p50"]} and {whole["p99"]} s. Memory went from {memory["start"]:,} to {memory["end"]:,} MB, at most
{memory["most"]:,}."""


def _short(number: float) -> str:
    return f"{number:.2g}" if number < 10 else f"{number:.0f}"


def _turns_for(replicas: int, m: Measured) -> int:
    """Turns a day that so many replicas serve, to two digits."""
    turns = replicas * BUSY / m.turn_s * 3600 / BUSIEST_HOUR
    return int(float(f"{turns:.1e}"))


def _tflops(billions: float, at: Size, m: Measured) -> float:
    return 2 * billions * 1e9 * at.peak * m.prompt_tokens / 1e12


def _gpus(billions: float, at: Size, m: Measured) -> int:
    written = at.peak * m.output_tokens / (TOGETHER * GPU_GB_PER_S / (2 * billions))
    return math.ceil(2 * (written + _tflops(billions, at, m) / GPU_TFLOPS))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
