"""The first measure: what counts as right."""

from __future__ import annotations

from switchboard.training.measure import ReaderScore, score_reader
from switchboard.training.reader_public import Case
from switchboard.types import Passage


def test_the_reader_is_right_when_the_span_is_there_and_cited_when_its_passage_is() -> None:
    passages = tuple(Passage("", "T", "", text, 0, len(text)) for text in ("It is old.", "The Wye is long."))
    here, absent = Case("Which river?", passages, "Wye"), Case("Which lake?", passages, "")
    declines = "The passages do not cover this."
    asked = [
        (here, "The Wye [2]."),
        (here, "the wye [1]."),
        (here, declines),
        (absent, declines),
        (absent, "A lake [1]."),
    ]
    assert score_reader(asked) == ReaderScore(3, 2, 1, 1, 2, 1)
