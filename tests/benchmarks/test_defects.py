"""Planted defects change what they say they change, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import data_findings
from benchmarks.defects import SCENARIOS, Planted, data

ON_DIGITS = [name for name, each in SCENARIOS.items() if each.setup == "digits" and each.plant]


@pytest.fixture(scope="module")
def digits() -> data.Data:
    return data.digits(0)


@pytest.mark.parametrize("name", ON_DIGITS)
def test_only_the_planted_test_images_differ(name: str, digits: data.Data) -> None:
    planted = SCENARIOS[name].planted(digits)
    if planted.test is None or planted.groups:
        return
    pixels = (planted.data.x_test != digits.x_test).any(axis=(1, 2, 3))
    changed = np.flatnonzero(pixels | (planted.data.y_test != digits.y_test))
    assert len(changed) > 0
    assert set(changed) <= set(planted.test)


def test_a_scenario_is_planted_alike_each_time(digits: data.Data) -> None:
    first, second = (SCENARIOS["test-labels-wrong-0.05-digits"].planted(digits) for _ in range(2))
    np.testing.assert_array_equal(first.test, second.test)
    np.testing.assert_array_equal(first.data.y_test, second.data.y_test)


def test_a_finding_points_by_images_classes_and_words(digits: data.Data) -> None:
    class Outcome:
        planted = Planted(digits, test=np.array([1, 2, 3, 4]), classes=(2,), words="dark")

        @staticmethod
        def images_of(finding: object, part: str) -> list[int]:
            return [1, 2, 9]

    def finding(title: str) -> dict[str, object]:
        return data_findings.pointing({"title": title, "evidence": "", "exhibits": []}, Outcome())

    named = finding("The images of “two” are dark.")
    assert named == {"precision": 0.667, "recall": 0.5, "classes": True, "words": True}
    assert data_findings.points(named)
    assert data_findings.points(finding("Class 2 is dark."))
    assert not data_findings.points(finding("The images of “three” are dark."))
    assert not data_findings.points(finding("The images of “two” are bright."))
