"""The reader's data from invented help centres, written by hand with slots for every figure.

Each file in `adapters/reader/worlds/` is one company: passages of which many are close relatives, questions in several
wordings, questions that need two passages, and questions that none answers. A program draws the figures anew for
every set of passages, so what can be learned is to find and to copy, not to remember.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from switchboard.errors import TrainingDataError, first_line
from switchboard.retrieval.embedding import Vectors
from switchboard.retrieval.focus import Place
from switchboard.training.reading import Asked, Embed, Prompt, best_part, nearest_first, part_vectors
from switchboard.types import Passage

PASSAGES = (2, 3, 3, 3, 3, 4, 5)
"""How many passages a prompt has, one of these at random."""
KNOWN = 0.6
"""How often a question counts as known: its answer then comes first, as known questions make it in the app."""
UNKNOWN = 14
"""Questions of a world, in a round, that nothing answers; each has a prompt of its own."""

_SLOT = re.compile(r"\{(\w+)\}")
_MONTHS = "January February March April May June July August September October November December".split()

Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """A world with its figures drawn."""

    passages: tuple[Passage, ...]
    vectors: Mapping[str, Vectors]
    asked: tuple[Asked, ...]
    two: tuple[tuple[tuple[str, ...], tuple[Asked, Asked]], ...]
    unknown: tuple[str, ...]


def world_rows(folder: Path, embed: Embed, seed: int, rounds: int, share: float) -> Iterator[Row]:
    """Rows over prompts as the app makes them, of `share` of each world's questions in each of `rounds` rounds.

    Questions with one prompt stand together. Raises TrainingDataError with the file that is at fault.
    """
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    for world in read_worlds(folder, embed, rng, rounds):
        yield from _round(world, embed, rng, share)


def read_worlds(folder: Path, embed: Embed, rng: random.Random, rounds: int = 1) -> Iterator[World]:
    """Every world of a folder, its figures drawn anew in each round. Raises TrainingDataError with the file."""
    for path in sorted(folder.glob("*.yaml")):
        try:
            given = yaml.safe_load(path.read_text(encoding="utf-8"))
            for _ in range(rounds):
                yield _drawn(given, embed, rng)
        except yaml.YAMLError as error:
            raise TrainingDataError(f"{path} is not YAML: {first_line(error)}.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingDataError(f"{path} has not the form of the worlds beside it: {error!r}.") from error


def _drawn(given: dict[str, Any], embed: Embed, rng: random.Random) -> World:
    values = {**draw_values(given["values"], rng), "co": rng.choice(given["company"])}
    passages = []
    asked: list[Asked] = []
    of_key: dict[str, Passage] = {}
    for row in given["passages"]:
        title, heading, text = (fill(row[name], values) for name in ("title", "heading", "text"))
        passage = Passage(str(row["key"]), title, heading, text, 0, len(text))
        passages.append(passage)
        of_key[row["key"]] = passage
        asked += [_asked(q["asks"], q["says"], passage, values) for q in row["questions"]]
    two = tuple(
        (
            tuple(fill(ask, values) for ask in row["asks"]),
            tuple(_asked((), says, of_key[key], values) for says, key in zip(row["says"], row["from"], strict=True)),
        )
        for row in given["two"]
    )
    unknown = tuple(fill(question, values) for question in given["unknown"])
    return World(tuple(passages), part_vectors(passages, embed), tuple(asked), two, unknown)  # type: ignore[arg-type]


def _asked(asks: Sequence[str], says: str, passage: Passage, values: Mapping[str, str]) -> Asked:
    answer = fill(says, values).replace("\n", " ")
    return Asked(tuple(fill(ask, values) for ask in asks), answer, (passage.id, best_part(passage, answer)))


def _round(world: World, embed: Embed, rng: random.Random, share: float) -> Iterator[Row]:
    chosen = rng.sample(world.asked, round(share * len(world.asked)))
    for number, asked in enumerate(chosen):
        ask = rng.choice(asked.asks)
        prompt = _prompt(world, ask, [asked.place], embed, rng)
        answers = [(wording, asked.says, [asked.place]) for wording in asked.asks]
        yield from prompt.rows(answers, world.asked, rng)
        if number % 12 == 0:  # after another turn, so that a conversation does not change how passages are read
            yield from prompt.follow_up(rng.choice(chosen), asked, ask)
    for asks, halves in world.two:
        places = [half.place for half in halves]
        prompt = _prompt(world, rng.choice(asks), places, embed, rng)
        answers = [(ask, "\n".join(half.says for half in halves), places) for ask in asks]
        yield from prompt.rows(answers, world.asked, rng)
    for question in rng.sample(world.unknown, min(UNKNOWN, len(world.unknown))):
        yield from _prompt(world, question, [], embed, rng).rows([(question, "", [])], world.asked, rng)


def _prompt(world: World, question: str, places: Sequence[Place], embed: Embed, rng: random.Random) -> Prompt:
    """The passages nearest to a question, and those of `places` among them."""
    (query,) = embed([question])
    nearness = {p.id: float((world.vectors[p.id] @ query).max()) + rng.gauss(0, 0.03) for p in world.passages}
    wanted = [p for p in world.passages if any(p.id == name for name, _ in places)]
    others = sorted((p for p in world.passages if p not in wanted), key=lambda p: -nearness[p.id])
    shown = [*wanted, *others[: max(0, rng.choice(PASSAGES) - len(wanted))]]
    known = dict.fromkeys(places, 0.6 + 0.4 * rng.random()) if rng.random() < KNOWN else {}
    passages, read = nearest_first(query, shown, world.vectors, known)
    return Prompt(tuple(passages), read)


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
