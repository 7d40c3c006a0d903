"""What the programs that make training data promise: the same seed, the same rows; and no word of Fernwave."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from retrieval_fakes import FakeEmbedder
from switchboard.citations import check_citations
from switchboard.errors import TrainingDataError
from switchboard.progress import quietly
from switchboard.prompts import READER_DECLINE, SERVICE_DECLINE, declined
from switchboard.retrieval.chunking import chunk
from switchboard.retrieval.documents import load_folder
from switchboard.settings import ROOT, Settings
from switchboard.training.data import parse_record
from switchboard.training.facts import read_facts, rows_from_facts
from switchboard.training.known_questions import SMALL_TALK, small_talk
from switchboard.training.over_passages import rows_over_passages
from switchboard.training.reader_public import (
    HELD_OUT,
    XQUAD,
    Question,
    answer_sentence,
    held_out_cases,
    public_rows,
)
from switchboard.training.reader_support import support_rows
from switchboard.training.reader_worlds import world_rows
from switchboard.training.reading import cited
from switchboard.training.recipe import Recipe
from switchboard.training.service_intents import FILE as INTENTS
from switchboard.training.service_intents import intent_rows
from switchboard.training.sources import gather
from switchboard.types import SearchResult

EMBED = FakeEmbedder().embed_queries

TEMPLATES = ROOT / "adapters" / "reader" / "templates.yaml"


def test_support_rows_are_the_same_for_the_same_seed() -> None:
    assert list(support_rows(TEMPLATES, 1, worlds=12)) == list(support_rows(TEMPLATES, 1, worlds=12))
    assert list(support_rows(TEMPLATES, 1, worlds=12)) != list(support_rows(TEMPLATES, 2, worlds=12))


def test_support_rows_never_name_fernwave_and_leave_no_slot_open() -> None:
    text = json.dumps(list(support_rows(TEMPLATES, 3, worlds=60)))
    assert "fernwave" not in text.lower()
    assert "fernwave" not in TEMPLATES.read_text(encoding="utf-8").lower()
    assert "{" not in text.replace('{"', "").replace(": {", "")


def test_support_answers_are_in_the_passages_they_cite() -> None:
    rows = list(support_rows(TEMPLATES, 4, worlds=60))
    refused = 0
    for row in rows:
        answer = parse_record(row, "x").messages[-1].content
        refused += answer == READER_DECLINE
        if answer != READER_DECLINE:
            _, numbers, removed = check_citations(answer, len(row["passages"]))
            shown = " ".join(row["passages"][n - 1]["text"] for n in numbers)
            assert numbers
            assert not removed
            assert all(figure in shown for figure in _figures(check_citations(answer, 0)[0]))
    assert 0.22 < refused / len(rows) < 0.36


def _figures(text: str) -> list[str]:
    return [word.strip(".,:'") for word in text.split() if any(letter.isdigit() for letter in word)]


@pytest.fixture
def xquad(tmp_path: Path) -> Path:
    """As many articles as are held out and four more, of five paragraphs that answer two questions each."""
    paragraphs = [
        [
            {
                "context": f"Town {a}-{p} has {a}{p}0 houses. It was founded in 1{a:02}{p}. Nobody knows why.",
                "qas": [
                    {"question": f"How many houses has {a}-{p}?", "answers": [_span(f"Town {a}-{p} has ", f"{a}{p}0")]},
                    {
                        "question": f"When was {a}-{p} founded?",
                        "answers": [_span(f"Town {a}-{p} has {a}{p}0 houses. It was founded in ", f"1{a:02}{p}")],
                    },
                ],
            }
            for p in range(5)
        ]
        for a in range(HELD_OUT + 4)
    ]
    data = {"data": [{"title": f"Town_{a}", "paragraphs": ps} for a, ps in enumerate(paragraphs)]}
    path = tmp_path / XQUAD
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return tmp_path


def _span(before: str, gold: str) -> dict[str, object]:
    return {"text": gold, "answer_start": len(before)}


def test_public_rows_cite_the_passage_with_the_answer_and_keep_articles_out(xquad: Path) -> None:
    rows = list(public_rows(xquad, EMBED, 1, xquad=8, clapnq=3))
    assert rows == list(public_rows(xquad, EMBED, 1, xquad=8, clapnq=3))
    titles = {p["title"] for row in rows for p in row["passages"]}
    assert titles == {f"Town {a}" for a in range(4)}
    for row in rows:
        question, answer = (message["content"] for message in row["messages"])
        name = question.split("?")[0].split()[-1 if "houses" in question else -2]
        assert all(
            len(p["text"]) <= len("Town 10-4 has 1040 houses. It was founded in 1104. Nobody knows why.")
            for p in row["passages"]
        )
        cites = check_citations(answer, 5)[1]
        assert bool(cites) != declined(answer)
        figure = f"{name.replace('-', '')}0" if "houses" in question else f"1{int(name[:-2]):02}{name[-1]}"
        holding = [n for n, p in enumerate(row["passages"], 1) if f" {figure}" in p["text"]]
        assert cites == (() if declined(answer) else tuple(holding))
    assert any(declined(row["messages"][-1]["content"]) for row in rows)


def test_public_rows_are_left_out_where_the_data_is_absent(tmp_path: Path) -> None:
    assert list(public_rows(tmp_path, EMBED, 1, xquad=8, clapnq=3)) == []


def test_held_out_cases_have_the_answer_or_have_none(xquad: Path) -> None:
    cases = held_out_cases(xquad, 1, answerable=10, unanswerable=5)
    assert [bool(case.gold) for case in cases] == [True] * 10 + [False] * 5
    for case in cases:
        name = case.question.removesuffix(" founded?").removesuffix("?").split()[-1]
        assert any(f"Town {name} " in p.text for p in case.passages) == bool(case.gold)
        assert len(case.passages) == 5


def test_a_long_sentence_is_cut_to_the_clause_that_answers() -> None:
    text = "It is old. " + "The town has a church that was built by the monks of the abbey nearby" * 2
    text += "; the river that runs through the town is called the Wye."
    question = Question("What is the river that runs through the town called?", "Wye", text.index("Wye"))
    assert answer_sentence(text, question) == "The river that runs through the town is called the Wye"


def test_a_citation_goes_before_the_last_full_stop() -> None:
    assert cited("It costs £7.50. Call us.", 2) == "It costs £7.50. Call us [2]."
    assert cited("No end here", 2) == "No end here [2]."


FACTS = """
article: plans/plan-{n}
as_of: {date}
facts:
  - asks: ["Price of {n}?", "what is {n}", "cost of plan {n}"]
    says: ["Plan {n} costs £{n}1.", "You pay £{n}1 for plan {n}."]
  - asks: ["Speed of {n}?", "how fast is {n}"]
    says: ["Plan {n} does {n}77 Mbps."]
