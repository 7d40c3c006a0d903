"""Intervals and tests, against published examples and SciPy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from switchboard.evaluation.statistics import mcnemar, paired, wilson


def verdicts(both: int, first: int, second: int, neither: int) -> tuple[list[bool], list[bool]]:
    one = [True] * both + [True] * first + [False] * second + [False] * neither
    other = [True] * both + [False] * first + [True] * second + [False] * neither
    return one, other


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case: tuple[int, int]) -> None:
    successes, n = case
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-5)


def test_nothing_is_known_of_no_questions() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        # Newcombe 1998, table III, method 10.
        ((36, 12, 2, 0), 0.0569, 0.3404),
        # Altman and others, Statistics with Confidence, 2000, table 6.2, to two digits.
        ((14, 5, 0, 22), 0.01, 0.23),
    ],
)
def test_the_interval_of_a_paired_difference_is_newcombes(
    counts: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = paired(*verdicts(*counts))
    digits = 4 if counts[0] == 36 else 2
    assert tuple(round(end, digits) for end in found.interval) == (low, high)


def test_mcnemar_counts_only_where_the_two_differ() -> None:
    # Two-sided binomial: 2 * (C(9,0) + C(9,1)) / 2**9.
    assert mcnemar(8, 1) == mcnemar(1, 8) == pytest.approx(2 * 10 / 512)
    assert paired(*verdicts(50, 8, 1, 0)).p == paired(*verdicts(0, 8, 1, 70)).p
    assert mcnemar(0, 0) == 1.0


def test_a_mode_does_not_differ_from_itself() -> None:
    found = paired([True, False, True], [True, False, True])
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.interval[0] <= 0 <= found.interval[1]


def test_verdicts_that_are_not_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="as many"):
        paired([True], [True, False])
    with pytest.raises(ValueError, match="at least one"):
        paired([], [])
