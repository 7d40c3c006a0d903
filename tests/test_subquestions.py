"""Messages that ask several things, taken apart."""

from __future__ import annotations

import pytest

from switchboard.subquestions import MOST, asks_of_each, sub_questions

ONE_THING = [
    "How much is Fibre 500 and the router?",
    "What is the fee and why?",
    "My line is dead and I work from home. What can I do?",
    "how long do refunds take",
    "Is there a fee, or is it free?",
    "We moved when the lease ended and the router is still there. Who do I tell?",
    "When I log in I get an error. How do I mend that?",
    "",
]
TWO_THINGS = [
    ("What does it cost to move, and how long does it take?", ["What does it cost to move", "how long does it take?"]),
    ("how much is tv start and when can i cancel it", ["how much is tv start", "when can i cancel it"]),
    ("Can I pay by card? And do you charge for that?", ["Can I pay by card?", "And do you charge for that?"]),
    (
        "How soon do you reply, and after how many weeks may I go to the ombudsman?",
        ["How soon do you reply", "after how many weeks may I go to the ombudsman?"],
    ),
    (
        "What is the deposit, and if I lose the hub what do I pay?",
        ["What is the deposit", "if I lose the hub what do I pay?"],
    ),
]


@pytest.mark.parametrize("message", ONE_THING)
def test_one_question_is_left_whole(message: str) -> None:
    assert sub_questions(message) == []


@pytest.mark.parametrize(("message", "parts"), TWO_THINGS)
def test_two_questions_are_taken_apart(message: str, parts: list[str]) -> None:
    found = sub_questions(message)
    assert [part.question for part in found] == parts


def test_what_is_told_goes_with_every_question_and_a_leaning_one_has_the_one_before() -> None:
    found = sub_questions("I have two SIMs. How do I move one to a new phone? Does it cost anything?")
    assert [part.context for part in found] == [
        "I have two SIMs.",
        "I have two SIMs. How do I move one to a new phone?",
    ]


def test_what_is_asked_after_the_third_stays_with_it() -> None:
    found = sub_questions("What is red paint? What is blue paint? What is pink paint? What is grey paint?")
    assert len(found) == MOST
    assert found[-1].question == "What is pink paint? What is grey paint?"


def test_a_question_without_a_subject_stays_with_the_one_before() -> None:
    found = sub_questions("How do I move house? When can I do this? And can I pay by card?")
    assert [part.question for part in found] == ["How do I move house? When can I do this?", "And can I pay by card?"]


def test_questions_that_lean_on_each_other_keep_their_subject() -> None:
    found = sub_questions("How do I move house? Does it cost anything? And can I do it online?")
    assert found[2].context == "How do I move house? Does it cost anything?"


def test_one_question_about_two_things_asks_for_each() -> None:
    assert asks_of_each("How many months is the contract for each?")
    assert not asks_of_each("How do I reach the team?")
    assert not asks_of_each("How much do I save each month by paying by direct debit?")
    assert not asks_of_each("Both my children have left home, can I get a smaller plan?")
