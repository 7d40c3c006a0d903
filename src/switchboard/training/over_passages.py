"""Facts of one's own, asked over what the retriever finds of one's own documents.

They teach an adapter that answers from memory to read and cite as well, for the mode that has both. A fact is used
where the sentence that holds it is among those that the retriever gives to read.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from switchboard.progress import quietly
from switchboard.retrieval.chunking import chunk
from switchboard.retrieval.documents import load_folder
from switchboard.training.facts import WORDINGS, Fact, read_facts
from switchboard.training.reading import Asked, Prompt, best_part
from switchboard.types import Passage, SearchResult

SHARED_WORDS = 0.6
"""The share of an answer's words that its passage must hold."""

_FIGURE = re.compile(r"\d[\d,.:]*\d|\d")
_WORD = re.compile(r"[a-z]{4,}|\d+")

Row = dict[str, Any]
Search = Callable[[str], SearchResult]


def rows_over_passages(
    facts: Path, knowledge: Path, search: Search, seed: int, sets: int, unknown: int = 2
) -> Iterator[Row]:
    """Rows over `sets` prompts an article, and over `unknown` more for what no article answers.

    An article that was updated after its facts were read is left out: its passages no longer say the same.
    """
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    documents = {document.source.rsplit(".", 1)[0]: document for document in load_folder(knowledge, quietly)}
    articles = [a for a in read_facts(facts) if a.name in documents and documents[a.name].updated <= a.as_of]
    asked: dict[str, list[Asked]] = {}
    for article in articles:
        passages = chunk(documents[article.name], lambda text: round(len(text.split()) * 1.35))
        asked[article.name] = [made for fact in article.facts if (made := _asked(fact, passages, rng))]
    everything = [one for some in asked.values() for one in some]
    for article in articles:
        for one in rng.sample(asked[article.name], min(sets, len(asked[article.name]))):
            found = search(one.asks[0])
            prompt = Prompt(found.passages, tuple(passage.text for passage in found.read))
            near = [other for other in everything if any(other.place[0] == p.id for p in found.passages)]
            near += rng.sample(everything, min(5, len(everything)))
            yield from prompt.rows([(ask, one.says, [one.place]) for ask in one.asks[:3]], near, rng)
        for question in rng.sample(article.unknown, min(unknown, len(article.unknown))):
            found = search(question)
            prompt = Prompt(found.passages, tuple(passage.text for passage in found.read))
            yield from prompt.rows([(question, "", [])], everything, rng)


def grounding(answer: str, passages: Sequence[Passage], figures: bool = True) -> Passage | None:
    """The passage with the most words of the answer; None if it is too few.

    With `figures` only a passage that holds all the answer's figures will do.
    """
    needed = _FIGURE.findall(answer) if figures else []
    words = set(_WORD.findall(answer.lower()))
    best, most = None, SHARED_WORDS
    for passage in passages:
        text = f"{passage.label} {passage.text}"
        share = len(words & set(_WORD.findall(text.lower()))) / max(1, len(words))
        if share >= most and all(figure in passage.text for figure in needed):
            best, most = passage, share
    return best


def _asked(fact: Fact, passages: Sequence[Passage], rng: random.Random) -> Asked | None:
    """The fact with its wordings in random order; those that the index knows are left out, where others are left."""
    found = grounding(fact.says[0], passages)
    if found is None:
        return None
    asks = [ask for number, ask in enumerate(fact.asks) if number not in WORDINGS] or list(fact.asks)
    rng.shuffle(asks)
    return Asked(tuple(asks), rng.choice(fact.says), (found.id, best_part(found, fact.says[0])))
