"""The reader's data from invented help centres, written by hand with slots for every figure.

Each file in `adapters/reader/worlds/` is one company: passages of which many are close relatives, questions in several
wordings, questions that need two passages, and questions that none answers. A program draws the figures anew for
every set of passages, so what can be learned is to find and to copy, not to remember.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from switchboard.errors import TrainingDataError, first_line
from switchboard.prompts import READER_DECLINE

PASSAGES = (3, 4, 5, 5, 5)
"""How many passages a set has, one of these at random."""
QUESTIONS = 9
"""How many of a set's questions are used: with their passages they fill one pack."""
UNANSWERABLE = 0.27
"""The share of the questions that the set's passages do not answer."""

_SLOT = re.compile(r"\{(\w+)\}")
_MONTHS = "January February March April May June July August September October November December".split()

Row = dict[str, Any]
Pair = tuple[str, str]
"""A question and its answer, citations included."""


def world_rows(folder: Path, seed: int, sets: int) -> Iterator[Row]:
    """Rows over `sets` sets of passages of each world; the questions on one set share its passages."""
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    for path in sorted(folder.glob("*.yaml")):
        try:
            world = yaml.safe_load(path.read_text(encoding="utf-8"))
            for number in range(sets):
                yield from _set(world, rng, follow_up=number % 3 == 0)
        except yaml.YAMLError as error:
            raise TrainingDataError(f"{path} is not YAML: {first_line(error)}.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingDataError(f"{path} has not the form of the worlds beside it: {error!r}.") from error


def _set(world: dict[str, Any], rng: random.Random, follow_up: bool) -> Iterator[Row]:
    values = draw_values(world["values"], rng)
    values["co"] = rng.choice(world["company"])
    shown = rng.sample(world["passages"], min(len(world["passages"]), rng.choice(PASSAGES)))
    number_of = {passage["key"]: number for number, passage in enumerate(shown, 1)}
    passages = [{key: fill(passage[key], values) for key in ("title", "heading", "text")} for passage in shown]
    answered = [
        (fill(rng.choice(question["asks"]), values), cited(fill(question["says"], values), number_of[passage["key"]]))
        for passage in shown
        for question in passage["questions"]
    ]
    rng.shuffle(answered)
    double = [
        (
            fill(rng.choice(two["asks"]), values),
            " ".join(
                cited(fill(says, values), number_of[key]) for says, key in zip(two["says"], two["from"], strict=True)
            ),
        )
        for two in world["two"]
        if all(key in number_of for key in two["from"])
    ]
    elsewhere = [
        fill(rng.choice(question["asks"]), values)
        for passage in world["passages"]
        if passage["key"] not in number_of
        for question in passage["questions"]
    ]
    unknown = [fill(question, values) for question in world["unknown"]]
    missing = max(1, round(QUESTIONS * UNANSWERABLE))
    declined = [(question, READER_DECLINE) for question in _mixed(unknown, elsewhere, rng)[:missing]]
    pairs = [*double[:1], *answered[: QUESTIONS - missing - len(double[:1])], *declined]
    for question, answer in pairs:
        yield _row([question, answer], passages)
    if follow_up and len(answered) > len(pairs):
        # After another turn, so that a conversation does not change how passages are read.
        yield _row([*answered[-1], *rng.choice([pairs[0], declined[0]])], passages)


def draw_values(kinds: Mapping[str, str | Sequence[Any]], rng: random.Random) -> dict[str, str]:
    """A value for each slot, no two figures of one kind alike. Raises ValueError for an unknown kind.

    A kind is `money LOW HIGH`, `number LOW HIGH`, `percent LOW HIGH`, `date`, `clock`, `phone`, or a list of choices.
    """
    values: dict[str, str] = {}
    for name, kind in kinds.items():
        for _ in range(20):
            value = _draw(kind, rng)
            if value not in values.values():
                break
        values[name] = value
    return values


def _draw(kind: str | Sequence[Any], rng: random.Random) -> str:
    if not isinstance(kind, str):
        return str(rng.choice(list(kind)))
    name, *limits = kind.split()
    if name not in _KINDS:
        raise ValueError(f"there is no kind of value '{kind}'")
    low, high = (int(float(limit)) for limit in limits or ("0", "0"))
    return _KINDS[name](rng, low, high)


def _money(rng: random.Random, low: int, high: int) -> str:
    pence = rng.choice(("", "", "", ".50", ".99", f".{rng.randint(10, 95)}")) if high < 200 else ""
    return f"£{rng.randint(low, high):,}{pence}"


def _phone(rng: random.Random, _low: int, _high: int) -> str:
    return f"0{rng.choice(('800', '345', '330'))} {rng.randint(100, 999)} {rng.randint(1000, 9999)}"


_KINDS: Mapping[str, Callable[[random.Random, int, int], str]] = {
    "money": _money,
    "number": lambda rng, low, high: f"{rng.randint(low, high):,}",
    "percent": lambda rng, low, high: f"{rng.randint(low, high)}%",
    "date": lambda rng, _low, _high: f"{rng.randint(1, 28)} {rng.choice(_MONTHS)}",
    "clock": lambda rng, _low, _high: f"{rng.randint(1, 12)}{rng.choice(('', '', ':30'))} {rng.choice(('am', 'pm'))}",
    "phone": _phone,
}


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its slots filled. Raises KeyError for a slot without a value."""
    return _SLOT.sub(lambda slot: values[slot[1]], text)


def cited(answer: str, number: int) -> str:
    """The answer with a citation before its last full stop.

    >>> cited("It costs £5.", 2)
    'It costs £5 [2].'
    """
    return f"{answer.rstrip(' .')} [{number}]."


def _mixed(unknown: list[str], elsewhere: list[str], rng: random.Random) -> list[str]:
    """Questions that nothing answers and questions on passages that are not shown, about in turn."""
    rng.shuffle(unknown)
    rng.shuffle(elsewhere)
    both = [question for pair in zip(unknown, elsewhere, strict=False) for question in pair]
    return both if rng.random() < 0.5 else both[1:] + both[:1]


def _row(turns: Sequence[str], passages: list[dict[str, str]]) -> Row:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return {"messages": messages, "passages": passages}
