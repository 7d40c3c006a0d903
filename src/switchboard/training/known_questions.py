"""Write a knowledge folder's known questions from the facts that an adapter is trained on.

    python -m switchboard.training.known_questions

Takes the plain wording of each fact, the one with a situation and the one in the customer's own words, and names the
section that answers them; what no article answers is written down as that. See retrieval/asked.py for what they are
good for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from switchboard.progress import quietly, to_stderr
from switchboard.retrieval.asked import ASKED
from switchboard.retrieval.chunking import chunk
from switchboard.retrieval.documents import load_folder
from switchboard.settings import Settings
from switchboard.training.facts import WORDINGS, read_facts
from switchboard.training.over_passages import grounding


def known_questions(facts: Path, knowledge: Path) -> Iterator[dict[str, str | None]]:
    """Rows of `asked.jsonl`; a fact whose section cannot be told is left out.

    An article that has changed since its facts were read still answers the same questions, so figures may differ.
    """
    documents = {document.source.rsplit(".", 1)[0]: document for document in load_folder(knowledge, quietly)}
    for article in read_facts(facts):
        yield from ({"question": question, "source": None} for question in article.unknown)
        if article.name not in documents:
            continue
        document = documents[article.name]
        passages = chunk(document, lambda text: round(len(text.split()) * 1.35))
        for fact in article.facts:
            found = grounding(fact.says[0], passages, figures=document.updated <= article.as_of)
            for number in WORDINGS if found else ():
                if found and number < len(fact.asks):
                    place = {"source": found.source, "heading": found.heading, "answer": fact.says[0]}
                    yield {"question": fact.asks[number], **place}


def main() -> None:
    """Write the file and say how many there are."""
    settings = Settings.from_environment()
    rows = list(known_questions(settings.adapters / "customer-service" / "facts", settings.knowledge))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (settings.knowledge / ASKED).write_text("".join(lines), encoding="utf-8")
    to_stderr(f"{len(rows):,} questions are in {settings.knowledge / ASKED}.")


if __name__ == "__main__":
    main()
