"""What is read of a passage: its parts, the best of them first."""

from __future__ import annotations

from collections.abc import Sequence

from switchboard.retrieval.focus import focused, parts_of
from switchboard.types import Passage, SearchResult

STEPS = "Move like this:\n\n1. Open the app.\n2. Tap Moving.\n\nA move is free. It takes 5 days."


def passage(text: str, source: str) -> Passage:
    return Passage(source, "A", "", text, 0, len(text))


def focus(texts: Sequence[str], scores: Sequence[Sequence[float]], k: int, most: int) -> list[tuple[str, int]]:
    passages = [passage(text, f"{n}.md") for n, text in enumerate(texts)]
    rows = {(p.id, n): score for p, row in zip(passages, scores, strict=True) for n, score in enumerate(row)}
    found, quotes = focused(passages, [rows], k, most)
    result = SearchResult("q", tuple(found), found[0], 0.1, 1.0, quotes)
    assert [p.text for p in result.read] == [
        "\n".join(quote.text for quote in quotes if quote.passage == n) for n in range(1, len(found) + 1)
    ]
    assert [quote.score for quote in quotes] == sorted((quote.score for quote in quotes), reverse=True)
    return [(quote.text, quote.passage) for quote in quotes]


def test_steps_stay_together_and_bullets_apart() -> None:
    assert parts_of(STEPS) == [
        "Move like this:\n1. Open the app.\n2. Tap Moving.",
        "A move is free.",
        "It takes 5 days.",
    ]
    assert parts_of("- It costs £5.50.\n- No more.") == ["- It costs £5.50.", "- No more."]
    assert parts_of("") == []


def test_the_best_parts_come_first_and_passages_by_their_best_one() -> None:
    texts = ["One. Two.", "Three. Four. Five."]
    scores = [[0.1, 0.4], [0.2, 0.9, 0.3]]
    assert focus(texts, scores, k=2, most=3) == [("Four.", 1), ("Two.", 2), ("Five.", 1)]
    assert focus(texts, scores, k=1, most=2) == [("Four.", 1), ("Five.", 1)]


def test_every_passage_keeps_a_part() -> None:
    assert focus(["One. Two.", "Three."], [[0.9, 0.8], [0.1]], k=2, most=2) == [("One.", 1), ("Three.", 2)]


def test_a_search_without_quotes_reads_whole_passages() -> None:
    whole = passage("One. Two.", "a.md")
    assert SearchResult("q", (whole,), whole, 0.1, 1.0).read == (whole,)


def test_where_two_things_are_asked_the_best_of_each_come_first() -> None:
    passages = [passage("One. Two.", "a.md"), passage("Three. Four.", "b.md")]
    first = {("a.md#0", 0): 3.0, ("a.md#0", 1): 2.0, ("b.md#0", 0): 1.0}
    second = {("a.md#0", 0): 9.0, ("b.md#0", 1): 0.5}
    found, quotes = focused(passages, [first, second], k=2, most=3)
    assert [p.source for p in found] == ["a.md", "b.md"]
    assert [(quote.text, quote.asked, quote.score) for quote in quotes] == [
        ("One.", 0, 3.0),
        ("Four.", 1, 0.5),
        ("Two.", 0, 2.0),
    ]
