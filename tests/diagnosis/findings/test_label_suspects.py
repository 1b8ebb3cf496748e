"""Rules about wrong labels that single images show."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, sample
from fixtures.image_sets import answer, found, image_set
from fixtures.image_tables import table_of

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import NotChecked, Passed
from lrdiag.record.data_facts import (
    DataFacts,
    Foreign,
    ImageRef,
    LabelNoise,
    LabelSignal,
    MixedClasses,
    SameClasses,
    Suspect,
)
from lrdiag.record.observed import Inspection

LABELS = np.arange(200) % 10
TABLE = table_of(np.full((200, 4, 4, 1), 9, np.uint8), LABELS, LABELS < 0)
TRAINING = dataclasses.replace(TABLE, part="train")
SUSPECT = Suspect(ImageRef("test", 7, "seven.png"), 7, 3, 0.97, "")
NOISE = LabelNoise("test", 0.05, 0.03, 0.08, 1e-7)
MIXED = MixedClasses("test", 3, 7, 40, 0.25, 1e-9)
TWINS = SameClasses(3, 7, 40, 0.51, 0.4, 0.6, 0.49, 0.9)
IN_TRAINING = LabelSignal("train", "train", 1000, 0.55, 0.1, 0.01)
CARRIED = LabelSignal("test", "train", 1000, 0.55, 0.1, 0.01)
NOTHING = {
    "train": LabelSignal("train", "train", 1000, 0.11, 0.1, 0.01),
    "test": LabelSignal("test", "train", 1000, 0.1, 0.1, 0.01),
}


def evidence(confusion: np.ndarray | None = None, **data: Any) -> Evidence:
    known = {"suspects": [], "noise": [], "signals": [], "mixed_classes": [], "same_classes": [], "foreign": []} | data
    facts = facts_of(balanced(10, 20, 16) if confusion is None else confusion, data=DataFacts(**known))
    return Evidence(facts, test_images=TABLE, training_images=TRAINING)


class TestLabelErrors:
    def test_of_the_test_set(self) -> None:
        problem = found("test-label-errors", evidence(suspects=[SUSPECT], noise=[NOISE]))
        assert problem.title == "About 5.0 % of the test labels are wrong."
        assert "Between 3.0 % and 8.0 % of the labels of 200 test images are wrong" in problem.evidence
        assert (problem.value, problem.images) == (0.05, [7])
        shown = problem.exhibits[0]
        assert (shown.image.file, shown.caption) == ("seven.png", "given 7, suggested 3")
        np.testing.assert_array_equal(shown.pictures[0], TABLE.pictures[7])

    def test_of_the_training_set(self) -> None:
        suspect = dataclasses.replace(SUSPECT, image=ImageRef("train", 7), suggested=None)
        noise = dataclasses.replace(NOISE, part="train", share=0.2, low=0.15, high=0.25)
        from_dataset = evidence(suspects=[suspect], noise=[NOISE, noise])
        problem = found("training-label-errors", from_dataset)
        assert (
            problem.title.endswith("are wrong, or the dataset augments its images strongly."),
            problem.severity,
        ) == (
            True,
            "note",
        )
        arrays = Inspection(training_data=image_set())
        problem = found("training-label-errors", dataclasses.replace(from_dataset, inspection=arrays))
        assert (problem.title, problem.severity) == ("About 20.0 % of the training labels are wrong.", None)
        assert (problem.images, problem.exhibits[0].caption) == ((), "given 7")

    def test_label_noise_says_it_only_if_the_labels_do_not(self) -> None:
        noise = dataclasses.replace(NOISE, part="train")
        known = evidence(noise=[noise])
        known = dataclasses.replace(known, evaluation=dataclasses.replace(known.facts, train_sample=sample(300, 1000)))
        assert isinstance(answer("label-noise", known), NotChecked)
        unknown = dataclasses.replace(known, evaluation=dataclasses.replace(known.facts, data=DataFacts()))
        assert found("label-noise", unknown).value > 0.5

    def test_chance_and_small_shares_pass(self) -> None:
        few = dataclasses.replace(NOISE, low=0.001)
        assert isinstance(answer("test-label-errors", evidence(noise=[few])), Passed)
        uncertain = dataclasses.replace(NOISE, p_value=1e-5)
        assert found("test-label-errors", evidence(suspects=[SUSPECT], noise=[uncertain])).severity == "note"
        by_chance = dataclasses.replace(NOISE, p_value=0.02)
        assert isinstance(answer("test-label-errors", evidence(noise=[by_chance])), NotChecked)

    def test_training_labels_that_were_not_examined(self) -> None:
        assert isinstance(answer("training-label-errors", evidence(noise=[NOISE])), NotChecked)


class TestContradictingAnnotators:
    def test_names_the_pair_and_shows_its_suspects(self) -> None:
        other = dataclasses.replace(SUSPECT, suggested=4)
        problem = found("contradicting-annotators", evidence(mixed_classes=[MIXED], suspects=[other, SUSPECT]))
        assert problem.title == "The labels of “3” and “7” are mixed up in the test set."
        assert [each.caption for each in problem.exhibits] == ["given 7, suggested 3"]

    @pytest.mark.parametrize("change", [{"p_value": 0.001}, {"share": 0.04}, {"share": 0.9}])
    def test_passes(self, change: dict[str, float]) -> None:
        mixed = dataclasses.replace(MIXED, **change)
        assert isinstance(answer("contradicting-annotators", evidence(mixed_classes=[mixed])), Passed)


class TestSameClassTwice:
    def test_names_the_pair_and_shows_both(self) -> None:
        problem = found("same-class-twice", evidence(same_classes=[TWINS]))
        assert problem.title == "“3” and “7” seem to be the same class."
        assert [each.image.index for each in problem.exhibits[:4]] == [3, 7, 13, 17]

    def test_passes(self) -> None:
        assert isinstance(answer("same-class-twice", evidence()), Passed)


class TestNoClass:
    def test_names_the_images(self) -> None:
        foreign = [Foreign(ImageRef("test", place), 2.0) for place in (5, 8, 9)]
        problem = found("no-class", evidence(foreign=foreign))
        assert problem.title == "3 test images seem to belong to no class."
        assert (problem.images, problem.exhibits[1].caption) == ([5, 8, 9], "given 8")

    def test_few_pass(self) -> None:
        assert isinstance(answer("no-class", evidence(foreign=[Foreign(ImageRef("test", 5), 2.0)])), Passed)


class TestShuffledLabels:
    CHANCE = np.full((10, 10), 2)

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_one_set(self, part: str) -> None:
        both = {"train": IN_TRAINING, "test": dataclasses.replace(CARRIED, learned_from="test")}
        nothing = dataclasses.replace(NOTHING[part], learned_from=part)
        signals = [(both | {part: nothing})["train"], NOTHING["test"], (both | {part: nothing})["test"]]
        problem = found("wrong-labels", evidence(self.CHANCE, signals=signals))
        words = {"train": "training", "test": "test"}
        assert problem.title == f"Labels do not belong to their images in the {words[part]} data."

    def test_both_sets(self) -> None:
        signals = [NOTHING["train"], NOTHING["test"], dataclasses.replace(NOTHING["test"], learned_from="test")]
        assert "training data" in found("wrong-labels", evidence(self.CHANCE, signals=signals)).title

    def test_few_images_leave_it_to_the_model(self) -> None:
        few = dataclasses.replace(NOTHING["test"], learned_from="test", deviation=0.03)
        unknown = answer("wrong-labels", evidence(self.CHANCE, signals=[NOTHING["train"], NOTHING["test"], few]))
        assert isinstance(unknown, NotChecked)
        assert unknown.reason == "the training images were not evaluated"
        assert isinstance(
            answer("wrong-labels", evidence(self.CHANCE, signals=[IN_TRAINING, NOTHING["test"]])), NotChecked
        )

    def test_another_cause(self) -> None:
        alone = dataclasses.replace(CARRIED, learned_from="test")
        assert isinstance(
            answer("wrong-labels", evidence(self.CHANCE, signals=[IN_TRAINING, NOTHING["test"], alone])), Passed
        )
        assert isinstance(answer("wrong-labels", evidence(self.CHANCE, signals=[IN_TRAINING, CARRIED])), Passed)
