"""Dialogues made from facts: each fact in several wordings of the question and of the answer.

`facts/<topic>/<article>.yaml` below an adapter's folder, one file an article, dated with the day the article was read:

    article: plans/bundle-discount
    as_of: 2026-06-22
    facts:
      - asks: ["How much does the bundle discount take off?", "what do i save having both with you"]
        says: ["The bundle discount takes £5 a month off your fibre price."]
    follow_ups:
      - ["How much is the bundle discount?", "It takes £5 a month off.", "and my mobile data?", "It is doubled."]
    unknown: ["Does the bundle discount cover a landline?"]
    near_misses: ["Can two flatmates share one bundle discount?"]

What is `unknown` nothing answers, nor the `near_misses`, from which the reranker alone learns: as known questions they
tell nothing that the others do not.

An adapter that answers from memory needs a fact often and differently worded; a model this small has to see it about
fifteen times.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from switchboard.errors import TrainingDataError, first_line
from switchboard.prompts import SERVICE_DECLINE

WORDINGS = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)
"""Which of a fact's wordings become known questions, counted from 0; see known_questions.py."""
GREETINGS = (
    "Hi, ",
    "hello, ",
    "Hello! ",
    "Good morning. ",
    "hey ",
    "Hi there, ",
    "Quick question: ",
    "Sorry to bother you. ",
)
JOINTS = (" And ", " Also, ", " One more thing: ", " and ")

Row = dict[str, Any]


@dataclass(frozen=True)
class Fact:
    """One thing that can be asked: wordings of the question, and of the answer."""

    article: str
    asks: tuple[str, ...]
    says: tuple[str, ...]


@dataclass(frozen=True)
class Article:
    """What one article's file holds. `as_of` is the date of the snapshot, as ISO 8601."""

    name: str
    as_of: str
    facts: tuple[Fact, ...]
    follow_ups: tuple[tuple[str, ...], ...]
    unknown: tuple[str, ...]
    near_misses: tuple[str, ...] = ()


def read_facts(folder: Path) -> list[Article]:
    """Read every YAML file below `folder`. Raises TrainingDataError with the file and what is wrong with it."""
    articles = []
    for path in sorted(folder.glob("**/*.yaml")):
        try:
            value = yaml.safe_load(path.read_text(encoding="utf-8"))
            name = str(value["article"])
            articles.append(
                Article(
                    name,
                    str(value["as_of"]),
                    tuple(Fact(name, tuple(f["asks"]), tuple(f["says"])) for f in value["facts"]),
                    tuple(tuple(turns) for turns in value.get("follow_ups", [])),
                    tuple(value.get("unknown", [])),
                    tuple(value.get("near_misses", [])),
                )
            )
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise TrainingDataError(f"{path} is not YAML: {first_line(error)}.") from error
        except (KeyError, TypeError) as error:
            raise TrainingDataError(f"{path} has not the form that training/facts.py shows: {error!r}.") from error
    if not articles:
        raise TrainingDataError(f"{folder} holds no .yaml file with facts.")
    return articles


def rows_from_facts(
    folder: Path,
    seed: int,
    wordings: int,
    replies: int = 2,
    unknown: float = 1.0,
    pairs: int = 0,
    newest: bool = False,
) -> Iterator[Row]:
    """Rows without passages: every fact in `wordings` of its questions, follow-ups, and what is not known.

    With `newest` the wordings are the last ones of each fact, which an earlier training may not have had, else any.
    A fact is answered in the first `replies` of its wordings in turn. Of each article's unknown questions the share
    `unknown` is taken. `pairs` is how many rows ask two things at once, of one article or of two, and as many again two
    things in a row.
    """
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    articles = read_facts(folder)
    for article in articles:
        for fact in article.facts:
            offset = rng.randrange(2)
            asks = fact.asks[-wordings:] if newest else rng.sample(fact.asks, min(wordings, len(fact.asks)))
            for number, ask in enumerate(asks):
                says = fact.says[:replies]
                yield _row(article, [_opened(ask, rng), says[(number + offset) % len(says)]])
        for turns in article.follow_ups:
            yield _row(article, turns)
        for question in rng.sample(article.unknown, round(unknown * len(article.unknown))):
            yield _row(article, [_opened(question, rng), SERVICE_DECLINE])
    told = [article for article in articles if len(article.facts) > 1]
    for number in range(2 * pairs if told else 0):
        article = rng.choice(told)
        one, two = rng.sample(article.facts, 2)
        if number % 2:
            if number % 4 == 1:
                two = rng.choice(rng.choice(told).facts)
            asked = rng.choice(one.asks) + rng.choice(JOINTS) + lowered(rng.choice(two.asks))
            yield _row(article, [asked, f"{_reply(one, replies, rng)} {_reply(two, replies, rng)}"])
        else:
            other = rng.choice(rng.choice(told).facts)
            before = [rng.choice(one.asks), _reply(one, replies, rng)]
            yield _row(article, [*before, rng.choice(other.asks), _reply(other, replies, rng)])


def _reply(fact: Fact, replies: int, rng: random.Random) -> str:
    return rng.choice(fact.says[:replies])


def lowered(text: str) -> str:
    """The text with its first letter small, unless that is the word I or a name with a number.

    >>> lowered("How much is it?"), lowered("I pay late."), lowered("Fibre 500 price")
    ('how much is it?', 'I pay late.', 'Fibre 500 price')
    """
    first = text.split(" ", 1)[0]
    keep = (
        first.startswith(("I'", "Fibre", "Wave", "Mobile", "My", "Fernwave"))
        or first == "I"
        or first[1:].upper() == first[1:]
    )
    return text if keep else text[:1].lower() + text[1:]


def _opened(question: str, rng: random.Random) -> str:
    """Now and then a question after a greeting."""
    return rng.choice(GREETINGS) + lowered(question) if rng.random() < 0.06 else question


def _row(article: Article, turns: Sequence[str]) -> Row:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return {"article": article.name, "as_of": article.as_of, "messages": messages}
