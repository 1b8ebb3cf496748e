"""Rules about single classes and pairs of classes."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, finding, result

from lrdiag.diagnosis.findings.classes import Candidate, decisive
from lrdiag.diagnosis.pairs import worst_pair
from lrdiag.record.facts import ConfusedPair


def weakened(right: int, each: int = 100, others: int = 90) -> np.ndarray:
    """Ten classes of which the third is classified correctly so many times."""
    counts = balanced(10, each, others)
    counts[2] = balanced(10, each, right)[2]
    return counts


def swapped(count: int, each: int = 100) -> np.ndarray:
    """Ten perfect classes, but so many images of class 3 are predicted as class 5."""
    counts = np.diag([each] * 10)
    counts[3, 5], counts[3, 3] = count, each - count
    return counts


def test_a_clear_candidate_decides_before_a_larger_one_that_may_be_chance() -> None:
    large, clear, small = Candidate(0, 0.5, False), Candidate(1, 0.3, True), Candidate(2, 0.1, True)
    assert decisive([large, clear, small], 0.2) == clear
    assert decisive([large, small], 0.2) == large
    assert decisive([], 0.2) is None


class TestWeakClass:
    def test_fires(self) -> None:
        found = finding(facts_of(weakened(60)), "weak-class")
        assert found.title == "“2” is the weakest class."
        assert (
            found.evidence == "60.0 % of its 100 images are classified correctly, compared with 87.0 % of all images."
        )
        assert found.value == pytest.approx(0.27)
        assert len(found.images) == 40
        assert {place // 100 for place in found.images} == {2}

    @pytest.mark.parametrize(("right", "status"), [(74, "passed"), (73, "found")])
    def test_has_a_threshold(self, right: int, status: str) -> None:
        """Accuracy is 88.4 % or 88.3 %."""
        assert result(facts_of(weakened(right)), "weak-class").status == status

    def test_few_images_of_a_class_do_not_decide(self) -> None:
        check = result(facts_of(weakened(7, each=10, others=9)), "weak-class")
        assert (check.status, check.reason) == ("not checked", "10 images of a class are too few")
        tiny = result(facts_of(balanced(10, 9, 8)), "weak-class")
        assert tiny.reason == "no class has 10 test images"

    def test_chance_among_many_classes_is_no_finding(self) -> None:
        """Of 100 equally good classes with 30 images, the weakest has a low recall by chance."""
        generator = np.random.default_rng(0)
        for _ in range(20):
            counts = np.zeros((100, 100), int)
            right = generator.binomial(30, 0.8, 100)
            counts[np.arange(100), np.arange(100)] = right
            counts[np.arange(100), (np.arange(100) + 1) % 100] = 30 - right
            assert result(facts_of(counts), "weak-class").status != "found"

    def test_a_rare_class_is_found(self) -> None:
        assert finding(facts_of([[940, 10], [25, 25]]), "weak-class").title == "“1” is the weakest class."


class TestOverPredictedClass:
    def counts(self, wrong: int = 127) -> np.ndarray:
        """Class 3 has 53 images, of which 39 are classified correctly; so many others are predicted as class 3."""
        counts = np.diag([0, 0, 0, 39, 0, 0, 0])
        counts[3, 0] = 14
        others = [0, 1, 2, 4, 5, 6]
        counts[others, others] = 51
        for place in range(wrong):
            true = others[place % 6]
            counts[true, 3] += 1
            counts[true, true] -= 1
        return counts

    def test_fires_on_166_predictions_for_53_images(self) -> None:
        found = finding(facts_of(self.counts()), "over-predicted-class")
        assert found.title == "“3” is predicted too often."
        assert "It is predicted for 166 images, but only 53 belong to it: its precision is 23.5 %." in found.evidence
        assert (found.value, found.threshold) == (pytest.approx(166 / 53), 2.0)
        assert len(found.images) == 100

    @pytest.mark.parametrize(("wrong", "status"), [(67, "passed"), (68, "found")])
    def test_has_a_threshold(self, wrong: int, status: str) -> None:
        assert result(facts_of(self.counts(wrong)), "over-predicted-class").status == status

    def test_few_images_do_not_decide(self) -> None:
        """9 images are missed and 19 others are predicted as the class: this may be chance among seven classes."""
        counts = np.diag([60, 60, 60, 1, 60, 60, 60])
        counts[3, 0], counts[0, 3], counts[0, 0] = 8, 19, 41
        check = result(facts_of(counts), "over-predicted-class")
        assert (check.status, check.reason) == ("not checked", "20 images are too few")
        assert check.value == pytest.approx(20 / 9)
        small = result(facts_of(balanced(4, 15, 14)), "over-predicted-class")
        assert small.reason == "no class is predicted for 20 images"


class TestConfusedPair:
    def test_fires(self) -> None:
        found = finding(facts_of(swapped(40)), "confused-pair")
        assert found.title == "“3” is often predicted as “5”."
        assert found.evidence == "40 of 100 images, 40.0 % of the class."
        assert found.images == list(range(360, 400))
        assert (found.value, found.threshold) == (0.4, 0.1)

    def test_is_quiet_at_the_threshold_and_below_five_images(self) -> None:
        assert result(facts_of(swapped(10)), "confused-pair").status == "passed"
        check = result(facts_of(swapped(4, each=10)), "confused-pair")
        assert (check.status, check.value) == ("passed", None)

    def test_few_images_do_not_decide(self) -> None:
        check = result(facts_of(swapped(5, each=36)), "confused-pair")
        assert (check.status, check.reason) == ("not checked", "36 images of a class are too few")
        assert result(facts_of(swapped(4, each=9)), "confused-pair").reason == "no class has 10 test images"

    def test_two_classes_are_not_checked(self) -> None:
        assert result(facts_of([[35, 15], [5, 45]]), "confused-pair").status == "not checked"


class TestWorstPair:
    def test_of_classes_of_one_size_it_has_the_most_images(self) -> None:
        counts = swapped(20)
        counts[7, 1], counts[7, 7] = 21, 79
        assert worst_pair(facts_of(counts)) == ConfusedPair(7, 1, 21, 0.21)

    def test_a_large_class_does_not_hide_a_small_one_and_a_few_images_do_not_outrank_many(self) -> None:
        counts = np.array([[920, 80, 0], [12, 8, 0], [0, 1, 1]])
        assert worst_pair(facts_of(counts)) == ConfusedPair(1, 0, 12, 0.6)
        assert [(pair.true, pair.predicted) for pair in facts_of(counts).confused_pairs] == [(1, 0), (2, 1), (0, 1)]
        counts = np.array([[800, 200, 0], [4, 16, 0], [0, 0, 5]])
        assert worst_pair(facts_of(counts)) == ConfusedPair(0, 1, 200, 0.2)

    def test_needs_five_images(self) -> None:
        assert worst_pair(facts_of(swapped(4))) is None
        assert worst_pair(facts_of(swapped(5))) == ConfusedPair(3, 5, 5, 0.05)
