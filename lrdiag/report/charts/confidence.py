"""The charts of the confidence, as SVG."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from markupsafe import Markup

from lrdiag import formats
from lrdiag.record.facts import Calibration, CalibrationBin
from lrdiag.report.charts import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OPAQUE, _FAINTEST = 0.8, 0.2
"""Opacity of a bar, and of a bar of few images."""
FEWEST = 5
"""With fewer images, the accuracy is a ring instead of a bar: one image alone would fill or empty the whole column."""


def reliability_chart(calibration: Calibration) -> Markup:
    """Draws accuracy over confidence as bars, with the diagonal and the number of images above each bar.

    Args:
        calibration: Calibration of one image or more.
    """
    with svg.drawing(height=264, rows=[1], top=54) as (figure, (axes,)):
        largest = max(each.count for each in calibration.bins)
        for each in calibration.bins:
            if each.count:
                _draw_accuracy(axes, each, sqrt(each.count / largest))
        axes.plot([0, 100], [0, 100], color=svg.INK, linewidth=1, linestyle=(0, (4, 3)), gid=".diagonal")
        axes.set_ylim(0, 100)
        axes.annotate("images", (0, 1), xycoords="axes fraction", xytext=(-46, 16), textcoords="offset points")
        svg.name_axis(axes, "accuracy, %", above=38)
        _name_confidence(axes)
        return svg.to_page(figure, "reliability", _reliability_label(calibration))


def _draw_accuracy(axes: Axes, facts: CalibrationBin, weight: float) -> None:
    accuracy = facts.right / facts.count
    if facts.count < FEWEST:
        _ring(axes, _middle(facts), 100 * accuracy)
    else:
        _bar(axes, facts, accuracy, svg.TRAINING, ".accuracy", _FAINTEST + (_OPAQUE - _FAINTEST) * weight)
    if facts.accuracy_low is not None and facts.accuracy_high is not None:
        ends = [100 * facts.accuracy_low, 100 * facts.accuracy_high]
        axes.plot([_middle(facts)] * 2, ends, color=svg.INK, linewidth=1, gid=".interval")
    axes.annotate(
        compact(facts.count),
        (_middle(facts), 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 16),
        textcoords="offset points",
        ha="center",
        gid=".number",
    )


def _ring(axes: Axes, x: float, y: float) -> None:
    axes.plot(
        [x],
        [y],
        color=svg.TRAINING,
        marker="o",
        markerfacecolor=svg.PAPER,
        markersize=5,
        zorder=3,
        clip_on=False,
        gid=".few",
    )


def _reliability_label(calibration: Calibration) -> str:
    return (
        f"Reliability diagram: accuracy over confidence in {len(calibration.bins)} bins; expected calibration error "
        f"{formats.percent(calibration.error)}. The table below has the numbers"
    )


def confidence_chart(calibration: Calibration) -> Markup:
    """Draws histograms of the confidence of correct and, below, of wrong predictions, on one scale.

    Args:
        calibration: Calibration of one image or more.
    """
    right = [each.right for each in calibration.bins]
    wrong = [each.count - each.right for each in calibration.bins]
    groups = [
        (name, counts, colour)
        for name, counts, colour in (("correct", right, svg.TRAINING), ("wrong", wrong, svg.VALIDATION))
        if sum(counts)
    ]
    with svg.drawing(height=50 + 112 * len(groups), rows=[1.0] * len(groups)) as (figure, charts):
        for axes, (name, counts, colour) in zip(charts, groups, strict=True):
            for each, count in zip(calibration.bins, counts, strict=True):
                if count:
                    _bar(axes, each, count / sum(counts), colour, f".{name}")
            svg.name_axis(axes, f"{name}: % of {formats.plural(sum(counts), 'image')}")
            axes.set_ylim(0, 105 * max(max(shares) / sum(shares) for _, shares, _ in groups))
            axes.locator_params(axis="y", nbins=4)
        _name_confidence(charts[-1])
        return svg.to_page(figure, "confidence", _confidence_label(sum(right), sum(wrong)))


def _confidence_label(right: int, wrong: int) -> str:
    return (
        f"Histograms of the confidence of {formats.plural(right, 'correct prediction')} and of "
        f"{formats.plural(wrong, 'wrong prediction')}. The table below has the numbers"
    )


def _bar(axes: Axes, facts: CalibrationBin, share: float, colour: str, gid: str, opacity: float = _OPAQUE) -> None:
    axes.bar(
        _middle(facts),
        100 * share,
        width=100 * (facts.high - facts.low),
        color=colour,
        alpha=opacity,
        edgecolor=svg.PAPER,
        linewidth=1,
        gid=gid,
    )


def _middle(facts: CalibrationBin) -> float:
    return 50 * (facts.low + facts.high)


def _name_confidence(axes: Axes) -> None:
    axes.set_xlim(0, 100)
    axes.set_xlabel("confidence, %")


def compact(count: int) -> str:
    """Formats a count in at most four characters: `999`, `1.2k`, `12k`, `1.2M`.

    >>> compact(999), compact(1234), compact(12_345), compact(1_234_567)
    ('999', '1.2k', '12k', '1.2M')
    """
    if count < 1000:
        return str(count)
    scaled, unit = (count / 1000, "k") if count < 999_500 else (count / 1e6, "M")
    return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
