"""A user's script that `mypy --strict` checks together with the package. Nothing runs it.

A line that ends in `type: ignore[code]` is a mistake that mypy must report: an ignored error that does not occur is an
error too.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

import lrdiag
from lrdiag.testing import assert_no_regression


def main(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Uses every kind of public name: functions, callbacks, schedules, reports and assertions."""
    test: lrdiag.RangeTest = lrdiag.find_lr(model, images, labels, repeats=2)
    base_lr, max_lr = test.bounds()
    schedule = lrdiag.CyclicSchedule(base_lr, max_lr, 100)
    cyclic = lrdiag.CyclicLR(base_lr, max_lr, step_size=100)
    report: lrdiag.Report = lrdiag.diagnose(model, images, labels, class_names=["cat", "dog"], range_test=test)
    page: Path = report.save("report", assets="folder")
    titles: list[str] = [finding.title for finding in report.findings]
    checks: dict[str, object] = {"weak-class": False, "overfitting": {"severity": "error", "threshold": 0.2}}
    callback = lrdiag.ReportCallback("report", (images, labels), every=2, checks=checks, accept={"no-heatmaps": "none"})
    latest: lrdiag.Report | None = callback.report
    maps: np.ndarray = lrdiag.GradCAM(model, method="hirescam").maps(images, labels)
    pictures: np.ndarray = lrdiag.overlay(images, maps)
    assert_no_regression(report, baseline=page.parent, accuracy=0.01, recall={"cat": 0.1})
    print(schedule, cyclic, titles, latest, pictures.shape)
    run: lrdiag.Report = lrdiag.train_and_report(
        "digits",
        epochs=3,
        learning_rate=0.1,
        augment=["flip"],
        out="run",
        checks={"confused-pair": "warning"},
        fail_on="error",
    )
    return run.diagnosis.test.accuracy


def make_mistakes(model: keras.Model, images: np.ndarray, report: lrdiag.Report) -> None:
    """Gives arguments that do not exist, or values that they do not accept."""
    lrdiag.find_lr(model, images, repeat=2)  # type: ignore[call-arg]
    lrdiag.GradCAM(model, method="grad-cam")  # type: ignore[arg-type]
    report.save("report", assets="files")  # type: ignore[arg-type]
    lrdiag.train_and_report("digits", optimizer="sdg")  # type: ignore[arg-type]
