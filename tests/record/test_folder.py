"""The run folder: what is written can be read, no file is half written, and no file of an earlier run is left."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from lrdiag.errors import RunFolderError
from lrdiag.record import documents, exchange, reading
from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import SkippedFile
from lrdiag.record.facts import (
    Averages,
    Calibration,
    CalibrationBin,
    ClassChange,
    ClassFacts,
    Comparison,
    ConfusedPair,
    DatasetFacts,
    Diagnosis,
    Epoch,
    Evolution,
    Finding,
    HeatmapFacts,
    Misclassified,
    Mistake,
    Moment,
    RangeTestFacts,
    Run,
    Score,
    Seconds,
    SettingChange,
    TrainingRun,
    WatchedImage,
)
from lrdiag.record.pictures import Pictures, Sheet, SheetName
from lrdiag.report.pictures.sheets import difference_sheet, heatmap_sheet, image_sheet

MISTAKES = [
    Mistake(0, 0, 1, 0.75, 1.4, [1, 0], [0.75, 0.25], "test/a b.png"),
    Mistake(1, 1, 0, 0.5, 0.7, [0], [None]),
]
FIXED = [Mistake(2, 1, 0, None, None, [0], [None])]
LAID_OUT: dict[SheetName, tuple[Sheet, bytes]] = {
    "mistakes": image_sheet(np.zeros((1, 4, 6, 3), np.uint8), "misclassified.webp"),
    "mistakes-predicted": heatmap_sheet(np.ones((1, 2, 3)), np.ones(1), "maps-predicted.png"),
    "mistakes-true": heatmap_sheet(np.ones((1, 2, 3)), np.full(1, 2), "maps-true.png"),
    "mistakes-difference": difference_sheet(np.ones((1, 2, 3)), np.ones(1), "maps-difference.png"),
    "samples": image_sheet(np.zeros((4, 4, 6, 3), np.uint8), "samples.webp"),
    "fixed": image_sheet(np.full((1, 4, 6, 3), 9, np.uint8), "fixed.webp"),
    "evolution": image_sheet(np.full((1, 4, 6, 3), 99, np.uint8), "watched.webp"),
    "evolution-maps": heatmap_sheet(np.ones((2, 2, 3)), np.ones(2), "watched-maps.png"),
}
ITEMS = {"mistakes": [1], "mistakes-predicted": [1], "mistakes-true": [1], "mistakes-difference": [1], "fixed": [0]}
SHEETS = {name: dataclasses.replace(sheet, items=ITEMS.get(name)) for name, (sheet, _) in LAID_OUT.items()}
PICTURES = {sheet.file: content for sheet, content in LAID_OUT.values()}
MEANS = Averages(0.25, 0.5, 1 / 3)


@pytest.fixture
def run() -> Run:
    """Every optional field once set and once `None`, and text with special characters."""
    diagnosis = Diagnosis(
        dataset=DatasetFacts(
            "toys",
            "“Ünï” <b>&</b>",
            None,
            ["cat", "=dog"],
            [4, 6, 3],
            4,
            0,
            4,
            [2, 2],
            [2, 2],
            "0f",
            [SkippedFile("test/<b>.png", "“it is cut”")],
        ),
        model="fast",
        parameters=10,
        range_test=RangeTestFacts([1e-5, 0.1], [2.5, 2.25], [2.5, 2.3], "the loss diverged", [], None, None, 0.1),
        range_test_note="why",
        training=TrainingRun(
            [Epoch(1.5, 0.5, None, None, 1.0), Epoch(0.1, 1.0, 0.2, 0.5, 0.1), Epoch(None, None, None, None, None)],
            [0.1, 1 / 3],
            [0.5, None],
            2,
            3,
            "SGD",
            "constant",
            "the loss was not finite",
            1.5,
            interrupted=True,
        ),
        test=Score(4, 0.5, 0.1, 0.9, None, 0.5, None, MEANS, MEANS),
        calibration=Calibration(
            0.25, [CalibrationBin(0, 0.5, 0, 0, None), CalibrationBin(0.5, 1, 2, 1, 0.75, 0.1, 0.9)]
        ),
        per_class=[ClassFacts("cat", 0.5, 0.5, 0.5, 2, 0.1, 0.9), ClassFacts("=dog", 0.5, 0.5, None, 2)],
        confusion=[[1, 1], [1, 1]],
        confused_pairs=[ConfusedPair(0, 1, 1, 0.5), ConfusedPair(1, 0, 1, 0.5)],
        misclassified=Misclassified(2, MISTAKES),
        heatmaps=HeatmapFacts("Grad-CAM", None, 0, "no convolution"),
        findings=[Finding("weak-class", "warning", "title", "evidence", "advice")],
        device="CPU",
        command="lrdiag train-and-report --out 'a b'",
        git_commit=None,
        settings={"seed": 0, "data": None, "mixed_precision": True, "learning_rate": "auto", "share": 0.5},
        versions={"keras": "3.15.1"},
        seconds=Seconds(1.0, 2.0, 3.0, 4.0, 10.5),
        comparison=Comparison(
            "old",
            None,
            Score(4, 0.5, 0.1, 0.9, 1.5, 0.5, 0.75, MEANS, MEANS),
            None,
            0.0,
            -0.5,
            0.5,
            1.0,
            "no detectable difference",
            [0],
            FIXED,
            [ClassChange(0, None, 0.0), ClassChange(1, 0.5, None)],
            [SettingChange("seed", 0, 1), SettingChange("commit", None, "3f2a91c")],
        ),
        value_range=(-1.0, 0.5),
        evolution=Evolution(
            [1, 3],
            [0.25, 0.5],
            [WatchedImage(3, 1, [Moment(0, 0.75), Moment(1, 0.5)])],
        ),
    )
    return Run(diagnosis, Pictures(dict(SHEETS), dict(PICTURES)))


@pytest.fixture
def saved(run: Run, tmp_path: Path) -> Path:
    exchange.save(tmp_path, run)
    return tmp_path


def without_list(folder: Path) -> Path:
    """Removes the list of the files, so that they may be changed."""
    content = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps(content | {"files": {}}))
    return folder


@pytest.fixture
def edit(saved: Path) -> Any:
    """Changes one value of report.json or pictures.json, named by its path."""

    def change(value: Any, *path: str | int, file: str = "report.json") -> Path:
        content = json.loads((saved / file).read_text())
        place = content
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        (saved / file).write_text(json.dumps(content))
        return without_list(saved)

    return change


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_saved_run_is_loaded_unchanged(run: Run, saved: Path) -> None:
    assert reading.load(saved) == run
    assert names(saved) == {"report.json", "pictures.json", *PICTURES}


def test_a_run_without_mistakes_or_range_test_is_loaded_too(run: Run, tmp_path: Path) -> None:
    diagnosis = dataclasses.replace(
        run.diagnosis, range_test=None, range_test_note=None, comparison=None, evolution=None
    )
    bare = Run(diagnosis, run.pictures.only(("samples",)))
    exchange.save(tmp_path, bare)
    assert reading.load(tmp_path) == bare


def test_a_model_that_was_only_evaluated_is_loaded_too(run: Run, tmp_path: Path) -> None:
    """No training run, no training images, no calibration, no image followed."""
    facts = run.diagnosis
    bare = dataclasses.replace(
        facts,
        dataset=dataclasses.replace(facts.dataset, name="", train_size=0, train_counts=[0, 0], skipped=[]),
        training=None,
        calibration=Calibration(None, []),
        comparison=None,
        evolution=None,
        settings={},
        command="",
    )
    exchange.save(tmp_path, Run(bare, Pictures()))
    assert reading.load(tmp_path) == Run(bare, Pictures())


def test_a_training_run_without_steps_is_loaded_too(run: Run, tmp_path: Path) -> None:
    epochs = [Epoch(0.5, None, None, None, None)]
    training = TrainingRun(epochs, [], [], 1, 1, "", "", None, None)
    short = Run(dataclasses.replace(run.diagnosis, training=training), run.pictures)
    exchange.save(tmp_path, short)
    assert reading.load(tmp_path) == short


def test_a_saved_run_follows_the_published_schema(saved: Path) -> None:
    jsonschema.validate(json.loads((saved / "report.json").read_text()), documents.schema())
    jsonschema.validate(json.loads((saved / "pictures.json").read_text()), documents.pictures_schema())


def test_the_report_is_strict_json_without_nan(run: Run, tmp_path: Path) -> None:
    test = dataclasses.replace(run.diagnosis.test, loss=math.nan, accuracy_high=math.inf)
    exchange.save(tmp_path, Run(dataclasses.replace(run.diagnosis, test=test), Pictures()))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads((tmp_path / "report.json").read_text("utf-8"), parse_constant=refuse)
    assert content["test"]["loss"] is content["test"]["accuracy_high"] is None
    assert content["dataset"]["source"] == run.diagnosis.dataset.source
    assert content["schema_version"] == 6


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_mistake_whose_loss_is_not_finite_can_be_loaded(run: Run, tmp_path: Path, value: float) -> None:
    mistakes = Misclassified(2, [Mistake(0, 0, 1, value, value, [1], [value]), MISTAKES[1]])
    exchange.save(tmp_path, Run(dataclasses.replace(run.diagnosis, misclassified=mistakes), run.pictures))
    assert reading.load(tmp_path).diagnosis.misclassified.items[0].loss is None


def test_a_moment_with_nan_scores_can_be_loaded(run: Run, tmp_path: Path) -> None:
    evolution = run.diagnosis.evolution
    assert evolution
    lost = dataclasses.replace(evolution, images=[WatchedImage(3, 1, [Moment(0, math.nan), Moment(1, 0.5)])])
    exchange.save(tmp_path, Run(dataclasses.replace(run.diagnosis, evolution=lost), run.pictures))
    loaded = reading.load(tmp_path).diagnosis.evolution
    assert loaded
    assert loaded.images[0].moments == [Moment(0, None), Moment(1, 0.5)]


def test_an_error_keeps_the_old_file_and_leaves_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")

    def fail() -> None:
        with run_folder.replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == {"report.json"}


def test_a_file_is_replaced_at_once_with_ordinary_permissions(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("old")
    with run_folder.replacing(path) as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert names(tmp_path) == {"model.keras", "plain"}


def test_a_killed_process_leaves_the_old_file_complete(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old and whole")
    code = (
        "import sys, time, pathlib; from lrdiag.record import folder as run_folder\n"
        "with run_folder.replacing(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); print('writing', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert path.read_text() == "old and whole"


def test_a_folder_is_created_empty_with_its_parents(tmp_path: Path) -> None:
    for _ in range(2):
        run_folder.create(tmp_path / "a" / "b")
        assert names(tmp_path / "a" / "b") == set()


@pytest.mark.parametrize("below", ["", "run", "deep/run"])
def test_a_folder_that_cannot_be_created_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"cannot be written.*Choose another folder.*Received: .*file"):
        run_folder.create(tmp_path / "file" / below)


def test_an_unwritable_file_gives_an_error_with_its_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"cannot be written.*Received: .*file"):
        exchange.save(tmp_path / "file", run)


def test_a_folder_in_the_place_of_a_file_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(RunFolderError, match=r"report.json cannot be written"):
        exchange.save(tmp_path, run)
    assert not [name for name in names(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"PK\x03\x04",
        b'{"schema_version": 4, "model": "\xff"}',
        b'{"x":' + b"[" * 100_000,
    ],
    ids=["empty", "object", "null", "list", "cut", "utf-16", "zip", "not-utf-8", "deep"],
)
@pytest.mark.parametrize("file", ["report.json", "pictures.json"])
def test_a_file_with_other_content_is_refused(saved: Path, file: str, content: bytes) -> None:
    without_list(saved)
    (saved / file).write_bytes(content)
    with pytest.raises(RunFolderError, match=r"schema version 3 to 6.*Make the run again.*Received: .*report.json"):
        reading.load(saved)


@pytest.mark.parametrize("file", ["report.json", "pictures.json"])
@pytest.mark.parametrize("cut", [10, 100, -2])
def test_a_truncated_file_is_refused(saved: Path, file: str, cut: int) -> None:
    path = without_list(saved) / file
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(RunFolderError, match="schema version 3 to 6"):
        reading.load(saved)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("three", ("parameters",)),
        (None, ("test",)),
        (None, ("value_range",)),
        ([0.5], ("value_range",)),
        ("soon", ("training", "interrupted")),
        (None, ("evolution", "images")),
        ("fatal", ("findings", 0, "severity")),
        ([["a"]], ("confusion",)),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_and_named(edit: Any, value: Any, path: tuple[Any, ...]) -> None:
    with pytest.raises(RunFolderError, match=r"schema version 3 to 6.*Received: .*\$\." + str(path[0])):
        reading.load(edit(value, *path))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("count", "1", r"Received: .*\$\.sheets\[\.\.\.\]\.count"),
        ("columns", 0, r"Received: .*`int` >= 1 - at `\$\.sheets\[\.\.\.\]\.columns"),
        ("columns", 10**9, r"must have the size of its sheet, 8,000,000,000 × 6 pixels.*Received: 16 × 12"),
        ("width", -1, r"Received: .*`int` >= 1"),
        ("padding", -1, r"Received: .*`int` >= 0"),
        ("count", 10**9, r"Received: 1000000000 pictures of 2 classes|must have the size of its sheet"),
        ("file", "conftest.py", r"the file name of its kind.*Received: 'conftest.py' for the sheet 'samples'"),
        ("items", [0, 1], "Received: 2 entries and 4 pictures in 'samples'"),
        ("items", [0, 1, 2, -3], r"Received: .*`int` >= 0"),
        ("items", [0, 1, 2, 2], "not ascending"),
    ],
)
def test_an_invalid_sheet_is_refused(edit: Any, field: str, value: Any, message: str) -> None:
    with pytest.raises(RunFolderError, match=message):
        reading.load(edit(value, "sheets", "samples", field, file="pictures.json"))


def test_a_run_without_effects_is_converted(run: Run, saved: Path) -> None:
    content = json.loads((saved / "report.json").read_text())
    for finding in content["findings"]:
        for name in ("why", "known", "effects", "accepted"):
            del finding[name]
    (saved / "report.json").write_text(json.dumps(content | {"schema_version": 4}))
    assert reading.load(saved) == run


@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_older_schema_version_is_refused(edit: Any, version: int) -> None:
    with pytest.raises(RunFolderError, match=rf"schema version 3 to 6. Make the run again.*Received: .*{version} in"):
        reading.load(edit(version, "schema_version"))


@pytest.mark.parametrize("version", [7, 999])
def test_a_newer_schema_version_is_refused(edit: Any, version: int) -> None:
    message = rf"by a newer version of lrdiag. Upgrade lrdiag.*Received: schema version {version}.*reads 3 to 6"
    with pytest.raises(RunFolderError, match=message):
        reading.load(edit(version, "schema_version"))


def test_pictures_of_another_run_are_refused(run: Run, saved: Path, tmp_path: Path) -> None:
    others = Misclassified(2, [dataclasses.replace(MISTAKES[0], index=3), MISTAKES[1]])
    facts = dataclasses.replace(run.diagnosis, misclassified=others)
    (saved / "report.json").write_bytes(documents.to_json(facts))
    with pytest.raises(RunFolderError, match=r"must belong to one run"):
        reading.load(saved)
    assert reading.load_baseline(saved) == Run(facts, Pictures()), "a baseline may lie beside another run"


def test_fields_of_a_later_version_are_ignored(edit: Any, run: Run) -> None:
    edit({"file": "later.png"} | dataclasses.asdict(SHEETS["samples"]), "sheets", "later", file="pictures.json")
    assert reading.load(edit("news", "later")) == run


@pytest.mark.parametrize("name", ["pictures.json", *PICTURES])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(RunFolderError, match=rf"pictures that it names.*{name}"):
        reading.load(saved)


@pytest.mark.parametrize("named", [".", "report.json"])
def test_a_baseline_is_a_folder_or_its_report(run: Run, saved: Path, named: str) -> None:
    assert reading.load_baseline(saved / named) == run


def test_a_baseline_may_be_a_single_file_of_another_name(run: Run, saved: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "main.json").write_bytes((saved / "report.json").read_bytes())
    assert reading.load_baseline(alone / "main.json") == Run(run.diagnosis, Pictures())


def test_pictures_that_a_baseline_does_not_have_are_left_out(run: Run, saved: Path) -> None:
    kept = {"maps-true.png": PICTURES["maps-true.png"]}
    for name in PICTURES.keys() - kept.keys():
        (saved / name).unlink()
    assert reading.load_baseline(saved) == Run(run.diagnosis, Pictures(dict(SHEETS), kept))


@pytest.mark.parametrize("path", ["nowhere", "nowhere/report.json"])
def test_a_missing_baseline_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(RunFolderError, match=r"A run folder must contain report.json.*.*nowhere.*No such file"):
        reading.load_baseline(tmp_path / path)


def test_a_baseline_of_another_schema_is_refused(edit: Any) -> None:
    with pytest.raises(RunFolderError, match=r"schema version 3 to 6.*Received: .*report.json"):
        reading.load_baseline(edit(1, "schema_version"))


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(RunFolderError, match=r"A run folder must contain report.json.*Received: .*No such file"):
        reading.load(tmp_path / folder)


HOSTILE = [
    "../secret.txt",
    "/etc/hostname",
    "..",
    "",
    ".",
    "a\x00b",
    "x" * 5000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=["parent", "absolute", "dots", "empty", "dot", "null-byte", "long"])
@pytest.mark.parametrize("sheet", ["samples", "evolution-maps"])
def test_a_sheet_cannot_point_to_another_folder(edit: Any, name: str, sheet: str) -> None:
    folder = edit(name, "sheets", sheet, "file", file="pictures.json")
    (folder.parent / "secret.txt").write_text("secret")
    for load in (reading.load, reading.load_baseline):
        with pytest.raises(RunFolderError, match="Received"):
            load(folder)


@pytest.mark.parametrize("way", ["../samples.webp", "{absolute}/samples.webp"])
def test_a_run_that_was_loaded_writes_nothing_outside_its_folder(edit: Any, tmp_path: Path, way: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "run").mkdir(parents=True)
    folder = edit(way.format(absolute=elsewhere), "sheets", "samples", "file", file="pictures.json")
    with contextlib.suppress(RunFolderError):
        exchange.save(elsewhere / "run", reading.load(folder))
    assert names(elsewhere) == {"run"}


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "a\r=1",
        "a;=1",
        "a\n =1",
        "＝1+1",
        " ＠x",
        '=HYPERLINK("http://x")',
    ],
)
def test_formulas_are_escaped_in_tables(tmp_path: Path, cell: str) -> None:
    run_folder.write_csv(tmp_path / "table.csv", [cell], [[cell, 1, -0.5, None]])
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        header, row = csv.reader(file)
    assert not header[0].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert row[0] == header[0]
    assert not re.search(r"(^|[;\t\r\n])\s*[=+\-@＝＋－＠]", row[0])
    assert row[0].replace("'", "") == cell
    assert row[1:] == ["1", "-0.5", ""]


def test_ordinary_cells_are_not_changed(tmp_path: Path) -> None:
    run_folder.write_csv(tmp_path / "table.csv", ["name", "n"], [["a, “b”\nc", 1e-05], ["1-2", -3]])
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["name", "n"], ["a, “b”\nc", "1e-05"], ["1-2", "-3"]]


def test_json_has_full_precision(run: Run, saved: Path) -> None:
    assert re.search(r"0\.333333333333333\d", (saved / "report.json").read_text())
    assert reading.load(saved).diagnosis.training.learning_rate_per_step[1] == 1 / 3
