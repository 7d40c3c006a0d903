"""Citations: real ones stay, others go and are counted, half ones are held back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchboard.citations import check_citations


@pytest.mark.parametrize(
    ("text", "passages", "expected"),
    [
        ("It is £27 [1].", 2, ("It is £27 [1].", (1,), 0)),
        ("A [2]. B [1]. C [2].", 2, ("A [2]. B [1]. C [2].", (2, 1), 0)),
        ("A [3].", 2, ("A.", (), 1)),
        ("A [0][1].", 2, ("A[1].", (1,), 1)),
        ("A [1, 2] and [2; 9].", 2, ("A [1][2] and [2].", (1, 2), 1)),
        ("No sources [1].", 0, ("No sources.", (), 1)),
        ("[link] [12a] []", 2, ("[link] [12a] []", (), 0)),
    ],
)
def test_check_citations(text: str, passages: int, expected: tuple[str, tuple[int, ...], int]) -> None:
    assert check_citations(text, passages) == expected


@pytest.mark.parametrize("cut", ["It is £27 [", "It is £27 [1", "It is £27 [1, ", "It is £27 [1,2"])
def test_a_citation_cut_in_two_is_held_back_until_it_is_whole(cut: str) -> None:
    assert check_citations(cut, 2)[0] == "It is £27"


@given(st.text("a1 [],.", max_size=40), st.integers(0, 5))
def test_no_citation_left_points_at_nothing(text: str, passages: int) -> None:
    shown, cited, _ = check_citations(text, passages)
    assert set(cited) <= set(range(1, passages + 1))
    again, cited_again, removed_again = check_citations(shown, passages)
    assert removed_again == 0 or again != shown
    assert set(cited) <= set(cited_again)
