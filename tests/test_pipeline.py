"""The whole story, on small data and on real photographs."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lrdiag import LearningRate, Settings, train_and_report
from lrdiag.record import folder as run_folder

QUICK = ["--limit-train", "400", "--limit-test", "100", "--epochs", "2", "--batch-size", "16", "--no-open"]


def run(out: Path, *options: str | Path, **environment: str) -> tuple[dict[str, Any], str]:
    """Runs the main job in a process of its own; returns its report and what it said."""
    process = subprocess.run(
        [sys.executable, "-m", "lrdiag", "train-and-report", *QUICK, "--out", str(out), *map(str, options)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads((out / "report.json").read_text()), process.stderr


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    report = json.loads(json.dumps(report))
    del report["seconds"], report["training"]["seconds"], report["command"]
    for epoch in report["training"]["epochs"]:
        del epoch["seconds"]
    return report


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("digits"), "--data", "digits", "--augment", "flip,crop,erase")[0]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_report_but_for_times(tmp_path: Path, digits: dict[str, Any]) -> None:
    again, _ = run(tmp_path, "--data", "digits", "--augment", "flip,crop,erase")
    assert without_times(again) == without_times(digits)


def losses_of(out: Path, **changes: Any) -> list[float | None]:
    """The loss of every step of a training in this process."""
    small = Settings(data="digits", limit_train=400, limit_test=100, epochs=1, batch_size=16)
    settings = dataclasses.replace(small, learning_rate=LearningRate(0.1, 0.01), out=out)
    return train_and_report(dataclasses.replace(settings, **changes)).diagnosis.training.loss_per_step


@pytest.fixture(scope="module")
def usual_losses(tmp_path_factory: pytest.TempPathFactory) -> list[float | None]:
    return losses_of(tmp_path_factory.mktemp("usual"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"augment": ()},
        {"batch_size": 8},
        {"optimizer": "adam"},
        {"schedule": "one-cycle"},
        {"learning_rate": LearningRate()},
        {"model": "article"},
        {"mixed_precision": True},
        {"limit_train": 300},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_how_training_goes(
    tmp_path: Path, usual_losses: list[float | None], change: dict[str, Any]
) -> None:
    assert losses_of(tmp_path, **change) != usual_losses


def test_the_report_follows_the_published_schema(digits: dict[str, Any]) -> None:
    jsonschema.validate(digits, run_folder.schema())


def test_the_report_is_consistent(digits: dict[str, Any]) -> None:
    size, wrong = digits["test"]["size"], digits["misclassified"]["count"]
    assert sum(map(sum, digits["confusion"])) == size == 100
    assert sum(row[i] for i, row in enumerate(digits["confusion"])) == size - wrong
    assert digits["test"]["accuracy"] == (size - wrong) / size
    assert digits["heatmaps"]["count"] == wrong == len(digits["misclassified"]["items"])
    assert [each["support"] for each in digits["per_class"]] == [sum(row) for row in digits["confusion"]]
    assert (digits["dataset"]["train_size"], digits["dataset"]["validation_size"]) == (360, 40)
    losses = [item["loss"] for item in digits["misclassified"]["items"]]
    assert losses == sorted(losses, reverse=True)


def test_training_follows_whole_cycles_between_the_boundaries_of_the_range_test(digits: dict[str, Any]) -> None:
    rates = digits["training"]["learning_rate_per_step"]
    boundaries = digits["range_test"]
    assert len(rates) == 2 * digits["training"]["steps_per_epoch"]
    assert rates[0] == pytest.approx(boundaries["base_lr"], rel=1e-5)
    assert rates[-1] == pytest.approx(boundaries["base_lr"], rel=1e-4)
    assert boundaries["base_lr"] < max(rates) <= boundaries["max_lr"] * (1 + 1e-5)


def test_without_cifar10_the_digits_stand_in_and_everyone_is_told(tmp_path: Path) -> None:
    nowhere = {"LRDIAG_DATA_DIR": str(tmp_path), "KERAS_HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    report, said = run(tmp_path / "run", "--learning-rate", "0.1", **nowhere)
    assert report["dataset"]["fallback"]
    assert report["findings"][0]["code"] == "stand-in-data"
    assert "Warning" in said
    page = (tmp_path / "run" / "report.html").read_text()
    assert 0 < page.index("This is not CIFAR-10") < page.index("<h2")


def test_cifar10_written_out_is_never_replaced(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "lrdiag", "train-and-report", "--data", "cifar10", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "LRDIAG_DATA_DIR": str(tmp_path),
            "KERAS_HOME": str(tmp_path),
            "HTTPS_PROXY": "http://127.0.0.1:9",
        },
        check=False,
    )
    assert process.returncode == 2
    assert "--data-dir" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_real_photographs_as_batches_and_as_a_folder(tmp_path: Path, photographs: Path) -> None:
    given = ("--learning-rate", "0.1")
    batches, _ = run(tmp_path / "batches", "--data-dir", photographs, *given)
    assert batches["dataset"]["fallback"] is None
    assert batches["dataset"]["test_size"] == 100
    folder, _ = run(tmp_path / "folder", "--data", photographs / "images", *given)
    assert folder["dataset"]["classes"] == batches["dataset"]["classes"]
    assert all(item["file"].startswith("test/") for item in folder["misclassified"]["items"])
