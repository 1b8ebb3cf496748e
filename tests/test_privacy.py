"""What `--no-images` and `--no-file-names` leave out: no pixel and no name of an image is in any file of the run."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import keras
import numpy as np
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from PIL import Image

import lrdiag
from lrdiag.cli.app import main
from lrdiag.record import reading
from lrdiag.record.arrays import SkippedFile
from lrdiag.record.facts import Check, Run
from lrdiag.report.privacy import reduced
from lrdiag.report.report import Report

FOLDERS = ("ward-seven", "ward-eight")
NAMES = tuple(f"{FOLDERS[index % 2]}/scan-{index:04d}.png" for index in range(60))
TRACES = (b"ward-seven", b"ward-eight", b"scan-00")
LEFT_OUT = ["--no-images", "--no-file-names"]


@pytest.fixture(scope="module")
def report() -> Report:
    """A report of magenta images, a colour that no heatmap has, with files in folders."""
    generator = np.random.default_rng(0)
    images = np.zeros((60, 8, 8, 3), np.uint8)
    images[..., [0, 2]] = generator.integers(180, 256, (60, 8, 8, 1), dtype=np.uint8)
    labels = generator.integers(0, 2, 60)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    return lrdiag.diagnose(model, images, labels, class_names=["cat", "dog"], files=NAMES)


@pytest.fixture
def full(report: Report, tmp_path: Path) -> Path:
    report.save(tmp_path / "full")
    return tmp_path / "full"


def pictures_in(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    if path.suffix in (".png", ".webp"):
        yield content
    for encoded in re.findall(rb"data:image/\w+;base64,([A-Za-z0-9+/=]+)", content):
        yield base64.b64decode(encoded)


def shows_images(content: bytes) -> bool:
    """Whether a picture has a trace of magenta, also below a heatmap."""
    red, green, blue, _ = np.moveaxis(np.asarray(Image.open(BytesIO(content)).convert("RGBA")).astype(int), -1, 0)
    return bool((np.minimum(red, blue) - green > 40).any())


def with_images(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if any(map(shows_images, pictures_in(path)))}


def with_names(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if any(trace in path.read_bytes() for trace in TRACES)}


def test_a_full_run_has_images_and_names(full: Path) -> None:
    assert with_images(full) == {"report.html", "misclassified.webp", "findings.webp", "summary.png"}
    assert with_names(full) == {"report.html", "report.json", "predictions.csv", "summary.md"}


@pytest.mark.parametrize("assets", ["inline", "folder"])
def test_a_run_without_them_has_none_and_can_be_rendered_again(report: Report, tmp_path: Path, assets: str) -> None:
    folder = tmp_path / "run"
    report.save(folder, images=False, file_names=False, assets=assets)  # type: ignore[arg-type]
    for _ in ("as it was written", "rendered again without the options"):
        assert with_images(folder) == with_names(folder) == set()
        page = BeautifulSoup((folder / "report.html").read_text(encoding="utf-8"), "html.parser").get_text()
        for sentence in ("Images were left out with --no-images.", "paths were left out with --no-file-names."):
            assert sentence in page
            assert sentence in (folder / "summary.md").read_text(encoding="utf-8")
        assert "The heatmaps are drawn without their images." in page
        assert (folder / "maps-predicted.png").exists()
        assert (folder / "heatmaps.npz").exists()
        result = CliRunner().invoke(main, ["report", str(folder), "--assets", assets])
        assert result.exit_code == 0, result.output
        assert "have them" not in result.stderr


def test_images_of_the_baseline_do_not_come_back(report: Report, full: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = dataclasses.replace(report, predictions=report.predictions)
    run.save(folder, images=False, file_names=False)
    CliRunner().invoke(main, ["report", str(folder), "--baseline", str(full)], catch_exceptions=False)
    assert reading.load(folder).diagnosis.comparison is not None
    assert with_images(folder) == with_names(folder) == set()


def test_the_page_of_a_full_run_has_none_and_the_command_says_which_files_have(full: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(full), *LEFT_OUT], catch_exceptions=False)
    assert with_images(full) == {"misclassified.webp", "findings.webp"}
    assert with_names(full) == {"report.json", "predictions.csv"}
    assert "have them: misclassified.webp, findings.webp" in result.stderr
    assert "report.json, predictions.csv" in result.stderr


def test_sentences_and_settings_name_no_files_and_no_paths(report: Report) -> None:
    facts = report.diagnosis
    facts = dataclasses.replace(
        facts,
        dataset=dataclasses.replace(
            facts.dataset, name="scans", source="the folder /d/scans", skipped=[SkippedFile("a/b.xyz", "truncated")]
        ),
        command="lrdiag diagnose model.keras --data /d/scans --data_dir=/d --seed 1",
        settings={"data": "/d/scans", "model": "model.keras"},
        notes=["From the run in r: data /d/scans.", "Invalid. Received: 'x.png'"],
        checks=[Check("shift", "not checked", reason="reading failed (OSError: /d/e/f.tif is empty)")],
    )
    made = reduced(Run(facts, report.pictures), file_names=False).diagnosis
    assert made.command == "lrdiag diagnose model.keras --data PATH --data_dir=PATH --seed 1"
    assert made.settings == {"data": "(left out)", "model": "model.keras"}
    assert made.notes == ["From the run in r: data (left out).", "Invalid. Received: (left out)"]
    assert made.checks[0].reason == "reading failed (OSError: (left out) is empty)"
    assert (made.dataset.name, made.dataset.source) == ("", "")
    assert made.dataset.skipped == [SkippedFile("(left out)", "truncated")]
    assert made.left_out == ["file names"]


def test_data_with_a_name_keeps_it(report: Report) -> None:
    facts = dataclasses.replace(report.diagnosis, settings={"data": "cifar10"}, command="lrdiag x --data cifar10")
    facts = dataclasses.replace(facts, dataset=dataclasses.replace(facts.dataset, name="CIFAR-10"))
    made = reduced(Run(facts, report.pictures), file_names=False).diagnosis
    assert (made.dataset.name, made.command) == ("CIFAR-10", "lrdiag x --data cifar10")


def test_the_data_of_such_a_run_must_be_named_again(report: Report, tmp_path: Path) -> None:
    facts = dataclasses.replace(report.diagnosis, settings={"data": "/d/scans"})
    run = dataclasses.replace(report, run=dataclasses.replace(report.run, diagnosis=facts))
    run.save(tmp_path, file_names=False)
    (tmp_path / "model.keras").write_bytes(b"")
    result = CliRunner().invoke(main, ["diagnose", str(tmp_path), "--out", str(tmp_path / "new")])
    assert result.exit_code == 2
    assert "must be named again: `--data PATH`" in result.stderr
