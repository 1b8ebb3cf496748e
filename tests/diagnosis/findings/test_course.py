"""Rules about the course of training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, history, sample
from fixtures.image_sets import answer, found, image_set

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import NotChecked, Passed
from lrdiag.record.facts import TrainingRun
from lrdiag.record.observed import Compiled, Inspection, Optimizer, Rates, Scores, Start

COMPILED = Compiled("sparse categorical crossentropy", "sparse", False, 0.0, ("accuracy",), Optimizer("Adam", False))
TEN_SCORES = Scores(32, 10, 0.0, 1.0, 0.0, 0.1)


def steps(losses: Sequence[float | None], per_epoch: int = 10, **observed: Any) -> Evidence:
    run = history([(0.5, 0.5)], loss_per_step=list(losses), steps_per_epoch=per_epoch)
    seen = {"compiled": COMPILED, "scores": TEN_SCORES, "training_data": image_set()} | observed
    return Evidence(facts_of(balanced(10, 40, 20), training=run), inspection=Inspection(**seen))


def validated(losses: Sequence[float | None], accuracies: Sequence[float] = (), **others: Any) -> TrainingRun:
    accuracies = accuracies or [0.5] * len(losses)
    run = history([(0.5, each) for each in accuracies], **others)
    epochs = [dataclasses.replace(each, val_loss=loss) for each, loss in zip(run.epochs, losses, strict=True)]
    return dataclasses.replace(run, epochs=epochs)


class TestUnstableLoss:
    def test_names_the_step(self) -> None:
        problem = found("unstable-loss", steps([2.3] * 12 + [9.2, 4.6] + [2.0] * 6))
        assert problem.title == "Training was unstable: the loss rose to 4 times its start."
        assert problem.evidence == (
            "It rose from 2.303 to 9.200. In epoch 2, step 3 of 10, it was above 3 times its start for the first time, "
            "and at 1 step of 20 altogether."
        )

    @pytest.mark.parametrize(
        "observed",
        [
            {},
            {"start": Start(32, 0.01, 0.0)},  # a trained model: a loss below that of a guess is no start
            {"start": Start(32, 3.0, 0.0)},
            {"compiled": None, "start": Start(32, 2.3, 0.0)},
        ],
    )
    def test_passes(self, observed: dict[str, Any]) -> None:
        assert isinstance(answer("unstable-loss", steps([0.5] * 10 + [6.8] + [0.2] * 9, **observed)), Passed)

    def test_one_image_of_a_small_batch_does_not_decide(self) -> None:
        losses = [0.5] * 40 + [12.0] + [0.5] * 9
        assert isinstance(answer("unstable-loss", steps(losses, training_data=image_set(batch_size=4))), Passed)
        assert found("unstable-loss", steps(losses)).value > 5

    def test_losses_that_are_not_finite_are_left_out(self) -> None:
        assert isinstance(answer("unstable-loss", steps([2.3, 2.0, None, 2.0])), Passed)
        assert isinstance(answer("unstable-loss", steps([])), NotChecked)
        assert isinstance(answer("unstable-loss", steps([None])), NotChecked)


class TestNotLearning:
    @pytest.mark.parametrize(("right", "expected"), [(100, "title"), (190, "value")])
    def test_the_most_frequent_class_is_chance(self, right: int, expected: str) -> None:
        facts = facts_of(balanced(10, 40, 4), train_sample=sample(right, 1000))
        evidence = Evidence(facts, inspection=Inspection(training_data=image_set((150, *[94] * 9))))
        assert hasattr(answer("not-learning", evidence), expected)
        assert isinstance(answer("not-learning", evidence), Passed) is (right == 190)

    def test_one_class_does_not_tell(self) -> None:
        evidence = Evidence(facts_of(balanced(2, 40, 20), train_sample=sample(900, 1000)))
        seen = Inspection(training_data=image_set((900, 100)))
        assert isinstance(answer("not-learning", dataclasses.replace(evidence, inspection=seen)), NotChecked)

    def test_few_images_do_not_decide(self) -> None:
        assert isinstance(
            answer("not-learning", Evidence(facts_of(balanced(2, 9, 5), train_sample=sample(3, 4)))), NotChecked
        )


class TestPastBestEpoch:
    def test_names_the_epoch_and_what_it_cost(self) -> None:
        run = validated([1.0, 0.5, 0.6, 0.7, 0.8], [0.5, 0.9, 0.9, 0.85, 0.8])
        problem = found("past-best-epoch", Evidence(run=run))
        assert problem.title == (
            "The best epoch was epoch 2 of 5: the validation loss has risen to 1.6 times its lowest value since."
        )
        assert "The 3 epochs after the best one, 3.0 s of training, made it worse." in problem.evidence
        assert "Validation accuracy was 90.0 % then and is 80.0 % now." in problem.evidence
        assert problem.severity == "warning"

    def test_a_higher_loss_alone_is_a_note(self) -> None:
        assert found("past-best-epoch", Evidence(run=validated([0.5, 0.6, 0.7, 0.8]))).severity == "note"

    @pytest.mark.parametrize(
        ("losses", "others"),
        [
            ([0.5, 0.6, 0.8], {}),
            ([0.5, 0.52, 0.53, 0.549], {}),
            ([0.5, 0.6, 0.7, 0.8], {"weights_epoch": 1}),  # a callback restored the best weights
        ],
    )
    def test_passes(self, losses: list[float], others: dict[str, Any]) -> None:
        assert isinstance(answer("past-best-epoch", Evidence(run=validated(losses, **others))), Passed)

    def test_is_not_checked_without_validation(self) -> None:
        assert isinstance(answer("past-best-epoch", Evidence(run=validated([None, None]))), NotChecked)


class TestTooFewUpdates:
    @pytest.mark.parametrize(
        ("updates", "losses", "right", "title"),
        [
            (59, [2.0, 2.0], 20, "The model was trained with only 59 updates: that is too few updates."),
            (90, [2.0, 1.8], 20, "The validation loss was still falling when training ended: too few epochs."),
            (90, [2.0, 1.95], 20, None),
            (59, [2.0, 1.8], 38, None),
        ],
    )
    def test_updates_losses_and_accuracy_decide(
        self, updates: int, losses: list[float], right: int, title: str | None
    ) -> None:
        run = validated(losses, learning_rate_per_step=[0.1] * updates, steps_per_epoch=updates // 2)
        evidence = Evidence(facts_of(balanced(10, 40, right), training=run))
        if title is None:
            assert isinstance(answer("too-few-updates", evidence), Passed)
        else:
            assert found("too-few-updates", evidence).title == title

    def test_is_not_checked_without_steps(self) -> None:
        assert isinstance(answer("too-few-updates", Evidence(facts_of(balanced(10, 40, 20)))), NotChecked)
        few = facts_of(np.eye(3, dtype=int), training=history([(0.1, 0.1)], learning_rate_per_step=[0.1]))
        assert isinstance(answer("too-few-updates", Evidence(few)), NotChecked)


def planned(updates: int | None) -> Rates | None:
    return None if updates is None else Rates(0.1, 0.1, 0.1, 0.1, updates)


class TestLargeBatches:
    def test_before_training(self) -> None:
        problem = found("large-batches", training_data=image_set(batch_size=400), rates=planned(15))
        assert problem.title == "The batches are too large: a batch of 400 has 40.0 % of the 1,000 training images."
        assert problem.evidence == "An epoch has 3 updates, and the whole training run has 15."

    def test_after_training(self) -> None:
        run = dataclasses.replace(history([(0.5, 0.5)] * 5), steps_per_epoch=3)
        seen = Inspection(training_data=image_set(batch_size=400))
        assert "the whole training run has 15" in found("large-batches", Evidence(run=run, inspection=seen)).evidence

    @pytest.mark.parametrize(("batch", "updates"), [(250, 4), (400, 200)])
    def test_passes(self, batch: int, updates: int) -> None:
        seen = {"training_data": image_set(batch_size=batch), "rates": planned(updates)}
        assert isinstance(answer("large-batches", **seen), Passed)

    @pytest.mark.parametrize("others", [{"size": None}, {"batch_size": None}, {"batch_size": 400}])
    def test_unknown_numbers(self, others: dict[str, Any]) -> None:
        assert isinstance(answer("large-batches", training_data=image_set(**others)), NotChecked)
