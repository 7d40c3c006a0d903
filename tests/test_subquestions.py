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


def test_more_than_three_are_not_followed() -> None:
    assert len(sub_questions("What is red paint? What is blue paint? What is pink paint? What is grey paint?")) == MOST


def test_one_question_about_two_things_asks_for_each() -> None:
    assert asks_of_each("How many months is the contract for each?")
    assert not asks_of_each("How do I reach the team?")
