"""`assert_no_regression`, as a team's own tests call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import lrdiag
from lrdiag import Report
from lrdiag.errors import ComparisonError, RunFolderError, SettingsError
from lrdiag.testing import assert_no_regression

SIZES = {"cat": 4, "dog": 5, "owl": 1}
LABELS = np.repeat(np.arange(3), list(SIZES.values()))


@pytest.fixture(scope="module")
def net() -> keras.Model:
    """Predicts the class that its single pixel contains."""
    inputs = keras.Input((1, 1, 1))
    scores = keras.ops.one_hot(keras.ops.cast(keras.layers.Flatten()(inputs)[:, 0], "int32"), 3)
    return keras.Model(inputs, scores)


def evaluated(net: keras.Model, labels: np.ndarray, answers: np.ndarray, pictures: int = 0) -> Report:
    display = np.arange(pictures, pictures + len(labels), dtype="uint8").reshape(-1, 1, 1, 1)
    images = answers.astype("float32").reshape(-1, 1, 1, 1)
    return lrdiag.diagnose(net, images, labels, class_names=list(SIZES), display=display)


def answers(*wrong: int) -> np.ndarray:
    given = LABELS.copy()
    given[list(wrong)] = (given[list(wrong)] + 1) % 3
    return given


@pytest.fixture(scope="module")
def perfect(net: keras.Model) -> Report:
    return evaluated(net, LABELS, answers())


@pytest.fixture(scope="module")
def worse(net: keras.Model) -> Report:
    """One cat of four and one dog of five are taken for another."""
    return evaluated(net, LABELS, answers(0, 4))


@pytest.mark.parametrize(
    ("arguments", "failed"),
    [
        ({}, ["FAILED accuracy: expected worse by at most 0, actual worse by 0.2"]),
        ({"accuracy": 0.1}, ["FAILED accuracy: expected worse by at most 0.1, actual worse by 0.2"]),
        ({"accuracy": 0.2}, []),
        ({"accuracy": 0.2, "recall": 0.25}, []),
        ({"accuracy": 0.2, "recall": 0.2}, ["FAILED recall.cat: expected worse by at most 0.2, actual worse by 0.25"]),
        ({"accuracy": 0.2, "recall": 0}, ["FAILED recall.cat: ", "FAILED recall.dog: "]),
        ({"accuracy": 1, "recall": {"dog": 0.2, "owl": 0.0}}, []),
        (
            {"accuracy": 1, "recall": {"dog": 0.1}},
            ["FAILED recall.dog: expected worse by at most 0.1, actual worse by 0.2"],
        ),
    ],
)
def test_more_than_the_allowed_loss_fails(
    perfect: Report, worse: Report, arguments: dict[str, Any], failed: list[str]
) -> None:
    if not failed:
        assert_no_regression(worse, perfect, **arguments)
        return
    with pytest.raises(AssertionError, match="The model is worse than its baseline") as error:
        assert_no_regression(worse, perfect, **arguments)
    lines = str(error.value).splitlines()[1:]
    assert len(lines) == len(failed)
    assert all(line.startswith(start) for line, start in zip(lines, failed, strict=True))


def test_a_better_model_passes(perfect: Report, worse: Report) -> None:
    assert_no_regression(perfect, worse, recall=0)
    assert_no_regression(perfect, baseline=perfect, accuracy=0.01)


@pytest.mark.parametrize("file", ["", "report.json"])
def test_folders_and_files_are_read(perfect: Report, worse: Report, tmp_path: Path, file: str) -> None:
    perfect.save(tmp_path / "base")
    worse.save(tmp_path / "head")
    with pytest.raises(AssertionError):
        assert_no_regression(tmp_path / "head" / file, str(tmp_path / "base" / file))
    assert_no_regression(tmp_path / "base" / file, tmp_path / "head" / file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"accuracy": 1.5}, "share between 0 and 1.*accuracy=1.5"),
        ({"accuracy": -0.1}, "share between 0 and 1"),
        ({"recall": 2}, "share between 0 and 1.*recall.cat=2"),
        ({"recall": {"cta": 0.1}}, "'recall.cta'.*recall.cat"),
    ],
)
def test_invalid_shares_and_classes_are_refused(perfect: Report, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        assert_no_regression(perfect, perfect, **arguments)


def test_a_class_without_images_is_not_held_against_the_model(net: keras.Model) -> None:
    no_owls = evaluated(net, LABELS[:9], LABELS[:9])
    assert_no_regression(no_owls, no_owls, recall=0)


def test_other_images_are_refused(net: keras.Model, perfect: Report) -> None:
    with pytest.raises(ComparisonError):
        assert_no_regression(evaluated(net, LABELS, answers(), pictures=1), perfect)


def test_a_folder_without_a_report_is_refused(perfect: Report, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError):
        assert_no_regression(perfect, tmp_path)
