"""What the page says of a range test and of how sure it is."""

from __future__ import annotations

import dataclasses

import pytest

from lrdiag.record import folder as run_folder
from lrdiag.record.facts import RangeTestFacts, Run
from lrdiag.report.page import render_page
from lrdiag.report.sections.learning_rate import build


def measured(run: Run, **changes: object) -> Run:
    test = dataclasses.replace(run.diagnosis.range_test, **changes)
    return Run(dataclasses.replace(run.diagnosis, range_test=test), dict(run.pictures))


@pytest.fixture
def run(runs: dict[str, Run]) -> Run:
    return runs["ordinary"]


def test_repeats_give_an_interval(run: Run) -> None:
    repeated = measured(run, repeats=5, suggestion_low=0.02, suggestion_high=0.125)
    said = "Read one by one, the 5 sweeps and their mean suggest rates from 2.0e-2 to 1.2e-1."
    assert build(repeated).interval == said
    page = render_page(repeated)
    assert "the mean of 5 sweeps, 60 updates in all" in page
    assert "the bar through it the suggestions of the single sweeps" in page
    assert "The shortest sweep ended because the loss diverged." in page


def test_one_sweep_says_nothing_of_chance(run: Run, pages: dict[str, str]) -> None:
    assert build(run).interval.startswith("One sweep was made; lrdiag find-lr --repeats 5 ")
    assert "The sweep ended because the loss diverged." in pages["ordinary"]
    assert "the bar through it" not in pages["ordinary"]


def test_sweeps_that_cannot_be_read_alone_have_no_interval(run: Run) -> None:
    unread = measured(run, repeats=3)
    assert build(unread).interval == (
        "Of the 3 sweeps some could not be read by themselves, so the rate has no interval."
    )


def test_what_was_not_read_has_no_interval_and_no_marks_to_explain(runs: dict[str, Run], pages: dict[str, str]) -> None:
    assert build(runs["unread range test"]).interval is None
    assert "The shaded band" not in pages["unread range test"]
    assert "The shaded band" in pages["ordinary"]


def test_points_are_called_what_they_are(run: Run) -> None:
    losses = run.diagnosis.range_test.losses
    assert "Each point is the validation loss after one update, 60" in render_page(measured(run, val_losses=losses))


def test_another_measurement_is_drawn_anew(run: Run) -> None:
    fresh = measured(run)
    first = build(fresh).chart
    before = fresh.pictures[run_folder.RANGE_TEST_CHART]
    repeated = Run(measured(run, repeats=5, suggestion_low=0.02, suggestion_high=0.125).diagnosis, fresh.pictures)
    assert build(repeated).chart != first
    assert repeated.pictures[run_folder.RANGE_TEST_CHART] != before


def test_a_test_of_one_update_has_words_but_no_chart(run: Run) -> None:
    short = RangeTestFacts([0.1], [2.0], [2.0], "the loss diverged", accuracies=[0.1])
    section = build(Run(dataclasses.replace(run.diagnosis, range_test=short), {}))
    assert section.chart is None
    assert section.sentence == "No learning rate can be read off this range test."
