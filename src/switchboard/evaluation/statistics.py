"""Intervals and tests for shares of questions: what a difference between two modes is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z = 1.959964
"""The standard normal quantile of a 95 % interval."""


def wilson(successes: float, n: int, z: float = Z) -> tuple[float, float]:
    """The Wilson score interval of a proportion; (0, 1) for n = 0.

    From: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.

    >>> tuple(round(x, 3) for x in wilson(8, 10))
    (0.49, 0.943)
    """
    if not n:
        return 0.0, 1.0
    share, squared = successes / n, z * z
    middle = (share + squared / (2 * n)) / (1 + squared / n)
    half = z / (1 + squared / n) * sqrt(share * (1 - share) / n + squared / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Paired:
    """Two modes on the same `n` questions: how many each alone had right, and what that says.

    `difference` is the first one's share less the second one's, from -1 to 1, `interval` its 95 % interval, and `p` the
    probability of counts at least this uneven if both were as good.
    """

    n: int
    first_alone: int
    second_alone: int
    difference: float
    interval: tuple[float, float]
    p: float


def paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compare verdicts on the same questions. Raises ValueError where there are not as many of both, or none.

    >>> paired([True] * 9 + [False], [False] * 8 + [True, True]).p
    0.0390625
    """
    if len(first) != len(second) or not first:
        raise ValueError("paired verdicts are as many of one as of the other, and at least one")
    n = len(first)
    alone = sum(a and not b for a, b in zip(first, second, strict=True))
    other = sum(b and not a for a, b in zip(first, second, strict=True))
    both = sum(a and b for a, b in zip(first, second, strict=True))
    return Paired(n, alone, other, (alone - other) / n, _newcombe(both, alone, other, n), mcnemar(alone, other))


def mcnemar(one: int, other: int) -> float:
    """The exact two-sided p of McNemar's test, from the counts of questions that one mode alone had right.

    From: McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12, 1947;
    exact as a binomial test of the pairs that differ.

    >>> mcnemar(8, 1), mcnemar(0, 0)
    (0.0390625, 1.0)
    """
    from scipy.stats import binomtest  # noqa: PLC0415  (slow to import, and the page needs intervals alone)

    return float(binomtest(min(one, other), one + other, 0.5).pvalue) if one + other else 1.0


def _newcombe(both: int, first: int, second: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a difference of paired proportions: method 10 of Newcombe, Improved confidence intervals for
    the difference between binomial proportions based on paired data, Statistics in Medicine 17, 1998."""
    neither = n - both - first - second
    one, two = both + first, both + second
    p1, p2 = one / n, two / n
    (l1, u1), (l2, u2) = wilson(one, n), wilson(two, n)
    sides = one * (n - one) * two * (n - two)
    phi = 0.0
    if sides:
        agreement = both * neither - first * second
        # The correlation is corrected for continuity where it is positive.
        phi = (max(agreement - n / 2, 0) if agreement > 0 else agreement) / sqrt(sides)
    down = sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    up = sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2)
    return p1 - p2 - down, p1 - p2 + up
