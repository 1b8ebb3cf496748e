"""Rules about the comparison with a baseline."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fixtures.diagnoses import facts_of, finding, result

from lrdiag.diagnosis.compare import compare, with_comparison
from lrdiag.diagnosis.evidence import MISSING, Evidence
from lrdiag.diagnosis.findings.checking import check_all
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
        assert found.title == "The model is worse than the baseline: accuracy fell by 10.8 points."
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
        assert found.title == "“1” is worse than in the baseline: recall fell by 33.3 points."
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
