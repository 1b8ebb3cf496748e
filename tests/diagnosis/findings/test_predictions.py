"""Rules about the predictions as a whole."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, finding, result

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.checking import check_all
from lrdiag.diagnosis.findings.predictions import chance
from lrdiag.record.arrays import Predictions, log_softmax
from lrdiag.record.facts import Diagnosis


def alone(facts: Diagnosis | Evidence) -> list[str]:
    """The codes of the findings that no other one explains."""
    return [each.code for each in check_all(facts if isinstance(facts, Evidence) else Evidence(facts)).findings]


def collapsed(classes: int, each: int, named: int, elsewhere: int) -> np.ndarray:
    """Every image is predicted as class `named`, except so many images of class 0 that are classified correctly."""
    counts = np.zeros((classes, classes), int)
    counts[:, named] = each
    counts[0, named] -= elsewhere
    counts[0, 0] += elsewhere
    return counts


class TestNotFinite:
    # the scores of 120 images of classes 1 to 3 are NaN, which counts as a prediction of class 0
    COUNTS = np.array([[40, 10, 0, 0], [40, 5, 5, 0], [40, 0, 10, 0], [40, 0, 0, 10]])

    def evidence(self, **changes: Any) -> Evidence:
        labels, named = (np.repeat(each.ravel(), self.COUNTS.ravel()) for each in np.indices(self.COUNTS.shape))
        logs = log_softmax(5 * np.eye(4)[named])
        logs[(labels > 0) & (named == 0)] = np.nan
        facts = facts_of(self.COUNTS)
        return Evidence(
            dataclasses.replace(facts, test=dataclasses.replace(facts.test, loss=None, **changes)),
            Predictions(logs, labels),
        )

    def test_fires_and_explains_everything_else(self) -> None:
        found = finding(self.evidence(), "not-finite")
        assert found.title == "The model returned NaN or infinite scores."
        assert "120 misclassified images have no confidence" in found.evidence
        assert len(found.images) == 100
        assert alone(self.evidence()) == ["not-finite"]

    def test_is_quiet(self) -> None:
        known = Evidence(facts_of(balanced(4, 50, 20)), self.evidence().predictions)
        assert result(known, "not-finite").status == "passed"

    def test_an_unknown_loss_or_confidence_is_not_a_loss_that_is_not_finite(self) -> None:
        unknown = {"loss_name": None, "has_confidence": False}
        assert result(self.evidence(**unknown), "not-finite").status == "passed"
        found = finding(self.evidence(**unknown, not_finite=3), "not-finite")
        assert (found.evidence, found.images) == ("3 images of 200 have such scores.", [])


class TestCollapsedPredictions:
    # 337 of 360 images are predicted as "4"
    COUNTS = collapsed(10, 36, named=4, elsewhere=23)

    def test_fires_on_337_of_360_and_explains_everything_else(self) -> None:
        found = finding(facts_of(self.COUNTS), "collapsed-predictions")
        assert found.title == "The model predicts “4” for nearly every image."
        assert found.evidence.startswith("337 of 360 test images are predicted as “4”, and 36 belong to this class.")
        assert (found.value, found.threshold) == (pytest.approx(337 / 360), 0.9)
        assert len(found.images) == 100
        assert alone(facts_of(self.COUNTS)) == ["collapsed-predictions"]
        assert result(facts_of(self.COUNTS), "over-predicted-class").status == "explained"

    def test_images_that_lrdiag_prepared_are_not_to_be_rescaled(self) -> None:
        main = finding(facts_of(self.COUNTS, "lrdiag …", made_by="train_and_report"), "collapsed-predictions")
        assert "scaled" not in main.advice
        assert "values" not in main.evidence
        assert "--epochs" in main.advice
        own = finding(facts_of(self.COUNTS), "collapsed-predictions")
        assert "scaled as in training:" in own.advice
        assert "--" not in own.advice
        assert "from -1.5 to 2.25" in own.evidence
        assert "(--preprocess)" in finding(facts_of(self.COUNTS, "lrdiag diagnose"), "collapsed-predictions").advice

    @pytest.mark.parametrize(
        "counts",
        [
            collapsed(10, 36, named=4, elsewhere=36),  # 324 of 360 images: 90 %
            [[940, 10], [25, 25]],  # 96.5 % are predicted as a class that has 95 % of the images
            [[710, 0], [290, 0]],  # a constant prediction of the most frequent class is at-chance
        ],
    )
    def test_is_quiet(self, counts: np.ndarray) -> None:
        assert result(facts_of(counts), "collapsed-predictions").status == "passed"

    def test_few_images_do_not_decide(self) -> None:
        assert result(facts_of([[0, 9], [0, 10]]), "collapsed-predictions").reason == "19 test images are too few"


class TestAtChance:
    def test_fires_on_predictions_that_do_not_depend_on_the_image(self) -> None:
        counts = np.full((10, 10), 4)
        found = finding(facts_of(counts), "at-chance")
        assert found.title == "The model is no better than chance."
        assert "10.0 % of the images are classified correctly" in found.evidence
        assert "10.0 % are correct on average, and up to 12.9 % by chance" in found.evidence
        assert (found.value, found.threshold) == (0.1, pytest.approx(0.129, abs=5e-4))
        assert alone(facts_of(counts)) == ["at-chance"]

    def test_fires_on_a_constant_prediction_of_the_most_frequent_class(self) -> None:
        found = finding(facts_of([[950, 0], [50, 0]]), "at-chance")
        assert "95.0 % of the images are classified correctly" in found.evidence
        assert found.value == pytest.approx(found.threshold)

    def test_fires_on_an_accuracy_just_above_the_most_frequent_class(self) -> None:
        """Version 0.1 accepted an accuracy one image above the share of the most frequent class."""
        assert finding(facts_of([[51, 49], [50, 50]]), "at-chance")

    @pytest.mark.parametrize(
        "counts",
        [
            [[940, 10], [25, 25]],  # accuracy 96.5 %; the most frequent class has 95 %
            [[935, 15], [30, 20]],  # accuracy 95.5 %
            [[900, 50], [20, 30]],  # accuracy 93 %, below the share of the most frequent class, but informative
            [[946, 4], [44, 6]],  # few of the rare class are found, but far more than by chance
            balanced(10, 36, 9),
        ],
    )
    def test_is_quiet_on_an_informative_model(self, counts: np.ndarray) -> None:
        assert result(facts_of(counts), "at-chance").status == "passed"
        assert result(facts_of(counts), "collapsed-predictions").status == "passed"

    def test_few_images_do_not_decide(self) -> None:
        check = result(facts_of([[6, 5], [4, 7]]), "at-chance")
        assert (check.status, check.reason) == ("not checked", "22 test images are too few")
        assert result(facts_of([[5, 4], [4, 5]]), "at-chance").reason == "18 test images are too few"

    def test_one_class_alone_is_not_checked(self) -> None:
        assert result(facts_of([[30, 10], [0, 0]]), "at-chance").reason == "the test images belong to a single class"

    def test_the_distribution_by_chance_is_that_of_shuffled_predictions(self) -> None:
        generator = np.random.default_rng(0)
        labels, named = generator.integers(0, 3, 60), generator.choice(3, 60, p=[0.7, 0.2, 0.1])
        confusion = np.zeros((3, 3), int)
        np.add.at(confusion, (labels, named), 1)
        accuracies = [np.mean(labels == generator.permutation(named)) for _ in range(20_000)]
        mean, deviation = chance(confusion)
        assert mean == pytest.approx(np.mean(accuracies), abs=0.002)
        assert deviation == pytest.approx(np.std(accuracies), rel=0.03)
