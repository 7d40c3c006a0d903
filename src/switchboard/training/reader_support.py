"""The reader's support-style data: help centres of invented companies, and questions on them.

Companies, products and every figure are drawn at random, so what can be learned is to find the right figure in the
right passage, not to remember one. The same fact is stated of several products with different figures, and is left
out for others, which makes near misses and questions that sound answerable and are not. The sentences are in
`adapters/reader/templates.yaml`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from switchboard.prompts import READER_DECLINE
from switchboard.training.support_values import Fact, Template, drawer

_FOLLOW_UPS = ("And {b}?", "What about {b}?", "and with {b}?", "Is it the same for {b}?", "How about {b}?")

Row = dict[str, Any]
Section = tuple[str, str, list[Fact]]
"""A passage to be: its title, its heading and its facts."""


@dataclass
class World:
    """A company, what it sells and states, and its passages, which hold the facts."""

    company: str
    products: list[str]
    facts: list[Fact] = field(default_factory=list)
    passages: list[dict[str, str]] = field(default_factory=list)


def support_rows(templates: Path, seed: int, worlds: int, questions: int = 10) -> Iterator[Row]:
    """Rows over `worlds` sets of passages with about `questions` on each, from a third to a quarter unanswerable."""
    given = yaml.safe_load(templates.read_text(encoding="utf-8"))
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    for number in range(worlds):
        yield from _questions(_world(given, rng), given, rng, questions, follow_up=number % 6 == 0)


def _world(given: dict[str, Any], rng: random.Random) -> World:
    domain = given["domains"][rng.choice(list(given["domains"]))]
    company = f"{rng.choice(given['companies']['first'])} {rng.choice(domain['suffix'])}"
    world = World(company, [f"the {name}" for name in rng.sample(domain["products"], rng.randint(2, 4))])
    draw = drawer(given, world.company, world.products, rng)
    chosen = rng.sample(given["facts"], rng.randint(3, 6))
    by_topic = rng.randint(0, min(2, len(chosen)))
    groups: list[Section] = []
    for template in chosen[:by_topic]:
        facts = [draw(template, p) for p in _some(world.products, rng)]
        groups.append((rng.choice(template["heading"]), "", facts))
    if chosen[by_topic:]:
        stated = {t["says"][0]: _some(world.products, rng) for t in chosen[by_topic:]}
        for product in world.products:
            facts = [draw(t, product) for t in chosen[by_topic:] if product in stated[t["says"][0]]]
            if facts:
                groups.append((product.removeprefix("the "), rng.choice(facts[0].template["heading"]), facts))
    for template in rng.sample(given["general"], rng.randint(1, 2)):
        groups.append((rng.choice(template["heading"]), "", [draw(template, "")]))
    rng.shuffle(groups)
    for section in groups[:5]:
        _write_passage(world, given["filler"], section, rng)
    return world


def _some(products: Sequence[str], rng: random.Random) -> list[str]:
    """All products, or as often all but one or two of them, in their order."""
    kept = rng.sample(list(products), rng.randint(max(1, len(products) - 2), len(products)))
    return [product for product in products if product in kept]


def _write_passage(world: World, fillers: list[str], section: Section, rng: random.Random) -> None:
    """State the section's facts as prose or as bullets, with a sentence or two beside the point."""
    title, heading, facts = section
    lines = [fact.say(rng.choice(fact.template["says"])) for fact in facts]
    rng.shuffle(lines)
    extra = [facts[0].say(text.replace("{co}", world.company)) for text in rng.sample(fillers, rng.randint(0, 2))]
    steps = [line for line in lines if "\n" in line]
    plain = [line for line in lines if "\n" not in line]
    bullets = len(plain) > 1 and rng.random() < 0.4
    body = "\n".join(f"- {line}" for line in plain) if bullets else " ".join(plain)
    parts = [part for part in (body, *steps, " ".join(extra)) if part]
    for fact in facts:
        fact.passage = len(world.passages)
    world.facts.extend(facts)
    named = f"{title} at {world.company}" if not heading and rng.random() < 0.4 else title
    world.passages.append({"title": named[:1].upper() + named[1:], "heading": heading, "text": "\n\n".join(parts)})


