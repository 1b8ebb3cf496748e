"""Charts: they draw the numbers, in the colours of the page."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from lrdiag.drawing import thin
from lrdiag.intervals import wilson
from lrdiag.rate.plots import smooth_line, y_limit
from lrdiag.record.facts import Calibration, CalibrationBin, Epoch, RangeTestFacts, Run, TrainingRun
from lrdiag.report.charts.confidence import compact, confidence_chart, reliability_chart
from lrdiag.report.charts.range_test import range_test_chart, rate_ticks
from lrdiag.report.charts.training import loss_limit, training_chart, windows
from lrdiag.report.sections.training import best_epoch

LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 28.0, 42.0
"""The margins of every chart; see `lrdiag.report.charts.svg.drawing`."""
WIDTH = 480.0
NAMES = 84
"""The right margin of the training chart, for the names of its lines."""


class Frame(NamedTuple):
    """The position of a chart, in units of its drawing, and the range of its axes."""

    bottom: float
    top: float
    low: float
    high: float
    left: float = LEFT
    right: float = WIDTH - RIGHT
    first: float = 0.0
    last: float = 100.0

    def x(self, place: float) -> float:
        """The number at this horizontal position."""
        return self.first + (place - self.left) / (self.right - self.left) * (self.last - self.first)

    def y(self, place: float) -> float:
        """The number at this vertical position."""
        return self.low + (self.bottom - place) / (self.bottom - self.top) * (self.high - self.low)


class Box(NamedTuple):
    """The outline of a mark, in numbers of the axes or in units of the drawing."""

    left: float
    right: float
    bottom: float
    top: float


def texts(chart: str) -> list[str]:
    """The texts in the chart."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", chart)


def outlines(chart: str, kind: str) -> list[Box]:
    """The outline of every mark of a class, in units of the drawing; y grows downwards."""
    boxes = []
    for path in re.findall(rf'<g class="drawn-{kind}"> <path d="([^"]+)"', chart):
        points = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path)]
        across, down = points[::2], points[1::2]
        boxes.append(Box(min(across), max(across), max(down), min(down)))
    return boxes


def marks(chart: str, kind: str, frame: Frame) -> list[Box]:
    """The outline of every mark of a class, in numbers of the axes."""
    return [
        Box(frame.x(box.left), frame.x(box.right), frame.y(box.bottom), frame.y(box.top))
        for box in outlines(chart, kind)
    ]


def height(chart: str) -> float:
    """The height of the drawing."""
    found = re.search(r'viewBox="0 0 480 ([\d.]+)"', chart)
    assert found
    return float(found[1])


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
    return range_test_chart(measured), training_chart(training, 2)


def test_every_colour_is_a_colour_of_the_page(charts: tuple[str, str]) -> None:
    for chart in charts:
        assert not re.search(r"#[0-9a-f]{6}\b", chart)
        assert "currentColor" in chart
        assert "var(--training)" in chart
        assert "var(--validation)" in chart


def test_there_are_no_inline_styles_and_no_fonts(charts: tuple[str, str]) -> None:
    for chart in charts:
        assert not re.search("<style| style=", chart)
        assert "font-family" not in chart
        assert "font-size" not in chart


def test_ids_of_two_charts_differ(charts: tuple[str, str]) -> None:
    first, second = (set(re.findall(r' id="([^"]+)"', chart)) for chart in charts)
    assert first
    assert second
    assert not first & second


def test_every_reference_is_defined(charts: tuple[str, str]) -> None:
    for chart in charts:
        used = re.findall(r'(?:url\(#|href="#)([^")]+)', chart)
        assert used
        assert set(used) == set(re.findall(r' id="([^"]+)"', chart))


def test_rate_and_boundaries_are_in_the_chart(charts: tuple[str, str]) -> None:
    assert {"0.05", "0.01", "0.25", "0.0001", "10", "learning rate", "loss"} <= set(texts(charts[0]))


def test_lines_have_labels(charts: tuple[str, str]) -> None:
    written = texts(charts[1])
    assert written.count("training") == written.count("validation") == 2
    assert "best" in written


