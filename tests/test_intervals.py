"""Intervals and tests, compared with SciPy, with published figures and with exact sums."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from scipy.stats import binom, binomtest

from lrdiag.intervals import at_most, mcnemar, newcombe, wilson


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (8, 10), (500, 1000), (9_999, 10_000)])
def test_wilson_agrees_with_scipy(hits: int, trials: int) -> None:
    expected = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert wilson(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("trials", [1, 7, 10_000])
def test_wilson_stays_between_0_and_1(trials: int) -> None:
    assert wilson(0, trials)[0] == 0
    assert wilson(trials, trials)[1] == 1


@pytest.mark.parametrize(
    ("hits", "trials", "share"),
    [(0, 5, 0.3), (5, 5, 0.3), (14, 30, 0.8), (640, 1000, 0.7944), (2, 3, 1.0), (0, 3, 0.0)],
)
def test_the_probability_of_few_hits_agrees_with_scipy(hits: int, trials: int, share: float) -> None:
    assert at_most(hits, trials, share) == pytest.approx(binom.cdf(hits, trials, share), rel=1e-9)


# Newcombe (1998), table II, method 10
@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_agrees_with_the_published_intervals(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    assert newcombe(first, second) == pytest.approx((low, high), abs=5e-5)


def _exact_mid_p(broken: int, fixed: int) -> float:
    changed, fewer = broken + fixed, min(broken, fixed)
    tail = sum(comb(changed, number) for number in range(fewer)) + Fraction(comb(changed, fewer), 2)
    return float(2 * tail / 2**changed)


@pytest.mark.parametrize(
    ("broken", "fixed"), [(0, 0), (0, 1), (0, 3), (4, 4), (2, 9), (30, 51), (55, 78), (700, 900), (1200, 1201)]
)
def test_mcnemar_is_the_exact_sum_with_half_of_the_observed_number(broken: int, fixed: int) -> None:
    assert mcnemar(broken, fixed) == pytest.approx(_exact_mid_p(broken, fixed), rel=1e-9)
    assert mcnemar(fixed, broken) == mcnemar(broken, fixed)


# the examples of Fagerland, Lydersen and Laake (2013)
@pytest.mark.parametrize(("broken", "fixed", "p"), [(7, 1, 0.0391), (16, 6, 0.0347), (4, 1, 0.21875)])
def test_mcnemar_agrees_with_the_published_values(broken: int, fixed: int, p: float) -> None:
    assert mcnemar(broken, fixed) == pytest.approx(p, abs=5e-5)


def test_mid_p_is_0047_where_the_exact_test_gives_0056() -> None:
    assert binomtest(55, 133).pvalue == pytest.approx(0.056, abs=5e-4)
    assert mcnemar(55, 78) == pytest.approx(0.047, abs=5e-4)


def test_mcnemar_of_no_change_is_one() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(4, 4) == pytest.approx(1)
