"""Questions that customers have asked, each with the section that answers it: a second way to a passage.

A customer's words are seldom the article's. Where a knowledge folder holds `asked.jsonl`, a new question is compared
with the known ones too, and a passage is as similar as the most similar question it is known to answer. (Expanding
documents by queries: Nogueira and others, Document expansion by query prediction, 2019.) A line of it:

    {"question": "what do i save having both with you", "source": "plans/bundle-discount.md", "heading": "What you get"}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from switchboard.errors import KnowledgeError
from switchboard.progress import Report
from switchboard.retrieval.embedding import Embedder, Vectors
from switchboard.retrieval.store import PassageStore
from switchboard.types import Passage

ASKED = "asked.jsonl"
_AT_ONCE = 512
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Asked:
    """One known question, and the section that answers it."""

    question: str
    source: str
    heading: str


class AskedQuestions:
    """Known questions' vectors, in a store of their own; safe to search from several threads."""

    def __init__(self, store: PassageStore, answered_by: Sequence[str], texts: Mapping[str, str]) -> None:
        """`answered_by` has the passage of each question, whose id in the store is its number; `texts`, by passage,
        the words of all its questions."""
        self._store = store
        self._answered_by = tuple(answered_by)
        self.texts = texts

    def nearest(self, vector: Vectors, n: int) -> dict[str, float]:
        """The passages that answer the n nearest questions, with the similarity of the nearest one of each."""
        found: dict[str, float] = {}
        for number, similarity in self._store.nearest(vector, n):
            if int(number) < len(self._answered_by):
                found.setdefault(self._answered_by[int(number)], similarity)
        return found

    def close(self) -> None:
        """Release the store's files."""
        self._store.close()


def read_asked(folder: Path) -> list[Asked]:
    """The questions in a knowledge folder's `asked.jsonl`, none if there is no such file.

    Raises KnowledgeError with the line that is no question.
    """
    path = folder / ASKED
    if not path.is_file():
        return []
    asked = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            asked.append(Asked(str(row["question"]), str(row["source"]), str(row.get("heading", ""))))
        except (ValueError, KeyError, TypeError) as error:
            raise KnowledgeError(
                f"{path}:{number} must be an object with a question and a source ({error}); mend or remove the line."
            ) from error
    return asked


def open_asked(
    asked: Sequence[Asked], passages: Sequence[Passage], folder: Path, embedder: Embedder, report: Report
) -> AskedQuestions | None:
    """The questions' index in `folder`, embedded anew if they have changed; None without any that can be used.

    A question whose section is no longer there is left out.
    """
    sections: dict[tuple[str, str], list[Passage]] = {}
    for passage in passages:
        sections.setdefault((passage.source, passage.heading), []).append(passage)
    usable = [
        (row.question, _best(row.question, pieces).id)
        for row in asked
        if (pieces := sections.get((row.source, row.heading)))
    ]
    if len(usable) < len(asked):
        report(f"{len(asked) - len(usable)} of {len(asked)} known questions name a section that is not there.")
    if not usable:
        return None
    digest = hashlib.sha256("\n".join(question for question, _ in usable).encode()).hexdigest()[:16]
    store = PassageStore(folder, f"{embedder.identity}; questions {digest}", lambda _: None)
    for start in range(store.count(), len(usable), _AT_ONCE):
        part = [question for question, _ in usable[start : start + _AT_ONCE]]
        store.add([str(start + n) for n in range(len(part))], embedder.embed_queries(part))
        report(f"Embedding known questions: {start + len(part):,} of {len(usable):,} ...")
    texts: dict[str, str] = {}
    for question, answer in usable:
        texts[answer] = f"{texts[answer]}\n{question}" if answer in texts else question
    return AskedQuestions(store, [answer for _, answer in usable], texts)


def _best(question: str, pieces: Sequence[Passage]) -> Passage:
    """Of a section in several pieces, the one that shares most words with the question."""
    words = set(_WORD.findall(question.lower()))
    return max(pieces, key=lambda piece: len(words & set(_WORD.findall(piece.text.lower()))))