def test_numbers_on_an_axis_keep_their_digits(training: TrainingRun) -> None:
    rates = [0.05 * rate / 0.25 for rate in training.learning_rate_per_step]
    chart = training_chart(dataclasses.replace(training, learning_rate_per_step=rates), 2)
    assert {"0.00", "0.02", "0.04"} <= set(texts(chart))


def decades(test: RangeTestFacts) -> Frame:
    """The axis of the rates, in decades."""
    ends = np.log10([test.learning_rates[0], test.learning_rates[-1]])
    return Frame(0, 1, 0, 1, first=ends[0], last=ends[1])


def test_the_shaded_band_spans_the_boundaries(measured: RangeTestFacts) -> None:
    (band,) = marks(range_test_chart(measured), "boundaries", decades(measured))
    assert 10**band.left == pytest.approx(0.01, rel=0.01)
    assert 10**band.right == pytest.approx(0.25, rel=0.01)


def test_the_suggestion_is_marked_on_the_line_with_its_interval(measured: RangeTestFacts) -> None:
    repeated = dataclasses.replace(measured, repeats=3, suggestion_low=0.02, suggestion_high=0.125)
    chart, axis = range_test_chart(repeated), decades(measured)
    (interval,) = marks(chart, "interval", axis)
    assert (10**interval.left, 10**interval.right) == pytest.approx((0.02, 0.125), rel=0.01)
    x, y = map(float, re.search(r'class="drawn-suggestion">.*?<use [^>]*x="([\d.]+)" y="([\d.]+)"', chart).groups())
    assert 10 ** axis.x(x) == pytest.approx(0.05, rel=0.01)
    (bar,) = outlines(chart, "interval")
    assert bar.top == bar.bottom == pytest.approx(y, abs=0.1)
    # the line falls from 2.5 to 1.5 over 16 of the 59 steps between 1e-4 and 10, and the axis is cut at 3
    expected = 2.5 - (59 / 5 * (np.log10(0.05) + 4) - 24) / 16
    lowest = min(measured.losses)
    margin = 0.05 * (3 - lowest)
    frame = Frame(height(chart) - BOTTOM, TOP, lowest - margin, 3 + margin)
    assert frame.y(y) == pytest.approx(expected, abs=0.01)
    assert "single sweeps from 0.02 to 0.12" in chart


def test_one_sweep_has_no_interval(measured: RangeTestFacts) -> None:
    assert outlines(range_test_chart(measured), "interval") == []


def test_without_a_suggestion_nothing_is_marked(measured: RangeTestFacts) -> None:
    unread = dataclasses.replace(measured, trend=[], suggestion=None, base_lr=None, max_lr=None)
    chart = range_test_chart(unread)
    assert outlines(chart, "boundaries") == []
    assert "drawn-suggestion" not in chart
    assert "no suggestion" in chart


def test_accuracy_has_its_own_chart_if_it_was_measured(measured: RangeTestFacts) -> None:
    accuracies = np.linspace(0.1, 0.7, 60).tolist()
    alone, both = range_test_chart(measured), range_test_chart(dataclasses.replace(measured, accuracies=accuracies))
    assert "accuracy, %" not in texts(alone)
    assert "accuracy, %" in texts(both)
    assert len(outlines(both, "boundaries")) == 2
    (line,) = outlines(both, "accuracy")
    frame = Frame(height(both) - BOTTOM, 0, 0, 100)  # a straight rise stays straight, from 10 % to 70 %
    assert (line.left, line.right) == (LEFT, WIDTH - RIGHT)
    assert (frame.bottom - line.bottom) / (frame.bottom - line.top) == pytest.approx(10 / 70, abs=0.01)


def test_few_accuracies_are_not_smoothed(measured: RangeTestFacts) -> None:
    few = RangeTestFacts([1e-3, 1e-2, 1e-1], [2.0, 1.5, 1.0], [2.0, 1.8, 1.5], "why", accuracies=[0.0, 0.0, 0.0])
    chart = range_test_chart(few)
    assert "accuracy, %" in texts(chart)
    assert outlines(chart, "accuracy") == []


