"""Questions that customers have asked, each with the section that answers it: a second way to a passage.

A customer's words are seldom the article's. Where a knowledge folder holds `asked.jsonl`, a new question is compared
with the known ones too, and a passage is as similar as the most similar question it is known to answer. (Expanding
documents by queries: Nogueira and others, Document expansion by query prediction, 2019.) A line of it:

    {"question": "what do i save having both with you", "source": "plans/bundle-discount.md", "heading": "What you get",
     "answer": "The bundle discount takes £5 a month off your fibre price."}

`answer` may be left out; it tells which sentence of the section answers. A `source` of null says that nothing does:
a new question that resembles such ones is likely not covered either. With `"talk": true` beside it, it is no question
but small talk, and `answer` is the reply to it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from switchboard.errors import first_line
from switchboard.progress import Report
from switchboard.retrieval.documents import ASKED
from switchboard.retrieval.embedding import Embedder, Vectors
from switchboard.retrieval.focus import Place, parts_or_whole
from switchboard.retrieval.store import PassageStore
from switchboard.types import Passage

SOFT = 0.03
"""How soft the maximum over known questions is. On the development questions 0.03 told covered from uncovered best
(area under the curve .953; the nearest alone .950, the mean of four .944)."""
TALK = 0.5
"""The similarity to known small talk that a message must have to count as such."""
MAY_ANSWER = 0.35
"""The similarity from which a passage may answer a question. Low, as a question that is wrongly taken for one that
nothing answers is declined."""
_AT_ONCE = 512

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Asked:
    """One known question, and the section that answers it; `answer` resembles the sentence that does.

    Without a source nothing answers it; if it is `talk`, nothing has to.
    """

    question: str
    source: str | None
    heading: str
    answer: str = ""
    talk: bool = False


class Nearness(NamedTuple):
    """How near a question is to the known ones that something answers and that nothing does; 0 where none are known.

    See `soft_maximum`.
    """

    answered: float
    unanswered: float


NONE_KNOWN = Nearness(0.0, 0.0)


def highest(similarities: Vectors) -> float:
    """The highest similarity; -1 of none."""
    return float(similarities.max()) if len(similarities) else -1.0


def soft_maximum(similarities: Vectors) -> float:
    """The soft maximum of similarities, shape (n,); 0 of none.

    One near question may be so by a chance of wording, several are seldom: SOFT log(sum(exp(similarity / SOFT))) is
    the highest similarity where it stands alone, and more where there are others like it. It is, up to a constant, the
    logarithm of a kernel density estimate with the von Mises-Fisher kernel of concentration 1 / SOFT.
    """
    if not len(similarities):
        return 0.0
    scaled = similarities.astype(np.float64) / SOFT
    top = scaled.max()
    return float(SOFT * (top + np.log(np.exp(scaled - top).sum())))


@dataclass(frozen=True)
class _Some:
    """Vectors (n, dimensions) that all copies share, and which of them count in this one, (n,)."""

    vectors: Vectors
    counted: NDArray[np.bool_]

    def only(self, counted: NDArray[np.bool_]) -> _Some:
        """Those of them that are `counted`, (n,), too."""
        return replace(self, counted=self.counted & counted)

    def similarities(self, vector: Vectors) -> Vectors:
        """Of those that count to a vector of shape (dimensions,)."""
        if not len(self.vectors):
            return np.zeros(0, np.float32)
        similarities: Vectors = (self.vectors @ vector)[self.counted]
        return similarities


class AskedQuestions:
    """Known questions' vectors, kept in a store of their own; safe to search from several threads."""

    def __init__(
        self,
        store: PassageStore,
        answered_by: Sequence[Place | None],
        talk: Mapping[int, str] = MappingProxyType({}),
        rows: Sequence[Asked] = (),
    ) -> None:
        """`answered_by` has the place of each question's answer, the question's id in the store being its number;
        `talk` has the replies to small talk, by number, and `rows` the questions themselves. The store is closed: all
        vectors are compared, and Chroma's own index of them would take as much memory again."""
        self._rows = tuple(rows)
        self._answer(answered_by)
        self._with_place = tuple(number for number, place in enumerate(answered_by) if place)
        others = [number for number, place in enumerate(answered_by) if not place and number not in talk]
        found = store.vectors([str(number) for number in range(len(answered_by))])
        store.close()
        kinds = [[n for n in kind if str(n) in found] for kind in (self._with_place, others, list(talk))]
        self._numbers = [number for kind in kinds for number in kind]
        self._vectors = np.array([found[str(number)] for number in self._numbers], np.float32)
        starts = np.cumsum([0, *map(len, kinds)])
        self._answered, self._unanswered, self._talk = (
            _Some(self._vectors[start:end], np.ones(end - start, bool)) for start, end in pairwise(starts)
        )
        self._replies = tuple(talk.values())

    def moved(self, source: str, passages: Sequence[Passage]) -> AskedQuestions:
        """The same questions where one document has other passages; those whose section is gone are answered nowhere.

        The vectors are shared.
        """
        sections = _sections(passages)
        answered_by = list(self._answered_by)
        for number, row in enumerate(self._rows):
            if row.source == source:
                pieces = sections.get((row.source, row.heading))
                answered_by[number] = _place(row, pieces) if pieces else None
        moved = copy.copy(self)
        moved._answer(answered_by)
        still = np.array([answered_by[number] is not None for number in self._with_place], bool)
        if len(still) == len(self._answered.vectors):
            moved._answered = replace(self._answered, counted=still)
        return moved

    def with_more(self, vectors: Vectors) -> AskedQuestions:
        """The same without those questions that nothing answered so far, but new passages may.

        `vectors` (passages, dimensions) are the new passages'; one with a similarity of MAY_ANSWER to a question may
        answer it.
        """
        more = copy.copy(self)
        for start in range(0, len(vectors) if len(more._unanswered.vectors) else 0, _AT_ONCE):
            near = more._unanswered.vectors @ vectors[start : start + _AT_ONCE].T
            more._unanswered = more._unanswered.only(near.max(axis=1) < MAY_ANSWER)
        return more

    def _answer(self, answered_by: Sequence[Place | None]) -> None:
        """Note where the questions are answered, and the words of those that each passage answers."""
        self._answered_by = tuple(answered_by)
        texts: dict[str, str] = {}
        for row, place in zip(self._rows, answered_by, strict=False):
            if place:
                texts[place[0]] = f"{texts[place[0]]}\n{row.question}" if place[0] in texts else row.question
        self.texts: Mapping[str, str] = texts

    def similarities(self, vector: Vectors) -> Vectors:
        """Of all known questions to a vector of shape (dimensions,): what `nearest` and `nearness` take."""
        similarities: Vectors = self._vectors @ vector if self._numbers else np.zeros(0, np.float32)
        return similarities

    def nearest(self, similarities: Vectors, n: int) -> dict[Place, float]:
        """Where the n nearest questions are answered, with the similarity of the nearest one of each place."""
        found: dict[Place, float] = {}
        best = np.argpartition(-similarities, n)[:n] if n < len(similarities) else np.arange(len(similarities))
        for row in best[np.argsort(-similarities[best], kind="stable")].tolist():
            if place := self._answered_by[self._numbers[row]]:
                found.setdefault(place, float(similarities[row]))
        return found

    def nearness(self, similarities: Vectors) -> Nearness:
        """How near the known questions are that count."""
        answered, unanswered = self._answered.counted, self._unanswered.counted
        first, second = np.split(similarities, [len(answered), len(answered) + len(unanswered)])[:2]
        return Nearness(soft_maximum(first[answered]), soft_maximum(second[unanswered]))

    def small_talk(self, vector: Vectors) -> str:
        """The reply to the small talk that is nearest to a vector; nothing where a question is nearer."""
        if not self._replies:
            return ""
        similarity = self._talk.similarities(vector)
        others = max(TALK, *(highest(known.similarities(vector)) for known in (self._answered, self._unanswered)))
        return self._replies[int(similarity.argmax())] if similarity.max() > others else ""


