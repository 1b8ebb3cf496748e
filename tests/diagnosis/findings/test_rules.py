"""Each rule fires where it should, and is quiet at its threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from lrdiag.diagnosis.findings.rules import RULES, find, loss_mismatch
from lrdiag.record.arrays import SkippedFile
from lrdiag.record.facts import ClassFacts, ConfusedPair, Diagnosis, HeatmapFacts

Change = Callable[[Diagnosis], dict[str, Any]]


def stopped(sound: Diagnosis) -> dict[str, Any]:
    return {"training": dataclasses.replace(sound.training, stop_reason="the loss was not finite", epochs_planned=1000)}


def interrupted(sound: Diagnosis) -> dict[str, Any]:
    stop = {"stop_reason": "interrupted after 12 steps, in epoch 3", "interrupted": True, "epochs_planned": 1000}
    return {"training": dataclasses.replace(sound.training, **stop)}


def guessing(right: int, counts: list[int]) -> Change:
    """So many images right, of so many of each class."""

    def change(sound: Diagnosis) -> dict[str, Any]:
        size = sum(counts)
        return {
            "dataset": dataclasses.replace(sound.dataset, test_size=size, test_counts=counts),
            "test": dataclasses.replace(sound.test, size=size, accuracy=right / size),
            "per_class": [ClassFacts("all", 1.0, right / size, 1.0, size)],
            "value_range": (-1.5, 2.25),
        }

    return change


def spoilt(sound: Diagnosis) -> dict[str, Any]:
    return {"test": dataclasses.replace(sound.test, loss=None)}


def skipping(*files: str) -> Change:
    skipped = [SkippedFile(file, "it is cut") for file in files]
    return lambda sound: {"dataset": dataclasses.replace(sound.dataset, skipped=skipped)}


def fallen_back(sound: Diagnosis) -> dict[str, Any]:
    return {"dataset": dataclasses.replace(sound.dataset, fallback="no network")}


def unexplained(sound: Diagnosis) -> dict[str, Any]:
    return {"heatmaps": HeatmapFacts("Grad-CAM", None, 0, "no convolution")}


def unread(sound: Diagnosis) -> dict[str, Any]:
    return {"range_test_note": "no descent"}


def gap(validation: float | None, training: float | None = 0.75) -> Change:
    def change(sound: Diagnosis) -> dict[str, Any]:
        earlier = dataclasses.replace(sound.training.epochs[0], accuracy=0.99, val_accuracy=0.1)
        last = dataclasses.replace(sound.training.epochs[0], accuracy=training, val_accuracy=validation)
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
    ("training-stopped", "error", stopped, "1 of 1,000 epochs were completed. The figures below are those of the"),
    ("training-interrupted", "warning", interrupted, "of the network as it was then"),
    (
        "at-chance",
        "error",
        guessing(10, [10, 5, 5]),
        "50.0\u00a0% of the images are recognised, and 50.0\u00a0% are of",
    ),
    ("not-finite", "error", spoilt, "The mean loss is not, nor is the confidence in 0 mistakes."),
    ("at-chance", "error", guessing(9, [10, 5, 5]), "lie between -1.5 and 2.25"),
    ("at-chance", "error", guessing(0, [0, 7, 0]), "0.0\u00a0% of the images are recognised, and 100.0\u00a0% are of"),
    ("skipped-files", "warning", skipping("a.png"), "The first: a.png: it is cut."),
    ("skipped-files", "warning", skipping("b.png", "a.png"), "The first: b.png: it is cut."),
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
    "no-training": lambda sound: {"training": None},
    "no-training-accuracy": gap(0.1, None),
    "one-image-above-chance": guessing(11, [10, 5, 5]),
    "all-of-the-only-class": guessing(7, [0, 7, 0]),
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
    assert len({code for code, *_ in FIRES}) == len(RULES) + 1  # a training can stop in two ways


def test_the_gravest_comes_first(sound: Diagnosis) -> None:
    found = find(changed(sound, pairs(0.5), gap(0.5), recall(0.1), unexplained, stopped, fallen_back))
    assert [each.severity for each in found] == ["error"] * 2 + ["warning"] * 3 + ["note"]
    assert [each.code for each in found][:3] == ["training-stopped", "stand-in-data", "no-heatmaps"]


def test_the_findings_name_the_classes(sound: Diagnosis) -> None:
    assert find(changed(sound, pairs(0.5)))[0].title == "“cat” is often taken for “dog”."
    assert find(changed(sound, recall(0.9, 0.1)))[0].title == "“class 1” is the weakest class."


def test_a_training_that_a_person_stopped_is_not_called_broken(sound: Diagnosis) -> None:
    by_hand, diverged = find(changed(sound, interrupted))[0], find(changed(sound, stopped))[0]
    assert by_hand.title == "Training was interrupted after 12 steps, in epoch 3."
    assert diverged.title == "Training stopped early: the loss was not finite."
    assert "at the beginning of that epoch" in diverged.evidence
    assert "at the beginning" not in by_hand.evidence
    assert "learning rate" in diverged.advice
    assert "learning rate" not in by_hand.advice


def test_scores_that_are_not_finite_are_said_instead_of_chance(sound: Diagnosis) -> None:
    chance = changed(sound, guessing(4, [3, 7, 10]))
    assert [each.code for each in find(dataclasses.replace(chance, **spoilt(chance)))] == ["not-finite"]


def test_chance_is_the_commonest_class(sound: Diagnosis) -> None:
    (finding,) = find(changed(sound, guessing(4, [3, 7, 10])))
    assert finding.title == "The network does no better than calling everything “frog”."


@pytest.mark.parametrize(
    ("files", "title"),
    [
        (["a.png"], "1 file could not be read and was left out."),
        (["a.png"] * 1200, "1,200 files could not be read and were left out."),
    ],
)
def test_skipped_files_are_counted(sound: Diagnosis, files: list[str], title: str) -> None:
    assert find(changed(sound, skipping(*files)))[0].title == title


@pytest.mark.parametrize(
    ("from_logits", "probabilities", "title", "advice"),
    [
        (True, True, "The model returns probabilities, and its loss was told to take logits.", "from_logits=False"),
        (False, False, "The model returns logits, and its loss was told to take probabilities.", "from_logits=True"),
    ],
)
def test_a_loss_that_takes_other_numbers_is_an_error(
    from_logits: bool, probabilities: bool, title: str, advice: str
) -> None:
    (finding,) = loss_mismatch(from_logits, probabilities)
    assert (finding.code, finding.severity, finding.title) == ("loss-mismatch", "error", title)
    assert f"from_logits={from_logits}" in finding.evidence
    assert advice in finding.advice


@pytest.mark.parametrize(("from_logits", "probabilities"), [(True, False), (False, True), (None, True), (None, False)])
def test_a_loss_that_fits_or_is_not_known_is_no_finding(from_logits: bool | None, probabilities: bool) -> None:
    assert loss_mismatch(from_logits, probabilities) == []