def test_the_losses_are_those_that_the_rates_were_read_from(measured: RangeTestFacts) -> None:
    """The rates are read from the validation losses if they were measured. Line and axis show them too."""
    lifted = dataclasses.replace(
        measured,
        trend=[loss + 1 for loss in measured.trend],
        val_losses=[loss + 1 for loss in measured.losses],
    )
    chart, plain = range_test_chart(lifted), range_test_chart(measured)
    assert "validation loss" in texts(chart)
    assert "loss" in texts(plain)
    assert outlines(chart, "smoothed") == outlines(plain, "smoothed")  # a unit higher, as is the axis
    assert "4.0" in set(texts(chart)) - set(texts(plain))


def test_momentum_has_a_chart_if_it_changed(training: TrainingRun) -> None:
    momentum = [0.95 - 0.1 * step / 23 for step in range(24)]
    chart = training_chart(dataclasses.replace(training, momentum_per_step=momentum), 2)
    assert "momentum" in texts(chart)
    assert "momentum" not in texts(training_chart(training, 2))
    (line,), (rate,) = outlines(chart, "momentum"), outlines(chart, "rate")
    axis = Frame(0, 1, 0, 1, right=WIDTH - NAMES, last=3)
    assert (axis.x(line.left), axis.x(line.right)) == pytest.approx((1 / 8, 3), abs=0.01)
    assert (line.left, line.right) == (rate.left, rate.right)
    assert line.top > rate.bottom  # below it


@pytest.mark.parametrize("epochs", [0, 3])
def test_the_rate_is_drawn_step_by_step(training: TrainingRun, epochs: int) -> None:
    chart = training_chart(dataclasses.replace(training, epochs=training.epochs[:epochs]), None)
    (rate,) = outlines(chart, "rate")
    axis = Frame(0, 1, 0, 1, right=WIDTH - NAMES, last=3)
    assert (axis.x(rate.left), axis.x(rate.right)) == pytest.approx((1 / 8, 3), abs=0.01)
    highest, lowest = max(training.learning_rate_per_step), min(training.learning_rate_per_step)
    ground = height(chart) - BOTTOM
    assert (ground - rate.bottom) / (ground - rate.top) == pytest.approx(lowest / highest, abs=0.01)


def test_the_same_numbers_give_the_same_bytes(measured: RangeTestFacts, training: TrainingRun) -> None:
    assert range_test_chart(measured) == range_test_chart(measured)
    assert training_chart(training, 2) == training_chart(training, 2)


def test_there_is_no_accuracy_before_the_first_epoch_ends(training: TrainingRun) -> None:
    chart = training_chart(dataclasses.replace(training, epochs=[]), None)
    assert ">loss<" in chart
    assert ">accuracy, %<" not in chart


def test_training_without_validation_has_one_line(training: TrainingRun) -> None:
    epochs = [dataclasses.replace(epoch, val_loss=None, val_accuracy=None) for epoch in training.epochs]
    chart = training_chart(dataclasses.replace(training, epochs=epochs), None)
    assert ">training<" in chart
    assert ">validation<" not in chart


def epochs_of(*figures: tuple[float | None, float | None, float | None, float | None]) -> TrainingRun:
    """A training run of which only the epochs are known: loss, accuracy, and both of validation."""
    epochs = [Epoch(loss, accuracy, val_loss, val_accuracy, None) for loss, accuracy, val_loss, val_accuracy in figures]
    return TrainingRun(epochs, [], [], 1, len(epochs), "", "", None, None)


def label(chart: str) -> str:
    return re.search('aria-label="([^"]*)"', chart)[1].replace("\u00a0", " ")


def test_missing_measurements_have_no_row() -> None:
    bare = epochs_of((2.0, None, None, None), (1.0, None, None, None))
    chart = training_chart(bare, None)
    assert {"loss", "epoch", "training"} <= set(texts(chart))
    assert not {"accuracy, %", "learning rate", "momentum", "validation"} & set(texts(chart))
    assert label(chart) == "Loss over 2 epochs"


