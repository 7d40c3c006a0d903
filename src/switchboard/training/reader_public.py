"""The reader's data from public question-answering sets: real questions over real paragraphs.

Looked for below the data folder's `public/`, and left out, with a word, where they are absent:

    public/xquad_en/xquad.en.json                                    github.com/google-deepmind/xquad, CC BY-SA 4.0
    public/clapnq_dev/annotated_data/dev/clapnq_dev_answerable.jsonl  github.com/primeqa/clapnq, Apache-2.0

The last HELD_OUT articles of XQuAD are never trained on: `held_out_cases` measures with them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchboard.prompts import READER_DECLINE
from switchboard.training.reading import Embed, nearest_first, part_vectors
from switchboard.types import Passage, SearchResult

HELD_OUT = 8
"""XQuAD has 48 articles of 5 paragraphs each; this many are kept for measuring."""
XQUAD = Path("xquad_en/xquad.en.json")
CLAPNQ = Path("clapnq_dev/annotated_data/dev/clapnq_dev_answerable.jsonl")
QUESTIONS = 4
"""How many of the questions that a prompt's passages answer are used."""
LONGEST_ANSWER = 45
"""Words above which an answer is left out."""
LONGEST_SENTENCE = 32
"""Words above which the sentence that answers is cut to the clause that does."""

_ABBREVIATIONS = "".join(rf"(?<!\b{short}\.)" for short in ("[A-Z]", "St", "Dr", "Mr", "No", "c"))
_SENTENCE = re.compile(rf"(?<=[.!?]){_ABBREVIATIONS}\s+(?=[\"'“(]?[A-Z0-9])")
_CLAUSE = re.compile(r";\s+|,\s+(?:and|but|while|whereas|although)\s+|\s+[–—]\s+")
_CONTENT = re.compile(r"[a-z]{4,}|\d+")

Row = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A question, the text that answers it, and where in its paragraph that begins."""

    text: str
    gold: str
    start: int


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of an article and the questions it answers."""

    title: str
    text: str
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Case:
    """A question to measure with; `gold` is empty where the passages do not hold the answer.

    `found` is what the app's search makes of the passages; None before that is known.
    """

    question: str
    passages: tuple[Passage, ...]
    gold: str
    found: SearchResult | None = None


def public_rows(folder: Path, embed: Embed, seed: int, xquad: int, clapnq: int) -> Iterator[Row]:
    """Rows of `xquad` prompts and `clapnq` passage sets at most; the questions on one share its passages."""
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    yield from _xquad_rows(training_articles(folder), embed, rng, xquad)
    yield from _clapnq_rows(_clapnq(folder), rng, clapnq)


def training_articles(folder: Path) -> list[list[Paragraph]]:
    """XQuAD's articles but for the last, which are kept for measuring; empty where the file is absent."""
    return _xquad(folder)[:-HELD_OUT]


def held_out_cases(folder: Path, seed: int, answerable: int, unanswerable: int) -> list[Case]:
    """Questions on the articles that are never trained on; see `cases`."""
    return cases(_xquad(folder)[-HELD_OUT:], seed, answerable, unanswerable)


def cases(
    articles: Sequence[Sequence[Paragraph]], seed: int, answerable: int, unanswerable: int, passages: int = 5
) -> list[Case]:
    """Questions on articles, each with its own article's paragraphs as distractors, in random order.

    For the unanswerable ones the paragraph that answers is replaced by one of another article. Fewer than asked for
    where the articles have fewer questions, in the same proportion.
    """
    rng = random.Random(seed)  # noqa: S311
    pairs = [(a, p, q) for a in articles for p in a for q in p.questions]
    wanted = answerable + unanswerable
    if wanted > len(pairs):
        answerable, wanted = answerable * len(pairs) // wanted, len(pairs)
    made = []
    for number, (article, paragraph, question) in enumerate(rng.sample(pairs, wanted)):
        others = [p for p in article if p is not paragraph]
        far = [p for a in articles if a is not article for p in a]
        own = [paragraph] if number < answerable else []
        fill = own + rng.sample(others, min(len(others), passages - 1))
        fill += rng.sample(far, max(0, passages - len(fill)))
        rng.shuffle(fill)
        shown = tuple(map(_passage, fill))
        made.append(Case(question.text, shown, question.gold if own else ""))
    return made


def answer_sentence(paragraph: str, question: Question) -> str:
    """The sentence that holds the gold span, or the clause of a long one that does; no final full stop.

    >>> answer_sentence("Rollo came. He ruled from 911.", Question("Since when did Rollo rule?", "911", 26))
    'He ruled from 911'
    """
    end = question.start + len(question.gold)
    starts = [0, *(m.end() for m in _SENTENCE.finditer(paragraph) if not question.start < m.end() <= end)]
    begin = max(s for s in starts if s <= question.start)
    finish = min([s for s in starts if s >= end and s > begin] + [len(paragraph)])
    sentence = paragraph[begin:finish].strip()
    if len(sentence.split()) > LONGEST_SENTENCE:
        sentence = _clause(sentence, question)
    return sentence[:1].upper() + sentence[1:].rstrip(" .;,:")


