"""A range test: means, rules, intervals, advice, plots and exports."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lrdiag import vocabulary
from lrdiag.errors import NoSuggestion, SettingsError
from lrdiag.rate.other_tools import RULES
from lrdiag.rate.range_test import RangeTest, Sweep

RATES = np.geomspace(1e-5, 10, 100)


def sweep(place: float = 1e-2, count: int = 100, **fields: list[float]) -> Sweep:
    """Losses that fall around the rate `place` and then rise."""
    losses = 1 + 2 / (1 + (RATES / place) ** 1.5) + (RATES / 3) ** 2
    return Sweep(RATES[:count].tolist(), losses[:count].tolist(), losses[:count].tolist(), **fields)


FLAT = Sweep(RATES.tolist(), [2.3] * 100)
ONE = RangeTest((sweep(),))
THREE = RangeTest((sweep(), sweep(3e-2, 80), sweep(2e-2)))


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def test_one_sweep_is_returned_unchanged() -> None:
    assert ONE.losses == ONE.sweeps[0].losses
    assert ONE.learning_rates == ONE.sweeps[0].learning_rates
    assert ONE.iterations == 100


def test_several_sweeps_are_averaged_up_to_the_length_of_the_shortest() -> None:
    expected = np.mean([each.losses[:80] for each in THREE.sweeps], axis=0)
    np.testing.assert_allclose(THREE.losses, expected, rtol=1e-12)
    assert THREE.iterations == len(THREE.learning_rates) == len(THREE.smoothed_losses) == 80


def test_a_column_that_one_sweep_lacks_is_left_out() -> None:
    mixed = RangeTest((sweep(), FLAT))
    assert (mixed.smoothed_losses, mixed.facts().smoothed_losses) == ([], [])
    assert len(mixed.losses) == 100


def test_the_stop_reason_is_that_of_the_shortest_sweep() -> None:
    short = dataclasses.replace(sweep(count=80), stop_reason="the loss diverged")
    assert RangeTest((sweep(), short)).stop_reason == "the loss diverged"
    assert RangeTest((sweep(),)).stop_reason == "the last learning rate was reached"


def test_the_boundaries_span_a_decade_that_ends_above_the_suggestion() -> None:
    base_lr, max_lr = ONE.bounds()
    assert ONE.suggest() < max_lr == ONE.bounds().max_lr
    assert base_lr == ONE.bounds().base_lr == pytest.approx(max_lr / 10)


@pytest.mark.parametrize("reason", ["the loss diverged", "the loss was not finite"])
def test_a_diverged_sweep_has_a_lower_upper_boundary(reason: str) -> None:
    short = sweep(1e-2, 60)  # it falls to its very end
    broken = RangeTest((dataclasses.replace(short, stop_reason=reason),))
    assert broken.bounds().max_lr < RangeTest((short,)).bounds().max_lr


def test_one_adaptive_sweep_lowers_the_upper_boundary() -> None:
    adaptive = RangeTest((sweep(1e-3), dataclasses.replace(sweep(1e-3), adaptive=True)))
    assert adaptive.reading.onset == RangeTest((sweep(1e-3),)).reading.onset
    assert adaptive.bounds().max_lr < RangeTest((sweep(1e-3),)).bounds().max_lr


def test_the_rates_are_read_from_the_validation_loss_if_it_was_measured() -> None:
    validated = RangeTest((dataclasses.replace(sweep(), val_losses=sweep(1e-1).losses),))
    assert validated.suggest() == pytest.approx(RangeTest((sweep(1e-1),)).suggest())
    assert validated.suggest() != pytest.approx(ONE.suggest())
    for rule in RULES:
        assert validated.suggest(rule) == RangeTest((sweep(1e-1),)).suggest(rule)


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_of_other_tools_are_available(rule: str) -> None:
    assert ONE.suggest(rule) == RULES[rule](ONE.learning_rates, ONE.losses)


def test_every_rule_is_selected_by_its_name() -> None:
    assert set(vocabulary.RULES) == {"steepest", *RULES}


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"`rule` must be one of steepest, .*Received: 'guess'"):
        ONE.suggest("guess")  # type: ignore[arg-type]


def test_the_interval_spans_the_suggestions_of_the_single_sweeps() -> None:
    suggestions = [RangeTest((each,)).suggest() for each in THREE.sweeps]
    assert THREE.interval() == (min(suggestions), max(suggestions))
    assert THREE.interval()[0] < THREE.suggest() < THREE.interval()[1]


def test_the_interval_contains_the_suggestion_even_if_it_is_outside_of_the_single_ones() -> None:
    generator = np.random.default_rng(0)
    outside = 0
    for _ in range(30):
        noisy = [(np.array(sweep().losses) + generator.normal(scale=0.15, size=100)).tolist() for _ in range(2)]
        test = RangeTest(tuple(Sweep(RATES.tolist(), losses) for losses in noisy))
        singles = [RangeTest((each,)).suggest() for each in test.sweeps]
        outside += not min(singles) <= test.suggest() <= max(singles)
        assert test.interval()[0] <= test.suggest() <= test.interval()[1]
    assert outside, "otherwise nothing is checked"


@pytest.mark.parametrize(
    ("sweeps", "message"),
    [
        ((sweep(),), "`repeats=3`"),
        ((sweep(), FLAT), "Sweep 2 of 2 cannot be read on its own.*flat"),
        ((sweep(), sweep()), "Shuffle the data.*Received: 2 sweeps with identical losses"),
    ],
)
def test_without_two_readable_sweeps_there_is_no_interval(sweeps: tuple[Sweep, ...], message: str) -> None:
    with pytest.raises(NoSuggestion, match=message):
        RangeTest(sweeps).interval()


def test_an_error_gives_the_number_of_updates_and_the_stop_reason() -> None:
    with pytest.raises(NoSuggestion, match=r"\(100 updates, then the last learning rate was reached\)"):
        RangeTest((FLAT,)).suggest()


def test_the_columns_have_one_length_and_none_is_empty() -> None:
    assert list(ONE.to_dict()) == ["learning_rates", "losses", "smoothed_losses"]
    full = RangeTest((sweep(accuracies=[0.5] * 100, val_losses=[1.0] * 100),)).to_dict()
    assert list(full) == ["learning_rates", "losses", "smoothed_losses", "accuracies", "val_losses"]
    assert {len(column) for column in full.values()} == {100}


def test_the_facts_contain_the_measurements_and_the_rates() -> None:
    facts = THREE.facts()
    assert (facts.base_lr, facts.max_lr) == tuple(THREE.bounds())
    assert facts.suggestion == THREE.suggest()
    assert (facts.suggestion_low, facts.suggestion_high) == THREE.interval()
    assert facts.repeats == 3
    assert {type(facts.base_lr), type(facts.suggestion), type(facts.max_lr), type(facts.trend[0])} == {float}
    assert facts.losses == THREE.losses
    assert len(facts.trend) == 80
    assert (ONE.facts().suggestion_low, ONE.facts().repeats) == (None, 1)


def test_the_facts_without_a_suggestion_contain_no_rates() -> None:
    facts = RangeTest((FLAT,)).facts()
    assert (facts.suggestion, facts.base_lr, facts.max_lr, facts.trend) == (None, None, None, [])
    assert facts.losses == [2.3] * 100


LINES = {
    "rate-by-iteration": (range(100), ONE.learning_rates),
    "loss-by-iteration": (range(100), ONE.losses),
    "loss-by-rate": (ONE.learning_rates, ONE.losses),
    "smoothed-loss-by-rate": (ONE.learning_rates, ONE.smoothed_losses),
}


@pytest.mark.parametrize("kind", LINES)
def test_each_classical_plot_draws_its_numbers(kind: str) -> None:
    axes = ONE.plot(kind=kind)
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_xydata(), np.column_stack(LINES[kind]), rtol=1e-12)
    up, _, across = kind.replace("-", " ").replace("rate", "learning rate").partition(" by ")
    assert (axes.get_xlabel(), axes.get_ylabel()) == (across, up)


def test_the_four_plots_are_in_one_figure() -> None:
    assert [axes.get_ylabel() for axes in ONE.plot_all().axes] == ["learning rate", "loss", "loss", "smoothed loss"]


def marks(axes: plt.Axes) -> dict[str, Any]:
    """The marks of a reading, by name."""
    return {artist.get_gid(): artist for artist in (*axes.lines, *axes.patches)}


def points(axes: plt.Axes) -> np.ndarray:
    """The losses that are drawn, an array of shape `(n, 2)`."""
    return np.asarray(marks(axes)[".points"].get_path().vertices[::2])


def span(axes: plt.Axes) -> tuple[float, float]:
    band = marks(axes)[".boundaries"]
    return band.get_x(), band.get_x() + band.get_width()


def test_the_reading_shows_losses_trend_boundaries_and_suggestion() -> None:
    axes = ONE.plot()
    assert marks(axes).keys() == {".points", ".smoothed", ".suggestion", ".boundaries"}
    np.testing.assert_allclose(points(axes), np.column_stack([ONE.learning_rates, ONE.losses]))
    trend = marks(axes)[".smoothed"].get_ydata()
    np.testing.assert_allclose(trend, ONE.reading.trend[: len(trend)])
    assert marks(axes)[".suggestion"].get_xdata()[0] == ONE.suggest()
    np.testing.assert_allclose(span(axes), ONE.bounds())
    assert {"0.01", "0.061", "0.61"} <= {text.get_text() for text in axes.texts}
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xlim()) == ("learning rate", "loss", (RATES[0], RATES[-1]))


def test_several_sweeps_show_their_mean_and_their_interval() -> None:
    axes = THREE.plot()
    np.testing.assert_allclose(points(axes)[:, 1], THREE.losses)
    assert tuple(marks(axes)[".interval"].get_xdata()) == THREE.interval()


def test_a_test_without_suggestion_is_drawn_without_marks() -> None:
    marked = marks(RangeTest((FLAT, FLAT)).plot())
    assert marked.keys() == {".points", ".smoothed"}
    assert not len(marked[".smoothed"].get_xdata())
    assert ".interval" not in marks(RangeTest((sweep(), sweep(), FLAT)).plot()), "one sweep cannot be read"


def test_losses_of_the_validation_set_are_drawn_if_the_rates_were_read_from_them() -> None:
    axes = RangeTest((dataclasses.replace(sweep(), val_losses=sweep(1e-1).losses),)).plot()
    assert axes.get_ylabel() == "validation loss"
    np.testing.assert_allclose(points(axes)[:, 1], sweep(1e-1).losses)


def test_a_sweep_that_begins_at_a_rate_of_zero_is_drawn_from_its_first_positive_rate() -> None:
    axes = RangeTest((Sweep([0.0, *RATES], [3.0, *sweep().losses]),)).plot()
    np.testing.assert_allclose(points(axes), np.column_stack([RATES, sweep().losses]))


@pytest.mark.parametrize(
    "kind", ["reading", "rate-by-iteration", "loss-by-iteration", "loss-by-rate", "smoothed-loss-by-rate"]
)
def test_a_sweep_that_ended_at_once_gives_an_empty_plot(kind: str) -> None:
    empty = RangeTest((Sweep([], [], stop_reason="the loss was not finite"),))
    assert not any(len(line.get_xdata()) for line in empty.plot(kind=kind).lines)
    assert len(empty.plot_all().axes) == 4


@pytest.mark.parametrize("kind", ["reading", "loss-by-rate"])
def test_without_a_suggestion_divergence_does_not_flatten_the_rest_either(kind: str) -> None:
    noise = np.random.default_rng(0).normal(0.5, 0.1, 90)
    test = RangeTest((Sweep(RATES, np.append(noise, np.geomspace(1, 1e4, 10))),))
    with pytest.raises(NoSuggestion):
        test.suggest()
    assert test.plot(kind=kind).get_ylim()[1] < 2


def test_a_sweep_with_only_losses_is_drawn() -> None:
    axes = RangeTest((Sweep(RATES, sweep().losses),)).plot_all().axes
    assert [len(each.lines[0].get_xdata()) for each in axes] == [100, 100, 100, 0]


def test_arrays_are_accepted() -> None:
    columns = ("learning_rates", "losses", "smoothed_losses")
    arrays = Sweep(**{name: np.array(getattr(sweep(), name)) for name in columns})
    assert arrays == sweep()
    assert RangeTest((arrays,)).to_dict() == ONE.to_dict()


def test_its_repr_is_one_line() -> None:
    assert repr(ONE) == "<RangeTest: 100 updates, suggestion 0.01, boundaries 0.061 to 0.61>"
    assert repr(THREE).startswith("<RangeTest: 80 updates in each of 3 sweeps, suggestion 0.01")
    assert "loss stays flat" in repr(RangeTest((FLAT,)))


def test_the_summary_says_which_rate_to_use_if_the_suggestion_lies_below_the_cycle() -> None:
    assert ONE.suggest() < ONE.bounds().base_lr
    assert ONE.summary() == (
        "100 updates, suggestion 0.01, boundaries 0.061 to 0.61. The suggestion lies below the boundaries: use it "
        "for a constant learning rate. Use the boundaries for a cycle, which reaches its higher rates only for a short "
        "time."
    )
    losses = 2 / (1 + (RATES / 1e-2) ** 1.5) + (RATES / 2) ** 2
    inside = RangeTest((Sweep(RATES, losses),))
    assert inside.bounds().base_lr < inside.suggest() < inside.bounds().max_lr
    assert inside.summary() == repr(inside).removeprefix("<RangeTest: ").removesuffix(">")
    assert RangeTest((FLAT,)).summary() == repr(RangeTest((FLAT,))).removeprefix("<RangeTest: ").removesuffix(">")


def test_a_range_test_without_a_sweep_is_refused() -> None:
    with pytest.raises(SettingsError, match="one sweep or more"):
        RangeTest(())


def test_the_user_s_axes_are_drawn_on() -> None:
    _, axes = plt.subplots()
    assert ONE.plot(axes) is axes
    assert ".suggestion" in marks(axes)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"`kind` must be one of reading, rate-by-iteration.*Received: 'pie'"):
        ONE.plot(kind="pie")


def test_a_notebook_shows_the_rates_and_the_plot() -> None:
    html = ONE._repr_html_()
    assert "Range test: 100 updates, suggestion 0.01" in html
    assert html.count("<svg") == html.count("</svg>") == 1
    assert not plt.get_fignums()
    assert "flat" in RangeTest((FLAT,))._repr_html_()