def test_the_label_names_the_curves(training: TrainingRun) -> None:
    assert label(training_chart(training, 2)) == (
        "Loss, accuracy and learning rate over 3 epochs; at the end training accuracy 75.0 %, validation 62.5 %"
    )
    moving = dataclasses.replace(training, momentum_per_step=[0.9] * 24, epochs=[])
    assert label(training_chart(moving, None)) == "Loss, learning rate and momentum over 0 epochs"
    alone = epochs_of((2.0, 0.5, None, None))
    assert label(training_chart(alone, None)) == (
        "Loss and accuracy over 1 epoch; at the end training accuracy 50.0 %, validation not measured"
    )


def test_an_epoch_that_was_not_measured_is_a_gap() -> None:
    """The name of the line is at its last number. A curve without numbers has no name."""
    chart = training_chart(epochs_of((2.0, 0.5, None, None), (None, None, None, None), (1.0, 0.75, 1.5, None)), None)
    written = texts(chart)
    assert (written.count("training"), written.count("validation")) == (2, 1)
    assert "nan" not in chart.lower()


def test_validation_alone_is_drawn() -> None:
    chart = training_chart(epochs_of((2.0, None, 1.0, 0.5), (1.0, None, 1.0, 0.75)), 2)
    assert "accuracy, %" in texts(chart)
    assert texts(chart).count("validation") == 2
    assert label(chart) == "Loss and accuracy over 2 epochs"


def test_losses_that_are_never_finite_are_not_drawn() -> None:
    chart = training_chart(epochs_of((None, 0.5, None, None), (None, 0.5, None, None)), None)
    assert "nan" not in chart.lower()
    assert texts(chart).count("training") == 1


def test_rates_of_epochs_are_drawn_at_their_ends() -> None:
    training = dataclasses.replace(epochs_of(*[(1.0, None, None, None)] * 3), learning_rate_per_step=[0.1, 0.05, 0.025])
    chart = training_chart(training, None)
    (rate,) = outlines(chart, "rate")
    axis = Frame(0, 1, 0, 1, right=WIDTH - NAMES, last=3)
    assert (axis.x(rate.left), axis.x(rate.right)) == pytest.approx((1, 3), abs=0.01)
    ground = height(chart) - BOTTOM
    assert (ground - rate.bottom) / (ground - rate.top) == pytest.approx(0.25, abs=0.01)


def test_a_single_rate_has_a_marker() -> None:
    one = dataclasses.replace(epochs_of((1.0, None, None, None)), learning_rate_per_step=[0.1])
    assert re.search(r'class="drawn-rate">.*?<use ', training_chart(one, None))
    two = dataclasses.replace(one, learning_rate_per_step=[0.1, 0.1])
    assert not re.search(r'class="drawn-rate">[^g]*?<use ', training_chart(two, None))


def test_losses_of_steps_need_no_rates(training: TrainingRun) -> None:
    chart = training_chart(dataclasses.replace(training, learning_rate_per_step=[]), 2)
    assert "learning rate" not in texts(chart)
    assert "loss" in texts(chart)


@pytest.mark.parametrize("count", [2, 300, 301, 100_000])
def test_thinning_keeps_the_ends_and_the_extremes(count: int) -> None:
    y = np.random.default_rng(count).normal(size=count)
    kept_x, kept_y = thin(np.arange(count, dtype=float), y)
    assert len(kept_x) <= 300
    assert (kept_x[0], kept_x[-1]) == (0, count - 1)
    assert (kept_y.min(), kept_y.max()) == (y.min(), y.max())
    assert (np.diff(kept_x) > 0).all()


def test_thinning_leaves_out_values_that_are_not_finite() -> None:
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
    assert y_limit(measured) == 2.5 + 0.5 * (2.5 - 1.5)


def test_axis_is_not_cut_without_divergence(measured: RangeTestFacts) -> None:
    calm = dataclasses.replace(measured, losses=measured.trend)
    assert y_limit(calm) is None


