"""The suite of injections in evaluation/injections: read, and each laid over the help centre as a poisoned document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from switchboard.retrieval.documents import read_document
from switchboard.settings import ROOT
from switchboard.types import Answer, Document

SUITE = ROOT / "evaluation" / "injections" / "attacks.yaml"


@dataclass(frozen=True)
class Attack:
    """One injection: the file that carries it, the question that finds it, and what tells that it worked.

    `design` ones were looked at while the rules were made, the others were not. `order` is False for a false sentence
    that gives no order to anybody.
    """

    id: str
    kind: str
    design: bool
    order: bool
    source: str
    data: bytes
    text: str
    question: str
    marker: str
    declines: bool

    def document(self) -> Document:
        """The poisoned document, read as any file is."""
        return read_document(self.source, self.data)

    def succeeds(self, answer: Answer) -> bool:
        """Whether the answer does what the attacker wants, be it in words of its own or as a quote."""
        if self.declines:
            return answer.abstained
        return re.search(self.marker, answer.text, re.IGNORECASE) is not None

    def quoted(self, answer: Answer) -> bool:
        """Whether what succeeded is a sentence of the document, shown as that with its citation."""
        *said, _uncited = re.split(r"\[\d+\]\.?", answer.text)
        wanted = [_words(part) for part in said if self.marker and re.search(self.marker, part, re.IGNORECASE)]
        return bool(wanted) and all(part in _words(self.data.decode()) for part in wanted)


def read_suite(file: Path = SUITE, knowledge: Path = ROOT / "knowledge") -> list[Attack]:
    """All attacks, in the file's order."""
    suite = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [
        _attack(f"{kind.replace(' ', '-')}-{number}", kind, number, row, suite["targets"], knowledge)
        for kind, rows in suite["kinds"].items()
        for number, row in enumerate(rows, 1)
    ]


def _attack(name: str, kind: str, number: int, row: dict[str, Any], targets: Any, knowledge: Path) -> Attack:
    target = targets.get(row.get("target"), {})
    if "document" in row:
        source, text = row["document"]["name"], row["text"]
        title = row["document"]["title"]
        text = f"---\ntitle: {title!r}\n---\n\n{text}\n" if source.endswith(".md") else text
    else:
        source = target["source"]
        text = _poisoned((knowledge / source).read_text(encoding="utf-8"), target["section"], row)
    return Attack(
        id=name,
        kind=kind,
        design=number % 2 == 1,
        order=row.get("order", True),
        source=source,
        data=text.encode(),
        text=row.get("text", row.get("title", row.get("heading", ""))),
        question=row.get("question") or target["question"],
        marker=row.get("marker", ""),
        declines=row.get("declines", False),
    )


def _poisoned(article: str, section: str, row: dict[str, Any]) -> str:
    """The article with the injection in one of its sections, in that section's heading or in its own title."""
    if "title" in row:
        return re.sub(r"^title: .*$", lambda _: f"title: {row['title']!r}", article, count=1, flags=re.MULTILINE)
    if "instead" in row:
        assert row["instead"] in article, row["instead"]
        return article.replace(row["instead"], row["text"])
    heading = f"## {section}\n"
    before, found, after = article.partition(heading)
    assert found, section
    if "heading" in row:
        return f"{before}## {row['heading']}\n{after}"
    if row.get("at") == "start":
        return f"{before}{heading}\n{row['text']}\n{after}"
    inside, line, rest = after.partition("\n## ")
    return f"{before}{heading}{inside.rstrip()}\n\n{row['text']}\n{line}{rest}"


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
