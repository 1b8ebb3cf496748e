"""The section on the curves of two classes."""

from __future__ import annotations

import dataclasses

import numpy as np
from fixtures.pages import parse

from lrdiag.diagnosis.binary import binary_facts
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import Run
from lrdiag.report.page import render_page
from lrdiag.report.sections.curves import build


def with_two_classes(run: Run, labels: np.ndarray) -> Run:
    positive = np.array([0.9, 0.6, 0.2, 0.7, 0.3, 0.1])
    predictions = Predictions(np.log(np.stack([1 - positive, positive], axis=1)), labels)
    facts = binary_facts(predictions, ("healthy", "ill"))
    return dataclasses.replace(run, diagnosis=dataclasses.replace(run.diagnosis, binary=facts))


def test_names_the_positive_class_and_marks_the_decision(runs: dict[str, Run]) -> None:
    run = with_two_classes(runs["ordinary"], np.array([1, 1, 1, 0, 0, 0]))
    section = parse(render_page(run)).find(id="curves")
    assert section is not None
    assert f"Positive is {run.diagnosis.dataset.classes[1]}, the second class" in section.text
    assert len(section.select(".drawn-decision")) == 2
    rows = [[cell.text for cell in row("td")] for row in section.select("tbody tr")]
    assert len(rows) == 11
    assert rows[0][0] == "0.5"
    assert rows[0][1].startswith("66.7\u00a0% (")
    assert rows[0][-2:] == ["1", "1"]


def test_says_why_there_are_no_curves(runs: dict[str, Run]) -> None:
    section = build(with_two_classes(runs["ordinary"], np.ones(6, int)))
    assert section is not None
    assert section.sentence == "The curves were not computed: the test set has no image of healthy."
    assert section.roc is None


def test_more_classes_have_no_section(pages: dict[str, str]) -> None:
    assert parse(pages["ordinary"]).find(id="curves") is None