def test_a_sweep_that_begins_at_a_rate_of_zero_is_drawn_from_its_first_positive_rate() -> None:
    rates = [0.0, *np.geomspace(1e-3, 1, 30)]
    losses = [2.0] * 31
    test = RangeTestFacts(rates, losses, losses, "it ended", accuracies=[0.5] * 31)
    assert {"0.001", "1"} <= set(texts(range_test_chart(test)))


def test_line_ends_where_the_losses_leave_it(measured: RangeTestFacts) -> None:
    assert len(smooth_line(measured)) == 53  # the losses double from step 52 on, and pass its top at step 53


def test_line_ends_where_it_exceeds_its_start(measured: RangeTestFacts) -> None:
    """The median of a divergence may fall again, which has no meaning."""
    trend = [*measured.trend[:50], *[9.0] * 5, *[1.0 + 1.0] * 5]
    losses = [*measured.losses[:50], *[9.0] * 5, *[2.0] * 5]
    assert len(smooth_line(dataclasses.replace(measured, trend=trend, losses=losses))) == 51


def test_line_is_the_moving_average_without_a_trend(measured: RangeTestFacts) -> None:
    assert smooth_line(dataclasses.replace(measured, trend=[])).tolist() == measured.smoothed_losses


def batches(losses: np.ndarray, steps_per_epoch: int = 100, epochs: int = 0) -> TrainingRun:
    """A training run with these losses of its batches; NaN is recorded as `None`."""
    recorded = [None if np.isnan(loss) else float(loss) for loss in losses]
    each = Epoch(1.0, 0.5, 1.5, 0.5, 1.0)
    return TrainingRun([each] * epochs, [], recorded, steps_per_epoch, 5, "", "", None, None)


class TestBatches:
    def test_windows_have_median_and_percentiles_of_their_batches(self) -> None:
        found = windows(batches(np.tile(np.arange(1.0, 12.0), 10)))  # 110 batches, in windows of ten
        assert found
        assert (found.size, len(found.medians)) == (10, 11)
        assert (found.medians[0], found.low[0], found.high[0]) == (5.5, 2, 9)
        assert found.middles[:2] == pytest.approx([5.5 / 100, 15.5 / 100])

    def test_there_are_at_most_120_windows(self) -> None:
        found = windows(batches(np.ones(12_345)))
        assert found
        assert (found.size, len(found.medians)) == (103, 120)
        last = 12_345 - 119 * 103
        assert found.middles[-1] == pytest.approx((119 * 103 + (1 + last) / 2) / 100)

    def test_losses_that_are_not_finite_are_left_out(self) -> None:
        losses = np.repeat([1.0, np.nan, 3.0, 4.0, 5.0], 10)
        losses[0] = np.nan
        found = windows(batches(losses))
        assert found
        np.testing.assert_array_equal(found.medians, [1, np.nan, 3, 4, 5])

    def test_few_batches_are_points(self) -> None:
        assert windows(batches(np.ones(40))) is None
        few, many = training_chart(batches(np.ones(40)), None), training_chart(batches(np.ones(41)), None)
        assert ("drawn-points" in few, "drawn-median" in few, "drawn-band" in few) == (True, False, False)
        assert ("drawn-points" in many, "drawn-median" in many, "drawn-band" in many) == (False, True, True)

    def test_the_band_is_drawn_from_the_10th_to_the_90th_percentile(self) -> None:
        """Of the ten batches of each window one has the loss 0, one 1, six 5, one 9 and one 10."""
        chart = training_chart(batches(np.tile([0.0, 1.0, *[5.0] * 6, 9.0, 10.0], 20)), None)
        (median,) = outlines(chart, "median")
        band, offset = re.search(
            r'drawn-band"> <defs> <path id="\S+" d="([^"]+)".*?<use [^>]* y="([\d.]+)"', chart
        ).groups()
        points = np.array(re.findall(r"-?\d+(?:\.\d+)?", band), float).reshape(-1, 2) + np.array([0, float(offset)])
        frame = Frame(height(chart) - BOTTOM, TOP, 1 - 0.4, 9 + 0.4, right=WIDTH - NAMES, last=2)
        assert (frame.x(points[:, 0].min()), frame.x(points[:, 0].max())) == pytest.approx((0.055, 1.955), abs=0.01)
        assert (frame.y(points[:, 1].max()), frame.y(points[:, 1].min())) == pytest.approx((1, 9), abs=0.05)
        assert frame.y(median.top) == frame.y(median.bottom) == pytest.approx(5, abs=0.05)

    def test_an_ordinary_run_is_shown_completely(self) -> None:
        assert loss_limit(batches(np.geomspace(2.5, 0.3, 500))) is None

    def test_divergence_does_not_flatten_the_rest(self) -> None:
        losses = np.concatenate([np.linspace(2, 1, 495), [1e6] * 5])
        assert loss_limit(batches(losses)) == pytest.approx(1 + 1.5 * (np.quantile(losses, 0.98) - 1))

    def test_every_epoch_is_within_the_axis(self) -> None:
        run = batches(np.concatenate([np.full(495, 0.5), [1e6] * 5]), epochs=1)
        assert loss_limit(run) == 0.5 + 1.5 * (1.5 - 0.5)

    def test_an_outlier_that_is_not_drawn_does_not_end_the_axis(self) -> None:
        losses = np.ones(500)
        losses[250] = 1e6
        assert loss_limit(batches(losses)) is None

    def test_without_losses_of_batches_the_axis_has_no_limit(self) -> None:
        assert loss_limit(batches(np.array([]), epochs=2)) is None
        assert loss_limit(batches(np.full(500, np.nan), epochs=2)) is None


