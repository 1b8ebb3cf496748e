"""The ranking of the misclassified images."""

from __future__ import annotations

import math
import os

import msgspec
import numpy as np
import pytest

from lrdiag.diagnosis.mistakes import rank_mistakes
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import Misclassified

PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6]])
LABELS = np.array([0, 0, 0, 1, 0, 0])  # wrong: 1, 2, 3, 4, 5


@pytest.fixture
def predictions() -> Predictions:
    return Predictions.from_scores(PROBABILITIES, LABELS)


def test_the_highest_loss_comes_first_and_equal_losses_keep_their_order(predictions: Predictions) -> None:
    mistakes = rank_mistakes(predictions)
    assert mistakes.count == 5
    assert [each.index for each in mistakes.items] == [2, 4, 1, 3, 5]


def test_a_mistake_has_true_and_predicted_class(predictions: Predictions) -> None:
    mistake = rank_mistakes(predictions, tuple("abcdef")).items[3]
    assert (mistake.index, mistake.true, mistake.predicted, mistake.file) == (3, 1, 0, "d")
    assert mistake.confidence == pytest.approx(0.6)
    assert mistake.loss == pytest.approx(-math.log(0.4))


def test_a_mistake_has_the_most_probable_classes_and_their_probabilities() -> None:
    probabilities = np.array([[0.05, 0.3, 0.02, 0.4, 0.03, 0.2]])
    mistake = rank_mistakes(Predictions.from_scores(probabilities, np.array([0]))).items[0]
    assert mistake.top_classes == [3, 1, 5, 0, 4]
    assert mistake.top_probabilities == [0.4, 0.3, 0.2, 0.05, 0.03]


def test_with_two_classes_both_are_listed(predictions: Predictions) -> None:
    mistake = rank_mistakes(predictions).items[0]
    assert (mistake.top_classes, mistake.top_probabilities) == ([1, 0], [0.8, 0.2])


def test_equally_probable_classes_keep_their_order() -> None:
    mistake = rank_mistakes(Predictions.from_scores(np.full((1, 3), 1 / 3), np.array([2]))).items[0]
    assert (mistake.predicted, mistake.top_classes) == (0, [0, 1, 2])


def test_a_file_name_that_is_not_unicode_can_be_written(predictions: Predictions) -> None:
    files = (os.fsdecode(b"test/caf\xe9.png"),) * 6
    mistakes = rank_mistakes(predictions, files)
    assert b"test/caf" in msgspec.json.encode(mistakes)


def test_images_without_files_have_none(predictions: Predictions) -> None:
    assert {each.file for each in rank_mistakes(predictions).items} == {None}


def test_logits_and_their_softmax_have_the_same_ranking(predictions: Predictions) -> None:
    logits = Predictions.from_scores(np.log(PROBABILITIES) + np.arange(6)[:, None], LABELS)
    np.testing.assert_allclose(logits.log_probabilities, predictions.log_probabilities, atol=1e-12)


def test_huge_logits_have_a_finite_loss() -> None:
    assert rank_mistakes(Predictions.from_scores(np.array([[0.0, 1e4]]), np.array([0]))).items[0].loss == 1e4


def test_without_mistakes_the_list_is_empty() -> None:
    assert rank_mistakes(Predictions.from_scores(PROBABILITIES[:1], LABELS[:1])) == Misclassified(0, [])


def test_without_probabilities_confidence_is_unknown_and_the_margin_orders_the_mistakes() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [5.0, 1.0, 2.0], [0.0, 4.0, 2.0]])
    found = rank_mistakes(Predictions(None, np.array([2, 1, 1]), scores, loss_name=None))
    assert [(each.index, each.confidence, each.loss) for each in found.items] == [(1, None, None), (0, None, None)]
    assert found.items[0].top_classes == [0, 2, 1]
    assert found.items[0].top_probabilities == [None, None, None]
