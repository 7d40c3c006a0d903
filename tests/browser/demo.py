"""The page over fakes that answer in a moment: `python tests/browser/demo.py [PORT]` serves it."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from fakes import Everybodys  # noqa: E402
from switchboard.errors import KnowledgeError  # noqa: E402
from switchboard.settings import Settings  # noqa: E402
from switchboard.switch import Switchboard  # noqa: E402
from switchboard.types import Document, GenerationSettings, Grounding, Message, Passage, SearchResult, Token  # noqa: E402

_ARTICLES = (
    (
        "plans/fibre-plans-and-prices.md",
        "Fibre plans and prices",
        "Plans and prices",
        "2026-09-14",
        """Fernwave has four home fibre plans on a 24-month contract, all with unlimited data.

## Monthly prices and speeds

- Fibre 100 costs **£27** a month: 100 Mbps down and 20 Mbps up.
- Fibre 500 costs **£36** a month: 500 Mbps down and 100 Mbps up.
- Fibre 900 costs **£45** a month: 900 Mbps down and 200 Mbps up.
- Fibre 2000 costs **£62** a month and needs the Wave 7 router, which is included.

## Set-up charge

Set-up of Fibre 100 costs £25, once. Set-up of Fibre 500, Fibre 900 and Fibre 2000 is free. The set-up charge does
not apply if you install the kit yourself.
""",
    ),
    (
        "plans/rolling-fibre-plans.md",
        "Rolling fibre plans",
        "Plans and prices",
        "2026-08-30",
        """Flex plans have the same fibre speeds without a fixed term.

## Prices

Fibre 100 Flex costs £34 a month, Fibre 500 Flex £43 a month and Fibre 900 Flex £52 a month. Set-up costs £60 for
all of them. There is no Flex price for Fibre 2000.

## Ending a Flex plan

You give 30 days' notice. The router is lent, so please send it back within 21 days.
""",
    ),
    (
        "billing/failed-direct-debit.md",
        "Failed Direct Debit payments",
        "Billing",
        "2026-05-11",
        """When your bank turns a Direct Debit down, we try once more after 5 working days.

## What it costs

The first Direct Debit that failed in 12 months costs nothing. From the second failed payment on there is a fee of £5
each time. We send a text before we try again.
""",
    ),
    (
        "outages/outage-credit-broadband.md",
        "Credit for a broadband outage",
        "Outages",
        "2026-07-02",
        """You get money back for a broadband outage without asking for it.

## How much

If a total loss of service is not fixed after 2 full working days, you get £9.40 for each calendar day after that. The
credit is on your bill within 30 days.
""",
    ),
)


def documents() -> dict[str, Document]:
    """The demo's articles by their source."""
    return {
        source: Document(source, title, topic, updated, text, "0" * 64)
        for source, title, topic, updated, text in _ARTICLES
    }


def passages(of: Mapping[str, Document] | None = None) -> list[Passage]:
    """One passage a section, its offsets those of the document."""
    found = []
    for document in (of or documents()).values():
        heading, start = "", 0
        for block in document.text.split("\n\n"):
            start = document.text.index(block, start)
            if block.startswith("## "):
                heading = block[3:]
            else:
                end = start + len(block)
                found.append(Passage(document.source, document.title, heading, block, start, end, document.updated))
    return found


class SlowGenerator:
    """Says a reply that fits the prompt, a word at a time with a pause, and counts how often it was closed."""

    context_tokens = 4096
    refused_adapters: Mapping[str, str] = {}

    def __init__(self, pause: float = 0.03) -> None:
        self.pause = pause
        self.closed = 0
        self.words = 0

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in messages)

    def stream(
        self,
        messages: Sequence[Message],
        settings: GenerationSettings,
        adapter: str | None,
        _grounding: Grounding | None = None,
    ) -> Iterator[Token]:
        question = messages[-1].content.split("Question:")[-1].strip()
        cited = "[1]" in messages[-1].content
        try:
            time.sleep(self.pause * 12)
            if "crash" in question:
                raise RuntimeError("secret detail")
            price = re.search(r"Fibre 500 costs \*\*£(\d+)", messages[-1].content)
            reply = self._reply(question, cited, price[1] if price else "36")
            for n, word in enumerate(reply.split(" ")[: settings.max_tokens]):
                time.sleep(self.pause)
                self.words += 1
                yield Token((" " if n else "") + word, self.count_tokens(messages), 12 if adapter else 0)
        finally:
            self.closed += 1

    def _reply(self, question: str, cited: bool, price: str) -> str:
        if "long" in question:
            return " ".join(f"word{n}" for n in range(400))
        if cited:
            return (
                f"Fibre 500 costs **£{price} a month** on a 24-month contract, with 500 Mbps down and 100 Mbps up [1]. "
                "Without a fixed term it is £43 a month, and set-up costs £60 [2]. [9]"
            )
        return "Happy to help! Fibre 500 is £36 a month with us, on a 24-month contract, and set-up is free."