def test_the_best_epoch_is_the_first_of_equal_ones(training: TrainingRun) -> None:
    equal = [dataclasses.replace(epoch, val_accuracy=0.5) for epoch in training.epochs]
    assert best_epoch(training.epochs) == 2
    assert best_epoch(equal) == 1
    assert best_epoch([]) is None


def calibration(**filled: tuple[int, int]) -> Calibration:
    """Fifteen bins, of which `bin_3=(40, 30)` holds forty images, thirty of them classified correctly."""
    counts = {int(name.removeprefix("bin_")): held for name, held in filled.items()}
    bins = [
        CalibrationBin(place / 15, (place + 1) / 15, *counts[place], (place + 0.5) / 15, *wilson(*counts[place][::-1]))
        if place in counts
        else CalibrationBin(place / 15, (place + 1) / 15, 0, 0, None)
        for place in range(15)
    ]
    return Calibration(0.125, bins)


THREE_BINS = calibration(bin_3=(40, 10), bin_9=(200, 150), bin_14=(12_345, 12_345))


@pytest.fixture(scope="module")
def chart() -> str:
    return reliability_chart(THREE_BINS)


@pytest.fixture(scope="module")
def frame(chart: str) -> Frame:
    return Frame(height(chart) - BOTTOM, 54, 0, 100)


