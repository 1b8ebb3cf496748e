"""The section on confidence: an overconfident model, an underconfident one, and neither."""

from __future__ import annotations

import dataclasses
import re

import pytest
from bs4 import Tag
from fixtures.pages import parse
from fixtures.variants import changed

from lrdiag.intervals import wilson
from lrdiag.record.facts import Calibration, CalibrationBin, Run
from lrdiag.report.page import render_page
from lrdiag.report.sections.confidence import Confidence, Group, build


def with_bins(run: Run, *filled: tuple[int, int, float], error: float = 0.125) -> Run:
    """The run with bins of these numbers of images, correct predictions and mean confidences."""
    known = {
        int(confidence * 15): (count, right, confidence, *wilson(right, count)) for count, right, confidence in filled
    }
    bins = [CalibrationBin(place / 15, (place + 1) / 15, *known.get(place, (0, 0, None))) for place in range(15)]
    size = sum(count for count, _, _ in filled)
    diagnosis = dataclasses.replace(
        run.diagnosis,
        calibration=Calibration(error, bins),
        test=dataclasses.replace(run.diagnosis.test, size=size),
    )
    return dataclasses.replace(run, diagnosis=diagnosis)


@pytest.fixture
def run(runs: dict[str, Run]) -> Run:
    return runs["ordinary"]


def conclusion_of(section: Confidence) -> str:
    return section.sentence.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("confidence", "verdict"),
    [
        (0.97, "The model is overconfident"),
        (0.83, "Overall, confidence agrees with accuracy"),
        (0.62, "The model is underconfident"),
    ],
)
def test_a_difference_that_chance_explains_is_not_overconfidence(run: Run, confidence: float, verdict: str) -> None:
    """160 of 200 are correct: the 95 % interval is 73.9 % to 84.9 %."""
    section = build(with_bins(run, (200, 160, confidence)))
    assert conclusion_of(section) == (
        f"{verdict}: mean confidence {100 * confidence:.1f} %, accuracy 80.0 %, expected calibration error 12.5 %."
    )


def test_the_same_distance_is_more_significant_with_more_images(run: Run) -> None:
    assert conclusion_of(build(with_bins(run, (200, 160, 0.83)))).startswith("Overall")
    assert conclusion_of(build(with_bins(run, (2000, 1600, 0.83)))).startswith("The model is overconfident")


def test_the_mean_confidence_is_weighted_by_the_images(run: Run) -> None:
    section = build(with_bins(run, (30, 15, 0.5), (10, 10, 0.9)))
    assert "mean confidence 60.0 %, accuracy 62.5 %" in conclusion_of(section)


def test_groups_have_the_numbers_of_the_bins(run: Run) -> None:
    groups = build(with_bins(run, (40, 10, 0.35))).groups
    assert len(groups) == 15
    assert groups[5] == Group(5 / 15, 6 / 15, 10, 30, 0.25, 0.35, pytest.approx(0.1))
    assert {(each.right, each.wrong, each.accuracy, each.gap) for place, each in enumerate(groups) if place != 5} == {
        (0, 0, None, None)
    }


def test_images_without_a_confidence_are_counted(run: Run) -> None:
    known = with_bins(run, (40, 10, 0.35))
    test = dataclasses.replace(known.diagnosis.test, size=43)
    section = build(changed(known, test=test))
    assert (section.left_out, build(known).left_out) == (3, 0)
    assert section.sentence == build(known).sentence


def test_without_any_confidence_nothing_is_drawn(run: Run) -> None:
    empty = with_bins(run)
    test = dataclasses.replace(empty.diagnosis.test, size=200)
    section = build(changed(empty, test=test))
    assert section == Confidence("No image has a confidence: the scores of the model are not finite.", 200, [])


def test_scores_without_probabilities_have_no_confidence(run: Run) -> None:
    empty = with_bins(run)
    test = dataclasses.replace(empty.diagnosis.test, has_confidence=False)
    sentence = build(changed(empty, test=test)).sentence
    assert sentence == "No image has a confidence: the model returns scores, not probabilities."


def test_a_bar_has_the_interval_of_the_facts(run: Run) -> None:
    known = with_bins(run, (40, 10, 0.35))
    bins = [dataclasses.replace(each, accuracy_low=None) for each in known.diagnosis.calibration.bins]
    bare = changed(known, calibration=dataclasses.replace(known.diagnosis.calibration, bins=bins))
    assert "drawn-interval" in str(build(known).reliability)
    assert "drawn-interval" not in str(build(bare).reliability)


@pytest.fixture(scope="module")
def shown(pages: dict[str, str]) -> Tag:
    return parse(pages["ordinary"]).find(id="confidence")


def test_every_group_is_a_row_of_the_folded_table(shown: Tag, runs: dict[str, Run]) -> None:
    rows = [row.get_text("|").replace("\u00a0", " ") for row in shown.details.tbody("tr")]
    assert len(rows) == 15
    assert rows[0] == "0.0–6.7|0|0|0|–|–|–"
    assert rows[3] == "20.0–26.7|12|2|10|16.7 %|23.3 %|+6.7"
    images = [int(row.split("|")[1]) for row in rows]
    assert sum(images) == runs["ordinary"].diagnosis.test.size


def test_each_chart_has_an_explanation(shown: Tag) -> None:
    figures = shown("figure")
    assert len(figures) == 2
    for figure in figures:
        assert figure.svg["role"] == "img"
        assert figure.svg.title.text == figure.svg["aria-label"]
        assert len(figure.figcaption.text) > 100


def test_the_page_counts_images_that_were_left_out(run: Run) -> None:
    known = with_bins(run, (40, 10, 0.35))
    test = dataclasses.replace(known.diagnosis.test, size=41)
    page = render_page(changed(known, test=test))
    assert "<p>1 image left out: the scores are not finite.</p>" in page
    assert "left out: the scores" not in re.sub(r"\s+", " ", render_page(known))
