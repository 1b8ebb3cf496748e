"""The ROC curve and the precision-recall curve of two classes, as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from lrdiag import formats
from lrdiag.record.binary_facts import Area, OperatingPoint
from lrdiag.report.charts import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 320


def roc_chart(curve: list[OperatingPoint], decision: OperatingPoint, area: Area) -> Markup:
    """Draws sensitivity over the share of false alarms, with the decision of the model and the line of chance.

    Args:
        curve: What each threshold gives, highest threshold first.
        decision: What the model decides.
        area: Area under the curve.
    """
    with svg.drawing(height=_HEIGHT, rows=[1]) as (figure, (axes,)):
        axes.plot([0, 100], [0, 100], color=svg.INK, linewidth=1, linestyle=(0, (4, 3)), gid=".diagonal")
        points = [(100 * (1 - each.specificity), 100 * each.sensitivity) for each in curve]
        axes.plot(*zip(*points, strict=True), color=svg.TRAINING, linewidth=1.6, gid=".roc")
        _mark(axes, 100 * (1 - decision.specificity), 100 * decision.sensitivity)
        _name(axes, "sensitivity, %", "false positive rate: 100 % − specificity")
        label = f"ROC curve, area under it {formats.percent(area.value)}. The table below has some of its points"
        return svg.to_page(figure, "roc", label)


def precision_chart(curve: list[OperatingPoint], decision: OperatingPoint, area: Area, prevalence: float) -> Markup:
    """Draws precision over sensitivity, with the decision of the model and the line of chance.

    Args:
        curve: See `roc_chart`.
        decision: See `roc_chart`.
        area: Area under the curve.
        prevalence: Share of the positive images.
    """
    with svg.drawing(height=_HEIGHT, rows=[1]) as (figure, (axes,)):
        chance = [100 * prevalence] * 2
        axes.plot([0, 100], chance, color=svg.INK, linewidth=1, linestyle=(0, (4, 3)), gid=".chance")
        known = [(100 * each.sensitivity, 100 * each.precision) for each in curve if each.precision is not None]
        points = [(0.0, known[0][1]), *known]
        axes.plot(
            *zip(*points, strict=True), color=svg.TRAINING, linewidth=1.6, drawstyle="steps-pre", gid=".precision"
        )
        if decision.precision is not None:
            _mark(axes, 100 * decision.sensitivity, 100 * decision.precision)
        _name(axes, "precision, %", "sensitivity (recall), %")
        label = f"Precision-recall curve, area under it {formats.percent(area.value)}"
        return svg.to_page(figure, "precision-recall", label)


def _mark(axes: Axes, x: float, y: float) -> None:
    axes.plot(
        [x],
        [y],
        color=svg.VALIDATION,
        marker="o",
        markersize=8,
        markeredgecolor=svg.PAPER,
        zorder=3,
        clip_on=False,
        gid=".decision",
    )


def _name(axes: Axes, vertical: str, horizontal: str) -> None:
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 101)
    axes.set_xlabel(horizontal)
    svg.name_axis(axes, vertical)
