"""Rules about images of poor quality."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.diagnoses import balanced, facts_of, result
from fixtures.image_tables import table_of
from fixtures.pictures import photographs

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import Found
from lrdiag.diagnosis.findings.checking import check_all
from lrdiag.diagnosis.findings.image_quality import blank_images, dark_or_bright_images
from lrdiag.formats import plain
from lrdiag.record.data_facts import ImageRef

LABELS = np.repeat(np.arange(10), 60)
NO = np.zeros(600, bool)
CODES = [f"{name}-images" for name in ("blank", "damaged", "dark-or-bright", "enlarged", "blurred", "bordered")]


def evidence(test: np.ndarray, train: np.ndarray | None = None) -> Evidence:
    tables = [None if each is None else table_of(each, LABELS, NO, part="test") for each in (test, train)]
    return Evidence(facts_of(balanced(10, 60, 54)), test_images=tables[0], training_images=tables[1])


def blanked(number: int) -> np.ndarray:
    pictures = photographs(600, side=16)
    pictures[5 : 5 + number] = 40
    return pictures


@pytest.mark.parametrize(("number", "severity"), [(1, "note"), (2, None)])
def test_a_single_blank_image_is_a_note(number: int, severity: str | None) -> None:
    answer = blank_images(evidence(blanked(number)), 0.002)
    assert isinstance(answer, Found)
    assert answer.severity == severity
    assert answer.images == [*range(5, 5 + number)]


def test_defects_of_both_sets_are_shown() -> None:
    dark = photographs(600, side=16, seed=1)
    dark[-30:] //= 6
    answer = dark_or_bright_images(evidence(photographs(600, side=16), dark), 0.002)
    assert isinstance(answer, Found)
    assert len(answer.exhibits) == 24
    answer = dark_or_bright_images(evidence(dark, dark), 0.002)
    assert isinstance(answer, Found)
    assert plain(answer.title).startswith("5.0 % of the test images and 5.0 % of the ")
    assert set(answer.images) == set(range(570, 600))
    assert answer.exhibits[0].image is not None
    assert answer.exhibits[0].image.index >= 570


@pytest.mark.parametrize(("number", "status"), [(1, "passed"), (2, "not checked"), (4, "not checked"), (5, "found")])
def test_a_few_unusual_images_may_be_chance(number: int, status: str) -> None:
    """Of 600 sound images, 1.2 are expected to be so dark."""
    pictures = photographs(600, side=16)
    pictures[:number] //= 6
    assert result(evidence(pictures), "dark-or-bright-images").status == status


def test_a_sound_set_passes() -> None:
    checked = check_all(evidence(photographs(600, side=16)))
    assert {each.status for each in checked.checks if each.code in CODES} == {"passed"}


def test_few_images_are_not_checked() -> None:
    few = table_of(photographs(30, side=16), np.arange(30) % 3, NO[:30])
    known = Evidence(facts_of(balanced(3, 10, 9)), test_images=few)
    assert result(known, "blurred-images").reason == "fewer than 50 images show no habit of the set"


def test_an_exhibit_has_the_index_in_the_set() -> None:
    answer = blank_images(evidence(blanked(3)), 0.002)
    assert isinstance(answer, Found)
    assert [each.image for each in answer.exhibits] == [ImageRef("test", index) for index in (5, 6, 7)]
