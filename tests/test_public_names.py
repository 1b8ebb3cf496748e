"""What `import lrdiag` offers: listed, typed, cheap, and each with an example that runs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import lrdiag
from lrdiag import testing

NAMES = [
    "CosineRestarts", "CurveLR", "CurveSchedule", "Cyclic", "CyclicLR", "CyclicSchedule", "GradCAM",
    "InverseTimeDecay", "InverseTimeDecaySchedule", "LRFinder", "LearningRate", "LrdiagError", "NoSuggestion",
    "OneCycle", "OneCycleLR", "OneCycleSchedule", "RangeTest", "Report", "ReportCallback", "SGD", "Settings",
    "Warmup", "diagnose", "find_lr", "overlay", "train_and_report",
]  # fmt: skip


def test_the_public_names() -> None:
    assert lrdiag.__all__ == ["__version__", *NAMES, "testing"]
    assert set(dir(lrdiag)) == set(lrdiag.__all__)
    assert lrdiag.testing is testing


@pytest.mark.parametrize("name", NAMES)
def test_each_has_an_example_that_runs(name: str) -> None:
    """The doctests of the suite run it."""
    assert ">>> " in (inspect.getdoc(getattr(lrdiag, name)) or "")


def test_the_assertion_has_an_example_too() -> None:
    assert ">>> " in (testing.assert_no_regression.__doc__ or "")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'lrdiag' has no attribute 'find_rl'"):
        lrdiag.find_rl  # noqa: B018


def test_the_import_brings_in_nothing_heavy() -> None:
    heavy = ("keras", "tensorflow", "matplotlib", "numpy", "sklearn", "cv2", "PIL", "msgspec", "jinja2")
    program = f"import sys, lrdiag; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


SCRIPT = """
from pathlib import Path

import numpy as np

import lrdiag
from lrdiag.testing import assert_no_regression

def main(model: object, images: np.ndarray, labels: np.ndarray) -> float:
    test: lrdiag.RangeTest = lrdiag.find_lr(model, images, labels, repeats=2)
    base_lr, max_lr = test.bounds()
    schedule = lrdiag.CyclicSchedule(base_lr, max_lr, 100)
    cyclic = lrdiag.CyclicLR(base_lr, max_lr, step_size=100)
    report: lrdiag.Report = lrdiag.diagnose(model, images, labels, class_names=["cat", "dog"], range_test=test)
    page: Path = report.save("report", assets="folder")
    titles: list[str] = [finding.title for finding in report.findings]
    callback = lrdiag.ReportCallback("report", (images, labels), every=2)
    latest: lrdiag.Report | None = callback.report
    maps: np.ndarray = lrdiag.GradCAM(model, method="hirescam").maps(images, labels)
    pictures: np.ndarray = lrdiag.overlay(images, maps)
    assert_no_regression(report, baseline=page.parent, accuracy=0.01, recall={"cat": 0.1})
    run = lrdiag.train_and_report(lrdiag.Settings(data="digits", learning_rate=lrdiag.LearningRate(0.1)))
    print(schedule, cyclic, titles, latest, pictures.shape)
    return run.diagnosis.test.accuracy
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What `mypy --strict` says of a user's script, and of the same with a mistake in each of two lines."""
    folder = tmp_path_factory.mktemp("user")
    wrong = SCRIPT.replace('assets="folder"', 'assets="files"').replace("repeats=2", "repeat=2")
    outputs = []
    for name, text in (("right", SCRIPT), ("wrong", wrong)):
        (folder / f"{name}.py").write_text(text)
        told = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), f"{name}.py"],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
        )
        outputs.append(told.stdout)
    return outputs


def test_a_users_script_passes_mypy_strict(checked: list[str]) -> None:
    assert "Success: no issues found in 1 source file" in checked[0], checked[0]


def test_and_a_wrong_one_does_not(checked: list[str]) -> None:
    assert 'Argument "assets"' in checked[1]
    assert 'Unexpected keyword argument "repeat"' in checked[1]
    assert "Found 2 errors" in checked[1]
