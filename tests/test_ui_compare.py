"""Comparing paths: what each is told, what is shown and hidden, the votes, and what the marks mean."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import EXIT, FIBRE
from switchboard.database import Database
from switchboard.errors import SettingsError
from switchboard.evaluation.questions import Question
from switchboard.evaluation.support import says_something, sentences, supported
from switchboard.types import Answer, GenerationSettings, Message, Metrics
from switchboard.ui.compare import CompareEvents, CompareParts, known_questions
from switchboard.ui.comparison import Column, Comparison, Round, board, key, tally
from switchboard.votes import VOTES, VoteStore

HOSTILE = '<img src=x onerror="window.hacked=1">'
KNOWN = {
    key("What is Fibre 100?"): Question("a", "single fact", "What is Fibre 100?", required=(("£27",),), articles=("p",))
}


def done(mode: str, text: str, **more: Any) -> Column:
    metrics = Metrics(output_tokens=4, total_ms=800.0, time_to_first_token_ms=300.0, prompt_tokens=40)
    return Column(mode, Answer(mode, text, metrics=metrics, done=True, **more), "done")


def shown(*columns: Column, question: str = "Price?", **more: Any) -> str:
    return "".join(board(Comparison((Round(question, columns, **more),)), KNOWN))


def events(tmp_path: Path, answer: Any) -> CompareEvents:
    parts = CompareParts("board", "tally", "state", "question", "ask", "stop")
    return CompareEvents(parts, answer, VoteStore(Database(f"sqlite:///{tmp_path}/votes.sqlite")), KNOWN)


def echo(conversation: Sequence[Message], mode: str, _settings: GenerationSettings) -> Iterator[Answer]:
    yield Answer(mode, f"{mode} says")
    yield Answer(mode, f"{mode} says {len(conversation)}", done=True)


# ---- What a mode is told ----


def test_each_mode_goes_on_from_its_own_answers() -> None:
    first = Round("One?", (done("rag", "From rag."), done("base", "From base.")))
    failed = Round("Two?", (Column("rag", Answer("rag"), "failed", "No."), done("base", "Second.")))
    talk = Comparison((first, failed)).asked("Three?", ["rag", "base", "combined"], blind=False)
    last = talk.rounds[-1].id
    assert [m.content for m in talk.messages(last, "rag")] == ["One?", "From rag.", "Three?"]
    assert [m.content for m in talk.messages(last, "base")] == ["One?", "From base.", "Two?", "Second.", "Three?"]
    assert [m.content for m in talk.messages(last, "combined")] == ["Three?"]


def test_in_a_blind_round_nobody_knows_more_than_the_other() -> None:
    talk = Comparison((Round("One?", (done("rag", "A."),)),)).asked("Two?", ["rag", "base"], blind=True)
    assert [m.content for m in talk.messages(talk.rounds[-1].id, "rag")] == ["Two?"]


def test_rounds_of_an_earlier_time_are_told_only_what_came_before() -> None:
    talk = Comparison((Round("One?", (done("rag", "A."),)), Round("Two?", (done("rag", "B."),))))
    assert [m.content for m in talk.messages(talk.rounds[0].id, "rag")] == ["One?"]


# ---- The handlers ----


def test_every_column_is_answered_in_turn_and_the_last_frame_is_whole(tmp_path: Path) -> None:
    page = events(tmp_path, echo)
    begun = page.begin("Price?", ["base", "rag"], False, Comparison())
    assert begun["question"] == ""
    *_, last = page.generate(begun["state"])
    columns = last["state"].rounds[-1].columns
    assert [(c.mode, c.answer.text, c.state) for c in columns] == [
        ("base", "base says 1", "done"),
        ("rag", "rag says 1", "done"),
    ]
    assert (last["ask"]["visible"], last["stop"]["visible"]) == (True, False)


def test_a_mode_that_fails_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    def answer(conversation: Sequence[Message], mode: str, settings: GenerationSettings) -> Iterator[Answer]:
        if mode == "base":
            raise SettingsError("Out of coal. Bring some.")
        if mode == "rag":
            raise RuntimeError("secret detail")
        yield from echo(conversation, mode, settings)

    page = events(tmp_path, answer)
    begun = page.begin("Price?", ["base", "rag", "combined"], False, Comparison())
    *_, last = page.generate(begun["state"])
    html = "".join(last["board"])
    assert "Out of coal. Bring some." in html
    assert "secret" not in html
    assert "combined says 1" in html


@pytest.mark.parametrize(
    ("question", "modes", "blind"), [("  ", ["rag"], False), ("Price?", [], False), ("Price?", ["rag"], True)]
)
def test_what_cannot_be_asked_is_not(tmp_path: Path, question: str, modes: list[str], blind: bool) -> None:
    update = events(tmp_path, echo).begin(question, modes, blind, Comparison())
    assert update == {"state": Comparison()}


def test_stopping_keeps_what_was_said_and_closes_the_model(tmp_path: Path) -> None:
    closed = []

    def answer(_c: Sequence[Message], mode: str, _s: GenerationSettings) -> Iterator[Answer]:
        try:
            for n in range(100):
                time.sleep(0.02)
                yield Answer(mode, "word " * n)
        finally:
            closed.append(mode)

    page = events(tmp_path, answer)
    frames = page.generate(page.begin("Long?", ["base", "rag"], False, Comparison())["state"])
    state = [next(frames), next(frames)][-1]["state"]
    page.stop(state)
    last = list(frames)[-1]["state"].rounds[-1]
    assert [c.state for c in last.columns] == ["stopped", "stopped"]
    assert "word" in last.columns[0].answer.text
    for _ in range(50):
        if closed:
            break
        time.sleep(0.02)
    assert closed == ["base"]


def test_a_round_that_waits_in_line_stops_at_once(tmp_path: Path) -> None:
    page = events(tmp_path, echo)
    state = page.begin("Price?", ["base", "rag"], False, Comparison())["state"]
    stopped = page.stop(state)["state"]
    assert not stopped.rounds[-1].working
    assert list(page.generate(state)) == []


def test_starting_over_ends_the_round_without_another_word(tmp_path: Path) -> None:
    page = events(tmp_path, echo)
    frames = page.generate(page.begin("Price?", ["base", "rag"], False, Comparison())["state"])
    state = next(frames)["state"]
    clearing = threading.Thread(target=page.clear, args=[state])
    clearing.start()
    time.sleep(0.1)
    assert list(frames) == []
    clearing.join(1)
    assert not clearing.is_alive()


def test_a_blind_round_has_two_of_the_chosen_modes(tmp_path: Path) -> None:
    page = events(tmp_path, echo)
    seen = set()
    for _ in range(60):
        state = page.begin("Price?", ["base", "fine-tuned", "rag"], True, Comparison())["state"]
        seen.add(tuple(column.mode for column in state.rounds[-1].columns))
    assert len(seen) == 6  # every pair, in either order


def test_a_vote_counts_once_and_then_the_modes_are_named(tmp_path: Path) -> None:
    page = events(tmp_path, echo)
    *_, last = page.generate(page.begin("Price?", ["base", "rag"], True, Comparison())["state"])
    state = last["state"]
    hidden = "".join(last["board"])
    assert "Base model" not in hidden
    assert "RAG" not in hidden
    assert 'data-mode="' not in hidden
    event: Any = SimpleNamespace(round=state.rounds[-1].id, vote="left")
    voted = page.vote(state, event)
    winner = state.rounds[-1].columns[0].mode
    assert "Base model" in "".join(voted["board"])
    assert page.vote(voted["state"], event) == {"state": voted["state"]}
    record = VoteStore(Database(f"sqlite:///{tmp_path}/votes.sqlite")).tally()[winner]
    assert (record.votes, record.won, record.rate) == (1, 1, 1.0)
    assert "Preferred in blind votes" in voted["tally"]


def test_while_a_blind_round_is_answered_nothing_tells_whose_answer_comes() -> None:
    growing = replace(done("base", "Half an ans"), state="working")
    html = shown(growing, Column("rag", Answer("rag")), blind=True)
    assert "Half an ans" not in html
    assert html.count("Answering") == 2


def test_a_hidden_decline_has_nobodys_words() -> None:
    html = shown(done("rag", "The help centre does not cover this.", abstained=True), done("base", "Yes!"), blind=True)
    assert "help centre" not in html
    assert "cannot answer" in html


def test_only_two_whole_answers_can_be_voted_on(tmp_path: Path) -> None:
    page = events(tmp_path, echo)
    stopped = Round("Price?", (done("rag", "£27"), Column("base", Answer("base"), "stopped")), blind=True)
    failed = Round("Price?", (done("rag", "£27"), Column("base", Answer("base"), "failed", "No.")), blind=True)
    whole = Round("Price?", (done("rag", "£27"), done("base", "£99")), blind=True)
    for one in (stopped, failed):
        assert "ballot" not in "".join(board(Comparison((one,)), {}))
        event: Any = SimpleNamespace(round=one.id, vote="left")
        assert "board" not in page.vote(Comparison((one,)), event)
    assert "RAG" in "".join(board(Comparison((failed,)), {}))  # there is nothing left to hide
    event = SimpleNamespace(round=whole.id, vote="left")
    busy = Comparison((whole,)).asked("Next?", ["rag", "base"])
    assert "board" not in page.vote(busy, event)
    assert "board" in page.vote(Comparison((whole,)), event)


@pytest.mark.parametrize(("wanted", "vote"), [("x", "left"), (None, "best"), (None, "")])
def test_a_vote_on_nothing_is_none(tmp_path: Path, wanted: str | None, vote: str) -> None:
    page = events(tmp_path, echo)
    *_, last = page.generate(page.begin("Price?", ["base", "rag"], True, Comparison())["state"])
    event: Any = SimpleNamespace(round=wanted or last["state"].rounds[-1].id, vote=vote)
    assert "board" not in page.vote(last["state"], event)
    assert VoteStore(Database(f"sqlite:///{tmp_path}/votes.sqlite")).tally() == {}


def test_a_picked_question_is_one_of_the_set(tmp_path: Path) -> None:
    assert events(tmp_path, echo).pick() == "What is Fibre 100?"
    assert len(known_questions()) > 200
    assert known_questions(tmp_path / "none.jsonl") == {}


# ---- What is shown ----


def test_facts_are_ticked_and_wrong_figures_named_for_a_question_of_the_set() -> None:
    html = shown(done("rag", "It is £27 a month."), done("base", "It is £99."), question="what is fibre 100?")
    assert html.count('data-yes="true"') == 1
    assert html.count('data-yes="false"') == 2  # the fact that is missing, and the figure
    assert "wrong figure 99" in html
    assert "data-yes" not in shown(done("rag", "It is £27."))


def test_a_decline_holds_no_fact_whatever_it_mentions() -> None:
    html = shown(done("rag", "I can't find £27.", abstained=True), question="What is Fibre 100?")
    assert 'data-yes="false"' in html
    assert "Not covered" in html


def test_numbers_that_the_answers_do_not_share_are_marked() -> None:
    html = shown(
        done("rag", "It is £27 for 24 months [1].", passages=(FIBRE,), cited=(1,)), done("base", "£99 for 24 months.")
    )
    assert ">27</mark>" in html
    assert ">99</mark>" in html
    assert ">24</mark>" not in html
    assert ">1</mark>" not in html  # a citation is no figure
    assert "</mark>" not in shown(done("rag", "It is £27."), done("base", "No.", abstained=True))


def test_sentences_that_no_passage_holds_are_told_apart() -> None:
    html = shown(
        done("rag", "Fibre 100 costs £27 a month [1].", passages=(FIBRE, EXIT), cited=(1,)),
        done("fine-tuned", "Hello there! Fibre 100 costs £99 a month."),
    )
    assert html.count('class="unsupported"') == 1
    assert "0 of 1 sentence found" in html
    assert "1 of 1 sentence found" in html
    assert "unsupported" not in shown(done("base", "Fibre 100 costs £99 a month."))


def test_nothing_of_a_question_an_answer_or_a_passage_is_markup() -> None:
    passage = replace(FIBRE, text=HOSTILE, title=HOSTILE)
    html = shown(
        done("rag", HOSTILE, passages=(passage,)), Column("base", Answer("base"), "failed", HOSTILE), question=HOSTILE
    )
    assert "<img" not in html


def test_an_empty_page_says_what_it_is_for() -> None:
    assert "side by side" in board(Comparison(), {})[0]


# ---- Support ----


@pytest.mark.parametrize(
    ("sentence", "holds"),
    [
        ("Fibre 100 costs £27 a month.", True),
        ("Fibre 100 costs £27 a month [1].", True),
        ("Monthly, Fibre 100 cost £27.", True),  # other inflections
        ("Fibre 100 costs £72 a month.", False),  # another figure in the same words
        ("The early exit fee is £27 a month.", False),  # a figure of another passage
        ("Router rental ends after cancelling.", False),
    ],
)
def test_support_takes_words_and_figures(sentence: str, holds: bool) -> None:
    assert supported(sentence, [f"{p.label}\n{p.text}" for p in (FIBRE, EXIT)]) is holds


def test_sentences_are_told_apart_and_pleasantries_say_nothing() -> None:
    assert sentences("It is £2.50 a day. Not more!\nReally [1].") == ["It is £2.50 a day.", "Not more!", "Really [1]."]
    assert sentences("Do this:\n1. Open it.\n2. Wait 5 s.") == ["Do this:\n1. Open it.\n2. Wait 5 s."]
    assert not says_something("Happy to help!")
    assert says_something("It is £5.")


# ---- Votes ----


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["base", "rag"]), st.sampled_from(VOTES)), max_size=30))
def test_the_tally_adds_up(tmp_path_factory: pytest.TempPathFactory, votes: list[tuple[str, Any]]) -> None:
    store = VoteStore(Database(f"sqlite:///{tmp_path_factory.mktemp('votes')}/votes.sqlite"))
    for number, (left, vote) in enumerate(votes):
        right = "rag" if left == "base" else "base"
        store.add(str(number), "Price?", Answer(left), Answer(right), vote)
    records = store.tally()
    assert sum(record.votes for record in records.values()) == 2 * len(votes)
    assert sum(record.won for record in records.values()) == sum(vote in ("left", "right") for _, vote in votes)
    assert all(0 <= record.rate <= 1 for record in records.values())
    rates = [record.rate for record in records.values()]
    assert rates == sorted(rates, reverse=True)
    assert bool(tally(records)) == bool(votes)


def test_only_the_four_votes_are_taken(tmp_path: Path) -> None:
    store = VoteStore(Database(f"sqlite:///{tmp_path}/votes.sqlite"))
    with pytest.raises(ValueError, match="best"):
        store.add("a", "q", Answer("rag"), Answer("base"), "best")  # type: ignore[arg-type]
    store.add("a", "q", Answer("rag"), Answer("base"), "left")
    store.add("a", "q", Answer("rag"), Answer("base"), "right")
    assert store.tally()["rag"].won == 1


def test_an_answer_that_was_cut_off_is_kept_says_why_and_is_not_voted_on(tmp_path: Path) -> None:
    def cut(_conversation: Sequence[Message], mode: str, _settings: GenerationSettings) -> Iterator[Answer]:
        yield Answer(mode, "Half an", notice="The answer breaks off here.", cut_off=True, done=True)

    page = events(tmp_path, cut)
    *_, last = page.generate(page.begin("Price?", ["base", "rag"], True, Comparison())["state"])
    (one,) = last["state"].rounds
    assert [column.state for column in one.columns] == ["stopped", "stopped"]
    assert not one.votable
    html = "".join(last["board"])
    assert "Half an" in html
    assert "The answer breaks off here." in html