def _questions(world: World, given: dict[str, Any], rng: random.Random, most: int, follow_up: bool) -> Iterator[Row]:
    answered = [_ask(fact, qa, rng) for fact in world.facts for qa in fact.template["qa"]]
    rng.shuffle(answered)
    pairs = answered[: round(most * 0.55)]
    pairs += _two_at_once(world, rng)[: max(1, most // 8)] + _comparisons(world, rng)[:1] + _checks(world, rng)[:1]
    declined = [(question, READER_DECLINE) for question in _unanswerable(world, given, rng)]
    pairs += declined[: max(1, round(len(pairs) * 0.4))]
    for question, answer in pairs:
        yield _row([_careless(question, rng), answer], world)
    if follow_up:
        yield from _follow_up(world, rng)


def _ask(fact: Fact, qa: Template, rng: random.Random) -> tuple[str, str]:
    answer = fact.say(rng.choice(qa["a"])).rstrip(".")
    return fact.say(rng.choice(qa["q"])), f"{answer} [{fact.passage + 1}]."


def _two_at_once(world: World, rng: random.Random) -> list[tuple[str, str]]:
    """Two questions in one, answered in two sentences that cite each their own passage."""
    found = []
    joints = ["And", "Also,", "And another thing:"]
    for product in world.products:
        facts = [fact for fact in world.facts if fact.product == product]
        if len(facts) > 1:
            one, two = (_ask(fact, rng.choice(fact.template["qa"]), rng) for fact in rng.sample(facts, 2))
            found.append((f"{one[0]} {rng.choice(joints)} {_lower(two[0])}", f"{one[1]} {two[1]}"))
    rng.shuffle(found)
    return found


def _comparisons(world: World, rng: random.Random) -> list[tuple[str, str]]:
    priced = sorted(
        (f for f in world.facts if f.template.get("kind") == "price"), key=lambda f: _amount(f.values["money"])
    )
    if len(priced) < 2:
        return []
    low, high = priced[0], priced[-1]
    one, two = rng.sample([low.product, high.product], 2)
    question = rng.choice(
        ["Which is cheaper, {} or {}?", "Is {} or {} the better price?", "do i pay less for {} or {}"]
    )
    answer = (
        f"{low.values['A']} is cheaper: it costs {low.values['money']} a month [{low.passage + 1}], and {high.product} "
        f"costs {high.values['money']} a month [{high.passage + 1}]."
    )
    return [(question.format(one, two), answer)]


def _checks(world: World, rng: random.Random) -> list[tuple[str, str]]:
    """A customer who has heard a price, rightly or not."""
    priced = [fact for fact in world.facts if fact.template.get("kind") == "price"]
    if not priced:
        return []
    fact, heard = rng.choice(priced), rng.choice(priced).values["money"]
    question = rng.choice(["Is {a} {heard} a month?", "I was told {a} costs {heard} a month, is that right?"])
    verdict = "Yes" if heard == fact.values["money"] else "No"
    answer = f"{verdict}, {fact.product} costs {fact.values['money']} a month [{fact.passage + 1}]."
    return [(question.replace("{heard}", heard).replace("{a}", fact.product), answer)]


def _unanswerable(world: World, given: dict[str, Any], rng: random.Random) -> list[str]:
    """Questions on what is stated of other products alone, then on what is stated of none."""
    draw = drawer(given, world.company, world.products, rng)
    stated = {(fact.template["says"][0], fact.product) for fact in world.facts}
    used = {says for says, _ in stated}
    near: list[str] = []
    far: list[str] = []
    for template in given["facts"] + given["general"]:
        general = template in given["general"]
        for product in [""] if general else world.products:
            if (template["says"][0], product) in stated:
                continue
            fact = draw(template, product)
            (near if template["says"][0] in used else far).append(fact.say(rng.choice(rng.choice(template["qa"])["q"])))
    rng.shuffle(near)
    rng.shuffle(far)
    return [question for pair in zip(near, far, strict=False) for question in pair] + far[len(near) :]


def _follow_up(world: World, rng: random.Random) -> Iterator[Row]:
    """The same question about another product, asked in a few words after an answer."""
    for one in rng.sample(world.facts, len(world.facts)):
        others = [f for f in world.facts if f.template is one.template and f.product != one.product]
        if others:
            two, qa = rng.choice(others), rng.choice(one.template["qa"])
            again = rng.choice(_FOLLOW_UPS).replace("{b}", two.product)
            yield _row([*_ask(one, qa, rng), again, _ask(two, qa, rng)[1]], world)
            return


def _row(turns: Sequence[str], world: World) -> Row:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return {"messages": messages, "passages": world.passages}


def _careless(question: str, rng: random.Random) -> str:
    """Now and then a question in lower case or without its question mark."""
    chance = rng.random()
    if chance < 0.12:
        question = question.lower()
    return question.rstrip("?") if 0.08 < chance < 0.2 else question


def _lower(text: str) -> str:
    return text if text.startswith(("I ", "I'")) else text[:1].lower() + text[1:]


def _amount(money: str) -> float:
    return float(money[1:])
