"""Follow-up questions find what they are about; new topics are not dragged back to the old one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from switchboard.followups import MAX_QUESTIONS, is_follow_up, search_query
from switchboard.progress import quietly
from switchboard.retrieval.embedding import open_embedder
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.settings import Settings
from switchboard.types import Message

FOLLOW_UPS = [
    ("What does Fibre 500 cost a month?", "And without the contract?", "plans/rolling-fibre-plans"),
    ("What does Fibre 500 cost a month?", "What about the 900 one?", "plans/fibre-plans-and-prices"),
    ("How much is Wave TV Plus?", "How many boxes can I have?", "plans/tv-add-on"),
    ("Is there a cheaper price for people on benefits?", "How fast is it?", "plans/social-tariff"),
    ("Is there a student plan?", "What proof do you need?", "plans/student-plan"),
    ("How do I cancel my fibre?", "What is the fee?", "contracts/cancel-fibre-contract"),
    ("How do I cancel my fibre?", "And my mobile plan?", "contracts/cancel-mobile-contract"),
    ("How do I cancel Wave TV?", "Do I have to send the box back?", "contracts/cancel-tv"),
    ("I am moving house in two months", "What if it's only next week?", "moving/moving-at-short-notice"),
    ("I am moving house in two months", "Does it cost anything?", "moving/moving-home"),
    (
        "My broadband has been down for four days, do I get money back?",
        "how much a day?",
        "outages/outage-credit-broadband",
    ),
    (
        "My broadband has been down for four days, do I get money back?",
        "same for mobile?",
        "outages/outage-credit-mobile",
    ),
    ("Your engineer never turned up", "Do I get compensation?", "outages/missed-engineer-appointment"),
    ("Can I use my phone in Spain?", "What about in Japan?", "mobile/roaming-rest-of-world"),
    ("Can I use my phone in Spain?", "how much data do I get there", "mobile/roaming-europe"),
    ("How do I set up an eSIM?", "How long is the code valid?", "sim-esim/esim-set-up"),
    ("I lost my phone", "How quickly will I get a new SIM?", "sim-esim/lost-or-stolen-phone"),
    ("How do I change the Wi-Fi password?", "where do I find the admin one", "router-wifi/change-wifi-password"),
    ("Can I use my own router?", "Will the landline still work?", "router-wifi/own-router"),
    ("What happens if I pay my bill late?", "And after three weeks?", "billing/late-payment-fee"),
    ("Can I spread what I owe over a few months?", "what if i miss one", "payments/payment-plan"),
    ("How do I make a complaint?", "And if I'm still not happy after that?", "complaints/escalate-to-ombudsman"),
    ("How much is the Business 1000 line?", "Is VAT included?", "business/business-fibre-plans"),
    ("How do I reset my password?", "the link doesn't work", "security/reset-password"),
]
"""A question, one that leans on it, and the article that answers the second."""

SWITCHES = [
    ("What does Fibre 500 cost a month?", "How do I set up an eSIM?", "sim-esim/esim-set-up"),
    ("How do I cancel my fibre?", "My router shows a red light", "router-wifi/set-up-router"),
    ("Can I use my phone in Spain?", "What is the late payment fee?", "billing/late-payment-fee"),
    ("How do I reset my password?", "Can I change my payment date?", "payments/change-payment-date"),
    ("I lost my phone", "How much is Wave TV Plus?", "plans/tv-add-on"),
    ("How do I make a complaint?", "Is there a student plan?", "plans/student-plan"),
    ("What happens if I pay my bill late?", "I want to move house next month", "moving/moving-home"),
    (
        "How much is the Business 1000 line?",
        "What speed is guaranteed on Fibre 900?",
        "router-wifi/minimum-speed-guarantee",
    ),
    ("Can I use my own router?", "How do I get my PAC code?", "mobile/keep-your-number-pac"),
    (
        "Is there a cheaper price for people on benefits?",
        "Do you offer bills in Braille?",
        "accessibility/accessible-formats",
    ),
    ("Your engineer never turned up", "Can I pay with cash at a post office?", "payments/ways-to-pay"),
    ("How do I change the Wi-Fi password?", "Is there a fee when a direct debit fails?", "billing/failed-direct-debit"),
    ("How do I set up an eSIM?", "How do I get a static IP address?", "business/static-ip"),
    (
        "Can I spread what I owe over a few months?",
        "Thanks! And how do I book an installation?",
        "installation/book-installation",
    ),
]
"""A question, one on something else, and the article that answers the second."""


def conversation(*questions: str) -> list[Message]:
    turns = [[Message("user", question), Message("assistant", "An answer about penguins.")] for question in questions]
    return [message for turn in turns for message in turn][:-1]


def test_a_first_question_is_searched_as_it_is() -> None:
    assert search_query(conversation("And without the contract?")) == "And without the contract?"


def test_a_follow_up_is_searched_with_what_it_follows() -> None:
    query = search_query(conversation("What does Fibre 500 cost?", "And without the contract?"))
    assert "Fibre 500" in query
    assert "without the contract" in query


def test_answers_are_not_searched_for() -> None:
    assert "penguins" not in search_query(conversation("What does Fibre 500 cost?", "And for students?"))


def test_a_chain_of_follow_ups_reaches_back_to_its_topic_but_not_for_ever() -> None:
    asked = ["Topic", *["And it?"] * (MAX_QUESTIONS - 1)]
    assert "Topic" in search_query(conversation(*asked))
    assert "Topic" not in search_query(conversation(*asked, "And it?"))


@pytest.mark.parametrize(("earlier", "question", "_article"), SWITCHES)
def test_a_question_that_stands_alone_is_left_alone(earlier: str, question: str, _article: str) -> None:
    assert search_query(conversation(earlier, question)) == question


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("why is my bill higher this month", False),
        ("How do I report a call that looks like a scam?", False),
        ("Are there set-up fees for Fibre 100?", False),
        ("How much is Fibre 500?", False),
        ("Thank you! What about Sundays?", True),
        ("ok and then", True),
        ("Does that include VAT?", True),
        ("Is this per month?", True),
        ("", True),
    ],
)
def test_what_leans_on_earlier_questions(question: str, leans: bool) -> None:
    assert is_follow_up(question) is leans


@pytest.fixture(scope="module")
def index() -> Iterator[KnowledgeIndex]:
    settings = Settings()
    embedder = open_embedder("packaged", settings.data, quietly)
    index = KnowledgeIndex.open(settings.knowledge, settings.data, embedder, quietly)
    yield index
    index.close()


def found(index: KnowledgeIndex, earlier: str, question: str, article: str) -> bool:
    """Whether the article is among the five passages for the second question."""
    result = index.search(search_query(conversation(earlier, question)), 5)
    return f"{article}.md" in [passage.source for passage in result.passages]


@pytest.mark.real
def test_follow_ups_find_their_article(index: KnowledgeIndex) -> None:
    missed = [question for question in FOLLOW_UPS if not found(index, *question)]
    assert len(missed) <= 4, missed


@pytest.mark.real
def test_new_topics_find_theirs(index: KnowledgeIndex) -> None:
    missed = [question for question in SWITCHES if not found(index, *question)]
    assert len(missed) <= 1, missed
