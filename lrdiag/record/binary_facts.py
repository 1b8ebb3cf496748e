"""Facts of a problem with two classes, a part of report.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lrdiag.record.ranges import Count, Index, Number, Share, Text


@dataclass(frozen=True)
class OperatingPoint:
    """Test images that a threshold tells apart.

    Attributes:
        threshold: Images with this score or a higher one are called positive; `None` if no image is, or if the decision
            is that of the model.
        true_positives: Number of positive images that are called positive.
        false_positives: Number of negative images that are called positive.
        true_negatives: Number of negative images that are called negative.
        false_negatives: Number of positive images that are called negative.
    """

    threshold: Number | None
    true_positives: Count
    false_positives: Count
    true_negatives: Count
    false_negatives: Count

    @property
    def sensitivity(self) -> float:
        """Share of the positive images that are called positive: their recall."""
        return self.true_positives / (self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        """Share of the negative images that are called negative."""
        return self.true_negatives / (self.true_negatives + self.false_positives)

    @property
    def precision(self) -> float | None:
        """Share of the images called positive that are; `None` if none is."""
        called = self.true_positives + self.false_positives
        return self.true_positives / called if called else None


@dataclass(frozen=True)
class Area:
    """Area under a curve, with a 95 % interval."""

    value: Share
    low: Share
    high: Share


@dataclass(frozen=True)
class Wish:
    """What a threshold must reach, and the threshold that does.

    Attributes:
        figure: `"cost"`: the lowest total cost, if a false negative costs `value` times as much as a false positive.
            `"specificity"` and `"sensitivity"`: at least `value`, with the other one as high as possible.
        value: The ratio or the share.
        point: The threshold and what it gives on the test set, on which it was chosen.
    """

    figure: Literal["cost", "specificity", "sensitivity"]
    value: Number
    point: OperatingPoint


@dataclass(frozen=True)
class BinaryFacts:
    """How well two classes are told apart, at every threshold.

    Attributes:
        positive: The class that is called positive: the second one, which a single sigmoid unit gives the probability
            of.
        reason: Why the rest was not computed, or `None`.
        is_probability: Whether thresholds are probabilities. Otherwise they are differences of two scores.
        decision: What the model decides; `None` if it was not computed, as all that follows.
        auc: Area under the ROC curve.
        average_precision: Area under the precision-recall curve.
        curve: Some of the thresholds, highest first, which are enough to draw both curves; 501 at most.
        wishes: Thresholds for a cost, a specificity or a sensitivity.
    """

    positive: Index
    reason: Text | None = None
    is_probability: bool = True
    decision: OperatingPoint | None = None
    auc: Area | None = None
    average_precision: Area | None = None
    curve: list[OperatingPoint] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
