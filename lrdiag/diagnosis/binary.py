"""Two classes: ROC and precision-recall curves, the areas under them, and thresholds for a cost or a share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from lrdiag.errors import DataError, SettingsError, require_choice
from lrdiag.formats import count, short
from lrdiag.intervals import auc_interval, wilson
from lrdiag.record.arrays import Predictions
from lrdiag.record.binary_facts import Area, BinaryFacts, OperatingPoint, Wish

POSITIVE = 1
"""The class that is called positive."""
COSTS = (1.0, 2.0, 5.0, 10.0)
SHARES = (0.9, 0.95, 0.99)
_MOST_POINTS = 500


def binary_facts(predictions: Predictions, names: tuple[str, ...]) -> BinaryFacts | None:
    """Computes how well two classes are told apart, or returns `None` if there are more.

    Args:
        predictions: Predictions for the test set.
        names: Name of each class.
    """
    if len(names) != 2:
        return None
    positive, scores = predictions.labels == POSITIVE, _scores(predictions)
    if reason := _reason(positive, scores, names):
        return BinaryFacts(POSITIVE, reason)
    curve = _Curve(positive, scores)
    hits = int(positive.sum())
    area, precision = curve.auc, curve.average_precision
    return BinaryFacts(
        POSITIVE,
        None,
        predictions.log_probabilities is not None,
        _decision(predictions.predicted == POSITIVE, positive),
        Area(area, *auc_interval(area, hits, len(positive) - hits)),
        Area(precision, *wilson(precision * hits, hits)),
        curve.thinned(),
        list(curve.wishes()),
    )


def operating_point(
    predictions: Predictions, names: tuple[str, ...], wanted: Mapping[str, float | None], positive: str | None
) -> OperatingPoint:
    """Returns the threshold that reaches what is wanted, and what it gives.

    Args:
        predictions: Predictions for the test set.
        names: Name of each class.
        wanted: A figure of `Wish` and its value. Values of the others are `None`.
        positive: Name of the class that is called positive, or `None` for the second one.

    Raises:
        SettingsError: If not exactly one value is given, or it is outside its range, or there is no such class.
        DataError: If there are not two classes, or no curve can be computed.
    """
    given = {figure: value for figure, value in wanted.items() if value is not None}
    if len(given) != 1:
        figures = ", ".join(f"`{each}`" for each in wanted)
        raise SettingsError(f"One of {figures} must be given. Received: {', '.join(given) or 'none'}")
    if len(names) != 2:
        raise DataError(f"A threshold belongs to two classes. Received: {len(names)} classes")
    if positive is not None:
        require_choice("positive", positive, names)
    ((figure, value),) = given.items()
    if not (value > 0 if figure == "cost" else 0 <= value <= 1):
        rule = "above 0" if figure == "cost" else "from 0 to 1"
        raise SettingsError(f"`{figure}` must be a number {rule}. Received: {value!r}")
    place = POSITIVE if positive is None else names.index(positive)
    is_positive, scores = predictions.labels == place, _scores(predictions, place)
    if reason := _reason(is_positive, scores, (names[1 - place], names[place])):
        raise DataError(f"A threshold needs images and scores of both classes. Received: {reason}")
    return _Curve(is_positive, scores).reaching(figure, value)


def _scores(predictions: Predictions, positive: int = POSITIVE) -> np.ndarray:
    """The probability of the positive class, or by how much its score is above the other one."""
    if predictions.log_probabilities is not None:
        return np.asarray(np.exp(predictions.log_probabilities[:, positive]))
    return np.asarray(predictions.ranking[:, positive] - predictions.ranking[:, 1 - positive])


def _reason(positive: np.ndarray, scores: np.ndarray, names: tuple[str, ...]) -> str | None:
    if positive.all() or not positive.any():
        return f"the test set has no image of {short(names[0 if positive.all() else 1])}"
    unknown = int(np.count_nonzero(~np.isfinite(scores)))
    return f"the scores of {count(unknown)} of {count(len(scores))} images are not finite" if unknown else None


def _decision(called: np.ndarray, positive: np.ndarray) -> OperatingPoint:
    return OperatingPoint(
        None,
        int((called & positive).sum()),
        int((called & ~positive).sum()),
        int((~called & ~positive).sum()),
        int((~called & positive).sum()),
    )


class _Curve:
    """What each threshold gives. The first one calls no image positive, each of the others one score more.

    Args:
        positive: `bool` of shape `(n,)`, with images of both classes.
        scores: `float64` of shape `(n,)`, finite.
    """

    def __init__(self, positive: np.ndarray, scores: np.ndarray) -> None:
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of images with the same score
        self._thresholds = ordered[last]
        self._hits = np.concatenate([[0], np.cumsum(positive[order])[last]])
        self._alarms = np.concatenate([[0], np.cumsum(~positive[order])[last]])
        self._positives, self._negatives = int(positive.sum()), int((~positive).sum())

    @property
    def auc(self) -> float:
        """Area under the ROC curve: the share of pairs of two images in the right order; equal scores count half.

        Counted in integers, so that it is exact.
        """
        twice = int((np.diff(self._alarms) * (self._hits[1:] + self._hits[:-1])).sum())
        return twice / (2 * self._positives * self._negatives)

    @property
    def average_precision(self) -> float:
        """Mean precision over the positive images, without interpolation, as scikit-learn computes it."""
        precision = self._hits[1:] / (self._hits[1:] + self._alarms[1:])
        return min(1.0, float((np.diff(self._hits) * precision).sum()) / self._positives)

    def point(self, place: int) -> OperatingPoint:
        """What one threshold gives."""
        hits, alarms = int(self._hits[place]), int(self._alarms[place])
        threshold = float(self._thresholds[place - 1]) if place else None
        return OperatingPoint(threshold, hits, alarms, self._negatives - alarms, self._positives - hits)

    def wishes(self) -> Iterator[Wish]:
        """The thresholds for some costs, specificities and sensitivities."""
        for ratio in COSTS:
            yield Wish("cost", ratio, self.reaching("cost", ratio))
        for share in SHARES:
            yield Wish("specificity", share, self.reaching("specificity", share))
        for share in SHARES:
            yield Wish("sensitivity", share, self.reaching("sensitivity", share))

    def reaching(self, figure: str, value: float) -> OperatingPoint:
        """The threshold that reaches the value of a figure of `Wish`."""
        if figure == "cost":
            cost = self._alarms + value * (self._positives - self._hits)
            return self.point(int(cost.argmin()))
        if figure == "specificity":
            allowed = self._negatives - self._alarms >= value * self._negatives - 1e-9
            return self.point(int(np.flatnonzero(allowed)[-1]))
        reached = self._hits >= value * self._positives - 1e-9
        return self.point(int(reached.argmax()))

    def thinned(self) -> list[OperatingPoint]:
        """The points that a drawing needs."""
        places = np.arange(len(self._hits))
        turns = np.flatnonzero((np.diff(self._hits)[1:] > 0) != (np.diff(self._hits)[:-1] > 0)) + 1
        if len(places) > _MOST_POINTS:
            corners = np.concatenate([places[:1], turns, places[-1:]])
            step = -(-len(corners) // _MOST_POINTS)
            places = np.unique(np.append(corners[::step], places[-1]))
        return [self.point(int(place)) for place in places]