class WordRetriever:
    """Ranks the demo's passages by the words they share with the query."""

    threshold = 0.3

    def __init__(self, of: Mapping[str, Document] | None = None) -> None:
        self.passages = passages(of)

    def small_talk(self, _message: str) -> str:
        return ""

    def search(self, query: str, k: int) -> SearchResult:
        time.sleep(0.15)
        words = {word.strip("?!.,").lower() for word in query.split()}
        scored = sorted(
            (
                replace(
                    p, score=min(0.93, len(words & set(f"{p.label} {p.text}".lower().split())) / max(1, len(words)))
                )
                for p in self.passages
            ),
            key=lambda p: -p.score,
        )
        covered = tuple(scored[:k]) if scored[0].score >= self.threshold else ()
        return SearchResult(query, covered, scored[0], self.threshold, 9.4)


class DemoIndex(WordRetriever):
    """The articles, as the page asks for them, and copies with others."""

    def __init__(self, of: Mapping[str, Document] | None = None) -> None:
        self.documents = dict(of or documents())
        super().__init__(self.documents)

    def document(self, source: str) -> Document:
        try:
            return self.documents[source]
        except KeyError:
            raise KnowledgeError(f"There is no document {source}.") from None

    def passage(self, name: str) -> Passage:
        return next(passage for passage in self.passages if passage.id == name)

    def left_out(self, passage: Passage) -> frozenset[int]:
        return frozenset()

    def edited(self, source: str, text: str) -> DemoIndex:
        return self.with_documents([replace(self.documents[source], text=text)])

    def with_documents(self, changed: Sequence[Document], removed: Collection[str] = ()) -> DemoIndex:
        kept = {source: one for source, one in self.documents.items() if source not in removed}
        return DemoIndex({**kept, **{one.source: one for one in changed}})

    def over(self, origin: DemoIndex) -> DemoIndex:
        return self

    def inspect(self, query: str, k: int) -> tuple[Any, SearchResult]:
        result = self.search(query, k)
        names = tuple(passage.id for passage in result.passages)
        scores = {passage.id: passage.score for passage in result.passages}
        ranked = SimpleNamespace(dense=names, lexical=names[:1], fused=names, similarity=scores, words={}, known={})
        return ranked, result


@dataclass(frozen=True)
class Demo:
    """Looks like switchboard.build.Running."""

    answers: Switchboard
    knowledge: Everybodys
    about: tuple[tuple[str, str], ...]
    settings: Settings
    ready: bool = True
    missing: tuple[str, ...] = ()

    @property
    def index(self) -> DemoIndex:
        return self.knowledge.current

    @property
    def switchboard(self) -> Switchboard:
        return self.answers.over(self.index)


def demo(data: Path, port: int = 7860, pause: float = 0.03, admin_password: str = "") -> Demo:
    """A Switchboard over fakes that keeps its files below `data`."""
    settings = Settings(
        data=data,
        report=data / "report.json",
        port=port,
        admin_password=admin_password,
        turns_per_minute=0,
        documents_per_minute=0,
    )
    board = Switchboard(SlowGenerator(pause), WordRetriever(), settings.company)
    about = (
        ("Model", "SmolLM2-135M-Instruct, 135 million parameters"),
        ("Device", "CPU, 2 threads (no CUDA device found)"),
        ("Weights", "NF4, computing in bfloat16, because that is what fits a laptop"),
        ("Adapters", "customer-service, reader"),
        ("Knowledge", f"{len(documents())} articles, {len(passages())} passages, words in common"),
    )
    return Demo(board, Everybodys(DemoIndex()), about, settings)


if __name__ == "__main__":
    from switchboard.ui.app import create_app, launch_options

    chosen = int(sys.argv[1]) if len(sys.argv) > 1 else 7861
    with tempfile.TemporaryDirectory() as folder:
        running = demo(Path(folder), chosen, admin_password="demo")
        create_app(running).launch(**launch_options(running.settings))
