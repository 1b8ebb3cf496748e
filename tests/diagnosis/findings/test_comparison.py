"""Rules about the comparison with a baseline."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fixtures.diagnoses import facts_of, finding, result

from lrdiag.diagnosis.compare import compare, with_comparison
from lrdiag.diagnosis.evidence import MISSING, Evidence
from lrdiag.diagnosis.findings.checking import check_all
from lrdiag.record.data_facts import DataFacts, Slice, packed
from lrdiag.record.facts import Diagnosis, Finding


def perfect(*right: int, each: int = 60) -> np.ndarray:
    """Four classes with so many images that are classified correctly; the others are predicted as the next class."""
    counts = np.diag(list(right))
    for true, number in enumerate(right):
        counts[true, (true + 1) % len(right)] += each - number
    return counts


def compared(base: np.ndarray, head: np.ndarray) -> Diagnosis:
    facts = check_all(Evidence(facts_of(head)))
    return with_comparison(facts, compare(facts_of(base), facts))


class TestRegression:
    def test_fires(self) -> None:
        worse = compared(perfect(60, 58, 58, 58), perfect(58, 50, 50, 50))
        found = finding(worse, "regression")
        assert found.title == "The model is worse than the baseline: accuracy fell by 10.83 points."
        assert "It was 97.5 % and is 86.7 %." in found.evidence
        assert "became misclassified" in found.evidence
        assert (found.value, found.threshold) == (worse.comparison.p_value, pytest.approx(0.05))
        assert found.images == [worse.misclassified.items[place].index for place in worse.comparison.broken]

    def test_is_quiet_if_better_or_if_chance_explains_it(self) -> None:
        assert result(compared(perfect(50, 50, 50, 50), perfect(60, 60, 60, 60)), "regression").status == "passed"
        check = result(compared(perfect(60, 60, 60, 60), perfect(60, 60, 60, 57)), "regression")
        assert check.status == "passed"
        assert check.value > 0.05

    def test_is_not_checked_without_a_baseline(self) -> None:
        assert result(facts_of(perfect(50, 50, 50, 50)), "regression").reason == MISSING["comparison"]


class TestClassRegression:
    def test_fires_on_33_points_in_one_class(self) -> None:
        found = finding(compared(perfect(55, 40, 50, 50), perfect(60, 20, 55, 55)), "class-regression")
        assert found.title == "“1” is worse than in the baseline: recall fell by 33.33 points."
        assert "66.7 % were classified correctly before and 33.3 % are now" in found.evidence
        assert "20 became misclassified and 0 became correct" in found.evidence
        assert {place // 60 for place in found.images} == {1}
        assert len(found.images) == 20

    def test_is_quiet_at_the_threshold(self) -> None:
        assert result(compared(perfect(50, 50, 50, 50), perfect(50, 45, 50, 50)), "class-regression").status == "passed"

    def test_few_images_do_not_decide(self) -> None:
        few = compared(perfect(11, 11, 11, 11, each=12), perfect(11, 8, 11, 11, each=12))
        assert result(few, "class-regression").reason == "12 images of a class are too few"
        tiny = compared(perfect(9, 9, 9, 9, each=9), perfect(9, 2, 9, 9, each=9))
        assert result(tiny, "class-regression").reason == "no class has 10 test images"

    def test_is_not_checked_without_a_baseline(self) -> None:
        assert result(facts_of(perfect(50, 50, 50, 50)), "class-regression").reason == MISSING["comparison"]


class TestPairRegression:
    def test_fires_on_33_points(self) -> None:
        worse = compared(perfect(55, 40, 50, 50), perfect(60, 20, 55, 55))
        found = finding(worse, "pair-regression")
        assert found.title == "“1” is predicted as “2” more often than in the baseline."
        assert found.evidence == (
            "40 of 60 images are confused so, and 20 were before: 20 were added and 0 are no longer."
        )
        assert found.value == pytest.approx(1 / 3)
        assert len(found.images) == 40
        assert result(worse, "pair-regression").status == "explained"

    def test_an_exchange_within_a_class_is_found_although_its_recall_is_the_same(self) -> None:
        base, head = np.diag([60] * 4), np.diag([60] * 4)
        base[1], head[1] = [20, 40, 0, 0], [0, 40, 20, 0]
        found = finding(compared(base, head), "pair-regression")
        assert found.title == "“1” is predicted as “2” more often than in the baseline."

    def test_is_quiet_at_the_threshold_and_by_chance(self) -> None:
        assert result(compared(perfect(60, 60, 60, 60), perfect(60, 57, 60, 60)), "pair-regression").status == "passed"
        few = compared(perfect(60, 60, 60, 60), perfect(60, 56, 60, 60))
        assert result(few, "pair-regression").reason == "60 images of a class are too few"


class TestSliceRegression:
    def compared(self, before: int, now: int, slices: int = 1) -> Diagnosis:
        """Class 0 has 60 images, of which the last 40 are the slice of the baseline."""
        base, head = (facts_of(perfect(right, 60, 60, 60)) for right in (60 - before, 60 - now))
        each = Slice(
            "dark images", "brightness", 40, before, 0.0, 1.0, 200, 0, 0.0, 0.002,
            members=packed(np.arange(20, 60), 240),
        )  # fmt: skip
        base = dataclasses.replace(base, data=DataFacts(slices=[each] * slices))
        return with_comparison(check_all(Evidence(head)), compare(base, head))

    def test_fires_on_50_points(self) -> None:
        found = finding(self.compared(10, 30), "slice-regression")
        assert found.title == "One group of images is worse than in the baseline: dark images."
        assert found.evidence == (
            "Of its 40 images, 25.0 % were misclassified before and 75.0 % are now: 20 became misclassified and 0 "
            "became correct."
        )
        assert found.value == pytest.approx(0.5)
        assert sorted(found.images) == list(range(30, 50))

    def test_is_quiet_at_the_threshold_and_by_chance(self) -> None:
        assert result(self.compared(10, 14), "slice-regression").status == "passed"
        assert result(self.compared(10, 15, slices=2), "slice-regression").reason == "40 images are too few"
        assert result(self.compared(30, 5), "slice-regression").status == "passed"

    def test_is_not_checked_without_slices(self) -> None:
        worse = compared(perfect(60, 60, 60, 60), perfect(20, 60, 60, 60))
        assert result(worse, "slice-regression").reason == "the baseline has no slices"


def test_new_and_gone_findings() -> None:
    sound, weak = (check_all(Evidence(facts_of(perfect(60, right, 55, 55)))) for right in (60, 20))
    assert (compare(sound, weak).new_findings, compare(sound, weak).gone_findings) == (["weak-class"], [])
    assert (compare(weak, sound).new_findings, compare(weak, sound).gone_findings) == ([], ["weak-class"])
    unknown = dataclasses.replace(sound, checks=[])
    assert compare(unknown, weak).new_findings == []
    again = with_comparison(weak, compare(sound, weak))
    assert compare(again, again).new_findings == compare(sound, again).gone_findings == []


def test_a_comparison_keeps_the_other_findings_and_checks() -> None:
    head = check_all(Evidence(facts_of(perfect(60, 20, 55, 55))))
    worse = with_comparison(head, compare(facts_of(perfect(60, 60, 60, 60)), head))
    assert [each.code for each in worse.findings] == ["regression", "class-regression", "weak-class", "confused-pair"]
    assert [each.code for each in worse.checks] == [each.code for each in head.checks]
    same = with_comparison(worse, compare(facts_of(perfect(60, 20, 55, 55)), head))
    assert [each.code for each in same.findings] == ["weak-class", "confused-pair"]


def test_a_run_of_version_01_is_compared_too() -> None:
    old = facts_of(perfect(60, 20, 55, 55), findings=[Finding("weak-class", "warning", "a", "b", "c")])
    worse = with_comparison(old, compare(facts_of(perfect(60, 60, 60, 60)), old))
    assert [each.code for each in worse.findings] == ["regression", "class-regression", "weak-class"]
    assert {each.code: each.status for each in worse.checks}["overfitting"] == "not checked"
    assert dataclasses.replace(worse, comparison=None, findings=old.findings, checks=[]) == old
