"""All modes on one set of questions: what `evaluate --all` measures, as one JSON-able dictionary.

Everything is greedy and on the same machine. A sample of the questions is asked one by one, as a visitor would, for the
latency; the others in batches, and modes that search share what is found. Answers are written to a folder of the run as
they come, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from switchboard.evaluation.costs import break_even, per_thousand_turns, trainings_of
from switchboard.evaluation.machine import machine
from switchboard.evaluation.questions import Question
from switchboard.evaluation.run import (
    SETTINGS,
    Remembering,
    ask_all,
    ask_one_by_one,
    ask_resumable,
    latency,
    record,
    sample,
    score_all,
)
from switchboard.evaluation.score import Scored, summarize
from switchboard.evaluation.statistics import paired
from switchboard.modes import ABLATION, MODES, Mode
from switchboard.progress import Report, quietly
from switchboard.retrieval.documents import ASKED, load_folder
from switchboard.settings import ROOT, Settings
from switchboard.switch import Switchboard

ALL: tuple[Mode, ...] = (*MODES.values(), ABLATION)
SAMPLE = 32
"""Questions of each mode that are asked one by one."""
_ANSWERS_NOTHING = {"written.py", "advice.py", "costs.py", "cli.py", "votes.py", "feedback.py", "statistics.py"}
"""Modules that no answer depends on: a run goes on when they change."""


@dataclass(frozen=True)
class Plan:
    """What is measured: a Switchboard, what it is made of in words, and the questions of a file.

    `hourly` is the price of an hour of this machine. `peak_of` measures a mode's memory, see memory.py, and
    `update_seconds` how long it takes until one changed article is found; both are given so that tests need not.
    """

    switchboard: Switchboard
    about: tuple[tuple[str, str], ...]
    fingerprint: str
    settings: Settings
    file: Path
    questions: Sequence[Question]
    hourly: float
    peak_of: Callable[[Mode], float | None]
    update_seconds: Callable[[], float]
    modes: Sequence[Mode] = ALL


def measure(plan: Plan, progress: Callable[[int], object], report: Report) -> dict[str, Any]:
    """Ask everything in every mode and put together what came of it; see the module.

    `progress` is told how many more answers there are, of `len(plan.questions) * len(plan.modes)`.
    """
    began = time.monotonic()
    work = plan.settings.data / "evaluations" / _key(plan)
    work.mkdir(parents=True, exist_ok=True)
    remembering = replace(plan.switchboard, retriever=Remembering(plan.switchboard.retriever))
    timed = sample(len(plan.questions), SAMPLE)
    others = [number for number in range(len(plan.questions)) if number not in timed]
    rows: dict[str, list[Scored]] = {}
    modes: dict[str, dict[str, Any]] = {}
    for mode in plan.modes:
        report(f"{mode.label} ...")
        in_batches, by_one = ([plan.questions[number] for number in numbers] for numbers in (others, timed))
        batched = ask_resumable(ask_all, remembering, in_batches, mode, work / f"{mode.name}.jsonl", progress)
        single = ask_resumable(
            ask_one_by_one, plan.switchboard, by_one, mode, work / f"{mode.name}-timed.jsonl", progress
        )
        by_number = dict(zip([*others, *timed], [*batched, *single], strict=True))
        answers = [by_number[number] for number in range(len(plan.questions))]
        rows[mode.name] = score_all(plan.questions, answers)
        modes[mode.name] = {
            "label": mode.label,
            "searches": mode.searches,
            "adapter": mode.adapter,
            **summarize(mode.name, mode.searches, rows[mode.name]),
            "latency": latency(single),
            "timings_ms": [
                [round(a.metrics.time_to_first_token_ms or a.metrics.total_ms), round(a.metrics.total_ms)]
                for a in single
            ],
        }
    report("Memory of each mode, in a process of its own ...")
    for mode in plan.modes:
        modes[mode.name]["peak_mib"] = _once(work / f"{mode.name}-memory.json", partial(plan.peak_of, mode))
    report("One changed article ...")
    update = _once(work / "update.json", plan.update_seconds)
    return {
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - began),
        "setup": _setup(plan),
        "questions": _counts(plan),
        "modes": modes,
        "pairs": _pairs(plan.modes, rows),
        "costs": _costs(plan, modes, update),
        "answers": _answers(plan.questions, rows),
    }


def seconds_of_update(settings: Settings, reopen: Callable[[Settings], object], change: str = "It changed.") -> float:
    """Seconds until the index has one changed article, on a copy of the knowledge folder that is thrown away.

    `reopen` opens the index of the settings that it is given. Raises KnowledgeError as it does.
    """
    with tempfile.TemporaryDirectory() as folder:
        # In a folder even where a server is named: nothing would throw the copy away there.
        copy = replace(settings, knowledge=Path(folder) / "knowledge", data=Path(folder) / "data", chroma_url="")
        shutil.copytree(settings.knowledge, copy.knowledge)
        copy.data.mkdir()
        if (settings.data / "models").is_dir():
            (copy.data / "models").symlink_to(settings.data / "models")  # the embedder is there
        reopen(copy)
        sources = [document.source for document in load_folder(copy.knowledge, quietly)]
        article = max((copy.knowledge / source for source in sources), key=lambda path: path.stat().st_size)
        article.write_text(article.read_text(encoding="utf-8") + f"\n{change}\n", encoding="utf-8")
        began = time.monotonic()
        reopen(copy)
        return round(time.monotonic() - began, 2)


def _key(plan: Plan) -> str:
    """Names a run: the same questions, documents, weights, settings and code have the same."""
    settings = plan.settings
    named = (plan.about, plan.fingerprint, settings.company, settings.quoting, settings.threshold)
    digest = hashlib.sha256(repr(named).encode())
    package = Path(__file__).parents[1]
    code = [path for path in package.rglob("*.py") if path.name not in _ANSWERS_NOTHING and path.parent.name != "ui"]
    weights = [path for suffix in ("json", "safetensors") for path in settings.adapters.glob(f"*/*.{suffix}")]
    known = [path for path in (settings.knowledge / ASKED,) if path.is_file()]
    for file in sorted([*code, *weights, *known, plan.file]):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _once(file: Path, measured: Callable[[], float | None]) -> float | None:
    """A number that an earlier run has measured, or measure it now."""
    if not file.is_file():
        if (value := measured()) is None:
            return None
        file.write_text(json.dumps(value), encoding="utf-8")
    return float(json.loads(file.read_text(encoding="utf-8")))


def _setup(plan: Plan) -> dict[str, Any]:
    return {
        "machine": machine(),
        **{name: text for name, text in plan.about if name != "Runs on"},
        "Runs on": dict(plan.about).get("Runs on", ""),
        "Index": plan.fingerprint[:12],
        "Company": plan.settings.company,
        "Answers": "quoted and taught" if plan.settings.quoting else "free",
        "Decoding": f"greedy, so no seed; at most {SETTINGS.max_tokens} tokens; {SETTINGS.passages} passages",
    }


def _counts(plan: Plan) -> dict[str, Any]:
    file = plan.file.resolve()
    return {
        "file": file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name,
        "sha256": hashlib.sha256(plan.file.read_bytes()).hexdigest()[:12],
        "n": len(plan.questions),
        "answerable": sum(question.answerable for question in plan.questions),
        "to_decline": sum(question.decline for question in plan.questions),
        "asked_one_by_one": min(SAMPLE, len(plan.questions)),
    }


def _pairs(modes: Sequence[Mode], rows: Mapping[str, Sequence[Scored]]) -> list[dict[str, Any]]:
    """Every two modes on the same questions, for each verdict. What changed after training is left out."""
    wanted: dict[str, tuple[Callable[[Question], bool], Callable[[Scored], bool]]] = {
        "all_facts": (lambda q: q.answerable and not q.changed, lambda row: row.all_facts),
        "declined": (lambda q: q.decline, lambda row: row.declined),
        "no_wrong_figure": (lambda q: q.answerable and not q.changed, lambda row: not row.wrong_figures),
    }
    found = []
    for one, other in combinations((mode.name for mode in modes), 2):
        for name, (counts, right) in wanted.items():
            first, second = ([right(row) for row in rows[mode] if counts(row.question)] for mode in (one, other))
            if first:
                said = paired(first, second)
                ends = [round(end, 4) for end in said.interval]
                found.append({"first": one, "second": other, "measure": name, **asdict(said), "interval": ends})
    return found


def _costs(plan: Plan, modes: Mapping[str, Mapping[str, Any]], update: float | None) -> dict[str, Any]:
    """What each mode costs: once, a thousand turns, one changed fact."""
    by_mode: dict[str, dict[str, Any]] = {}
    # An adapter that its mode can do without knows no company: it is trained once, for all of them.
    shared = {mode.adapter for mode in ALL if mode.adapter and not mode.needs_adapter}
    for mode in plan.modes:
        trainings = trainings_of(plan.settings.adapters / mode.adapter) if mode.adapter else []
        if mode.adapter not in shared:
            trainings = [run for run in trainings if run.get("adapter") not in shared]
        times = [total for _, total in modes[mode.name]["timings_ms"]]
        seconds = sum(times) / len(times) / 1000 if times else 0.0
        hours = sum(run["hours"] for run in trainings)
        by_mode[mode.name] = {
            "seconds_a_turn": round(seconds, 3),
            "thousand_turns": round(per_thousand_turns(seconds, plan.hourly), 4),
            "trainings": len(trainings),
            "training_tokens": sum(int(run["tokens"]) for run in trainings),
            "training_hours": round(hours, 2),
            "training": round(hours * plan.hourly, 4),
            "training_is_own": mode.adapter not in shared,
            "update_seconds": _update_seconds(mode, trainings, update),
        }
    turns = {}
    for one, other in combinations((mode.name for mode in plan.modes), 2):
        for first, second in ((one, other), (other, one)):
            a, b = by_mode[first], by_mode[second]
            fixed = [row["training"] if row["training_is_own"] else 0.0 for row in (a, b)]
            turns[f"{first} under {second}"] = break_even(
                fixed[0], a["thousand_turns"] / 1000, fixed[1], b["thousand_turns"] / 1000
            )
    return {"hourly_price": plan.hourly, "modes": by_mode, "break_even_turns": turns}


def _update_seconds(mode: Mode, trainings: Sequence[Mapping[str, float]], update: float | None) -> float | None:
    """Until a changed fact is answered: the index's update where passages are read, else the last training anew.

    None where neither is known, or there is nothing to train.
    """
    if mode.searches:
        return update
    return round(trainings[-1]["hours"] * 3600) if trainings else None


def _answers(questions: Sequence[Question], rows: Mapping[str, Sequence[Scored]]) -> list[dict[str, Any]]:
    """What stands behind the figures: each question with every mode's answer."""
    shared = ("id", "stratum", "question", "required", "articles")
    found = []
    for number, question in enumerate(questions):
        records = {mode: record(scored[number]) for mode, scored in rows.items()}
        first = next(iter(records.values()))
        found.append(
            {
                **{name: first[name] for name in shared},
                "conversation": [asdict(message) for message in question.conversation],
                "decline": question.decline,
                "changed": question.changed,
                "modes": {
                    mode: {name: value for name, value in row.items() if name not in shared}
                    for mode, row in records.items()
                },
            }
        )
    return found