follow_ups:
  - ["Price of {n}?", "It costs £{n}1.", "and its speed?", "It does {n}77 Mbps."]
unknown: ["Colour of {n}?"]
"""


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """Four articles with two facts each, the last of them read before its article changed."""
    (tmp_path / "knowledge" / "plans").mkdir(parents=True)
    (tmp_path / "facts" / "plans").mkdir(parents=True)
    for n in range(4):
        front = f"---\ntitle: Plan {n}\nupdated: 2026-05-01\n---\n"
        page = f"{front}Plan {n} costs £{n}1.\n\n## Speed\n\nPlan {n} does {n}77 Mbps.\n"
        (tmp_path / "knowledge" / "plans" / f"plan-{n}.md").write_text(page, encoding="utf-8")
        text = FACTS.replace("{n}", str(n)).replace("{date}", "2026-01-01" if n == 3 else "2026-05-01")
        (tmp_path / "facts" / "plans" / f"plan-{n}.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "facts"


def contents(row: dict[str, object]) -> list[str]:
    messages = row["messages"]
    assert isinstance(messages, list)
    return [message["content"] for message in messages]


def test_every_fact_is_asked_in_as_many_wordings_as_wanted(facts: Path) -> None:
    made = list(rows_from_facts(facts, seed=1, wordings=2, pairs=5))
    assert made == list(rows_from_facts(facts, seed=1, wordings=2, pairs=5))
    single = [contents(row) for row in made if len(contents(row)) == 2]
    for n in range(4):
        assert sum(answer in (f"Plan {n} costs £{n}1.", f"You pay £{n}1 for plan {n}.") for _, answer in single) >= 2
    assert sum(answer == SERVICE_DECLINE for _, answer in single) == 4
    assert sum(len(contents(row)) == 4 for row in made) == 4 + 5
    assert {row["as_of"] for row in made} == {"2026-05-01", "2026-01-01"}


def test_a_fact_can_have_one_reply_and_the_unknown_be_left_out(facts: Path) -> None:
    made = [contents(row) for row in rows_from_facts(facts, seed=1, wordings=2, replies=1, unknown=0.0)]
    assert not any("You pay" in answer for _, answer, *_ in made)
    assert not any(answer == SERVICE_DECLINE for _, answer, *_ in made)


def test_small_talk_is_known_where_its_reply_is_company_and_nothing_else(tmp_path: Path) -> None:
    said = {"Hello": "Hello!", "A recipe?": SERVICE_DECLINE, "A person, please.": "Call 0800 555 0142."}
    lines = [
        json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]})
        for q, a in said.items()
    ]
    for name in SMALL_TALK:
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    row = {"question": "Hello", "source": None, "answer": "Hello!", "talk": True}
    assert list(small_talk(tmp_path)) == [row, row]


def test_facts_are_asked_over_the_passages_that_hold_them(facts: Path) -> None:
    knowledge = facts.parent / "knowledge"
    passages = [p for d in load_folder(knowledge, quietly) for p in chunk(d, lambda text: len(text.split()))]

    def search(query: str) -> SearchResult:
        number = next(letter for letter in query if letter.isdigit())
        own = [p for p in passages if f"plan-{number}" in p.source]
        found = (own + [p for p in passages if p not in own])[:3] if "Colour" not in query else passages[-3:]
        return SearchResult(query, tuple(found), found[0], 0.0, 1.0)

    made = list(rows_over_passages(facts, knowledge, search, seed=1, sets=2))
    assert made == list(rows_over_passages(facts, knowledge, search, seed=1, sets=2))
    assert not any("plan 3" in contents(row)[0] for row in made)  # it has changed since
    for row in made:
        answer = contents(row)[1]
        if not declined(answer):
            text, (number,), _ = check_citations(answer, 5)
            figure = next(word for word in text.split() if word.strip(".")[-1:].isdigit() and len(word) > 2)
            assert figure.strip("£.") in row["passages"][number - 1]["text"]
    assert any(declined(contents(row)[1]) for row in made)


def test_intents_take_customers_words_without_what_was_filled_in(tmp_path: Path) -> None:
    intents = tmp_path / "intents.yaml"
    intents.write_text("answers: {complaint: [Sorry., We are sorry.]}\ndeclined: [place_order]\n", encoding="utf-8")
    assert list(intent_rows(tmp_path, intents, seed=1, each=5)) == []
    path = tmp_path / INTENTS
    path.parent.mkdir()
    asked = [("i complain", "complaint"), ("complain about {{Order}}", "complaint"), ("order 5 now", "place_order")]
    asked += [("to order", "place_order"), ("for Mr. Jones", "complaint"), ("my parcel", "track_order")]
    lines = ["instruction,intent,response", *(f"{text},{intent},x" for text, intent in asked)]
    path.write_text("\n".join(lines), encoding="utf-8")
    made = [contents(row) for row in intent_rows(tmp_path, intents, seed=1, each=5)]
    assert made == [["i complain", "Sorry."], ["to order", SERVICE_DECLINE]]


def test_facts_of_another_form_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"holds no \.yaml file"):
        read_facts(tmp_path)
    (tmp_path / "a.yaml").write_text("article: x\n", encoding="utf-8")
    with pytest.raises(TrainingDataError, match=r"a\.yaml has not the form.*as_of"):
        read_facts(tmp_path)


WORLD = """
company: ["Acme", "Bolt"]
values: {one: "money 5 40", two: "money 5 40", days: "number 3 90", saving: "percent 5 60",
         card: ["card", "fob", "key"], when: date, at: clock, ring: phone}
