"""Rules about groups of images."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, finding, result
from fixtures.image_tables import noise, table_of

from lrdiag.diagnosis.evidence import MISSING, Evidence
from lrdiag.record.arrays import Heatmaps
from lrdiag.record.data_facts import DataFacts, Slice, packed

CONFUSION = balanced(4, 100, 80)
SIZE = 400
FAILED = np.arange(80, 100)  # of class 0


def slice_of(wrong: int = 20, expected: float = 0.2, **others: Any) -> Slice:
    each = Slice(
        "dark images (brightness below 41)", "brightness", 40, wrong, 0.35, 0.65, 360, 80 - wrong, expected, 0.002,
        members=packed(np.arange(60, 100), SIZE),
    )  # fmt: skip
    return dataclasses.replace(each, **others)


def evidence(*slices: Slice, **others: Any) -> Evidence:
    return Evidence(facts_of(CONFUSION, data=DataFacts(slices=list(slices))), **others)


def test_fires_on_30_points() -> None:
    found = finding(evidence(slice_of(), slice_of(wrong=18, name="files in the folder cellar")), "weak-slice")
    assert found.severity == "warning"
    assert found.title == "The model fails more often on one group of images: dark images (brightness below 41)."
    assert "20 of its 40 images are misclassified, 50.0 % (95 % interval 35.0 % to 65.0 %)." in found.evidence
    assert "Other images of the same classes have an error of 20.0 % (p = 0.002" in found.evidence
    assert "Further groups: files in the folder cellar (45.0 % instead of 20.0 %)." in found.evidence
    assert found.value == pytest.approx(0.3)
    assert found.images == FAILED.tolist()


def test_names_further_groups_in_full() -> None:
    name = "“bird”: purplish images (green minus red and blue below -0.0304 of the brightness or more)"
    assert (
        f"Further groups: {name} (45.0 % instead"
        in finding(evidence(slice_of(), slice_of(wrong=18, name=name)), "weak-slice").evidence
    )


@pytest.mark.parametrize(
    ("each", "severity"),
    [
        (slice_of(wrong=14), "note"),  # 15 points
        (slice_of(wrong=15), "warning"),
        (slice_of(wrong=10, is_given=True), "note"),  # half of the threshold is 7.5 points
        (slice_of(wrong=12, is_given=True), "warning"),
        (slice_of(wrong=20, source="cluster"), "note"),  # twice the threshold is 30 points
        (slice_of(wrong=21, source="cluster"), "warning"),
        (slice_of(wrong=36, p_value=0.006), "note"),
        (slice_of(wrong=36, label=0), "note"),
    ],
)
def test_a_small_slice_and_a_part_of_a_class_are_notes(each: Slice, severity: str) -> None:
    assert finding(evidence(each), "weak-slice").severity == severity


def test_a_clear_slice_comes_before_a_part_of_a_class() -> None:
    part = slice_of(wrong=38, label=0, name="“0”: blurred images")
    assert "dark images" in finding(evidence(part, slice_of()), "weak-slice").title


def test_is_quiet_without_slices_and_not_checked_without_evidence() -> None:
    assert result(evidence(), "weak-slice").status == "passed"
    assert result(facts_of(CONFUSION), "weak-slice").reason == MISSING["slices"]


def test_shows_its_mistakes_with_heatmaps() -> None:
    from lrdiag.diagnosis.findings.slices import weak_slice

    labels = np.repeat(np.arange(4), 100)
    images = table_of(noise(SIZE), labels, np.zeros(SIZE, bool))
    maps = np.ones((1, 2, 2), np.float32)
    heatmaps = Heatmaps("Grad-CAM", "relu", FAILED[:1], maps, maps, None)
    exhibits = weak_slice(evidence(slice_of(), test_images=images, heatmaps=heatmaps), 0.15).exhibits
    assert {each.image.index for each in exhibits} == set(FAILED.tolist())
    assert len(exhibits) == len(FAILED)
    first = next(each for each in exhibits if each.image.index == FAILED[0])
    assert first.caption.startswith("0, predicted 1 (")
    assert np.array_equal(first.pictures[0], images.pictures[FAILED[0]])
    assert first.pictures[1].shape == (8, 8, 3)
    assert {len(each.pictures) for each in exhibits if each is not first} == {1}
