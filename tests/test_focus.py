"""What is read of a passage: its parts, and the nearest of them in their own order."""

from __future__ import annotations

import numpy as np

from retrieval_fakes import FakeEmbedder
from switchboard.retrieval.embedding import Vectors
from switchboard.retrieval.focus import focused, parts_of
from switchboard.types import Passage, SearchResult

STEPS = "Move like this:\n\n1. Open the app.\n2. Tap Moving.\n\nA move is free. It takes 5 days."


def passage(text: str) -> Passage:
    return Passage("a.md", "A", "", text, 0, len(text))


def vectors(found: Passage) -> Vectors:
    return FakeEmbedder().embed_queries(parts_of(found.text))


def focus(question: str, *texts: str, most: int = 2) -> tuple[str, ...]:
    return focused(FakeEmbedder().embed_query(question), [passage(text) for text in texts], vectors, most)


def test_steps_stay_together_and_bullets_apart() -> None:
    assert parts_of(STEPS) == [
        "Move like this:\n1. Open the app.\n2. Tap Moving.",
        "A move is free.",
        "It takes 5 days.",
    ]
    assert parts_of("- It costs £5.50.\n- No more.") == ["- It costs £5.50.", "- No more."]
    assert parts_of("") == []


def test_the_nearest_parts_are_kept_in_their_own_order() -> None:
    text = "The late fee is £5. Bills come monthly. A late bill is sent again. Call us."
    assert focus("late bill fee", text) == ("The late fee is £5.\nA late bill is sent again.",)


def test_every_passage_keeps_a_part_and_none_is_empty() -> None:
    read = focus("late fee", "The late fee is £5. A late fee is rare.", "Cats sleep. Dogs bark.", "", most=1)
    assert read[0] in ("The late fee is £5.", "A late fee is rare.")
    assert read[1] in ("Cats sleep.", "Dogs bark.")
    assert read[2] == ""


def test_a_search_gives_whole_passages_and_what_is_read_of_them() -> None:
    whole = passage("One. Two.")
    assert SearchResult("q", (whole,), whole, 0.1, 1.0).read == (whole,)
    (read,) = SearchResult("q", (whole,), whole, 0.1, 1.0, ("Two.",)).read
    assert (read.text, read.id) == ("Two.", whole.id)
    assert np.isclose(np.linalg.norm(FakeEmbedder().embed_query("one")), 1)