passages:
  - {key: a, title: "A at {co}", heading: "", text: "A costs {one} by {card}.",
     questions: [{asks: ["A?", "a price"], says: "A costs {one}."}]}
  - {key: b, title: B, heading: Price, text: "B costs {two}.",
     questions: [{asks: ["B?"], says: "B costs {two}."}]}
  - {key: c, title: C, heading: "", text: "C ends in {days} days, {saving} off.",
     questions: [{asks: ["C?"], says: "C ends in {days} days."}]}
  - {key: d, title: D, heading: "", text: "D opens on {when} at {at}, call {ring}.",
     questions: [{asks: ["D?"], says: "D opens on {when}."}]}
two:
  - {asks: ["A and B?"], says: ["A costs {one}.", "B costs {two}."], from: [a, b]}
unknown: ["E?", "F?"]
"""


def test_worlds_make_questions_whose_answers_stand_in_the_passages(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(WORLD, encoding="utf-8")
    made = list(world_rows(tmp_path, EMBED, seed=3, rounds=6, share=1.0))
    assert made == list(world_rows(tmp_path, EMBED, seed=3, rounds=6, share=1.0))
    for row in made:
        answer = contents(row)[-1]
        _, numbers, removed = check_citations(answer, len(row["passages"]))
        assert not removed
        assert bool(numbers) != declined(answer)
        for part, number in re.findall(r"(?:^|\]\. )(.*?) \[(\d)\]", answer):
            figure = re.search(r"£?\d[\d.,]*", part)
            assert figure is not None
            assert figure[0] in row["passages"][int(number) - 1]["text"]
        assert "{" not in json.dumps([row["passages"], contents(row)]).replace('{"', "")
    asked = {contents(row)[-2] for row in made}
    assert {"A and B?", "E?"} <= asked


def test_the_shipped_worlds_make_rows_that_know_nothing_of_fernwave() -> None:
    made = list(world_rows(ROOT / "adapters" / "reader" / "worlds", EMBED, seed=1, rounds=1, share=0.5))
    assert len(made) > 800
    assert any(len(contents(row)) == 4 for row in made)
    assert 0.12 < sum(declined(contents(row)[-1]) for row in made) / len(made) < 0.35
    for row in made:
        assert "fernwave" not in json.dumps(row).lower()
        assert "{" not in contents(row)[-1]
        _, numbers, removed = check_citations(contents(row)[-1], len(row["passages"]))
        assert not removed
        assert bool(numbers) != declined(contents(row)[-1])


def test_a_world_with_an_unknown_kind_of_value_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(WORLD.replace("percent 5 60", "colour"), encoding="utf-8")
    with pytest.raises(TrainingDataError, match=r"shop\.yaml.*no kind of value 'colour'"):
        list(world_rows(tmp_path, EMBED, seed=3, rounds=1, share=1.0))


def test_an_unknown_generator_is_named(tmp_path: Path) -> None:
    recipe = Recipe(data=({"generated": "magic"},))
    with pytest.raises(TrainingDataError, match="no generator 'magic'; there are reader-public"):
        gather(tmp_path, recipe, Settings(), quietly)


def test_a_pattern_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="matches no file"):
        gather(tmp_path, Recipe(data=("data/*.jsonl",)), Settings(), quietly)
