"""The rule about shortcuts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from fixtures.diagnoses import balanced, facts_of, finding
from fixtures.image_sets import answer, found

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, Passed
from lrdiag.record.data_facts import DataFacts, ImageRef, Shortcut
from lrdiag.record.experiments import Changed

GOOD = balanced(10, 40, 36)
MARK = Shortcut("a mark at the lower right of images of 3", 3, "train", 1.0, 0.02, 64, 0.8, 0.05, 60, 0.9, 0.2)
PICTURE = np.zeros((4, 4, 3), np.uint8)


def evidence(*shortcuts: Shortcut, **others: Any) -> Evidence:
    return Evidence(dataclasses.replace(facts_of(GOOD), data=DataFacts(shortcuts=list(shortcuts))), **others)


def test_a_mark_that_decides() -> None:
    problem = finding(evidence(MARK), "shortcut")
    assert problem.severity == "error"
    assert problem.title == "A mark at the lower right of images of 3 decides the prediction."
    assert "100.0 % of the training images of 3 show it, and 2.0 % of the others." in problem.evidence
    assert "Put on 64 images of other classes, it makes the model predict 3 for 80.0 % of them" in problem.evidence
    assert "lowers their recall from 90.0 % to 20.0 %" in problem.evidence


def test_a_mark_that_only_influences_is_a_warning() -> None:
    weak = dataclasses.replace(MARK, turned=0.3, covered_after=0.8)
    problem = finding(evidence(weak), "shortcut")
    assert (problem.severity, problem.title[-26:]) == ("warning", "influences the prediction.")


def test_a_mark_that_changes_nothing_is_a_note_about_the_data() -> None:
    unused = dataclasses.replace(MARK, turned=0.05, covered_after=0.9)
    problem = finding(evidence(unused), "shortcut")
    assert problem.severity == "note"
    assert problem.title.endswith("tells the class, but the model hardly uses it.")


def test_the_strongest_is_named_first_with_its_pictures() -> None:
    weak = dataclasses.replace(MARK, name="a mark at the top of images of 4", label=4, turned=0.6, covered_after=0.8)
    pairs = [Changed(ImageRef("test", index), "2 before, 3 after", PICTURE, PICTURE + 1) for index in range(20)]
    problem = found("shortcut", evidence(weak, MARK, changed={MARK.name: pairs, weak.name: pairs}))
    assert problem.title.startswith("A mark at the lower right")
    assert "The same is true of a mark at the top of images of 4." in problem.evidence
    assert len(problem.exhibits) == MOST_EXHIBITS
    assert problem.exhibits[0].image == ImageRef("test", 0)
    assert [int(each.max()) for each in problem.exhibits[0].pictures] == [0, 1]


def test_none_passes() -> None:
    assert answer("shortcut", evidence()) == Passed()
