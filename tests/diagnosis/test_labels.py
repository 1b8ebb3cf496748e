"""Examines labels: planted errors are found, and correct labels are not suspected."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fixtures.labelled import CLASSES, changed, labelled

from lrdiag.diagnosis.labels import LabelFacts, examine_labels
from lrdiag.record.arrays import Predictions
from lrdiag.record.data_facts import LabelNoise
from lrdiag.record.image_table import ImageTable

TRUE, TRAINED = np.arange(600) % 6, np.arange(1200) % 6


def examined(test: ImageTable, training: ImageTable | None) -> LabelFacts:
    facts = examine_labels(test, training, CLASSES)
    assert facts is not None
    return facts


def noise(facts: LabelFacts, part: str) -> LabelNoise:
    return next(each for each in facts.noise if each.part == part)


class TestTestLabels:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_correct_labels_are_not_suspected(self, seed: int) -> None:
        facts = examined(labelled(TRUE, TRUE, seed=seed), labelled(TRAINED, TRAINED, part="train", seed=seed + 9))
        assert [(each.part, each.learned_from) for each in facts.signals] == [("train", "train"), ("test", "train")]
        assert all(each.gain > 0.5 for each in facts.signals)
        assert facts.suspects == []
        assert [each.p_value > 0.05 for each in facts.noise] == [True, True]
        assert (facts.same_classes, facts.foreign) == ([], [])

    @pytest.mark.parametrize("alone", [False, True])
    def test_planted_errors_come_first(self, alone: bool) -> None:
        labels = changed(TRUE, 0.05)
        training = None if alone else labelled(TRAINED, TRAINED, part="train", seed=9)
        facts = examined(labelled(TRUE, labels), training)
        found = noise(facts, "test")
        assert found.low < 0.05 < found.high
        assert found.p_value < 1e-6
        right = [labels[each.image.index] != TRUE[each.image.index] for each in facts.suspects]
        assert np.mean(right) > 0.9
        assert len(right) > 20
        assert np.mean([each.suggested == TRUE[each.image.index] for each in facts.suspects]) > 0.9
        scores = [each.score for each in facts.suspects]
        assert scores == sorted(scores, reverse=True)

    def test_plain_pictures_are_left_out(self) -> None:
        table = labelled(TRUE, changed(TRUE, 0.05))
        dark = dataclasses.replace(table, statistics=dataclasses.replace(table.statistics, high=table.statistics.low))
        assert examine_labels(dark, None, CLASSES) is None

    def test_a_model_without_probabilities(self) -> None:
        table = labelled(TRUE, changed(TRUE, 0.05))
        scores = Predictions(None, table.labels, table.predictions.log_probabilities, loss_name=None)
        facts = examined(dataclasses.replace(table, predictions=scores), None)
        assert noise(facts, "test").low < 0.05 < noise(facts, "test").high

    def test_few_images_are_not_examined(self) -> None:
        training = labelled(TRAINED, TRAINED, part="train", seed=9)
        assert examine_labels(labelled(TRUE[:12], TRUE[:12]), training, CLASSES) is None
        unknown = Predictions(np.full((600, 6), np.nan), TRUE)
        assert examine_labels(dataclasses.replace(labelled(TRUE, TRUE), predictions=unknown), training, CLASSES) is None


class TestTrainingLabels:
    @pytest.mark.parametrize(("by_heart", "by_pairs"), [(False, True), (True, False)])
    def test_share_and_suspects(self, by_heart: bool, by_pairs: bool) -> None:
        wrong = np.random.default_rng(3).permutation(1200)[:240]
        labels = changed(TRAINED, 0.2)
        if by_pairs:
            labels = TRAINED.copy()
            labels[wrong] = (TRAINED[wrong] + 1) % 6
        training = labelled(TRAINED, labels, part="train", seed=9)
        if by_heart:
            sure = Predictions.from_scores(9.0 * np.eye(6)[labels], labels)
            training = dataclasses.replace(training, predictions=sure)
        facts = examined(labelled(TRUE, TRUE), training)
        found = noise(facts, "train")
        assert found.low < 0.2 < found.high
        assert found.p_value < 1e-6
        assert noise(facts, "test").p_value > 0.05
        first = [each.image for each in facts.suspects[:50]]
        assert {each.part for each in first} == {"train"}
        assert np.mean([labels[each.index] != TRAINED[each.index] for each in first]) > 0.9


class TestPairs:
    def test_labels_of_two_classes_are_mixed_up(self) -> None:
        exchanged = (TRUE < 2) & (np.random.default_rng(0).random(len(TRUE)) < 0.25)
        labels = np.where(exchanged, 1 - TRUE, TRUE)
        facts = examined(labelled(TRUE, labels), labelled(TRAINED, TRAINED, part="train", seed=9))
        first = facts.mixed_classes[0]
        assert (first.part, first.first, first.second) == ("test", 0, 1)
        assert first.p_value < 1e-6
        assert first.share == pytest.approx(0.25, abs=0.08)
        assert all(each.p_value > 0.001 for each in facts.mixed_classes[1:])

    def test_one_class_under_two_names(self) -> None:
        halves = np.random.default_rng(0)
        given, trained = (np.where((each == 0) & (halves.random(len(each)) < 0.5), 6, each) for each in (TRUE, TRAINED))
        test = labelled(TRUE, given, classes=7)
        facts = examine_labels(test, labelled(TRAINED, trained, part="train", seed=9, classes=7), (*CLASSES, "again"))
        assert facts is not None
        assert [(each.first, each.second) for each in facts.same_classes] == [(0, 6)]
        assert facts.same_classes[0].low < 0.5 < facts.same_classes[0].high


class TestForeignImages:
    def test_images_that_resemble_none(self) -> None:
        table = labelled(TRUE, TRUE)
        pictures = table.pictures.copy()
        pictures[7:12] = np.linspace(0, 255, 12).astype(np.uint8)[:, None]
        facts = examined(
            dataclasses.replace(table, pictures=pictures), labelled(TRAINED, TRAINED, part="train", seed=9)
        )
        assert {each.image.index for each in facts.foreign} == {7, 8, 9, 10, 11}

    def test_a_whole_set_that_differs_is_another_problem(self) -> None:
        table = labelled(TRUE, TRUE)
        pictures = np.broadcast_to(np.linspace(0, 255, 12).astype(np.uint8)[:, None], table.pictures.shape)
        facts = examined(
            dataclasses.replace(table, pictures=pictures), labelled(TRAINED, TRAINED, part="train", seed=9)
        )
        assert facts.foreign == []


class TestSignals:
    def test_shuffled_test_labels(self) -> None:
        shuffled = np.random.default_rng(0).permutation(TRUE)
        facts = examined(labelled(TRUE, shuffled), labelled(TRAINED, TRAINED, part="train", seed=9))
        training, _, alone = facts.signals
        assert (alone.part, alone.learned_from) == ("test", "test")
        assert training.gain > 0.5
        assert abs(alone.gain) < 3 * alone.deviation
        assert facts.suspects == []
