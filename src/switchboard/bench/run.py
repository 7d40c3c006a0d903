"""Time every engine on every turn, alternating, so that what the machine does meanwhile falls on all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from switchboard.bench.engines import Engine, Timing
from switchboard.bench.work import OUT, Work
from switchboard.compute import compute
from switchboard.switch import Switchboard
from switchboard.types import GenerationSettings, Message

QUESTIONS = (
    "How much is Fibre 500 a month?",
    "When are home bills issued?",
    "What is the late payment fee?",
    "How do I return my router?",
)
"""What the visitors of W4 ask, one after the other, in the modes of MIXED by turns."""
MIXED = ("rag", "fine-tuned", "combined", "base")
VISITORS = 8


@dataclass
class Timings:
    """Seconds by engine and turn: to the first token, and in all; each turn writes `tokens`."""

    tokens: int = OUT
    first: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    total: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, engine: str, work: str, timing: Timing) -> None:
        """Keep one measurement."""
        self.first.setdefault((engine, work), []).append(timing.first)
        self.total.setdefault((engine, work), []).append(timing.total)

    def medians(self) -> dict[str, dict[str, dict[str, float]]]:
        """By turn and engine: seconds to the first token, in all, and tokens a second after the first."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for engine, work in self.total:
            first, total = median(self.first[engine, work]), median(self.total[engine, work])
            decoding = [t - f for f, t in zip(self.first[engine, work], self.total[engine, work], strict=True)]
            found.setdefault(work, {})[engine] = {
                "first_s": round(first, 4),
                "total_s": round(total, 4),
                "tokens_per_second": round((self.tokens - 1) / median(decoding), 1),
            }
        return found


def alternate(engines: Mapping[str, Engine], works: Sequence[Work], rounds: int, tokens: int = OUT) -> Timings:
    """Run each turn on each engine once a round, after one round that is not counted; each writes so many tokens."""
    timings = Timings(tokens)
    with tqdm(total=(rounds + 1) * len(works) * len(engines), unit="turn") as bar:
        for number in range(rounds + 1):
            for work in works:
                for name, engine in engines.items():
                    if work.after:
                        engine.turn(work.after, 1, work.adapter, fresh=True)
                    timing = engine.turn(work.ids, tokens, work.adapter, fresh=not work.after)
                    if number:
                        timings.add(name, work.name, timing)
                    bar.update()
    return timings


def product_turn(
    switchboard: Switchboard, peers: Mapping[str, Engine], encode: Callable[[Sequence[Message]], list[int]], rounds: int
) -> dict[str, float]:
    """The shipped RAG turn, warm, with its own prompt and answer; and what each peer takes for as much. Seconds."""
    settings = GenerationSettings()
    asked = [[Message("user", question)] for question in QUESTIONS]
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds + 1):
        question = asked[number % len(asked)]
        # Another question before it, so that only what every prompt begins with was read already.
        for _ in switchboard.answer(asked[(number + 1) % len(asked)], "rag", settings):
            pass
        prompt = switchboard.prepare(question, "rag", settings).prompt
        (*_, last) = switchboard.answer(question, "rag", settings)
        ids = encode(prompt)
        for name, peer in peers.items():
            timing = peer.turn(ids, max(1, last.metrics.output_tokens), None, fresh=False)
            if number:
                theirs[name].append(timing.total)
        if number:
            ours.append(last.metrics.total_ms / 1000)
    return {"switchboard": round(median(ours), 4), **{name: round(median(t), 4) for name, t in theirs.items() if t}}


def visitors(switchboard: Switchboard, numbers: Sequence[int], turns: int = 4) -> dict[str, float]:
    """Visitors at once, in mixed modes: tokens a second in all, and the longest wait for a first token.

    Each of the `numbers` is a visitor with a conversation of their own.
    """
    waits: list[float] = []
    tokens: list[int] = []

    def visit(number: int) -> None:
        talk: list[Message] = []
        for turn in range(turns):
            talk.append(Message("user", QUESTIONS[(number + turn) % len(QUESTIONS)]))
            mode = MIXED[(number + number // len(MIXED) + turn) % len(MIXED)]
            began = time.perf_counter()
            first = 0.0
            for answer in switchboard.answer(talk, mode, GenerationSettings(max_tokens=OUT)):
                if answer.text and not first:
                    first = time.perf_counter() - began
                last = answer
            waits.append(first)
            tokens.append(last.metrics.output_tokens)
            talk.append(Message("assistant", last.text))

    threads = [threading.Thread(target=visit, args=[number]) for number in numbers]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    return {
        "visitors": len(numbers),
        "tokens_per_second": round(sum(tokens) / seconds, 1),
        "first_p50_s": round(float(np.percentile(waits, 50)), 3),
        "first_max_s": round(max(waits), 3),
    }


def limits(bytes_a_token: int) -> dict[str, float]:
    """What the machine can do: reading in GB/s, bfloat16 in GFLOP/s, and the least milliseconds a token can take."""
    bandwidth = compute(_bandwidth)
    return {
        "read_gb_per_s": round(bandwidth, 1),
        "bf16_gflop_per_s": round(compute(_arithmetic)),
        "token_bytes": bytes_a_token,
        "token_floor_ms": round(bytes_a_token / bandwidth / 1e6, 2),
    }


def ratios(turns: Mapping[str, Any], product: Mapping[str, float], alone: float, together: float) -> dict[str, float]:
    """Ours against the best of llama.cpp's variants, below 1 being faster for times, above 1 for rates."""
    best: dict[str, dict[str, float]] = {}
    for work, engines in turns.items():
        rivals = [found for name, found in engines.items() if name.startswith("llama.cpp")]
        if rivals:
            best[work] = {
                "first_s": min(r["first_s"] for r in rivals),
                "total_s": min(r["total_s"] for r in rivals),
                "tokens_per_second": max(r["tokens_per_second"] for r in rivals),
            }
    ours = {work: engines["switchboard"] for work, engines in turns.items()}
    found = {
        "w3_ttft_vs_w2": ours["w3"]["first_s"] / ours["w2"]["first_s"],
        "w4_throughput_vs_one": together / alone,
    }
    if best:
        rival = min(seconds for name, seconds in product.items() if name.startswith("llama.cpp"))
        found |= {
            "w1_decode_vs_best_llamacpp": ours["w1"]["tokens_per_second"] / best["w1"]["tokens_per_second"],
            "w2_ttft_vs_best_llamacpp": ours["w2"]["first_s"] / best["w2"]["first_s"],
            "w2_total_vs_best_llamacpp": ours["w2"]["total_s"] / best["w2"]["total_s"],
            "product_turn_vs_best_llamacpp": product["switchboard"] / rival,
        }
    return {name: round(value, 3) for name, value in found.items()}


def _bandwidth() -> float:
    data = torch.ones(64 * 2**20)
    return data.nbytes / _fastest(data.sum, 5) / 1e9


def _arithmetic() -> float:
    one, other = (torch.ones(1024, 1024, dtype=torch.bfloat16) for _ in range(2))
    return 2 * 1024**3 / _fastest(lambda: torch.mm(one, other), 10) / 1e9


def _fastest(function: Callable[[], object], times: int) -> float:
    """The seconds of the fastest of so many calls."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        took.append(time.perf_counter() - began)
    return min(took)
