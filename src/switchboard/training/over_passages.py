"""Dialogues of one's own, asked again with passages of one's own documents in the prompt.

They teach an adapter that answers from memory to read and cite as well, for the mode that has both. A dialogue is
used when every figure of its answer stands in one passage of its article, which is then the one that is cited.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from switchboard.progress import quietly
from switchboard.prompts import READER_DECLINE
from switchboard.retrieval.chunking import chunk
from switchboard.retrieval.documents import load_folder
from switchboard.types import Passage

PASSAGES = 5
_FIGURE = re.compile(r"\d[\d,.:]*\d|\d")
_WORD = re.compile(r"[a-z]{4,}|\d+")
_SENTENCE_END = re.compile(r"(?<=[a-z0-9£%)])([.!?])(?=\s|$)")

Row = dict[str, Any]


def rows_over_passages(files: Sequence[Path], knowledge: Path, seed: int, articles: int) -> Iterator[Row]:
    """Rows over passages of `articles` articles; the questions on one article share their passages.

    `files` hold rows whose "article" is a document's path below `knowledge` without its suffix. Each article's
    rows end with one question that its passages do not answer, which is declined.
    """
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    questions = _single_questions(files)
    chunks = {
        document.source.rsplit(".", 1)[0]: chunk(document, lambda text: round(len(text.split()) * 1.35))
        for document in load_folder(knowledge, quietly)
    }
    names = sorted(name for name in questions if name in chunks)
    for name in rng.sample(names, min(articles, len(names))):
        yield from _article_rows(name, questions, chunks, rng)


def cited(answer: str, number: int) -> str:
    """The answer with a citation before the end of its first sentence.

    >>> cited("It costs £5. Anything else?", 2)
    'It costs £5 [2]. Anything else?'
    """
    return _SENTENCE_END.sub(rf" [{number}]\1", answer, count=1)


def _single_questions(files: Sequence[Path]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line) if line.strip() else {}
            if row.get("article") and len(row["messages"]) == 2:
                question, answer = (message["content"] for message in row["messages"])
                found.setdefault(row["article"], []).append((question, answer))
    return found


def _article_rows(
    name: str, questions: dict[str, list[tuple[str, str]]], chunks: dict[str, list[Passage]], rng: random.Random
) -> Iterator[Row]:
    grounded = [(q, a, best) for q, a in questions[name] if (best := _grounding(a, chunks[name]))]
    needed = list(dict.fromkeys(best for _, _, best in grounded))[: PASSAGES - 2]
    if not needed:
        return
    topic = name.split("/", maxsplit=1)[0]
    near = [p for other, ps in sorted(chunks.items()) if other != name and other.split("/")[0] == topic for p in ps]
    passages = needed + rng.sample(near, min(PASSAGES - len(needed), len(near)))
    rng.shuffle(passages)
    shown = [{"title": p.title, "heading": p.heading, "text": p.text} for p in passages]
    asked = [(q, cited(a, passages.index(best) + 1)) for q, a, best in grounded if best in needed]
    if other := _other_question(name, questions, passages, rng):
        asked.append((other, READER_DECLINE))
    for question, answer in asked:
        yield {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "passages": shown,
        }


def _grounding(answer: str, passages: Sequence[Passage]) -> Passage | None:
    """The passage with the most words of the answer among those that hold all its figures; None without figures."""
    figures = _FIGURE.findall(answer)
    holding = [p for p in passages if all(figure in p.text for figure in figures)]
    if not figures or not holding:
        return None
    words = set(_WORD.findall(answer.lower()))
    return max(holding, key=lambda p: len(words & set(_WORD.findall(f"{p.label} {p.text}".lower()))))


def _other_question(
    name: str, questions: dict[str, list[tuple[str, str]]], passages: Sequence[Passage], rng: random.Random
) -> str:
    """A question on another article whose answer's figures are in none of the passages."""
    others = [pair for other in sorted(questions) if other != name for pair in questions[other]]
    rng.shuffle(others)
    text = "\n".join(p.text for p in passages)
    shown = set(_FIGURE.findall(text))
    for question, answer in others:
        figures = set(_FIGURE.findall(answer))
        if figures and not figures & shown:
            return question
    return ""