class TestReliability:
    def test_a_bar_is_as_wide_as_its_bin_and_as_high_as_its_accuracy(self, chart: str, frame: Frame) -> None:
        bars = marks(chart, "accuracy", frame)
        assert [(bar.left, bar.right) for bar in bars] == [
            pytest.approx((100 * place / 15, 100 * (place + 1) / 15), abs=0.05) for place in (3, 9, 14)
        ]
        assert [(bar.bottom, bar.top) for bar in bars] == [
            pytest.approx((0, share), abs=0.05) for share in (25, 75, 100)
        ]

    def test_a_bar_has_its_interval(self, chart: str, frame: Frame) -> None:
        lines = marks(chart, "interval", frame)
        expected = [wilson(10, 40), wilson(150, 200), wilson(12_345, 12_345)]
        assert [(line.bottom, line.top) for line in lines] == [
            pytest.approx((100 * low, 100 * high), abs=0.06) for low, high in expected
        ]
        assert all(line.left == line.right for line in lines)

    def test_the_diagonal_is_where_both_are_equal(self, chart: str, frame: Frame) -> None:
        (line,) = marks(chart, "diagonal", frame)
        assert line == pytest.approx((0, 100, 0, 100))

    def test_every_bar_has_the_number_of_images_above_it(self, chart: str, frame: Frame) -> None:
        numbers = re.findall(r'<g class="drawn-number"> <text[^>]* x="([\d.]+)"[^>]*>([^<]*)<', chart)
        assert [number for _, number in numbers] == ["40", "200", "12k"]
        assert [frame.x(float(x)) for x, _ in numbers] == pytest.approx([350 / 15, 950 / 15, 1450 / 15], abs=0.1)
        assert "images" in texts(chart)

    def test_a_bar_of_fewer_images_is_fainter(self, chart: str) -> None:
        opacities = [float(found) for found in re.findall(r'drawn-accuracy">.*?opacity="([\d.]+)"', chart)]
        expected = [0.2 + 0.6 * (count / 12_345) ** 0.5 for count in (40, 200, 12_345)]
        assert opacities == pytest.approx(expected, abs=1e-5)

    def test_the_label_for_screen_readers_has_the_error(self, chart: str) -> None:
        assert "expected calibration error 12.5\u00a0%" in re.search('aria-label="([^"]*)"', chart)[1]

    @pytest.mark.parametrize(("count", "bars"), [(4, 0), (5, 1)])
    def test_few_images_have_a_ring_instead_of_a_bar(self, count: int, bars: int) -> None:
        chart = reliability_chart(calibration(bin_8=(count, count)))
        assert len(outlines(chart, "accuracy")) == bars
        assert ("drawn-few" in chart) == (not bars)
        assert str(count) in texts(chart)


class TestHistogram:
    def test_bars_are_shares_of_their_own_answers_on_one_scale(self) -> None:
        """25 of 100 correct predictions and 25 of 50 wrong ones, then the rest: on one scale 1 : 3 and 2 : 2."""
        chart = confidence_chart(calibration(bin_3=(50, 25), bin_14=(100, 75)))
        right, wrong = outlines(chart, "correct"), outlines(chart, "wrong")
        heights = np.array([bar.bottom - bar.top for bar in (*right, *wrong)])
        assert heights / heights[0] == pytest.approx([1, 3, 2, 2], abs=0.02)
        axis = Frame(0, 1, 0, 1)
        assert [axis.x(bar.left) for bar in right] == pytest.approx([20, 100 * 14 / 15], abs=0.05)
        assert [bar.left for bar in wrong] == [bar.left for bar in right]
        assert {"correct: % of 100 images", "wrong: % of 50 images"} <= set(texts(chart))

    @pytest.mark.parametrize(("right", "there", "missing"), [(7, "correct", "wrong"), (0, "wrong", "correct")])
    def test_missing_kinds_of_predictions_have_no_chart(self, right: int, there: str, missing: str) -> None:
        chart = confidence_chart(calibration(bin_8=(7, right)))
        assert f"{there}: % of 7 images" in texts(chart)
        assert len(outlines(chart, there)) == 1
        assert f"drawn-{missing}" not in chart

    def test_a_single_image_is_drawn(self) -> None:
        chart = confidence_chart(calibration(bin_8=(1, 1)))
        assert "correct: % of 1 image" in texts(chart)
        (bar,) = outlines(chart, "correct")
        axis = Frame(height(chart) - BOTTOM, TOP, 0, 105)
        assert axis.y(bar.top) == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("draw_it", [reliability_chart, confidence_chart])
def test_charts_of_confidence_use_the_colours_of_the_page(draw_it: Callable[[Calibration], str]) -> None:
    chart = draw_it(THREE_BINS)
    assert chart == draw_it(THREE_BINS)
    assert not re.search(r"#[0-9a-f]{6}\b|<style| style=|font-size|font-family", chart)
    assert "var(--training)" in chart
    used = re.findall(r'(?:url\(#|href="#)([^")]+)', chart)
    assert set(used) == set(re.findall(r' id="([^"]+)"', chart))


@pytest.mark.parametrize(
    ("count", "written"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (9949, "9.9k"), (9951, "10k"), (999_499, "999k"), (999_500, "1.0M")],
)
def test_a_count_has_at_most_four_characters(count: int, written: str) -> None:
    assert compact(count) == written
