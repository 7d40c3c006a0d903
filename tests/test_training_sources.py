"""What the programs that make training data promise: the same seed, the same rows; and no word of Fernwave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from switchboard.citations import check_citations
from switchboard.errors import TrainingDataError
from switchboard.progress import quietly
from switchboard.prompts import READER_DECLINE, declined
from switchboard.settings import ROOT, Settings
from switchboard.training.data import parse_record
from switchboard.training.over_passages import cited, rows_over_passages
from switchboard.training.reader_public import (
    HELD_OUT,
    XQUAD,
    Question,
    answer_sentence,
    held_out_cases,
    public_rows,
)
from switchboard.training.reader_support import support_rows
from switchboard.training.recipe import Recipe
from switchboard.training.sources import gather

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
    rows = list(public_rows(xquad, 1, xquad=8, clapnq=3))
    assert rows == list(public_rows(xquad, 1, xquad=8, clapnq=3))
    titles = {p["title"] for row in rows for p in row["passages"]}
    assert titles == {f"Town {a}" for a in range(4)}
    for row in rows:
        question, answer = (message["content"] for message in row["messages"])
        name = question.split("?")[0].split()[-1 if "houses" in question else -2]
        holding = [n for n, p in enumerate(row["passages"], 1) if f"Town {name} " in p["text"]]
        assert check_citations(answer, 5)[1] == tuple(holding)
        assert bool(holding) != declined(answer)


def test_public_rows_are_left_out_where_the_data_is_absent(tmp_path: Path) -> None:
    assert list(public_rows(tmp_path, 1, xquad=8, clapnq=3)) == []


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


def test_a_citation_goes_before_the_end_of_the_first_sentence() -> None:
    assert cited("It costs £7.50. Call us.", 2) == "It costs £7.50 [2]. Call us."
    assert cited("No end here", 2) == "No end here"


def test_own_dialogues_are_asked_again_over_passages(tmp_path: Path) -> None:
    knowledge = tmp_path / "knowledge" / "plans"
    knowledge.mkdir(parents=True)
    data = tmp_path / "own.jsonl"
    rows = []
    for n in range(4):
        page = f"---\ntitle: Plan {n}\n---\nPlan {n} costs £{n}1.\n\n## Speed\n\nPlan {n} does {n}77 Mbps.\n"
        (knowledge / f"plan-{n}.md").write_text(page, encoding="utf-8")
        for question, answer in ((f"Price of {n}?", f"It costs £{n}1."), (f"Speed of {n}?", f"It does {n}77 Mbps.")):
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            rows.append({"article": f"plans/plan-{n}", "messages": turns})
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    made = list(rows_over_passages([data], tmp_path / "knowledge", seed=1, articles=2))
    assert made == list(rows_over_passages([data], tmp_path / "knowledge", seed=1, articles=2))
    assert [declined(row["messages"][1]["content"]) for row in made] == [False, False, True] * 2
    for row in made:
        if not declined(row["messages"][1]["content"]):
            text, (number,), _ = check_citations(row["messages"][1]["content"], 5)
            figure = text.split()[2].removesuffix(f"[{number}].")
            assert figure in row["passages"][number - 1]["text"]


def test_an_unknown_generator_is_named(tmp_path: Path) -> None:
    recipe = Recipe(data=({"generated": "magic"},))
    with pytest.raises(TrainingDataError, match="no generator 'magic'; there are reader-public"):
        gather(tmp_path, recipe, Settings(), quietly)


def test_a_pattern_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="matches no file"):
        gather(tmp_path, Recipe(data=("data/*.jsonl",)), Settings(), quietly)
