"""Figures for the reader's invented companies: drawn at random, and never twice the same for one kind of fact."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_SLOT = re.compile(r"{(\w+)}")
_KIND = re.compile(r"\d+$")
_MONTHS = "January February March April May June July August September October November December".split()

Template = dict[str, Any]


@dataclass
class Fact:
    """One statement about one product (or the company, then `product` is empty), and the passage it is in."""

    template: Template
    product: str
    values: dict[str, str]
    passage: int = -1

    def say(self, text: str) -> str:
        """Fill in a sentence; it begins with a capital."""
        filled = _SLOT.sub(lambda slot: self.values[slot[1]], text)
        return filled[:1].upper() + filled[1:]


def drawer(
    given: dict[str, Any], company: str, products: Sequence[str], rng: random.Random
) -> Callable[[Template, str], Fact]:
    """A function that makes a fact of a template and a product, with figures no other fact of the template has."""
    seen: dict[str, set[str]] = {}
    sign = rng.choices(["£", "€", "$"], [8, 1, 1])[0]
    app = rng.choice(["the app", f"My{company.split(maxsplit=1)[0]}", f"the {company.split(maxsplit=1)[0]} app"])

    def draw(template: Template, product: str) -> Fact:
        texts = template["says"] + [text for qa in template["qa"] for text in qa["q"] + qa["a"]]
        names = dict.fromkeys(name for text in texts for name in _SLOT.findall(text))
        values: dict[str, str] = {"a": product, "A": product[:1].upper() + product[1:], "co": company, "app": app}
        values["b"] = rng.choice([p for p in products if p != product] or [product])
        for name in [name for name in names if name not in values]:
            taken = seen.setdefault(template["says"][0] + name, set())
            kind = name if name in given["lists"] else _KIND.sub("", name)
            for _attempt in range(20):
                values[name] = _figure(kind, sign, given, rng)
                if values[name] not in taken and list(values.values()).count(values[name]) == 1:
                    break
            taken.add(values[name])
        return Fact(template, product, values)

    return draw


def _figure(kind: str, sign: str, given: dict[str, Any], rng: random.Random) -> str:
    """A random value of a kind of slot, written as a company would write it."""
    if kind in given["lists"]:
        return str(rng.choice(given["lists"][kind]))
    return _WRITTEN[kind](sign, rng) if kind in _WRITTEN else str(rng.choice(_NUMBERS[kind]))


def _money(sign: str, rng: random.Random) -> str:
    whole = rng.choice([rng.randint(2, 30), rng.randint(5, 99), rng.choice([100, 120, 150, 200, 250])])
    return f"{sign}{whole}{rng.choice(['', '', '', '.50', '.99', '.20', '.75'])}"


_WRITTEN: dict[str, Callable[[str, random.Random], str]] = {
    "money": _money,
    "date": lambda _sign, rng: f"{rng.randint(1, 28)} {rng.choice(_MONTHS)} {rng.choice([2026, 2027])}",
    "clock": lambda _sign, rng: f"{rng.randint(1, 11)} {rng.choice(['am', 'pm'])}",
    "phone": lambda _sign, rng: f"0800 555 0{rng.randint(200, 989)}",
    "nth": lambda _sign, rng: f"{rng.randint(4, 20)}th",
}
_NUMBERS: dict[str, Sequence[int]] = {
    "days": [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 18, 20, 21, 25, 28, 30, 35, 40, 45, 50, 60, 75, 90],
    "months": [2, 3, 4, 5, 6, 8, 9, 12, 15, 18, 24, 30, 36],
    "weeks": [2, 3, 4, 5, 6, 8, 10, 12],
    "hours": [2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72],
    "minutes": [5, 10, 15, 20, 30, 45, 60, 90],
    "percent": [5, 8, 10, 12, 15, 18, 20, 25, 30, 40, 50],
    "count": [2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 50],
    "age": [55, 60, 62, 65, 67, 70],
    "young": [14, 16, 17, 18, 21, 25],
    "few": [3, 4, 5, 6, 8],
    "years": [2, 3, 5, 6, 7, 10],
}
