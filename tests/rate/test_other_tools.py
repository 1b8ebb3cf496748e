"""The rules of other tools: bit-identical to the tools' own results. If a tool crashes, `NoSuggestion`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrdiag.errors import NoSuggestion
from lrdiag.rate.other_tools import RULES

# Results of the tools' own functions on two sweeps, with and without noise.
GOLDEN: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("golden.json").read_text())
GOLDEN_NAMES = {
    "fastai-valley": "fastai_valley",
    "fastai-slide": "fastai_slide",
    "fastai-minimum": "fastai_minimum",
    "fastai-steep": "fastai_steep",
    "torch-lr-finder": "torch_lr_finder_steepest",
}
RATES = np.geomspace(1e-7, 10, 100)

Rule = Callable[[Any, Any], float]


@pytest.fixture(params=RULES)
def rule(request: pytest.FixtureRequest) -> Rule:
    return RULES[request.param]


@pytest.mark.parametrize("sweep", GOLDEN)
@pytest.mark.parametrize("name", RULES)
def test_each_rule_equals_its_tool(name: str, sweep: str) -> None:
    golden = GOLDEN[sweep]
    assert RULES[name](golden["lrs"], golden["losses_raw"]) == golden[GOLDEN_NAMES[name]]


def test_the_golden_results_of_all_rules_differ() -> None:
    """Smoothing matters too: on the losses that fastai smoothed, torch-lr-finder's rule gives another rate."""
    golden = GOLDEN["noisefree"]
    assert len({golden[name] for name in GOLDEN_NAMES.values()}) == len(RULES)
    again = RULES["torch-lr-finder"](golden["lrs"], golden["losses_ema98"])
    assert again != golden["torch_lr_finder_steepest"]


def test_valley_on_a_loss_that_only_falls() -> None:
    """85 losses are left of 100; fastai's own function gives the 42nd of them."""
    assert RULES["fastai-valley"](RATES, np.geomspace(3, 1, 100)) == pytest.approx(RATES[10 + 41], rel=1e-6)


def test_valley_finds_the_longest_falling_subsequence() -> None:
    """The O(n²) definition, written out, on smoothed noise."""
    losses = np.random.default_rng(0).normal(2, 1, size=100)
    average, smooth = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = 0.98 * average + 0.02 * loss
        smooth.append(np.float32(average / (1 - 0.98**step)))
    kept = smooth[10:-5]
    length = [1] * len(kept)
    for i in range(len(kept)):
        length[i] = max([length[j] + 1 for j in range(i) if kept[i] < kept[j]], default=1)
    end, third = int(np.argmax(length)), max(length) / 3
    expected = RATES[10 + end - max(length) + int(third) + int(third / 2)]
    assert RULES["fastai-valley"](RATES, losses) == pytest.approx(expected, rel=1e-6)


def test_steep_uses_the_logarithm_of_the_rate_and_torch_lr_finder_the_step() -> None:
    """On a linear sweep of a loss that falls evenly with every step: over log(rate) it is steepest at the end."""
    rates, losses = np.linspace(0.01, 1, 100), np.linspace(3, 1, 100)
    assert RULES["fastai-steep"](rates, losses) == pytest.approx(rates[93])
    # without bias correction the smoothed loss starts flat, so the fall per step is steepest at the end too
    assert RULES["torch-lr-finder"](rates, losses) == pytest.approx(rates[94], abs=0.02)


def test_minimum_is_a_tenth_of_the_rate_of_the_lowest_loss() -> None:
    losses = np.full(100, 2.0)
    losses[40:] = 1e3
    losses[39] = 1.0
    assert RULES["fastai-minimum"](RATES, losses) == pytest.approx(RATES[39] / 10, rel=1e-6)


@pytest.mark.parametrize("last", [np.nan, np.inf])
def test_a_last_loss_that_is_not_finite_does_not_attract_the_suggestion(rule: Rule, last: float) -> None:
    """`argmin` returns the index of a NaN, so torch-lr-finder suggests the rate at which it occurred."""
    losses = np.array(GOLDEN["noisefree"]["losses_raw"][:90])
    broken = np.append(losses, [last] * 10)
    assert rule(RATES, broken) == pytest.approx(rule(RATES[:90], losses), rel=0.5)
    assert rule(RATES, broken) < RATES[85]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6])
def test_short_sweeps_raise_with_the_reason(rule: Rule, count: int) -> None:
    """fastai raises IndexError. `minimum` needs only one loss."""
    if rule is RULES["fastai-minimum"] and count == 6:
        assert rule(RATES[:6], np.ones(6)) == pytest.approx(RATES[0] / 10)
        return
    with pytest.raises(NoSuggestion, match="Use more iterations"):
        rule(RATES[:count], np.ones(count))


def test_slide_needs_sixteen_losses() -> None:
    losses = np.linspace(2, 1, 23)
    assert RULES["fastai-slide"](RATES[:23], losses) > 0
    with pytest.raises(NoSuggestion, match="16 or more"):
        RULES["fastai-slide"](RATES[:22], losses[:22])


def test_valley_needs_a_loss_that_falls() -> None:
    with pytest.raises(NoSuggestion, match="falls"):
        RULES["fastai-valley"](RATES, np.linspace(1, 2, 100))


def test_losses_that_are_all_nan_raise(rule: Rule) -> None:
    with pytest.raises(NoSuggestion, match="Received: 0"):
        rule(RATES, np.full(100, np.nan))
