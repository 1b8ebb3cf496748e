"""Each rule fires where it should, and is quiet at its threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from lrdiag.diagnosis.findings import RULES, find
from lrdiag.records import ClassFacts, ConfusedPair, Diagnosis, HeatmapFacts

Change = Callable[[Diagnosis], dict[str, Any]]


def stopped(sound: Diagnosis) -> dict[str, Any]:
    return {"training": dataclasses.replace(sound.training, stop_reason="the loss was not finite", epochs_planned=1000)}


def fallen_back(sound: Diagnosis) -> dict[str, Any]:
    return {"dataset": dataclasses.replace(sound.dataset, fallback="no network")}


def unexplained(sound: Diagnosis) -> dict[str, Any]:
    return {"heatmaps": HeatmapFacts("Grad-CAM", None, 0, "no convolution")}


def unread(sound: Diagnosis) -> dict[str, Any]:
    return {"range_test_note": "no descent"}


def gap(validation: float | None) -> Change:
    def change(sound: Diagnosis) -> dict[str, Any]:
        earlier = dataclasses.replace(sound.training.epochs[0], accuracy=0.99, val_accuracy=0.1)
        last = dataclasses.replace(sound.training.epochs[0], accuracy=0.75, val_accuracy=validation)
        return {"training": dataclasses.replace(sound.training, epochs=[earlier, last])}

    return change


def recall(*recalls: float | None) -> Change:
    def change(sound: Diagnosis) -> dict[str, Any]:
        classes = [ClassFacts(f"class {place}", 1.0, each, 1.0, 10) for place, each in enumerate(recalls)]
        return {"per_class": classes, "test": dataclasses.replace(sound.test, accuracy=0.75)}

    return change


def pairs(*shares: float) -> Change:
    return lambda sound: {"confused_pairs": [ConfusedPair(0, 1 + place, 3, each) for place, each in enumerate(shares)]}


FIRES: list[tuple[str, str, Change, str]] = [
    ("training-stopped", "error", stopped, "2 of 2,000 steps"),
    ("stand-in-data", "error", fallen_back, "no network"),
    ("no-heatmaps", "warning", unexplained, "no convolution"),
    ("no-suggestion", "warning", unread, "no descent"),
    ("overfitting", "warning", gap(0.5), "75.0\u00a0% against 50.0\u00a0%"),
    ("overfitting", "warning", gap(0.699), "75.0\u00a0% against 69.9\u00a0%"),
    (
        "weak-class",
        "warning",
        recall(0.9, None, 0.5),
        "50.0\u00a0% of its 10 images are recognised, against 75.0\u00a0%",
    ),
    ("weak-class", "warning", recall(0.9, 0.599), "59.9\u00a0% of its 10 images"),
    ("weak-class", "warning", recall(0.9, 0.0), "0.0\u00a0% of its 10 images"),
    ("confused-pair", "note", pairs(0.05, 0.125), "3 images, 12.5\u00a0% of the class"),
]
QUIET: dict[str, Change] = {
    "sound": lambda sound: {},
    "no-range-test-asked-for": lambda sound: {"range_test": None, "range_test_note": "given"},
    "gap-below-the-threshold": gap(0.701),
    "better-on-validation": gap(0.9),
    "no-validation": gap(None),
    "no-epoch": lambda sound: {"training": dataclasses.replace(sound.training, epochs=[])},
    "recall-above-the-threshold": recall(0.9, 0.601),
    "absent-class": recall(0.75, None),
    "pair-at-the-threshold": pairs(0.1),
    "no-pair": pairs(),
}


def changed(sound: Diagnosis, *changes: Change) -> Diagnosis:
    for change in changes:
        sound = dataclasses.replace(sound, **change(sound))
    return sound


@pytest.mark.parametrize(("code", "severity", "change", "evidence"), FIRES)
def test_a_rule_fires(sound: Diagnosis, code: str, severity: str, change: Change, evidence: str) -> None:
    (finding,) = find(changed(sound, change))
    assert (finding.code, finding.severity) == (code, severity)
    assert evidence in finding.evidence
    assert finding.title.endswith(".")
    assert finding.advice


@pytest.mark.parametrize("change", QUIET.values(), ids=QUIET.keys())
def test_a_rule_is_quiet(sound: Diagnosis, change: Change) -> None:
    assert find(changed(sound, change)) == []


def test_every_rule_is_tested() -> None:
    assert len({code for code, *_ in FIRES}) == len(RULES)


def test_the_gravest_comes_first(sound: Diagnosis) -> None:
    found = find(changed(sound, pairs(0.5), gap(0.5), recall(0.1), unexplained, stopped, fallen_back))
    assert [each.severity for each in found] == ["error"] * 2 + ["warning"] * 3 + ["note"]
    assert [each.code for each in found][:3] == ["training-stopped", "stand-in-data", "no-heatmaps"]


def test_the_findings_name_the_classes(sound: Diagnosis) -> None:
    assert find(changed(sound, pairs(0.5)))[0].title == "“cat” is often taken for “dog”."
    assert find(changed(sound, recall(0.9, 0.1)))[0].title == "“class 1” is the weakest class."
