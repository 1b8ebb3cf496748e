"""Runs of earlier versions: real run folders of lrdiag 0.1, converted when they are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from lrdiag.diagnosis.pairs import confused_pairs
from lrdiag.errors import RunFolderError
from lrdiag.intervals import mcnemar, wilson
from lrdiag.record import documents, exchange, reading
from lrdiag.record.facts import SCHEMA_VERSION, Run
from lrdiag.record.pictures import Sheet
from lrdiag.report.baseline import set_beside
from lrdiag.report.page import render_page
from lrdiag.report.write import write_page

RUNS = Path(__file__).parent / "runs" / "0.1"
MISTAKES = {"mistakes", "mistakes-predicted", "mistakes-true", "mistakes-difference", "class-means"}


def written(name: str) -> dict[str, Any]:
    return json.loads((RUNS / name / "report.json").read_text())


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    return {name: reading.load(RUNS / name) for name in ("plain", "compared", "followed")}


@pytest.mark.parametrize(
    ("name", "sheets"),
    [
        ("plain", MISTAKES | {"samples"}),
        ("compared", MISTAKES | {"samples", "fixed", "fixed-predicted"}),
        ("followed", MISTAKES | {"evolution", "evolution-maps"}),
    ],
)
def test_every_picture_of_the_folder_is_found(runs: dict[str, Run], name: str, sheets: set[str]) -> None:
    pictures = runs[name].pictures
    assert pictures.sheets.keys() == sheets
    images = {file.name: file.read_bytes() for file in (RUNS / name).iterdir() if file.name != "report.json"}
    assert pictures.files == images


def test_sheets_keep_their_layout(runs: dict[str, Run]) -> None:
    old = written("plain")["sheets"]
    assert runs["plain"].pictures.sheets["mistakes"] == Sheet(**old["photographs"])
    assert runs["plain"].pictures.sheets["class-means"] == Sheet(**old["heatmaps"]["means"])
    fixed = runs["compared"].pictures.sheets["fixed"]
    assert fixed.items == written("compared")["comparison"]["fixed_shown"]
    assert fixed.count == len(fixed.items) == 62


def test_mistakes_that_were_left_out_stay_left_out(edited: Any) -> None:
    def leave_out(report: dict[str, Any]) -> None:
        report["sheets"]["shown"] = [0, *range(2, 72)]
        maps = report["sheets"]["heatmaps"]
        for sheet in (report["sheets"]["photographs"], maps["predicted"], maps["true"], maps["difference"]):
            sheet["count"] = 71

    pictures = reading.load(edited("plain", leave_out)).pictures
    assert pictures.sheets["mistakes"].items == pictures.sheets["mistakes-true"].items == [0, *range(2, 72)]


@pytest.mark.parametrize("name", ["plain", "compared", "followed"])
def test_confused_pairs_are_ranked_as_today(runs: dict[str, Run], name: str) -> None:
    facts = runs[name].diagnosis
    assert facts.confused_pairs == confused_pairs(np.array(facts.confusion))


def test_figures_stay_and_new_ones_are_added(runs: dict[str, Run]) -> None:
    old, facts = written("plain"), runs["plain"].diagnosis
    assert facts.schema_version == SCHEMA_VERSION
    assert facts.test.accuracy == old["test"]["accuracy"]
    assert facts.confusion == old["confusion"]
    assert [each.recall for each in facts.per_class] == [each["recall"] for each in old["per_class"]]
    assert facts.checks == []
    for index, each in enumerate(facts.per_class):
        assert (each.recall_low, each.recall_high) == wilson(facts.confusion[index][index], each.support)
    predicted = [sum(row[index] for row in facts.confusion) for index in range(10)]
    intervals = [(each.precision_low, each.precision_high) for each in facts.per_class]
    assert intervals == [
        wilson(facts.confusion[index][index], count) if count else (None, None) for index, count in enumerate(predicted)
    ]
    assert 0 in predicted, "a class that is never predicted"
    for each in facts.calibration.bins:
        expected = wilson(each.right, each.count) if each.count else (None, None)
        assert (each.accuracy_low, each.accuracy_high) == expected


def test_a_comparison_has_the_conclusion_of_the_current_test(runs: dict[str, Run]) -> None:
    comparison = runs["compared"].diagnosis.comparison
    assert comparison
    assert comparison.p_value == mcnemar(len(comparison.broken), len(comparison.fixed))
    assert comparison.conclusion == "better"
    assert (comparison.difference_low, comparison.difference_high) == (
        written("compared")["comparison"]["difference_low"],
        written("compared")["comparison"]["difference_high"],
    )


def test_an_interval_never_contradicts_the_conclusion(edited: Any) -> None:
    def narrow(report: dict[str, Any]) -> None:
        fixed = report["comparison"]["fixed"][:4]
        changed = {"broken": [], "fixed": fixed, "difference": 4 / report["test"]["size"], "difference_low": 0.01}
        report["comparison"] |= changed | {"fixed_shown": [0], "fixed_photographs": None}

    comparison = reading.load(edited("compared", narrow)).diagnosis.comparison
    assert comparison
    assert (comparison.conclusion, comparison.difference_low) == ("no detectable difference", 0.0)


@pytest.mark.parametrize("name", ["plain", "compared", "followed"])
def test_a_page_is_made_and_the_run_is_not_changed(runs: dict[str, Run], tmp_path: Path, name: str) -> None:
    shutil.copytree(RUNS / name, tmp_path, dirs_exist_ok=True)
    (tmp_path / "training.chart.html").write_text("a chart of lrdiag 0.1")
    before = {file.name: file.read_bytes() for file in (RUNS / name).iterdir() if file.name != "report.json"}
    write_page(tmp_path, runs[name])
    assert 'id="misclassified"' in (tmp_path / "report.html").read_text(encoding="utf-8")
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert reading.load(tmp_path) == runs[name]
    assert {file: after[file] for file in before} == before
    assert after.keys() - before.keys() == {"report.html", "summary.md", "summary.png", "pictures.json", "report.json"}


@pytest.mark.parametrize("name", ["plain", "compared", "followed"])
def test_a_saved_conversion_has_the_current_schema(runs: dict[str, Run], tmp_path: Path, name: str) -> None:
    exchange.save(tmp_path, runs[name])
    assert reading.load(tmp_path) == runs[name]
    jsonschema.validate(json.loads((tmp_path / "report.json").read_text()), documents.schema())
    jsonschema.validate(json.loads((tmp_path / "pictures.json").read_text()), documents.pictures_schema())


def test_it_can_be_a_baseline(runs: dict[str, Run]) -> None:
    head = Run(runs["compared"].diagnosis, runs["compared"].pictures.without("fixed", "fixed-predicted"))
    run = set_beside(reading.load_baseline(RUNS / "plain" / "report.json"), head)
    assert run.diagnosis.comparison
    assert len(run.diagnosis.comparison.fixed) == run.pictures.sheets["fixed"].count == 62
    assert "fixed-predicted" in run.pictures.sheets
    assert 'class="tiles fixed"' in render_page(run)


@pytest.fixture
def edited(tmp_path: Path) -> Any:
    """Copies a run and changes its report.json."""

    def edit(name: str, change: Any) -> Path:
        shutil.copytree(RUNS / name, tmp_path, dirs_exist_ok=True)
        report = written(name)
        change(report)
        (tmp_path / "report.json").write_text(json.dumps(report))
        return tmp_path

    return edit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report.pop("sheets"), r"schema version 3 to 6.*Received: .*`sheets`"),
        (lambda report: report["sheets"].update(photographs="a"), r"schema version 3 to 6.*photographs"),
        (lambda report: report.pop("test"), r"schema version 3 to 6.*Received: .*`test`"),
        (lambda report: report["confusion"].pop(), r"counts in report.json must agree.*Received: 10 classes"),
        (
            lambda report: report["confused_pairs"][0].update(true=10),
            r"must agree.*a confused pair of class 10",
        ),
        (lambda report: report["calibration"]["bins"][0].update(right=9, count=3), r"must agree.*Received: 9 of 3"),
        (lambda report: report["sheets"]["samples"].update(file="../x"), r"file name of its kind.*Received: '../x'"),
        (
            lambda report: report["sheets"]["samples"].update(columns=0),
            r"schema version 3 to 6.*Received: .*`int` >= 1",
        ),
    ],
)
def test_a_broken_run_is_refused(edited: Any, change: Any, message: str) -> None:
    folder = edited("plain", change)
    for load in (reading.load, reading.load_baseline):
        with pytest.raises(RunFolderError, match=message):
            load(folder)