def read_asked(folder: Path, report: Report) -> list[Asked]:
    """The questions in a knowledge folder's `asked.jsonl`, none if there is no such file.

    A line that is no question is reported and left out, so that it does not take the others down.
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
            heading, answer = (str(row.get(name, "")) for name in ("heading", "answer"))
            source = None if row["source"] is None else str(row["source"])
            asked.append(Asked(str(row["question"]), source, heading, answer, row.get("talk") is True))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            report(
                f"Left out: {path}:{number} must be an object with a question and a source ({first_line(error)}); "
                "mend or remove the line."
            )
    return asked


def open_asked(
    asked: Sequence[Asked],
    passages: Sequence[Passage],
    store_of: Callable[[str, Report], PassageStore],
    embedder: Embedder,
    report: Report,
) -> AskedQuestions | None:
    """The questions' index, embedded anew if they have changed; None without any that can be used.

    `store_of` opens their store, given what it was made with. A question whose section is no longer there is left out.
    """
    sections = _sections(passages)
    usable: list[tuple[Asked, Place | None]] = []
    talk: dict[int, str] = {}
    for row in asked:
        if row.source is None:
            if row.talk:
                talk[len(usable)] = row.answer
            usable.append((row, None))
        elif pieces := sections.get((row.source, row.heading)):
            usable.append((row, _place(row, pieces)))
    if len(usable) < len(asked):
        report(f"{len(asked) - len(usable)} of {len(asked)} known questions name a section that is not there.")
    if not any(place for _, place in usable):
        return None
    digest = hashlib.sha256("\n".join(row.question for row, _ in usable).encode()).hexdigest()[:16]
    store = store_of(f"{embedder.identity}; questions {digest}", report)
    for begin in (store.count(), 0):  # all of them again where some are missing after the first time
        if store.count() < len(usable):
            for start in range(begin, len(usable), _AT_ONCE):
                part = [row.question for row, _ in usable[start : start + _AT_ONCE]]
                store.add([str(start + n) for n in range(len(part))], embedder.embed_queries(part))
                report(f"Embedding known questions: {start + len(part):,} of {len(usable):,} ...")
    store.seal()
    return AskedQuestions(store, [place for _, place in usable], talk, [row for row, _ in usable])


def _sections(passages: Sequence[Passage]) -> dict[tuple[str, str], list[Passage]]:
    """The passages by their document and heading."""
    sections: dict[tuple[str, str], list[Passage]] = {}
    for passage in passages:
        sections.setdefault((passage.source, passage.heading), []).append(passage)
    return sections


def _place(row: Asked, pieces: Sequence[Passage]) -> Place:
    """The part of the section that shares most words with the answer, or with the question where there is none."""
    words = set(_WORD.findall((row.answer or row.question).lower()))
    parts = [(piece, n, part) for piece in pieces for n, part in enumerate(parts_or_whole(piece.text))]

    def shared(part: str) -> float:
        said = set(_WORD.findall(part.lower()))
        return len(words & said) + len(words & said) / (1 + len(said))

    piece, number, _ = max(parts, key=lambda row: shared(row[2]))
    return piece.id, number
