"""Rules about the predictions as a whole."""

from __future__ import annotations

from math import sqrt

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed, images_where, option
from lrdiag.formats import count, percent, plural, short
from lrdiag.intervals import Z
from lrdiag.record.facts import Diagnosis

FEWEST_IMAGES = 20
"""Fewest test images for a statement about the predictions as a whole."""
COLLAPSED_EXCESS = 0.30
"""By how much the share of a class in the predictions exceeds its share of the test images."""
CHANCE_POWER = 0.30
"""The model is called no better than chance only if Cohen's kappa is unlikely to exceed this value."""
_ROUNDING = 1e-9


def not_finite(evidence: Evidence) -> Answer:
    """The model returned NaN or infinite scores."""
    facts = evidence.facts
    known = facts.test.loss is not None or facts.test.loss_name is None
    if known and not facts.test.not_finite:
        return Passed()
    if not facts.test.has_confidence:
        evidence_text, images = f"{plural(facts.test.not_finite, 'image')} of {facts.test.size} have such scores.", []
    else:
        has_none = ~np.isfinite(given(evidence.predictions).confidence)
        unknown = int(has_none[evidence.wrong.index].sum())
        evidence_text = (
            f"The mean loss is not finite, and {plural(unknown, 'misclassified image')} "
            f"{'has' if unknown == 1 else 'have'} no confidence."
        )
        images = images_where(evidence, lambda wrong: has_none[wrong.index])
    return Found(
        "The model returned NaN or infinite scores.",
        evidence_text,
        "Train the model again with a lower learning rate.",
        images=images,
        why="The weights are corrupt, so the predicted classes have no meaning.",
    )


def collapsed_predictions(evidence: Evidence, threshold: float) -> Answer:
    """The model predicts one class for nearly every image: a share of more than `threshold`."""
    facts = evidence.facts
    confusion, size = np.asarray(facts.confusion), facts.test.size
    if size < FEWEST_IMAGES:
        return NotChecked(_too_few(size))
    named = int(confusion.sum(axis=0).argmax())
    images, of_class = int(confusion[:, named].sum()), int(confusion[named].sum())
    share = images / size
    if share <= threshold or share - of_class / size <= COLLAPSED_EXCESS:
        return Passed(share, threshold)
    name = short(facts.dataset.classes[named])
    return Found(
        f"The model predicts “{name}” for nearly every image.",
        f"{count(images)} of {plural(size, 'test image')} are predicted as “{name}”, and {count(of_class)} belong to "
        f"this class.{_values(facts)}",
        _remedy(facts),
        share,
        threshold,
        images_where(evidence, lambda wrong: wrong.predicted == named),
        why="The model hardly uses the image.",
    )


def at_chance(evidence: Evidence) -> Answer:
    """The accuracy is no higher than that of predictions that do not depend on the images."""
    facts = evidence.facts
    size = facts.test.size
    if size < FEWEST_IMAGES:
        return NotChecked(_too_few(size))
    if sum(bool(number) for number in facts.dataset.test_counts) < 2:
        return NotChecked("the test images belong to a single class")
    expected, deviation = chance(np.asarray(facts.confusion))
    accuracy, chance_high = facts.test.accuracy, expected + Z * deviation
    if accuracy > chance_high + _ROUNDING:
        return Passed(accuracy, chance_high)
    if (accuracy + Z * deviation - expected) / (1 - expected) > CHANCE_POWER:
        return NotChecked(_too_few(size), accuracy, chance_high)
    return Found(
        "The model is no better than chance.",
        f"{percent(accuracy)} of the images are classified correctly. If the same predictions are assigned to the "
        f"images at random, {percent(expected)} are correct on average, and up to {percent(chance_high)} by chance."
        f"{_values(facts)}",
        _remedy(facts),
        accuracy,
        chance_high,
        why="The model has learned nothing that helps on these images, or they are not prepared as in training.",
    )


def chance(confusion: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the accuracy if the predictions are assigned to the images at random.

    Source: Hoeffding, "A combinatorial central limit theorem" (1951).
    """
    size = confusion.sum()
    true, predicted = confusion.sum(axis=1) / size, confusion.sum(axis=0) / size
    expected = float(true @ predicted)
    deviations = np.eye(len(confusion)) - predicted[:, None] - true[None, :] + expected
    variance = float(true @ deviations**2 @ predicted) / (size - 1)
    return expected, sqrt(max(0.0, variance))


def _values(facts: Diagnosis) -> str:
    """A sentence on the range of the model's input; empty if lrdiag itself prepared the images."""
    low, high = facts.value_range
    if facts.made_by == "train_and_report":
        return ""
    return f" The model received values from {low:.4g} to {high:.4g}."


def _remedy(facts: Diagnosis) -> str:
    if facts.made_by == "train_and_report":
        return (
            f"Train for more epochs ({option(facts, 'epochs')}), or with a lower learning rate "
            f"({option(facts, 'learning-rate')})."
        )
    scaling = f" ({option(facts, 'preprocess')})" if facts.command else ""
    return (
        f"Check that the images are scaled as in training{scaling}: pixels of 0–255 if the model scales them itself. "
        "Check that the classes are in the same order. If both are correct, the model has not learned: train it longer "
        "or with a lower learning rate."
    )


def _too_few(size: int) -> str:
    return f"{plural(size, 'test image')} {'is' if size == 1 else 'are'} too few"
