"""Assertions for your own tests: fail if a model is worse than an earlier one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from lrdiag.diagnosis.compare import compare
from lrdiag.diagnosis.gates import Gate, check
from lrdiag.record.facts import Diagnosis
from lrdiag.report.report import Report, run_of


def assert_no_regression(
    report: Report | str | Path,
    baseline: Report | str | Path,
    accuracy: float = 0.0,
    *,
    recall: float | Mapping[str, float] | None = None,
) -> None:
    """Fails if a model is worse than an earlier one on the same images.

    Example:
        >>> import numpy as np
        >>> import keras, lrdiag
        >>> from lrdiag.testing import assert_no_regression
        >>> images, labels = np.zeros((6, 8, 8, 3), "uint8"), np.array([0, 1, 0, 1, 0, 1])
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> report = lrdiag.diagnose(model, images, labels)
        >>> assert_no_regression(report, baseline=report, accuracy=0.01)

    Args:
        report: Report of the model, its run folder, or its report.json.
        baseline: Report of the earlier model, its run folder, or its report.json.
        accuracy: By how much the accuracy may be lower, a share between 0 and 1.
        recall: By how much the recall of a class may be lower: one share for all classes, or a mapping from class names
            to shares. `None` does not check recall.

    Raises:
        AssertionError: If the model is worse. The message names each figure, what was allowed and what was measured.
        ComparisonError: If the models were not evaluated on the same images.
        SettingsError: If a share is not between 0 and 1, or a class does not exist.
        RunFolderError: If a report cannot be read.
    """
    before, now = run_of(baseline), run_of(report)
    head = now.diagnosis
    comparison = compare(before.diagnosis, head, before.wrong, now.wrong)
    compared = dataclasses.replace(head, comparison=comparison)
    outcomes = check(_gates(accuracy, recall, head), compared)
    failed = [str(outcome) for outcome in outcomes if not outcome.passed]
    if failed:
        raise AssertionError("The model is worse than its baseline:\n" + "\n".join(failed))


def _gates(accuracy: float, recall: float | Mapping[str, float] | None, head: Diagnosis) -> list[Gate]:
    present = [each.name for each in head.per_class if each.recall is not None]
    by_class = dict.fromkeys(present, recall) if isinstance(recall, float | int) else recall or {}
    return [
        Gate("fail-if-worse", "accuracy", accuracy),
        *(Gate("fail-if-worse", f"recall.{name}", share) for name, share in by_class.items()),
    ]
