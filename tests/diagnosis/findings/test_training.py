"""Rules about the training run."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from fixtures.diagnoses import balanced, facts_of, finding, history, result, sample
from fixtures.observed import compiled, dense

from lrdiag.diagnosis.evidence import MISSING, Evidence
from lrdiag.record.facts import DatasetFacts, Diagnosis, NotFinite
from lrdiag.record.observed import EpochState, Inspection

SOUND = balanced(4, 50, 40)  # accuracy 80 %
STOPPED = {"stop_reason": "the loss was not finite at step 5 of epoch 2", "epochs_planned": 1000}
INTERRUPTED = {"stop_reason": "interrupted after 12 steps, in epoch 2", "epochs_planned": 1000, "interrupted": True}


def trained(*accuracies: tuple[float | None, float | None], **others: object) -> Diagnosis:
    return facts_of(SOUND, training=history(accuracies), **others)


class TestTrainingStopped:
    def test_fires(self) -> None:
        found = finding(facts_of(SOUND, training=history([(0.5, 0.5)], **STOPPED)), "training-stopped")
        assert found.title == "Training stopped early: the loss was not finite at step 5 of epoch 2."
        assert found.evidence.startswith("Completed: 1 of 1,000 epochs.")
        assert "lrdiag.find_lr" in found.advice

    @pytest.mark.parametrize(
        ("command", "named"), [("lrdiag train-and-report", "--learning-rate auto"), ("", " learning_rate ")]
    )
    def test_the_advice_names_the_command_or_the_argument(self, command: str, named: str) -> None:
        facts = facts_of(SOUND, command, training=history([], **STOPPED), made_by="train_and_report")
        advice = finding(facts, "training-stopped").advice.replace("(", " ").replace(")", " ")
        assert named in advice

    @pytest.mark.parametrize(
        ("where", "title"),
        [
            (NotFinite("loss", "NaN", 4, 25), "The loss became NaN in epoch 4, step 25 of 160."),
            (NotFinite("loss", "infinite", 4), "The loss became infinite in epoch 4."),
            (NotFinite("val_loss", "NaN", 4), "The validation loss became NaN in epoch 4."),
        ],
    )
    def test_names_the_step_at_which_the_loss_was_not_finite(self, where: NotFinite, title: str) -> None:
        restored = {"weights_epoch": 1, "weights": "those of epoch 1, which EarlyStopping restored"}
        training = history([(0.5, 0.5)] * 4, steps_per_epoch=160, epochs_planned=20, not_finite=where, **restored)
        found = finding(facts_of(SOUND, training=training), "training-stopped")
        assert found.title == title
        assert found.evidence == (
            "Completed: 4 of 20 epochs. The weights are those of epoch 1, which EarlyStopping restored."
        )
        assert "NaN" in found.advice

    def test_names_the_weights_that_are_not_finite_although_the_loss_is(self) -> None:
        states = tuple(
            EpochState(epoch, 10, {}, (), names, {}, 0.0, None, None, 0)
            for epoch, names in ((1, ()), (2, ("net/conv/kernel", "net/norm/moving_mean")))
        )
        evidence = Evidence(facts_of(SOUND), inspection=Inspection(epochs=states))
        found = finding(evidence, "training-stopped")
        assert found.title == (
            "Weights became NaN or infinite in epoch 2 although the loss stayed finite: net/conv/kernel and 1 more."
        )
        sound = Evidence(facts_of(SOUND), inspection=Inspection(epochs=states[:1]))
        assert result(sound, "training-stopped").status == "passed"

    def test_is_quiet_and_not_checked(self) -> None:
        assert result(facts_of(SOUND), "training-stopped").status == "passed"
        assert result(facts_of(SOUND, training=history([], **INTERRUPTED)), "training-stopped").status == "passed"
        assert result(facts_of(SOUND, training=None), "training-stopped").reason == MISSING["training"]


class TestTrainingInterrupted:
    def test_fires(self) -> None:
        found = finding(facts_of(SOUND, training=history([(0.5, 0.5)], **INTERRUPTED)), "training-interrupted")
        assert found.title == "Training was interrupted after 12 steps, in epoch 2."
        assert "learning rate" not in found.advice

    def test_is_quiet_and_not_checked(self) -> None:
        assert result(facts_of(SOUND), "training-interrupted").status == "passed"
        assert result(facts_of(SOUND, training=history([], **STOPPED)), "training-interrupted").status == "passed"
        assert result(facts_of(SOUND, training=None), "training-interrupted").reason == MISSING["training"]


class TestOverfitting:
    def test_fires_on_a_measured_gap(self) -> None:
        confusion = balanced(4, 50, 35)
        facts = facts_of(confusion, training=history([(0.1, 0.1)]), train_sample=sample(950, 1000))
        found = finding(facts, "overfitting")
        assert (
            found.title == "The model overfits: it is 25.0 points more accurate on training images than on test images."
        )
        assert (
            "95.0 % of 1,000 training images and 70.0 % of 200 test images are classified correctly" in found.evidence
        )
        assert "is 18.9 to 31.8 points" in found.evidence
        assert (found.value, found.threshold) == (pytest.approx(0.25), 0.2)

    def test_a_measured_gap_at_the_threshold_passes(self) -> None:
        check = result(trained((1.0, 0.95), train_sample=sample(1000, 1000)), "overfitting")
        assert (check.status, check.value) == ("passed", pytest.approx(0.2))

    @pytest.mark.parametrize(("last", "status"), [(0.775, "found"), (0.785, "passed")])
    def test_half_of_it_counts_if_the_validation_loss_has_risen_by_a_tenth(self, last: float, status: str) -> None:
        facts = trained((0.5, 0.8), (0.8, last), train_sample=sample(920, 1000))  # the loss rises from 0.2 to 1 - last
        assert result(facts, "overfitting").status == status

    @pytest.mark.parametrize(("logged", "status"), [(0.91, "found"), (0.89, "passed")])
    def test_half_of_it_counts_if_the_accuracy_while_training_confirms_it(self, logged: float, status: str) -> None:
        assert result(trained((logged, 0.8), train_sample=sample(920, 1000)), "overfitting").status == status

    def test_few_images_do_not_decide(self) -> None:
        facts = facts_of(balanced(4, 5, 3), train_sample=sample(17, 20))
        check = result(facts, "overfitting")
        assert (check.status, check.reason) == ("not checked", "20 training images and 20 test images are too few")

    def test_a_history_alone_names_both_causes(self) -> None:
        found = finding(trained((0.99, 0.1), (0.75, 0.5)), "overfitting")
        assert found.title == "Training accuracy is 25.0 points above validation accuracy."
        assert "75.0 % and 50.0 %" in found.evidence
        assert "dropout" in found.evidence
        assert "batch normalization" in found.evidence
        assert found.advice.startswith("Evaluate the model on its training images.")

    @pytest.mark.parametrize(("val", "status"), [(0.549, "found"), (0.551, "passed"), (0.9, "passed")])
    def test_a_history_has_the_same_threshold(self, val: float, status: str) -> None:
        facts = facts_of(balanced(4, 100, 60), training=history([(0.75, val)]))  # as accurate as on validation images
        assert result(facts, "overfitting").status == status

    def test_the_epoch_is_that_of_the_weights_that_were_evaluated(self) -> None:
        accuracies = [(0.75, 0.5), (0.99, 0.5)]
        training = history(accuracies, first_epoch=3, weights_epoch=3)
        found = finding(facts_of(SOUND, training=training), "overfitting")
        assert found.title == "Training accuracy is 25.0 points above validation accuracy."
        assert found.evidence.startswith("In epoch 3, whose weights were evaluated, they were 75.0 % and 50.0 %.")
        sound = history([(0.55, 0.5), (0.99, 0.1)], weights_epoch=1)
        assert result(facts_of(SOUND, training=sound), "overfitting").status == "passed"

    def test_few_validation_images_do_not_decide(self) -> None:
        facts = facts_of(balanced(4, 50, 28), training=history([(0.75, 0.54)]))
        few = dataclasses.replace(facts, dataset=_validated(facts, 18))
        assert result(few, "overfitting").reason == "18 validation images are too few"
        many = dataclasses.replace(facts, dataset=_validated(facts, 200))
        assert result(many, "overfitting").status == "found"

    @pytest.mark.parametrize("accuracies", [[], [(0.9, None)], [(None, 0.1)]])
    def test_is_not_checked_without_accuracies(self, accuracies: list[tuple[float | None, float | None]]) -> None:
        assert result(trained(*accuracies), "overfitting").status == "not checked"

    @pytest.mark.parametrize(
        ("made_by", "command", "names"),
        [
            ("train_and_report", "lrdiag train-and-report", ["--augment", "--epochs"]),
            ("train_and_report", "", ["(augment)", "(epochs)"]),
            ("callback", "", []),
            ("diagnose", "", []),
            ("diagnose", "lrdiag diagnose", []),
        ],
    )
    def test_the_advice_names_the_command_or_the_argument(self, made_by: str, command: str, names: list[str]) -> None:
        facts = facts_of(balanced(4, 50, 35), command, train_sample=sample(1000, 1000), made_by=made_by)
        advice = finding(facts, "overfitting").advice
        assert all(name in advice for name in names)
        if "--augment" not in names:
            assert "--" not in advice


def _validated(facts: Diagnosis, size: int) -> DatasetFacts:
    return dataclasses.replace(facts.dataset, validation_size=size)


class TestLaggingStatistics:
    # Training images 12.1 %, test images 11.7 % in inference mode; the history shows a gap of 29.7 points.
    def facts(self, *accuracies: tuple[float, float], **others: object) -> Diagnosis:
        test = balanced(10, 100, 12)
        return facts_of(test, training=history(accuracies), train_sample=sample(121, 1000), **others)

    def test_a_batch_norm_network_trained_briefly_does_not_count_as_overfitting(self) -> None:
        facts = self.facts((0.3, 0.1), (0.414, 0.117))
        found = finding(facts, "lagging-statistics")
        assert found.title == (
            "On training images, the model is 29.3 points less accurate in inference mode than while training."
        )
        assert "41.4 % while training and is 12.1 % on 1,000 training images" in found.evidence
        assert "moving averages" in found.evidence
        assert result(facts, "overfitting").status == "passed"

    @pytest.mark.parametrize(
        ("pieces", "cause", "advice"),
        [
            ({"compiled": compiled(averages=True)}, "The optimizer replaces the weights", "ema_momentum"),
            ({"layers": (dense(4),)}, "no batch normalization", "`training`"),
        ],
    )
    def test_what_else_may_lag(self, pieces: dict[str, Any], cause: str, advice: str) -> None:
        facts = self.facts((0.3, 0.1), (0.414, 0.117))
        found = finding(Evidence(facts, inspection=Inspection(**pieces)), "lagging-statistics")
        assert cause in found.evidence
        assert advice in found.advice

    def test_the_main_job_keeps_the_weights_of_the_last_epoch(self) -> None:
        found = finding(self.facts((0.2, 0.2), (0.414, 0.117), made_by="train_and_report"), "lagging-statistics")
        assert found.value == pytest.approx(0.293)
        assert "(epochs)" in found.advice
        assert result(self.facts((0.2, 0.2), (0.414, 0.117)), "lagging-statistics").status == "passed"

    def test_weights_that_early_stopping_restored_are_not_called_lagging(self) -> None:
        restored = facts_of(
            SOUND, training=history([(0.5, 0.5), (0.8, 0.8), (0.99, 0.7)]), train_sample=sample(810, 1000)
        )
        assert result(restored, "lagging-statistics").status == "passed"

    def test_known_weights_are_compared_with_their_own_epoch(self) -> None:
        accuracies = [(0.5, 0.5), (0.99, 0.8)]
        last = facts_of(SOUND, training=history(accuracies, weights_epoch=2), train_sample=sample(600, 1000))
        assert result(last, "lagging-statistics").value == pytest.approx(0.39)
        first = facts_of(SOUND, training=history(accuracies, weights_epoch=1), train_sample=sample(600, 1000))
        assert result(first, "lagging-statistics").status == "passed"

    def test_is_quiet_at_the_threshold_and_if_chance_explains_it(self) -> None:
        quiet = facts_of(SOUND, training=history([(0.85, 0.8)]), train_sample=sample(750, 1000))
        assert result(quiet, "lagging-statistics").status == "passed"
        few = facts_of(SOUND, training=history([(0.7, 0.7)]), train_sample=sample(5, 10))
        assert result(few, "lagging-statistics").reason == "10 training images are too few"

    def test_is_not_checked_without_its_evidence(self) -> None:
        assert result(facts_of(SOUND), "lagging-statistics").reason == MISSING["train_sample"]
        unknown = facts_of(SOUND, training=history([(None, None)]), train_sample=sample(5, 10))
        assert result(unknown, "lagging-statistics").reason == "accuracy while training was not recorded"
