"""What is printed on a terminal."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from lrdiag.rate.range_test import RangeTest, Sweep
from lrdiag.record.facts import Run
from lrdiag.record.pictures import Pictures
from lrdiag.report import terminal
from lrdiag.report.terminal import print_comparison, range_test_lines


def printed(run: Run, capsys: pytest.CaptureFixture[str]) -> str:
    print_comparison(run.diagnosis)
    return capsys.readouterr().out


def test_prints_difference_interval_test_and_counts(runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(runs["compared"], capsys).splitlines()
    assert lines[0] == (
        "No detectable difference from the baseline: accuracy is 80.0 % and was 79.5 %; the 95 % interval of the "
        "difference is −2.7 to +3.7 points."
    )
    assert lines[1] == "Of 200 test images, 5 were fixed and 4 broken (McNemar's mid-p test: p = 0.75)."


def test_has_a_row_for_each_figure_and_class(runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    rows = [re.split(r"\s{2,}", line.strip()) for line in printed(runs["compared"], capsys).splitlines()]
    assert ["accuracy", "79.5 %", "80.0 %"] in rows
    assert ["test loss", "0.654", "0.623"] in rows
    assert ["calibration error", "6.2 %", "6.2 %"] in rows
    classes = rows[rows.index(["Recall", "Baseline", "This run", "Points", "Fixed", "Broken"]) + 1 :]
    assert len(classes) == 10
    assert classes[0] == ["cat", "75.0 %", "30.0 %", "−45.00", "0", "0"]
    assert ["truck", "75.0 %", "95.0 %", "+20.00", "5", "1"] in classes


def test_a_calibration_error_that_is_not_known_is_a_dash(
    runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    diagnosis = runs["compared"].diagnosis
    unknown = dataclasses.replace(diagnosis.calibration, error=None)
    text = printed(Run(dataclasses.replace(diagnosis, calibration=unknown), Pictures()), capsys)
    assert ["calibration error", "6.2 %", "–"] in [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_with_many_classes_those_that_changed_most_are_shown(
    runs: dict[str, Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_CLASSES", 3)
    text = printed(runs["compared"], capsys)
    assert "7 of 10 classes changed less and are not listed." in text
    assert "airplane" not in text


def test_hostile_names_cannot_control_the_terminal(
    runs: dict[str, Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = printed(runs["hostile and compared"], capsys)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert """</script><script>alert("1")</script>""" in text


def test_prints_nothing_without_a_baseline(runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(runs["ordinary"], capsys) == ""


RATES = np.geomspace(1e-5, 10, 100)
LOSSES = 2 / (1 + (RATES / 1e-2) ** 1.5) + (RATES / 2) ** 2


def test_a_range_test_is_described_with_its_interval() -> None:
    sweeps = tuple(Sweep(RATES.tolist(), (LOSSES * factor).tolist()) for factor in (1, 1.1))
    test = RangeTest(sweeps)
    lines = range_test_lines(test, "fastai-valley", test.suggest("fastai-valley"))
    assert "by the rule fastai-valley" in lines[0]
    assert "base_lr" in lines[1]
    assert re.search(r"^Interval of the suggestion: \S+ to \S+, of 2 sweeps\.$", lines[-2])
    assert lines[-1] == "The sweep ended after 100 updates: the last learning rate was reached."


def test_a_range_test_without_boundaries_or_interval_says_why() -> None:
    flat = RangeTest((Sweep([1e-3, 1e-2], [2.0, 2.0]),) * 2)
    lines = range_test_lines(flat, "fastai-minimum", 1e-3)
    assert lines[1].startswith("No boundaries of a cycle: ")
    assert lines[2].startswith("No interval of the suggestion: ")


def test_a_suggestion_below_the_boundaries_is_explained() -> None:
    test = RangeTest((Sweep(RATES.tolist(), LOSSES.tolist()),))
    below = range_test_lines(test, "steepest", test.bounds().base_lr / 2)
    assert any("below the boundaries" in line for line in below)
    assert not any("below the boundaries" in line for line in range_test_lines(test, "steepest", test.suggest()))
