"""Small examples whose figures can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lrdiag.diagnosis.mistakes import rank_mistakes
from lrdiag.diagnosis.pairs import confused_pairs
from lrdiag.diagnosis.scores import class_facts, confusion, score, training_sample
from lrdiag.intervals import wilson
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import Averages, ClassFacts, ConfusedPair, TrainingSample


def predictions_of(predicted: list[int], labels: list[int], classes: int) -> Predictions:
    """Predictions with probability 0.7 for the named class. The other classes share the rest."""
    probabilities = np.where(np.eye(classes)[predicted] == 1, 0.7, 0.3 / (classes - 1))
    return Predictions.from_scores(probabilities, np.array(labels))


# right:  0 0 . 1 . . 2 2   of classes 0, 1, 2; class 3 is never predicted and class 4 has no image
PREDICTED, LABELS = [0, 0, 4, 1, 0, 0, 2, 2, 0], [0, 0, 0, 1, 1, 1, 2, 2, 3]
NAMES = ("zero", "one", "two", "three", "four")


@pytest.fixture
def example() -> Predictions:
    return predictions_of(PREDICTED, LABELS, 5)


@pytest.mark.parametrize(
    ("correct", "size", "low", "high"),
    [(8, 10, 0.4901625, 0.9433178), (0, 10, 0.0, 0.2775328), (10, 10, 0.7224672, 1.0), (1, 1, 0.2065493, 1.0)],
)
def test_the_interval_is_that_of_wilson(correct: int, size: int, low: float, high: float) -> None:
    figures = score(predictions_of([0] * correct + [1] * (size - correct), [0] * size, 2))
    assert figures.accuracy == correct / size
    assert (figures.accuracy_low, figures.accuracy_high) == pytest.approx((low, high), abs=1e-6)


def test_the_score_has_accuracy_and_mean_cross_entropy(example: Predictions) -> None:
    figures = score(example)
    assert (figures.size, figures.accuracy) == (9, 5 / 9)
    assert figures.loss == pytest.approx(-(5 * math.log(0.7) + 4 * math.log(0.075)) / 9)


def test_a_loss_that_is_not_finite_is_none() -> None:
    assert score(Predictions(np.array([[math.nan, 0.0]]), np.array([0]))).loss is None


def test_the_score_says_what_is_unknown() -> None:
    scores = np.array([[1.0, 2.0], [math.nan, math.nan]])
    figures = score(Predictions(None, np.array([1, 0]), scores, loss_name=None))
    assert (figures.accuracy, figures.loss, figures.loss_name) == (1.0, None, None)
    assert (figures.has_confidence, figures.not_finite) == (False, 1)
    compiled = score(Predictions(None, np.array([1, 0]), scores, np.array([0.5, 1.0]), "compiled loss (hinge)"))
    assert (compiled.loss, compiled.loss_name) == (0.75, "compiled loss (hinge)")


def test_figures_that_would_divide_by_zero_are_none(example: Predictions) -> None:
    none = None, None
    assert class_facts(example, NAMES) == [
        ClassFacts("zero", 2 / 5, 2 / 3, pytest.approx(1 / 2), 3, *wilson(2, 3), *wilson(2, 5)),
        ClassFacts("one", 1.0, 1 / 3, pytest.approx(1 / 2), 3, *wilson(1, 3), *wilson(1, 1)),
        ClassFacts("two", 1.0, 1.0, 1.0, 2, *wilson(2, 2), *wilson(2, 2)),
        ClassFacts("three", None, 0.0, 0.0, 1, *wilson(0, 1), *none),
        ClassFacts("four", 0.0, None, 0.0, 0, *none, *wilson(0, 1)),
    ]


def test_a_class_without_images_and_predictions_has_no_figures() -> None:
    assert class_facts(predictions_of([0], [0], 2), ("seen", "unseen"))[1] == ClassFacts("unseen", None, None, None, 0)


def test_the_confusion_counts_true_classes_in_rows(example: Predictions) -> None:
    expected = np.zeros((5, 5), int)
    for true, predicted in zip(LABELS, PREDICTED, strict=True):
        expected[true, predicted] += 1
    np.testing.assert_array_equal(confusion(example, 5), expected)


def test_a_sample_of_training_images_has_accuracy_interval_and_loss() -> None:
    logits = np.log([[0.8, 0.2], [0.5, 0.25], [0.1, 0.9], [0.9, 0.1]])
    loss = -(math.log(0.8) + math.log(2 / 3) + math.log(0.9) + math.log(0.1)) / 4
    sample = training_sample(Predictions.from_scores(logits, np.array([0, 0, 1, 1])))
    assert sample == TrainingSample(4, 0.75, *wilson(3, 4), pytest.approx(loss))
    assert training_sample(Predictions.from_scores(np.full((2, 2), np.nan), np.array([0, 1]))).loss is None


def test_every_confused_pair_has_count_and_share(example: Predictions) -> None:
    """Lower ends of the intervals: 2 of 3: 0.21, 1 of 1: 0.21 (less), 1 of 3: 0.06."""
    assert confused_pairs(confusion(example, 5)) == [
        ConfusedPair(true=1, predicted=0, count=2, share=2 / 3),
        ConfusedPair(true=3, predicted=0, count=1, share=1.0),
        ConfusedPair(true=0, predicted=4, count=1, share=1 / 3),
    ]


def test_means_over_the_classes_leave_out_classes_without_images(example: Predictions) -> None:
    """Precision 2/5, 1, 1, 0; recall 2/3, 1/3, 1, 0; F1 1/2, 1/2, 1, 0, of 3, 3, 2 and 1 images."""
    figures = score(example)
    assert figures.macro == Averages(*map(pytest.approx, (2.4 / 4, 2 / 4, 2 / 4)))
    assert figures.weighted == Averages(*map(pytest.approx, (6.2 / 9, 5 / 9, 5 / 9)))
    assert figures.balanced_accuracy == figures.macro.recall
    assert figures.weighted.recall == pytest.approx(figures.accuracy)


def test_with_classes_of_equal_size_the_balanced_accuracy_is_the_accuracy() -> None:
    figures = score(predictions_of([0, 1, 1, 2, 0, 2], [0, 0, 1, 1, 2, 2], 3))
    assert figures.balanced_accuracy == pytest.approx(figures.accuracy)
    assert figures.macro == Averages(*map(pytest.approx, vars(figures.weighted).values()))


def ranked(ranks: list[int], classes: int) -> Predictions:
    """Predictions of images of class 0, with this number of more probable classes for each."""
    scores = np.tile(-np.arange(1.0, classes + 1), (len(ranks), 1))
    scores[:, 0] = [-rank - 1.5 for rank in ranks]
    return Predictions.from_scores(scores, np.zeros(len(ranks), int))


def test_the_fifth_most_probable_class_counts_and_the_sixth_does_not() -> None:
    assert score(ranked([0, 4, 5, 6], 8)).top5_accuracy == 2 / 4


@pytest.mark.parametrize("classes", [2, 5, 6])
def test_with_five_classes_or_fewer_there_is_no_top_five(classes: int) -> None:
    assert score(predictions_of([0], [0], classes)).top5_accuracy == (None if classes <= 5 else 1.0)


def test_the_five_most_probable_classes_are_those_listed_for_a_mistake() -> None:
    """Equally probable classes keep their order: of eight, the first five."""
    equal = Predictions.from_scores(np.zeros((8, 8)), np.arange(8))
    listed = rank_mistakes(equal).items
    assert score(equal).top5_accuracy == 5 / 8
    assert sorted(each.true for each in listed if each.true in each.top_classes) == [1, 2, 3, 4]


def test_nan_scores_have_figures() -> None:
    figures = score(Predictions(np.full((8, 8), math.nan), np.arange(8)))
    assert (figures.accuracy, figures.top5_accuracy, figures.loss) == (1 / 8, 5 / 8, None)
