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

PASSAGES = (2, 3, 3, 3, 4, 5)
"""How many passages a set has, one of these at random."""
FIRST = (0, 0, 0, 0, 0, 0, 0, 1, 1, 2)
"""Where the passage that most questions are about stands, one of these at random: the retriever puts it first for three
questions in four, and a reader may count on that."""
ASKED = 8
"""Questions on that passage, in up to two wordings each; its set has three more on the others."""
UNANSWERED = 4
"""Questions that the set's passages do not answer: a quarter."""

_WORD = re.compile(r"[a-z]{3,}")
_SLOT = re.compile(r"\{(\w+)\}")
_MONTHS = "January February March April May June July August September October November December".split()

Row = dict[str, Any]
Pair = tuple[str, str]
"""A question and its answer, citations included."""


def world_rows(folder: Path, seed: int, rounds: int) -> Iterator[Row]:
    """Rows over sets of passages: in each round every passage of a world is once the one that most questions are about.

    The questions on one set share its passages. Raises TrainingDataError with the file that is at fault.
    """
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    for path in sorted(folder.glob("*.yaml")):
        try:
            world = yaml.safe_load(path.read_text(encoding="utf-8"))
            for number in range(rounds * len(world["passages"])):
                yield from _set(world, number % len(world["passages"]), rng, follow_up=number % 4 == 0)
        except yaml.YAMLError as error:
            raise TrainingDataError(f"{path} is not YAML: {first_line(error)}.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingDataError(f"{path} has not the form of the worlds beside it: {error!r}.") from error


def _set(world: dict[str, Any], number: int, rng: random.Random, follow_up: bool) -> Iterator[Row]:
    values = draw_values(world["values"], rng)
    values["co"] = rng.choice(world["company"])
    main = world["passages"][number]
    near = _nearest(main, [p for p in world["passages"] if p is not main], rng)
    count = min(rng.choice(PASSAGES), len(near))
    others, hidden = near[: count - 1], near[count - 1 :]
    rng.shuffle(others)
    place = min(rng.choice(FIRST), len(others))
    shown = [*others[:place], main, *others[place:]]
    number_of = {passage["key"]: n for n, passage in enumerate(shown, 1)}
    passages = [{key: fill(passage[key], values) for key in ("title", "heading", "text")} for passage in shown]

    def pair(passage: dict[str, Any], question: dict[str, Any], ask: str) -> Pair:
        return fill(ask, values), cited(fill(question["says"], values), number_of[passage["key"]])

    pairs = [
        pair(main, question, ask)
        for question in main["questions"]
        for ask in rng.sample(question["asks"], min(2, len(question["asks"])))
    ]
    rng.shuffle(pairs)
    besides = [pair(p, question, rng.choice(question["asks"])) for p in others for question in p["questions"]]
    rng.shuffle(besides)
    pairs = [*pairs[:ASKED], *besides[:3], *_two_at_once(world, number_of, values, rng)[:1]]
    for question, answer in [*pairs, *_unanswered(world, hidden, values, rng)]:
        yield _row([question, answer], passages)
    if follow_up and besides:
        # After another turn, so that a conversation does not change how passages are read.
        yield _row([*besides[-1], *pairs[0]], passages)


def _nearest(main: dict[str, Any], others: Sequence[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """The other passages, those that look most like `main` first: what a retriever would bring along with it."""
    words = {p["key"]: set(_WORD.findall(f"{p['title']} {p['heading']} {p['text']}".lower())) for p in [main, *others]}

    def alike(passage: dict[str, Any]) -> float:
        one, two = words[main["key"]], words[passage["key"]]
        return len(one & two) / len(one | two) + rng.random() * 0.05

    return sorted(others, key=alike, reverse=True)


def _two_at_once(
    world: dict[str, Any], number_of: Mapping[str, int], values: Mapping[str, str], rng: random.Random
) -> list[Pair]:
    """Questions that need two of the passages shown, answered in two sentences that cite each their own."""
    found = []
    for two in world["two"]:
        if all(key in number_of for key in two["from"]):
            halves = zip(two["says"], two["from"], strict=True)
            answer = " ".join(cited(fill(says, values), number_of[key]) for says, key in halves)
            found.append((fill(rng.choice(two["asks"]), values), answer))
    rng.shuffle(found)
    return found


def _unanswered(
    world: dict[str, Any], hidden: Sequence[dict[str, Any]], values: Mapping[str, str], rng: random.Random
) -> list[Pair]:
    """Questions that no passage answers, and questions on like passages that are not shown."""
    unknown = rng.sample(world["unknown"], min(UNANSWERED // 2, len(world["unknown"])))
    like = [question for passage in hidden[:3] for question in passage["questions"]]
    missed = [rng.choice(question["asks"]) for question in rng.sample(like, min(UNANSWERED - len(unknown), len(like)))]
    return [(fill(question, values), READER_DECLINE) for question in [*unknown, *missed]]


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


def _row(turns: Sequence[str], passages: list[dict[str, str]]) -> Row:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return {"messages": messages, "passages": passages}
