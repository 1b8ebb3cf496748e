"""The section on the learning rate: the suggestion, its interval and the chart."""

from __future__ import annotations

import dataclasses

import pytest
from fixtures.variants import changed

from lrdiag.record.facts import RangeTestFacts, Run
from lrdiag.report.page import render_page
from lrdiag.report.sections.learning_rate import build


def measured(run: Run, **changes: object) -> Run:
    test = dataclasses.replace(run.diagnosis.range_test, **changes)
    return changed(run, range_test=test)


@pytest.fixture
def run(runs: dict[str, Run]) -> Run:
    return runs["ordinary"]


def test_repeats_give_an_interval(run: Run) -> None:
    repeated = measured(run, repeats=5, suggestion_low=0.02, suggestion_high=0.125)
    expected = "The suggestions of the 5 single sweeps and of their mean lie between 0.02 and 0.12."
    assert build(repeated).interval == expected
    page = render_page(repeated)
    assert "the mean of 5 sweeps, 60 updates in total" in page
    assert "the bar through it spans the suggestions of the single sweeps" in page
    assert "The shortest sweep ended because the loss diverged." in page


def test_one_sweep_has_no_interval(run: Run, pages: dict[str, str]) -> None:
    assert build(run).interval.startswith("One sweep was made. lrdiag find-lr --repeats 5 ")
    assert "lrdiag.find_lr with repeats=5" in build(changed(run, command="")).interval
    assert "The sweep ended because the loss diverged." in pages["ordinary"]
    assert "the bar through it" not in pages["ordinary"]


def test_sweeps_without_single_suggestions_have_no_interval(run: Run) -> None:
    unread = measured(run, repeats=3)
    assert build(unread).interval == (
        "The suggestion has no interval: the 3 sweeps saw the same batches, or one of them cannot be read on its own."
    )


def test_without_a_suggestion_there_is_no_interval_and_no_legend(runs: dict[str, Run], pages: dict[str, str]) -> None:
    assert build(runs["unread range test"]).interval is None
    assert "The shaded band" not in pages["unread range test"]
    assert "The shaded band" in pages["ordinary"]


def test_the_caption_names_the_points(run: Run) -> None:
    losses = run.diagnosis.range_test.losses
    assert "Each point is the validation loss after one update, 60" in render_page(measured(run, val_losses=losses))


def test_another_measurement_is_drawn_again(run: Run) -> None:
    assert build(measured(run, repeats=5, suggestion_low=0.02, suggestion_high=0.125)).chart != build(run).chart


@pytest.mark.parametrize(("base_lr", "below"), [(0.01, False), (0.05, False), (0.06, True)])
def test_a_suggestion_below_the_cycle_is_explained(run: Run, base_lr: float, below: bool) -> None:
    assert (build(measured(run, base_lr=base_lr)).advice is not None) == below
    page = render_page(measured(run, base_lr=base_lr))
    assert ("The suggestion lies below the boundaries: use it for a constant learning rate." in page) == below


def test_a_test_of_one_update_has_text_but_no_chart(run: Run) -> None:
    short = RangeTestFacts([0.1], [2.0], [2.0], "the loss diverged", accuracies=[0.1])
    section = build(changed(run, range_test=short))
    assert section.chart is None
    assert section.sentence == "No learning rate can be read from this range test."
