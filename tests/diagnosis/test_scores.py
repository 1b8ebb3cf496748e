"""Small examples whose figures can be counted on fingers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lrdiag.diagnosis.scores import class_facts, confused_pairs, confusion, score
from lrdiag.records import ClassFacts, ConfusedPair, Predictions


def said(predicted: list[int], labels: list[int], classes: int) -> Predictions:
    """Predictions that give 0.7 to the class named and share the rest among the others."""
    probabilities = np.where(np.eye(classes)[predicted] == 1, 0.7, 0.3 / (classes - 1))
    return Predictions.from_scores(probabilities, np.array(labels))


# right:  0 0 . 1 . . 2 2   of classes 0, 1, 2; class 3 is never predicted and 4 is never shown
PREDICTED, LABELS = [0, 0, 4, 1, 0, 0, 2, 2, 0], [0, 0, 0, 1, 1, 1, 2, 2, 3]
NAMES = ("zero", "one", "two", "three", "four")


@pytest.fixture
def example() -> Predictions:
    return said(PREDICTED, LABELS, 5)


@pytest.mark.parametrize(
    ("correct", "size", "low", "high"),
    [(8, 10, 0.4901625, 0.9433178), (0, 10, 0.0, 0.2775328), (10, 10, 0.7224672, 1.0), (1, 1, 0.2065493, 1.0)],
)
def test_the_interval_is_that_of_wilson(correct: int, size: int, low: float, high: float) -> None:
    figures = score(said([0] * correct + [1] * (size - correct), [0] * size, 2))
    assert figures.accuracy == correct / size
    assert (figures.accuracy_low, figures.accuracy_high) == pytest.approx((low, high), abs=1e-6)


def test_the_headline_is_accuracy_and_mean_cross_entropy(example: Predictions) -> None:
    figures = score(example)
    assert (figures.size, figures.accuracy) == (9, 5 / 9)
    assert figures.loss == pytest.approx(-(5 * math.log(0.7) + 4 * math.log(0.075)) / 9)


def test_a_loss_that_is_not_finite_is_none() -> None:
    assert score(Predictions(np.array([[math.nan, 0.0]]), np.array([0]))).loss is None


def test_figures_that_would_divide_by_zero_are_none(example: Predictions) -> None:
    assert class_facts(example, NAMES) == [
        ClassFacts("zero", 2 / 5, 2 / 3, pytest.approx(1 / 2), 3),
        ClassFacts("one", 1.0, 1 / 3, pytest.approx(1 / 2), 3),
        ClassFacts("two", 1.0, 1.0, 1.0, 2),
        ClassFacts("three", None, 0.0, 0.0, 1),
        ClassFacts("four", 0.0, None, 0.0, 0),
    ]


def test_a_class_neither_shown_nor_predicted_has_no_figures() -> None:
    assert class_facts(said([0], [0], 2), ("seen", "unseen"))[1] == ClassFacts("unseen", None, None, None, 0)


def test_the_confusion_counts_true_classes_in_rows(example: Predictions) -> None:
    expected = np.zeros((5, 5), int)
    for true, predicted in zip(LABELS, PREDICTED, strict=True):
        expected[true, predicted] += 1
    np.testing.assert_array_equal(confusion(example, 5), expected)


def test_pairs_are_ranked_by_count_and_equal_counts_keep_their_order(example: Predictions) -> None:
    assert confused_pairs(confusion(example, 5)) == [
        ConfusedPair(true=1, predicted=0, count=2, share=2 / 3),
        ConfusedPair(true=0, predicted=4, count=1, share=1 / 3),
        ConfusedPair(true=3, predicted=0, count=1, share=1.0),
    ]


def test_a_perfect_network_confuses_nothing() -> None:
    assert confused_pairs(np.diag([3, 0, 2])) == []
