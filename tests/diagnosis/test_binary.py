"""Two classes: exact areas with ties, thresholds, and why something is not computed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from lrdiag.diagnosis.binary import binary_facts, operating_point
from lrdiag.errors import DataError, LrdiagError, SettingsError
from lrdiag.intervals import auc_interval
from lrdiag.record.arrays import Predictions
from lrdiag.record.binary_facts import BinaryFacts

NAMES = ("healthy", "ill")


def facts_of(positive: list[int] | np.ndarray, probabilities: list[float] | np.ndarray) -> BinaryFacts:
    second = np.asarray(probabilities, float)
    scores = np.log(np.stack([1 - second, second], axis=1))
    facts = binary_facts(Predictions(scores, np.asarray(positive)), NAMES)
    assert facts is not None
    return facts


def test_areas_with_ties_by_hand() -> None:
    """Pairs in the right order: (0.9, 0.4), (0.9, 0.1), (0.4, 0.1); one tie, (0.4, 0.4), counts half."""
    facts = facts_of([1, 1, 0, 0], [0.9, 0.4, 0.4, 0.1])
    assert facts.auc is not None
    assert facts.average_precision is not None
    assert facts.auc.value == 3.5 / 4
    assert facts.average_precision.value == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_areas_are_those_of_scikit_learn(digits: int) -> None:
    generator = np.random.default_rng(digits)
    labels = generator.integers(0, 2, 900)
    scores = np.round(1 / (1 + np.exp(-generator.normal(labels, 1))), digits).clip(0.01, 0.99)
    facts = facts_of(labels, scores)
    assert facts.auc is not None
    assert facts.average_precision is not None
    assert facts.auc.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert facts.average_precision.value == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert facts.auc.low < facts.auc.value < facts.auc.high
    assert len(facts.curve) <= 501
    assert facts.curve[-1].sensitivity == 1


def test_the_decision_of_the_model_and_the_thresholds() -> None:
    facts = facts_of([1, 1, 1, 0, 0, 0], [0.9, 0.6, 0.2, 0.7, 0.3, 0.1])
    decision = facts.decision
    assert decision is not None
    assert (decision.true_positives, decision.false_positives) == (2, 1)
    assert (decision.sensitivity, decision.specificity, decision.precision) == (2 / 3, 2 / 3, 2 / 3)
    chosen = {(each.figure, each.value): each.point.threshold for each in facts.wishes}
    assert chosen["cost", 1.0] == pytest.approx(0.9)  # 2 errors; so have 0.6 and 0.2, which come later
    assert chosen["cost", 10.0] == pytest.approx(0.2)
    assert chosen["specificity", 0.95] == pytest.approx(0.9)
    assert chosen["sensitivity", 0.95] == pytest.approx(0.2)


def test_no_threshold_is_high_enough() -> None:
    facts = facts_of([0, 1], [0.9, 0.1])
    chosen = {(each.figure, each.value): each.point for each in facts.wishes}
    assert chosen["specificity", 0.99].threshold is None
    assert chosen["specificity", 0.99].sensitivity == 0


@pytest.mark.parametrize(
    ("labels", "probabilities", "reason"),
    [
        ([1, 1], [0.1, 0.9], "the test set has no image of healthy"),
        ([0, 0], [0.1, 0.9], "the test set has no image of ill"),
        ([0, 1], [np.nan, 0.9], "the scores of 1 of 2 images are not finite"),
    ],
)
def test_says_why_it_is_not_computed(labels: list[int], probabilities: list[float], reason: str) -> None:
    facts = facts_of(labels, probabilities)
    assert (facts.reason, facts.auc, facts.curve) == (reason, None, [])


def test_scores_without_probabilities_are_compared_with_each_other() -> None:
    scores = np.array([[0.0, 3.0], [1.0, 0.0], [0.0, -1.0]])
    facts = binary_facts(Predictions(None, np.array([1, 0, 1]), scores), NAMES)
    assert facts is not None
    assert facts.auc is not None
    assert not facts.is_probability
    assert facts.auc.value == 0.5 + 0.25


def test_three_classes_have_no_curves() -> None:
    assert binary_facts(Predictions(np.zeros((2, 3)), np.array([0, 1])), ("a", "b", "c")) is None


def test_the_interval_covers_95_percent() -> None:
    generator = np.random.default_rng(0)
    true, hits = 0.7602, 0  # Phi(1 / sqrt(2))
    for _ in range(300):
        labels = np.arange(60) % 2
        area = roc_auc_score(labels, generator.normal(labels, 1))
        low, high = auc_interval(area, 30, 30)
        hits += low <= true <= high
    assert 0.92 <= hits / 300 <= 0.985


def test_the_interval_of_a_perfect_area_has_a_width() -> None:
    assert auc_interval(1.0, 5, 5)[0] < 0.8
    assert auc_interval(0.0, 5, 5) == pytest.approx((0.0, 1 - auc_interval(1.0, 5, 5)[0]))


def point_of(names: tuple[str, ...] = NAMES, labels: tuple[int, ...] = (1, 1, 1, 0, 0, 0), **wanted: object) -> object:
    probabilities = np.array([0.9, 0.6, 0.2, 0.7, 0.3, 0.1])
    predictions = Predictions(np.log(np.stack([1 - probabilities, probabilities], axis=1)), np.array(labels))
    figures = {name: wanted.get(name) for name in ("cost", "specificity", "sensitivity")}
    return operating_point(predictions, names, figures, wanted.get("positive")).threshold  # type: ignore[arg-type]


def test_a_threshold_for_a_wish_of_the_user() -> None:
    """With class 0 positive, its images have the scores 0.3, 0.7 and 0.9, and the others 0.1, 0.4 and 0.8."""
    assert point_of(cost=10) == pytest.approx(0.2)
    assert point_of(specificity=0.6) == pytest.approx(0.6)
    assert point_of(sensitivity=1, positive="healthy") == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, SettingsError, "One of `cost`, `specificity`, `sensitivity` must be given. Received: none"),
        ({"cost": 1, "sensitivity": 1}, SettingsError, "Received: cost, sensitivity"),
        ({"cost": 0}, SettingsError, "`cost` must be a number above 0. Received: 0"),
        ({"specificity": 95}, SettingsError, "`specificity` must be a number from 0 to 1. Received: 95"),
        ({"cost": 1, "positive": "sick"}, SettingsError, "`positive` must be one of healthy, ill. Received: 'sick'"),
        ({"cost": 1, "names": ("a", "b", "c")}, DataError, "A threshold belongs to two classes. Received: 3 classes"),
        ({"cost": 1, "labels": (1,) * 6}, DataError, "Received: the test set has no image of healthy"),
        ({"cost": 1, "labels": (1,) * 6, "positive": "healthy"}, DataError, "the test set has no image of healthy"),
    ],
)
def test_a_wish_that_can_not_be_met_is_refused(
    given: dict[str, object], error: type[LrdiagError], message: str
) -> None:
    with pytest.raises(error) as caught:
        point_of(**given)  # type: ignore[arg-type]
    assert message in str(caught.value)
