"""The comparison, printed on a terminal."""

from __future__ import annotations

import dataclasses
import re

import pytest

from lrdiag.record.facts import Run
from lrdiag.record.pictures import Pictures
from lrdiag.report import terminal
from lrdiag.report.terminal import print_comparison


def printed(run: Run, capsys: pytest.CaptureFixture[str]) -> str:
    print_comparison(run.diagnosis)
    return capsys.readouterr().out.replace("\u00a0", " ")


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
    assert classes[0] == ["cat", "75.0 %", "30.0 %", "−45.0", "0", "0"]
    assert ["truck", "75.0 %", "95.0 %", "+20.0", "5", "1"] in classes


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
