"""Rules about wrong labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, history, sample
from fixtures.image_sets import answer, found, image_set

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import NotChecked, Passed
from lrdiag.record.facts import Diagnosis
from lrdiag.record.observed import Compiled, Inspection, Optimizer

GOOD = balanced(10, 40, 36)
CHANCE = np.full((10, 10), 4)
COMPILED = Compiled("sparse categorical crossentropy", "sparse", False, 0.0, ("accuracy",), Optimizer("Adam", False))


def evidence(confusion: np.ndarray, right: int = 950, size: int = 1000, **others: Any) -> Evidence:
    """A run whose model classifies so many of the training images correctly."""
    losses = others.pop("losses", (1.5, 1.0))
    training = history([(0.5, 0.5)] * len(losses))
    epochs = [dataclasses.replace(each, val_loss=loss) for each, loss in zip(training.epochs, losses, strict=True)]
    facts = facts_of(confusion, training=dataclasses.replace(training, epochs=epochs), train_sample=sample(right, size))
    return Evidence(facts, inspection=Inspection(compiled=COMPILED, training_data=image_set(), **others))


class TestClassOrder:
    def test_all_classes(self) -> None:
        problem = found("class-order", evidence(GOOD[:, ::-1]))
        assert problem.title == "Training and validation labels have the classes in another order."
        assert "If the predicted classes are renamed, it is 90.0 %: images of class 0 are predicted as class 9" in (
            problem.evidence
        )
        assert "and so on for 10 classes" in problem.evidence
        assert "`y_val = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])[y_val]`" in problem.advice

    def test_the_line_of_the_advice_repairs_the_labels(self) -> None:
        order = np.random.default_rng(0).permutation(10)
        training_class_of = np.argsort(order)  # validation has the number `order[c]` for class c of training
        problem = found("class-order", evidence(GOOD[training_class_of]))
        assert f"np.array({training_class_of.tolist()})[y_val]" in problem.advice

    def test_a_swapped_pair(self) -> None:
        swapped = np.arange(10)
        swapped[[2, 7]] = 7, 2
        problem = found("class-order", evidence(GOOD[swapped]))
        assert problem.value == pytest.approx(36 / 40)
        assert "Accuracy is 72.0 %" in problem.evidence
        assert "images of class 2 are predicted as class 7, images of class 7 are predicted as class 2" in (
            problem.evidence
        )

    def test_a_model_that_confuses_them_on_training_images_too_passes(self) -> None:
        assert isinstance(answer("class-order", evidence(GOOD[:, ::-1], right=30)), Passed)

    def test_without_training_images(self) -> None:
        facts: Diagnosis = facts_of(GOOD[:, ::-1])
        assert found("class-order", Evidence(facts)).value == pytest.approx(0.9, abs=0.05)

    @pytest.mark.parametrize("size", [20, 40, 400])
    def test_random_predictions_have_no_order(self, size: int) -> None:
        generator = np.random.default_rng(0)
        for _ in range(15):
            confusion = np.zeros((10, 10), int)
            np.add.at(confusion, tuple(generator.integers(0, 10, (2, size))), 1)
            assert not hasattr(answer("class-order", Evidence(facts_of(confusion))), "title")

    @pytest.mark.parametrize("confusion", [GOOD, CHANCE, balanced(2, 40, 30)])
    def test_passes(self, confusion: np.ndarray) -> None:
        assert isinstance(answer("class-order", evidence(confusion)), Passed)


class TestWrongLabels:
    def test_learned_images_that_say_nothing_about_others(self) -> None:
        problem = found("wrong-labels", evidence(CHANCE))
        assert problem.title == "Labels do not belong to their images, in the training or in the validation data."
        assert "95.0 % of 1,000 training images" in problem.evidence
        assert "10.0 % of 400 validation images" in problem.evidence

    def test_a_little_learned_needs_a_loss_that_never_fell(self) -> None:
        assert found("wrong-labels", evidence(CHANCE, right=190, losses=(2.305, 2.31, 2.42))).value == 0.1
        assert isinstance(answer("wrong-labels", evidence(CHANCE, right=190, losses=(2.305, 2.25, 2.42))), NotChecked)

    def test_nothing_learned_does_not_tell(self) -> None:
        untold = answer("wrong-labels", evidence(CHANCE, right=110, losses=(2.31, 2.31)))
        assert isinstance(untold, NotChecked)
        assert untold.reason == "the model has not learned its training images"

    def test_a_model_that_overfits_passes(self) -> None:
        assert isinstance(answer("wrong-labels", evidence(balanced(10, 40, 8), right=1000)), Passed)

    def test_few_images_do_not_decide(self) -> None:
        assert isinstance(answer("wrong-labels", evidence(balanced(10, 1, 1), right=1000)), NotChecked)
        assert isinstance(answer("wrong-labels", evidence(np.full((9, 9), 1), right=900)), NotChecked)


class TestLabelNoise:
    @pytest.mark.parametrize("share", [0.2, 0.5])
    def test_estimates_the_share(self, share: float) -> None:
        right = round(1000 * (0.1 + (1 - share) * 0.8))  # 10 % of wrong labels are right by chance
        problem = found("label-noise", evidence(GOOD, right=right))
        assert problem.title == f"About {100 * share:.0f} % of the training labels are wrong."
        assert problem.value == pytest.approx(share, abs=0.01)
        assert problem.severity is None

    def test_a_dataset_may_be_augmented(self) -> None:
        given = evidence(GOOD, right=500)
        seen = dataclasses.replace(given.inspection, training_data=image_set(draw_seconds=(0.1,)))
        problem = found("label-noise", dataclasses.replace(given, inspection=seen))
        assert problem.title.endswith("are wrong, or the dataset augments its images strongly.")
        assert problem.severity == "note"

    @pytest.mark.parametrize("right", [790, 900, 1000])
    def test_passes(self, right: int) -> None:
        assert isinstance(answer("label-noise", evidence(GOOD, right=right)), Passed)

    def test_few_images_do_not_decide(self) -> None:
        assert isinstance(answer("label-noise", evidence(balanced(4, 6, 5), right=14, size=20)), NotChecked)

    def test_chance_does_not_tell(self) -> None:
        assert isinstance(answer("label-noise", evidence(CHANCE, right=50)), NotChecked)