def _clause(sentence: str, question: Question) -> str:
    """The clause with the gold span, if it says enough by itself to answer the question."""
    asked = set(_CONTENT.findall(question.text.lower()))
    for clause in _CLAUSE.split(sentence):
        said = set(_CONTENT.findall(clause.lower()))
        if question.gold in clause and len(clause.split()) >= 6 and len(asked & said) >= 2:
            return clause
    return sentence


def _xquad_rows(articles: Sequence[Sequence[Paragraph]], embed: Embed, rng: random.Random, sets: int) -> Iterator[Row]:
    """A prompt for each of `sets` questions, and what else its passages answer; every fourth lacks the answer."""
    vectors = part_vectors([_passage(p) for article in articles for p in article], embed) if sets else {}
    anchors = [(a, p, q) for a in articles for p in a for q in p.questions]
    for number, (article, paragraph, question) in enumerate(rng.sample(anchors, min(sets, len(anchors)))):
        lacking = number % 4 == 3
        others = rng.sample([p for p in article if p is not paragraph], rng.choice((2, 3, 4, 4)))
        if lacking:
            others.append(rng.choice(rng.choice([a for a in articles if a is not article])))
        of_id = {_passage(p).id: p for p in ([] if lacking else [paragraph]) + others}
        (query,) = embed([question.text])
        passages, read = nearest_first(query, [_passage(p) for p in of_id.values()], vectors)
        shown = [(of_id[p.id], text) for p, text in zip(passages, read, strict=True)]
        asked = [(q, p, n) for n, (p, text) in enumerate(shown, 1) for q in p.questions if q.gold in text]
        asked.sort(key=lambda row: (row[0] is not question, rng.random()))
        rows = []
        for q, p, n in asked[:QUESTIONS]:
            answer = answer_sentence(p.text, q)
            if len(answer.split()) <= LONGEST_ANSWER:
                rows.append((q.text, f"{answer} [{n}]."))
        if lacking:
            rows.append((question.text, READER_DECLINE))
        for text, answer in rows:
            yield _row(text, answer, [Paragraph(p.title, part, ()) for p, part in shown])


def _passage(paragraph: Paragraph) -> Passage:
    name = f"{paragraph.title}/{paragraph.text[:40]}"
    return Passage(name, paragraph.title, "", paragraph.text, 0, len(paragraph.text))


def _clapnq_rows(rows: Sequence[tuple[str, str, Paragraph]], rng: random.Random, sets: int) -> Iterator[Row]:
    """Sets of up to five passages with a question on each, and two questions on passages that are not there."""
    order = list(rows)
    rng.shuffle(order)
    for number in range(min(sets, len(order) // 6)):
        members, absent = order[number * 6 : number * 6 + 4], order[number * 6 + 4 : number * 6 + 6]
        passages = [paragraph for _, _, paragraph in members]
        for index, (question, answer, _) in enumerate(members, 1):
            yield _row(question, f"{answer.rstrip(' .')} [{index}].", passages)
        for question, _, _ in absent:
            yield _row(question, READER_DECLINE, passages)


def _row(question: str, answer: str, passages: Sequence[Paragraph]) -> Row:
    return {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        "passages": [{"title": p.title, "heading": "", "text": p.text} for p in passages],
    }


def _xquad(folder: Path) -> list[list[Paragraph]]:
    """The articles, each a list of paragraphs; empty where the file is absent."""
    path = folder / XQUAD
    if not path.is_file():
        return []
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    return [
        [
            Paragraph(
                article["title"].replace("_", " "),
                paragraph["context"],
                tuple(
                    Question(qa["question"].strip(), qa["answers"][0]["text"], qa["answers"][0]["answer_start"])
                    for qa in paragraph["qas"]
                ),
            )
            for paragraph in article["paragraphs"]
        ]
        for article in articles
    ]


def _clapnq(folder: Path) -> list[tuple[str, str, Paragraph]]:
    """Questions with answers of at most 45 words and their passages of at most 200; empty where the file is absent."""
    path = folder / CLAPNQ
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        passage, answer = row["passages"][0], _untokenized(row["output"][0]["answer"])
        if 5 <= len(answer.split()) <= LONGEST_ANSWER and len(passage["text"].split()) <= 200:
            found.append((row["input"], answer, Paragraph(passage["title"], _untokenized(passage["text"]), ())))
    return found


def _untokenized(text: str) -> str:
    """Text without the blanks that a tokenizer put around punctuation."""
    text = re.sub(r"``\s*|\s*''", '"', text)
    text = re.sub(r"\s+([.,;:!?%)\]])", r"\1", text)
    text = re.sub(r"([(\[$£])\s+", r"\1", text)
    text = re.sub(r"\s+('(?:s|re|ve|ll|d|m)\b|n't\b)", r"\1", text)
    text = re.sub(r"\s+-\s+(?=\w)", "-", text)
    return re.sub(r"\s+", " ", text).strip()
