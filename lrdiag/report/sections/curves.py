"""How well two classes are told apart, at every threshold."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lrdiag import formats
from lrdiag.intervals import wilson
from lrdiag.record.binary_facts import Area, BinaryFacts, OperatingPoint, Wish
from lrdiag.record.facts import Run
from lrdiag.report.charts.cache import drawn
from lrdiag.report.charts.curves import precision_chart, roc_chart


@dataclass(frozen=True)
class Row:
    """A threshold and what it gives, in words.

    Attributes:
        name: Why this threshold.
        threshold: The threshold.
        sensitivity: With its 95 % interval.
        specificity: With its 95 % interval.
        precision: Precision.
        wrong: False negatives and false positives.
    """

    name: str
    threshold: str
    sensitivity: str
    specificity: str
    precision: float | None
    wrong: tuple[int, int]


@dataclass(frozen=True)
class Curves:
    """Two curves and a table of thresholds.

    Attributes:
        sentence: The areas under the curves, or why they were not computed.
        positive: Name of the class that is called positive.
        negative: Name of the other class.
        is_probability: Whether thresholds are probabilities.
        rows: The decision of the model, then the thresholds for a cost or a share.
        roc: The ROC curve, or `None`.
        precision: The precision-recall curve, or `None`.
    """

    sentence: str
    positive: str
    negative: str
    is_probability: bool = True
    rows: tuple[Row, ...] = ()
    roc: Markup | None = None
    precision: Markup | None = None


def build(run: Run) -> Curves | None:
    """Computes the content of the section; `None` if there are more than two classes, or for an older run."""
    facts, names = run.diagnosis.binary, run.diagnosis.dataset.classes
    if facts is None:
        return None
    positive, negative = (formats.short(names[index]) for index in (facts.positive, 1 - facts.positive))
    decision, auc, average_precision = facts.decision, facts.auc, facts.average_precision
    if decision is None or auc is None or average_precision is None:
        return Curves(f"The curves were not computed: {facts.reason}.", positive, negative)
    positives = decision.true_positives + decision.false_negatives
    share = positives / (positives + decision.true_negatives + decision.false_positives)
    return Curves(
        f"Area under the ROC curve {_area(auc)}, under the precision-recall curve {_area(average_precision)}, "
        f"where chance gives {formats.percent(0.5)} and {formats.percent(share)}.",
        positive,
        negative,
        facts.is_probability,
        tuple(_rows(facts, decision)),
        drawn("roc", (facts.curve, decision, auc), lambda: roc_chart(facts.curve, decision, auc)),
        drawn(
            "precision-recall",
            (facts.curve, decision, average_precision, share),
            lambda: precision_chart(facts.curve, decision, average_precision, share),
        ),
    )


def _area(area: Area) -> str:
    return f"{formats.percent(area.value)} (95\u00a0% interval {_span(area.low, area.high)})"


def _span(low: float, high: float) -> str:
    return f"{100 * low:.1f}\u2060–\u2060{100 * high:.1f}"


def _rows(facts: BinaryFacts, decision: OperatingPoint) -> list[Row]:
    model = "0.5" if facts.is_probability else "0"
    return [_row("decision of the model", decision, model), *(_row(_name(each), each.point) for each in facts.wishes)]


def _name(wish: Wish) -> str:
    if wish.figure == "cost":
        if wish.value == 1:
            return "lowest cost, both errors cost the same"
        return f"lowest cost, a false negative costs {wish.value:g} ×"
    return f"{wish.figure} at least {100 * wish.value:g}\u00a0%"


def _row(name: str, point: OperatingPoint, threshold: str | None = None) -> Row:
    positives = point.true_positives + point.false_negatives
    negatives = point.true_negatives + point.false_positives
    shown = "none" if point.threshold is None else f"{point.threshold:.4g}"
    return Row(
        name,
        threshold or shown,
        _share(point.true_positives, positives),
        _share(point.true_negatives, negatives),
        point.precision,
        (point.false_negatives, point.false_positives),
    )


def _share(hits: int, trials: int) -> str:
    return f"{formats.percent(hits / trials)} ({_span(*wilson(hits, trials))})"
