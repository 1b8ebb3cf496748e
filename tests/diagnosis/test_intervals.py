"""The 95 % interval of a share, beside SciPy's."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from lrdiag.diagnosis.intervals import wilson


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (8, 10), (500, 1000), (9_999, 10_000)])
def test_the_interval_is_that_of_scipy(hits: int, trials: int) -> None:
    expected = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert wilson(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("trials", [1, 7, 10_000])
def test_the_interval_never_leaves_what_a_share_can_be(trials: int) -> None:
    assert wilson(0, trials)[0] == 0
    assert wilson(trials, trials)[1] == 1
