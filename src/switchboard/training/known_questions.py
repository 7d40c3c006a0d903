"""Write a knowledge folder's known questions from the facts that an adapter is trained on.

    python -m switchboard.training.known_questions

Takes the plain wording of each fact, the one with a situation and the one in the customer's own words, and names the
section that answers them; what no article answers is written down as that, and so is small talk. See
retrieval/asked.py for what they are good for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from switchboard.progress import quietly, to_stderr
from switchboard.prompts import declined
from switchboard.retrieval.chunking import chunk
from switchboard.retrieval.documents import ASKED, load_folder
from switchboard.settings import Settings
from switchboard.training.data import read_records
from switchboard.training.facts import WORDINGS, read_facts
from switchboard.training.over_passages import grounding

SMALL_TALK = ("small-talk.jsonl", "style.jsonl")
"""Files below an adapter's data whose replies are company, not facts."""


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


def small_talk(data: Path) -> Iterator[dict[str, str | bool | None]]:
    """Rows of what is said and asks nothing: messages in `data` whose reply neither declines nor has a figure."""
    for name in SMALL_TALK:
        for record in read_records([data / name], data):
            said, reply = record.messages[0].content, record.messages[-1].content
            if len(record.messages) == 2 and not declined(reply) and not any(map(str.isdigit, reply)):
                yield {"question": said, "source": None, "answer": reply, "talk": True}


def main() -> None:
    """Write the file and say how many there are."""
    settings = Settings.from_environment()
    adapter = settings.adapters / "customer-service"
    rows = [*known_questions(adapter / "facts", settings.knowledge), *small_talk(adapter / "data")]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (settings.knowledge / ASKED).write_text("".join(lines), encoding="utf-8")
    to_stderr(f"{len(rows):,} questions are in {settings.knowledge / ASKED}.")


if __name__ == "__main__":
    main()
