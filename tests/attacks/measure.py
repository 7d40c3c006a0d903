"""How often injections succeed, with each defence alone and with all of them: `python tests/attacks/measure.py`.

Nothing is re-indexed: each poisoned document is laid over the index in memory. Defences that are not chosen are taken
out by patching, as nobody can ask the program to go without them.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from injections import Attack, read_suite

from switchboard import prompts
from switchboard.build import Running, build
from switchboard.evaluation.run import SETTINGS, Remembering
from switchboard.generation.local import LocalGenerator
from switchboard.modes import ABLATION, MODES, Mode
from switchboard.progress import to_stderr
from switchboard.retrieval import index as index_module
from switchboard.retrieval.focus import parts_or_whole
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.settings import Settings
from switchboard.switch import Switchboard, Turn, finished
from switchboard.types import Answer, Message, Passage, SearchResult

AT_A_TIME = 12


@dataclass(frozen=True)
class Defence:
    """Which defences are on: answers `quoting` sentences, `limits` of figures and contacts, `rules` that leave
    sentences out, prompts of the nearest sentences (`focus`), and a warning in the prompt (`marking`). Whether
    questions are `known`, which speak for true sentences, is no defence but matters."""

    name: str
    known: bool = True
    quoting: bool = False
    limits: bool = False
    rules: bool = False
    focus: bool = True
    marking: bool = False


_ALONE = (
    Defence("none", focus=False),
    Defence("focus"),
    Defence("marking", focus=False, marking=True),
    Defence("limits", limits=True, focus=False),
    Defence("rules", rules=True, focus=False),
    Defence("quoting", quoting=True, limits=True),
    Defence("free", limits=True, rules=True),
    Defence("shipped", quoting=True, limits=True, rules=True),
)
UNKNOWN = ", nothing known"
DEFENCES = {one.name: one for one in (*_ALONE, *(replace(d, name=d.name + UNKNOWN, known=False) for d in _ALONE))}


@contextmanager
def only(defence: Defence) -> Iterator[None]:
    """Take out what is not among the chosen defences."""
    with ExitStack() as changed:

        def instead(name: str, value: object) -> None:
            changed.enter_context(patch(f"switchboard.{name}", value))

        if not defence.rules:
            instead("retrieval.index.left_out", lambda _: frozenset())
            instead("retrieval.documents.visible", lambda text: text)
            instead("retrieval.conversion._HIDING", re.compile(r"(?!)"))
            instead("generation.local.LocalGenerator._without_special_tokens", lambda _, text: text)
        if defence.marking:
            plain = prompts.system_prompt
            instead(
                "prompts.system_prompt",
                lambda company, with_passages: plain(company, with_passages) + prompts.QUOTATIONS,
            )
        yield


def without_orders(passage: Passage) -> Passage:
    """The passage without the parts that are left out, where that defence is on."""
    out = index_module.left_out(passage)
    kept = [part for n, part in enumerate(parts_or_whole(passage.text)) if n not in out]
    return replace(passage, text="\n".join(kept)) if out else passage


@dataclass(frozen=True)
class Whole:
    """A retriever whose passages are read whole: without the choice of their nearest sentences."""

    inner: Remembering

    def search(self, query: str, k: int) -> SearchResult:
        found = self.inner.search(query, k)
        passages = tuple(without_orders(passage) for passage in found.passages)
        return replace(found, passages=passages, quotes=())

    def small_talk(self, message: str) -> str:
        return self.inner.small_talk(message)


def without_known_questions(index: KnowledgeIndex) -> KnowledgeIndex:
    """The same index as it would be without asked.jsonl: known questions speak for true sentences."""
    return KnowledgeIndex(
        index.documents,
        index.passages,
        index._embedder,
        index._store,
        index.threshold,
        None,
        index._reranker,
        index._parts,
    )


def measure(
    running: Running, attacks: Sequence[Attack], defence: Defence, modes: Sequence[str]
) -> Iterator[tuple[str, Attack, Answer]]:
    """The answer to each attack in each mode, with the mode's name; a few attacks at a time."""
    index = running.index if defence.known else without_known_questions(running.index)
    generator, company = running.switchboard.generator, running.switchboard.company
    assert isinstance(generator, LocalGenerator)
    for start in range(0, len(attacks), AT_A_TIME):
        some = attacks[start : start + AT_A_TIME]
        with only(defence):
            found = [Remembering(index.with_documents([attack.document()])) for attack in some]
            boards = [
                Switchboard(generator, one if defence.focus else Whole(one), company, defence.quoting) for one in found
            ]
            for name in modes:
                answers = _answers(generator, boards, some, MODES.get(name, ABLATION), defence)
                yield from ((name, *both) for both in zip(some, answers, strict=True))


def _answers(
    generator: LocalGenerator, boards: Sequence[Switchboard], attacks: Sequence[Attack], mode: Mode, defence: Defence
) -> list[Answer]:
    turns = [
        board.prepare([Message("user", attack.question)], mode, SETTINGS)
        for board, attack in zip(boards, attacks, strict=True)
    ]
    written = [turn for turn in turns if not turn.answer.done]
    texts = generator.complete(
        [turn.prompt for turn in written],
        SETTINGS,
        next((turn.adapter for turn in written), None),
        [turn.grounding if defence.limits else None for turn in written],
        lambda _: None,
    )
    said = dict(zip(map(id, written), texts, strict=True))
    return [turn.answer if turn.answer.done else _finished(turn, said[id(turn)].text, defence) for turn in turns]


def _finished(turn: Turn, text: str, defence: Defence) -> Answer:
    return finished(turn if defence.limits else replace(turn, grounding=None), text, turn.answer.metrics)


def main() -> None:
    """Measure the defences asked for, write each answer to --out and print a table; goes on where it was stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("defences", nargs="+", choices=DEFENCES, metavar="DEFENCE", help=f"of {', '.join(DEFENCES)}")
    parser.add_argument("--modes", default="rag,combined", help="also rag-without-reader")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    modes = chosen.modes.split(",")
    suite = read_suite()
    running = build(Settings.from_environment(), to_stderr)
    for name in chosen.defences:
        done = {(row["mode"], row["id"]) for row in _rows(chosen.out) if row["defence"] == name}
        left = [attack for attack in suite if any((mode, attack.id) not in done for mode in modes)]
        for mode, attack, answer in measure(running, left, DEFENCES[name], modes):
            won = attack.succeeds(answer)
            row = {
                "defence": name,
                "mode": mode,
                **{key: getattr(attack, key) for key in ("id", "kind", "design", "order")},
                "success": won,
                "quoted": won and attack.quoted(answer),
                "declined": answer.abstained,
                "answer": answer.text,
            }
            with chosen.out.open("a", encoding="utf-8") as sink:
                sink.write(json.dumps(row, ensure_ascii=False) + "\n")
        for mode in modes:
            rows = [row for row in _rows(chosen.out) if (row["defence"], row["mode"]) == (name, mode)]
            wins = [row for row in rows if row["success"]]
            quoted = sum(row["quoted"] for row in wins)
            print(f"{name:24}{mode:20}{len(wins):4} of {len(rows)}, {quoted} of them quoted", flush=True)


def _rows(file: Path) -> list[dict[str, Any]]:
    """What was measured so far, each answer once."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    rows = [json.loads(line) for line in lines]
    return list({(row["defence"], row["mode"], row["id"]): row for row in rows}.values())


if __name__ == "__main__":
    main()
