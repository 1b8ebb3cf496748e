"""Rules about the training labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from fixtures.image_sets import answer, found, image_set

from lrdiag.diagnosis.findings.answers import NotChecked, Passed
from lrdiag.diagnosis.findings.training_labels import classes_at_random
from lrdiag.record.observed import Compiled, Labels, Optimizer

CODES = ("single-class", "missing-class", "imbalance", "little-data", "not-shuffled")


@pytest.mark.parametrize("code", CODES)
def test_sound_data_passes(code: str) -> None:
    assert isinstance(answer(code, training_data=image_set(), validation_data=image_set()), Passed)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("labels", [Labels(1, 0.0, 0.7, False, None), Labels(9, 0.0, 1.0, True, False, (5, 5))])
def test_other_labels_are_not_checked(code: str, labels: Labels) -> None:
    data = image_set(labels=labels)
    assert isinstance(answer(code, training_data=data, validation_data=data), NotChecked)


class TestSingleClass:
    def test_fires(self) -> None:
        problem = found("single-class", training_data=image_set((0, 0, 70)), validation_data=image_set())
        assert problem.title == "All training images belong to a single class, class 2."
        assert problem.evidence.endswith("The validation labels have 10 classes.")

    def test_a_part_does_not_tell(self) -> None:
        assert isinstance(answer("single-class", training_data=image_set((70,), size=500)), NotChecked)


class TestMissingClass:
    @pytest.mark.parametrize(
        ("counts", "title"),
        [
            ((100, 0, 100), "Class 1 of the validation images is missing in the training images."),
            ((100,), "Classes 1 and 2 of the validation images are missing in the training images."),
        ],
    )
    def test_names_the_classes(self, counts: tuple[int, ...], title: str) -> None:
        data = {"training_data": image_set(counts), "validation_data": image_set((10, 10, 10))}
        assert found("missing-class", **data).title == title
        assert found("missing-class", **data).severity == "error"

    def test_a_rare_class_is_a_warning(self) -> None:
        problem = found("missing-class", training_data=image_set((100,)), validation_data=image_set((99, 1)))
        assert problem.severity == "warning"
        assert problem.evidence.startswith("1 validation image of 100 (1.0 %) belongs to this class,")

    def test_a_part_of_the_labels_proves_nothing(self) -> None:
        part = image_set((100, 100), size=1000)
        missing = answer("missing-class", training_data=part, validation_data=image_set((9, 9, 9)))
        assert isinstance(missing, NotChecked)
        assert missing.reason == "only the labels of the first 200 training images were read"

    def test_classes_without_validation_images_are_sound(self) -> None:
        assert isinstance(answer("missing-class", training_data=image_set(), validation_data=image_set((9, 9))), Passed)


class TestImbalance:
    def test_fires(self) -> None:
        problem = found("imbalance", training_data=image_set((440, 60, 0, 20)))
        assert problem.title == ("The classes are imbalanced: class 0 has 22 times as many training images as class 3.")
        assert "Only this class is so rare." in problem.evidence
        assert "class_weight" in problem.advice

    def test_the_weights_of_the_advice_are_balanced(self) -> None:
        assert "{c: 100 / n for c, n in zip" in found("imbalance", training_data=image_set((190, 10))).advice

    @pytest.mark.parametrize("others", [{"weighted": True}, {}])
    def test_weights_and_the_threshold_pass(self, others: dict[str, Any]) -> None:
        counts = (500, 10) if others else (100, 10)
        assert isinstance(answer("imbalance", training_data=image_set(counts, **others)), Passed)

    def test_a_focal_loss_passes(self) -> None:
        focal = Compiled("categorical focal crossentropy", "categorical", False, 0.0, (), Optimizer("Adam", False))
        assert isinstance(answer("imbalance", training_data=image_set((500, 10)), compiled=focal), Passed)

    def test_a_small_part_does_not_tell(self) -> None:
        assert isinstance(answer("imbalance", training_data=image_set((60, 3), size=5000)), NotChecked)
        assert found("imbalance", training_data=image_set((6000, 30), size=50_000)).value == 200


class TestLittleData:
    @pytest.mark.parametrize(("each", "fires"), [(9, True), (10, False)])
    def test_the_mean_decides(self, each: int, fires: bool) -> None:
        result = answer("little-data", training_data=image_set((each,) * 10))
        assert isinstance(result, Passed) is not fires
        assert result.value == each

    def test_classes_of_the_validation_images_count(self) -> None:
        problem = found("little-data", training_data=image_set((30, 30)), validation_data=image_set())
        assert problem.title == "There are too few training images: 6.0 per class."

    def test_unknown_size(self) -> None:
        assert isinstance(answer("little-data", training_data=image_set(size=None)), NotChecked)


def batches(counts: tuple[int, ...], seen: tuple[int, ...], **others: Any) -> dict[str, Any]:
    return {"training_data": image_set(counts, classes_in_batches=seen, **others), "validation_data": image_set()}


TEN = (100,) * 10


class TestNotShuffled:
    def test_sorted(self) -> None:
        problem = found("not-shuffled", **batches(TEN, (1, 1, 1, 2, 1)))
        assert problem.title == "The training data is not shuffled: a batch has images of one or few classes."
        assert problem.evidence == (
            "The first 5 batches, each with 32 images, have 1.2 classes on average. In random order they would have "
            "9.7 of the 10 classes."
        )

    def test_two_classes(self) -> None:
        assert found("not-shuffled", **batches((500, 500), (1, 1, 1, 1))).value == 0
        assert isinstance(answer("not-shuffled", **batches((500, 500), (2, 2, 2))), Passed)

    def test_one_class_so_far(self) -> None:
        first = image_set((640,), size=50_000, classes_in_batches=(1,) * 16)
        problem = found("not-shuffled", training_data=first, validation_data=image_set())
        assert "The first 640 images all belong to class 0. Of the validation images, 10.0 % do." in problem.evidence
        assert isinstance(answer("not-shuffled", training_data=first), NotChecked)

    @pytest.mark.parametrize("size", [1, 2])
    def test_small_batches_do_not_tell(self, size: int) -> None:
        assert isinstance(answer("not-shuffled", **batches(TEN, (1, 1), batch_size=size)), NotChecked)

    @pytest.mark.parametrize("size", [2, 4, 8, 32])
    @pytest.mark.parametrize("counts", [TEN, (500, 500), (900, 50, 50), (10,) * 100])
    def test_random_batches_pass(self, counts: tuple[int, ...], size: int) -> None:
        labels = np.repeat(np.arange(len(counts)), counts)
        generator = np.random.default_rng(0)
        for _ in range(20):
            drawn = generator.permutation(labels)[: 16 * size].reshape(16, size)
            seen = tuple(len(np.unique(each)) for each in drawn)
            assert not hasattr(answer("not-shuffled", **batches(counts, seen, batch_size=size)), "title")

    def test_balanced_batches_pass(self) -> None:
        assert isinstance(answer("not-shuffled", **batches(TEN, (10,) * 16)), Passed)


def test_the_number_of_classes_in_random_batches() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    generator = np.random.default_rng(0)
    drawn = [len(np.unique(generator.choice(labels, 5))) for _ in range(4000)]
    mean, bound = classes_at_random((600, 300, 100), 5)
    assert mean == pytest.approx(np.mean(drawn), abs=0.03)
    assert np.std(drawn) <= bound <= 1.5 * np.std(drawn)


def test_names_of_many_classes_are_cut() -> None:
    problem = found("missing-class", training_data=image_set((9,)), validation_data=image_set((9,) * 14))
    assert problem.title.startswith("Classes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 3 more of")
    assert dataclasses.asdict(problem)["value"] == 13
