"""`lrdiag explain`: heatmaps of one test image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fixtures.runs import FinishedRun
from PIL import Image

from lrdiag.cli.app import main
from lrdiag.record import reading


def explain(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["explain", *map(str, arguments)])
    return result.exit_code, result.output


def test_draws_the_image_and_two_heatmaps(finished: FinishedRun, tmp_path: Path) -> None:
    facts = reading.load_baseline(finished.folder).diagnosis
    mistake, out = facts.misclassified.items[0], tmp_path / "a.png"
    code, said = explain(finished.folder, "--index", mistake.index, "--out", out)
    assert code == 0, said
    names = facts.dataset.classes
    assert f"true class {names[mistake.true]}, predicted class {names[mistake.predicted]}" in said
    assert "another model" not in said
    image, predicted, true = np.split(np.asarray(Image.open(out)), 3, axis=1)
    assert (image[..., 0] == image[..., 2]).all(), "the digits are grey"
    assert (predicted != image).any()
    assert (true != predicted).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--index", 10_000), "`--index` must be the place of a test image of the run, 0 to"),
        (("--index", 0, "--out", "a.jpg"), "must be a file that ends in .png"),
        (("--index", 0, "--model", "none.keras"), "none.keras"),
    ],
)
def test_bad_input_is_refused(finished: FinishedRun, options: tuple[object, ...], message: str) -> None:
    code, said = explain(finished.folder, *options)
    assert (code, message in said) == (2, True), said


def test_other_data_is_refused(finished: FinishedRun, tmp_path: Path) -> None:
    facts = reading.load_baseline(finished.folder).diagnosis.dataset
    shape = (facts.test_size, *facts.image_shape)
    arrays = {"x_test": np.zeros(shape, np.uint8), "y_test": np.arange(facts.test_size) % len(facts.classes)}
    np.savez(tmp_path / "a.npz", x_train=arrays["x_test"], y_train=arrays["y_test"], **arrays)
    code, said = explain(finished.folder, "--index", 0, "--data", tmp_path / "a.npz")
    assert code == 2
    assert "The data must" in said
