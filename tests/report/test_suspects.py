"""The suspects as a table: in Python, and with `lrdiag export`."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fixtures.variants import changed, storable

from lrdiag.cli.app import main
from lrdiag.errors import RunFolderError
from lrdiag.record import documents
from lrdiag.record.data_facts import DataFacts, ImageRef, Suspect
from lrdiag.record.facts import Run
from lrdiag.report.suspects import COLUMNS, suspects_table

SUSPECTS = [
    Suspect(ImageRef("test", 7, "test/cat/=7.png"), 3, 5, 0.96875, "predicted dog"),
    Suspect(ImageRef("train", 12, "=cmd|'/c calc'!A1"), 5, None, 0.5, 'no class; "odd"\nimage'),
    Suspect(ImageRef("train", 3), 0, 1, 0.25, "-1 + 1"),
]
ROWS: list[tuple[Any, ...]] = [
    ("test", 7, "test/cat/=7.png", "cat", "dog", 0.96875, "predicted dog"),
    ("train", 12, "=cmd|'/c calc'!A1", "dog", None, 0.5, 'no class; "odd"\nimage'),
    ("train", 3, None, "airplane", "automobile", 0.25, "-1 + 1"),
]


@pytest.fixture(scope="module")
def suspected(runs: dict[str, Run]) -> Run:
    return changed(runs["ordinary"], data=DataFacts(suspects=SUSPECTS))


def export(run: Run, folder: Path, file: Path | str, *options: str) -> Result:
    folder.mkdir()
    (folder / "report.json").write_bytes(documents.to_json(storable(run).diagnosis))
    return CliRunner().invoke(main, ["export", str(folder), "--suspects", str(file), *options])


def test_without_pandas_there_are_records(suspected: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert suspects_table(suspected.diagnosis) == [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]


def test_with_pandas_there_is_a_data_frame(suspected: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = ModuleType("pandas")
    pandas.DataFrame = lambda rows, columns: (rows, columns)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    assert suspects_table(suspected.diagnosis) == (ROWS, COLUMNS)


def test_a_run_is_exported_without_its_pictures_and_without_formulas(suspected: Run, tmp_path: Path) -> None:
    result = export(suspected, tmp_path / "run", tmp_path / "suspects.csv")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"3 suspects of {tmp_path / 'run'}\n"
    with (tmp_path / "suspects.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            list(COLUMNS),
            ["test", "7", "test/cat/=7.png", "cat", "dog", "0.96875", "predicted dog"],
            ["train", "12", "'=cmd|'/c calc'!A1", "dog", "", "0.5", 'no class; "odd"\nimage'],
            ["train", "3", "", "airplane", "automobile", "0.25", "'-1 + 1"],
        ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "suspects.csv"]


def test_a_dash_prints_the_table(suspected: Run, tmp_path: Path) -> None:
    result = export(suspected, tmp_path / "run", "-", "-q")
    assert result.stderr == ""
    assert len(list(csv.reader(io.StringIO(result.stdout, newline="")))) == 4


def test_a_run_without_suspects_gives_an_empty_table(suspected: Run, tmp_path: Path) -> None:
    result = export(changed(suspected, data=DataFacts(suspects=[])), tmp_path / "run", tmp_path / "none.csv")
    assert result.stderr == f"0 suspects of {tmp_path / 'run'}\n"
    assert (tmp_path / "none.csv").read_text(encoding="utf-8").splitlines() == [",".join(COLUMNS)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (DataFacts(), "it was made by an older version of lrdiag"),
        (DataFacts(reasons={"suspects": "the images have no labels"}), "the images have no labels"),
        (DataFacts(slices=[]), "the labels were not examined"),
    ],
)
def test_labels_that_were_not_examined_are_an_error(runs: dict[str, Run], data: DataFacts, reason: str) -> None:
    diagnosis = dataclasses.replace(runs["ordinary"].diagnosis, data=data)
    with pytest.raises(RunFolderError, match=rf"Make it again.*Received: a run without suspects: {reason}$"):
        suspects_table(diagnosis)


def test_a_table_must_be_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["export", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (
        2, "Error: `export` needs a table to export: `--suspects FILE.csv`. Received: none\n",
    )  # fmt: skip
    assert CliRunner().invoke(main, ["config", "export"]).stdout.startswith("suspects  not set  default\n")


def test_an_error_leaves_an_earlier_table(runs: dict[str, Run], tmp_path: Path) -> None:
    table = tmp_path / "suspects.csv"
    table.write_text("of an earlier run")
    result = export(runs["ordinary"], tmp_path / "run", table)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: A run must contain suspects")
    assert table.read_text() == "of an earlier run"
    elsewhere = export(changed(runs["ordinary"], data=DataFacts(suspects=[])), tmp_path / "b", tmp_path / "c" / "d.csv")
    assert "Error: d.csv cannot be written. Choose a writable folder." in elsewhere.stderr
