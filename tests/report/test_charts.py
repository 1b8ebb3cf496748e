"""Charts: the numbers decide the drawing, the page decides its looks."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from lrdiag.records import RangeTestFacts, Run, TrainingRun
from lrdiag.report.charts import range_test_chart, rate_ticks, training_chart
from lrdiag.report.sections.learning_rate import smooth_line, y_limit
from lrdiag.report.sections.training import best_epoch
from lrdiag.report.svg import thin


@pytest.fixture(scope="module")
def measured(runs: dict[str, Run]) -> RangeTestFacts:
    test = runs["ordinary"].diagnosis.range_test
    assert test
    return test


@pytest.fixture(scope="module")
def training(runs: dict[str, Run]) -> TrainingRun:
    return runs["ordinary"].diagnosis.training


@pytest.fixture(scope="module")
def charts(measured: RangeTestFacts, training: TrainingRun) -> tuple[str, str]:
    return range_test_chart(measured, smooth_line(measured), 3.0), training_chart(training, 2)


def test_every_colour_is_the_page_s(charts: tuple[str, str]) -> None:
    for chart in charts:
        assert not re.search(r"#[0-9a-f]{6}\b", chart)
        assert "currentColor" in chart
        assert "var(--training)" in chart
        assert "var(--validation)" in chart


def test_no_style_rule_and_no_font_of_its_own(charts: tuple[str, str]) -> None:
    for chart in charts:
        assert "<style" not in chart
        assert "font-family" not in chart
        assert "font-size" not in chart


def test_ids_of_two_charts_never_clash(charts: tuple[str, str]) -> None:
    first, second = (set(re.findall(r' id="([^"]+)"', chart)) for chart in charts)
    assert first
    assert second
    assert not first & second


def test_every_reference_is_defined(charts: tuple[str, str]) -> None:
    for chart in charts:
        used = re.findall(r'(?:url\(#|href="#)([^")]+)', chart)
        assert used
        assert set(used) == set(re.findall(r' id="([^"]+)"', chart))


def test_rate_and_boundaries_stand_in_the_chart(charts: tuple[str, str]) -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", charts[0])
    assert {"5.0e-2", "1.0e-2", "2.5e-1", "1e-4", "1e1", "learning rate", "loss"} <= set(texts)


def test_lines_carry_their_names(charts: tuple[str, str]) -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", charts[1])
    assert texts.count("training") == texts.count("validation") == 2
    assert "best" in texts


def test_numbers_on_an_axis_keep_their_digits(training: TrainingRun) -> None:
    rates = [0.05 * rate / 0.25 for rate in training.learning_rate_per_step]
    chart = training_chart(dataclasses.replace(training, learning_rate_per_step=rates), 2)
    assert {"0.00", "0.02", "0.04"} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", chart))


def test_there_is_no_accuracy_before_the_first_epoch_ends(training: TrainingRun) -> None:
    chart = training_chart(dataclasses.replace(training, epochs=[]), None)
    assert ">loss<" in chart
    assert ">accuracy, %<" not in chart


def test_training_without_validation_has_one_line(training: TrainingRun) -> None:
    epochs = [dataclasses.replace(epoch, val_loss=None, val_accuracy=None) for epoch in training.epochs]
    chart = training_chart(dataclasses.replace(training, epochs=epochs), None)
    assert ">training<" in chart
    assert ">validation<" not in chart


@pytest.mark.parametrize("count", [2, 300, 301, 100_000])
def test_thinning_keeps_the_ends_and_the_extremes(count: int) -> None:
    y = np.random.default_rng(count).normal(size=count)
    kept_x, kept_y = thin(np.arange(count, dtype=float), y)
    assert len(kept_x) <= 300
    assert (kept_x[0], kept_x[-1]) == (0, count - 1)
    assert (kept_y.min(), kept_y.max()) == (y.min(), y.max())
    assert (np.diff(kept_x) > 0).all()


def test_thinning_leaves_out_what_is_not_finite() -> None:
    x, y = thin(np.arange(3.0), np.array([1.0, np.nan, 3.0]))
    assert (x.tolist(), y.tolist()) == ([0, 2], [1, 3])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-4, 1e1, [1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1]),
        (0.01, 0.06, [0.01, 0.02, 0.05]),
        (0.021, 0.022, [0.021, 0.022]),
        (1e-9, 1e9, [1e-9, 1e-6, 1e-3, 1e0, 1e3, 1e6, 1e9]),
    ],
)
def test_ticks_are_powers_of_ten_or_finer(low: float, high: float, ticks: list[float]) -> None:
    assert rate_ticks(low, high) == pytest.approx(ticks)


def test_axis_is_cut_half_a_descent_above_its_start(measured: RangeTestFacts) -> None:
    assert y_limit(measured, smooth_line(measured)) == 2.5 + 0.5 * (2.5 - 1.5)


def test_axis_is_not_cut_without_divergence(measured: RangeTestFacts) -> None:
    calm = dataclasses.replace(measured, losses=measured.trend)
    assert y_limit(calm, smooth_line(calm)) is None


def test_line_ends_where_the_losses_leave_it(measured: RangeTestFacts) -> None:
    assert len(smooth_line(measured)) == 53  # the losses double from step 52 on, and pass its top at step 53


def test_line_is_the_moving_average_without_a_trend(measured: RangeTestFacts) -> None:
    assert smooth_line(dataclasses.replace(measured, trend=[])).tolist() == measured.smoothed_losses


def test_best_epoch_is_the_first_of_equals(training: TrainingRun) -> None:
    equal = [dataclasses.replace(epoch, val_accuracy=0.5) for epoch in training.epochs]
    assert best_epoch(training.epochs) == 2
    assert best_epoch(equal) == 1
    assert best_epoch([]) is None
