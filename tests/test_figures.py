"""Figures that may only be copied: number by number, token by token."""

from __future__ import annotations

import pytest
import torch

from switchboard.generation.figures import FigureLimit, FigureTokens, numbers_in
from switchboard.types import Grounding

PIECES = ["the", " £", *"0123456789", ",", ".", " [", "]", " a", "25"]


class _Tokenizer:
    def __len__(self) -> int:
        return len(PIECES)

    def batch_decode(self, rows: list[list[int]]) -> list[str]:
        return [PIECES[number] for (number,) in rows]


def allowed(text: str, *texts: str, passages: int = 2) -> set[str]:
    """The pieces that may follow."""
    limit = FigureLimit(FigureTokens(_Tokenizer()), Grounding(texts, passages))
    logits = limit.apply(text, torch.zeros(len(PIECES)))
    return {piece for piece, logit in zip(PIECES, logits.tolist(), strict=True) if logit == 0}


def test_numbers_are_read_as_they_are_written() -> None:
    assert numbers_in(["£1,250.50, at 8:30; 24."]) == {"1,250.50", "8:30", "24"}


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("It costs £", {"1", "2", "25"}),
        ("It costs £2", {"5", "4"}),
        ("It costs £1", {"2", "5"}),  # 12, and 1,250 goes on with its comma
    ],
)
def test_only_known_numbers_can_be_begun_and_gone_on_with(text: str, digits: set[str]) -> None:
    known = ("£25 for 24 months", "12 units", "15 days", "2")
    assert {piece for piece in allowed(text, *known) if piece[-1].isdigit()} == digits


def test_a_number_cannot_end_before_its_end() -> None:
    assert allowed("It costs £1", "£1,250") == {","}
    assert allowed("It costs £1,", "£1,250") == {"2", "25"}
    assert allowed("It costs £1,25", "£1,250") == {"0"}
    assert "the" in allowed("It costs £1,250", "£1,250")


def test_a_whole_number_can_be_followed_by_anything_but_more_of_it() -> None:
    following = allowed("It takes 24", "24 months")
    assert {"the", ".", ","} <= following
    assert not any(piece.isdigit() for piece in following)


def test_a_citation_names_a_passage_that_is_there() -> None:
    assert allowed("So [", "999") & set("0123456789") == {"1", "2"}
    assert "]" in allowed("So [2", "999")
    assert not allowed("So [2", "999") & set("0123456789")


def test_words_are_free_where_there_is_no_figure_to_copy() -> None:
    assert allowed("It costs", "nothing") == {"the", " £", ",", ".", " [", "]", " a"}
