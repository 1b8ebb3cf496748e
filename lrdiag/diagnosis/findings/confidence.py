"""Rules about the confidence of the model, and the thresholds that it needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrdiag.diagnosis.calibration import FEWEST_FITTED, error_of, errors_by_chance
from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed, images_where, listed
from lrdiag.diagnosis.findings.classes import FEWEST_OF_CLASS
from lrdiag.diagnosis.findings.course import still_improves
from lrdiag.diagnosis.findings.showing import shown_mistakes
from lrdiag.formats import percent, plural, points, short
from lrdiag.images.choosing import draws
from lrdiag.intervals import mcnemar
from lrdiag.record.arrays import Predictions
from lrdiag.record.wrong_images import WrongImages

BY_CHANCE = 0.01
"""Probability of such a calibration error, or of such a gain of another threshold, by chance."""
NOTED = 0.05
"""A calibration error that is more than this beyond chance is a note. Many networks are mildly overconfident."""
_CONFIDENT = 0.9
_CLOSE = 1e-3  # of the sum of the probabilities of an image to 1


class _Miscalibration(NamedTuple):
    """The calibration error, the mean error by chance, and the mean confidence minus the accuracy."""

    error: float
    by_chance: float
    is_clear: bool
    gap: float
    accuracy: float

    @property
    def excess(self) -> float:
        """The calibration error beyond the one that is expected by chance."""
        return self.error - self.by_chance


def overconfident(evidence: Evidence, threshold: float) -> Answer:
    """The confidence is higher than the accuracy: the calibration error is more than `threshold` beyond chance."""
    return _calibration(evidence, threshold, is_over=True)


def underconfident(evidence: Evidence, threshold: float) -> Answer:
    """The confidence is lower than the accuracy: the calibration error is more than `threshold` beyond chance.

    It is a note if the model still became better when training ended: such a model is not certain yet.
    """
    return _calibration(evidence, threshold, is_over=False)


def _calibration(evidence: Evidence, threshold: float, *, is_over: bool) -> Answer:
    measured = _miscalibration(given(evidence.predictions))
    if isinstance(measured, NotChecked):
        return measured
    if (measured.gap > 0) != is_over:
        return Passed(0.0, threshold)
    if measured.excess <= min(NOTED, threshold) or not measured.is_clear:
        return Passed(measured.excess, threshold)
    confidence = given(evidence.predictions).confidence

    def is_confident(wrong: WrongImages) -> np.ndarray:
        return np.asarray(confidence[wrong.index] >= _CONFIDENT)

    word = "overconfident" if is_over else "underconfident"
    return Found(
        f"The model is {word}: its confidence is {percent(measured.accuracy + measured.gap)} on average, its accuracy "
        f"{percent(measured.accuracy)}.",
        f"The expected calibration error is {percent(measured.error)}; chance explains {percent(measured.by_chance)}."
        f"{_corrected(evidence)}",
        _remedy(evidence, is_over),
        measured.excess,
        threshold,
        images_where(evidence, is_confident) if is_over else (),
        why="A threshold on the confidence, or a decision that weighs it, goes wrong."
        if is_over
        else "Predictions that are right seem doubtful, and a threshold on the confidence rejects them.",
        severity="note" if measured.excess <= threshold or (not is_over and still_improves(evidence)) else None,
        exhibits=shown_mistakes(evidence, is_confident, by_confidence=True) if is_over else (),
    )


def _miscalibration(predictions: Predictions) -> _Miscalibration | NotChecked:
    confidence = predictions.confidence
    known = np.isfinite(confidence)
    if predictions.log_probabilities is None or not known.any():
        return NotChecked("the model gives no probabilities")
    if known.sum() < FEWEST_FITTED:
        return NotChecked(f"{plural(int(known.sum()), 'image')} are too few")
    if (np.abs(np.exp(predictions.log_probabilities[known]).sum(axis=1) - 1) > _CLOSE).any():
        return NotChecked("each class has a probability of its own")
    confidence, right = confidence[known], (predictions.predicted == predictions.labels)[known]
    error, by_chance = error_of(confidence, right), errors_by_chance(confidence)
    is_clear = (by_chance >= error).mean() < BY_CHANCE
    accuracy = float(right.mean())
    gap = float(confidence.mean()) - accuracy
    return _Miscalibration(error, float(by_chance.mean()), bool(is_clear), gap, accuracy)


def _corrected(evidence: Evidence) -> str:
    scaled = evidence.temperature
    if scaled is None:
        return ""
    return (
        f" Logits divided by a temperature of {scaled.value:.2f} reduce it from {percent(scaled.error_before)} to "
        f"{percent(scaled.error_after)}, measured on the half of the images that the temperature was not fitted on."
    )


def _remedy(evidence: Evidence, is_over: bool) -> str:
    scaled = evidence.temperature
    divide = "Divide the logits by a temperature" if scaled is None else f"Divide the logits by {scaled.value:.2f}"
    cause = (
        "Train for fewer epochs, or with more augmentation or label smoothing."
        if is_over
        else "Check for label smoothing, mixup or dropout that is too strong, and train for more epochs."
    )
    return f"{divide} before the softmax; that changes no predicted class. {cause}"


def never_predicted_class(evidence: Evidence) -> Answer:
    """A class that has test images is predicted for no image."""
    facts = evidence.facts
    confusion = np.asarray(facts.confusion)
    support, named = confusion.sum(axis=1), confusion.sum(axis=0)
    if not (support >= FEWEST_OF_CLASS).any():
        return NotChecked(f"no class has {FEWEST_OF_CLASS} test images")
    never = np.flatnonzero((support >= FEWEST_OF_CLASS) & (named == 0)).tolist()
    if not never:
        return Passed()
    names = [f"“{short(facts.dataset.classes[index])}”" for index in never]
    images = int(support[never].sum())
    return Found(
        f"{listed(names)} {'is' if len(names) == 1 else 'are'} never predicted.",
        f"{plural(images, 'test image')} {'belongs' if images == 1 else 'belong'} to "
        f"{'this class' if len(names) == 1 else 'these classes'}, and all are misclassified.",
        "Check that the training set contains the class, under the same number, and with enough images. Give rare "
        "classes a higher weight.",
        float(len(never)),
        images=images_where(evidence, lambda wrong: np.isin(wrong.true, never)),
        why="The model does not know the class.",
        exhibits=shown_mistakes(evidence, lambda wrong: np.isin(wrong.true, never), by_confidence=False),
    )


class _Decision(NamedTuple):
    """A threshold that was chosen on one half of the images, and what it changes on the other."""

    label: int
    probability: float
    before: float
    after: float
    is_clear: bool

    @property
    def gain(self) -> float:
        return self.after - self.before


def one_threshold(evidence: Evidence, threshold: float) -> Answer:
    """Another threshold than 0.5 decides a class better: by more than `threshold` of the images."""
    predictions = given(evidence.predictions)
    scores = _scores(predictions)
    if isinstance(scores, NotChecked):
        return scores
    half = draws(2, np.arange(len(predictions.labels))) < 0.5
    if min(half.sum(), (~half).sum()) < FEWEST_FITTED:
        return NotChecked(f"{plural(len(half), 'image')} are too few")
    decisions = [_decision(label, values, predictions.labels == label, half, len(scores)) for label, values in scores]
    best = max(decisions, key=lambda each: (each.is_clear, each.gain))
    if best.gain <= threshold or not best.is_clear:
        return Passed(best.gain, threshold)
    facts = evidence.facts
    better = [each for each in decisions if each.is_clear and each.gain > threshold]
    names = [f"“{short(facts.dataset.classes[each.label])}”" for each in better]
    return Found(
        f"A threshold of 0.5 does not suit {listed(names)}.",
        f"For {names[better.index(best)]}, {percent(best.before)} of the decisions are right at 0.5, and "
        f"{percent(best.after)} at {best.probability:.2g} ({points(best.gain)} points). The threshold was chosen on "
        "one half of the test images and measured on the other.",
        "Choose a threshold for each class on validation images, or calibrate the probabilities.",
        best.gain,
        threshold,
        images_where(evidence, lambda wrong: (wrong.true == best.label) | (wrong.predicted == best.label)),
        why="The model ranks the images better than its decisions show.",
    )


def _scores(predictions: Predictions) -> list[tuple[int, np.ndarray]] | NotChecked:
    """The probabilities of each class that is decided by a threshold."""
    logs = predictions.log_probabilities
    if logs is None or not np.isfinite(logs).all():
        return NotChecked("the model gives no probabilities")
    probabilities = np.exp(logs)
    if predictions.classes == 2:
        return [(1, probabilities[:, 1])]
    if (np.abs(probabilities.sum(axis=1) - 1) <= _CLOSE).all():
        return NotChecked("the most probable class is predicted, without a threshold")
    return [(label, probabilities[:, label]) for label in range(predictions.classes)]


def _decision(label: int, values: np.ndarray, truth: np.ndarray, half: np.ndarray, tried: int) -> _Decision:
    chosen = _best_threshold(values[half], truth[half])
    values, truth = values[~half], truth[~half]
    before, after = (values > 0.5) == truth, (values > chosen) == truth
    p_value = mcnemar(int((before & ~after).sum()), int((after & ~before).sum()))
    return _Decision(label, chosen, float(before.mean()), float(after.mean()), p_value < BY_CHANCE / tried)


def _best_threshold(values: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the most right decisions."""
    order = np.argsort(values, kind="stable")
    right = np.concatenate([[truth.sum()], truth.sum() + np.cumsum(1 - 2 * truth[order].astype(int))])
    cut = np.flatnonzero(np.concatenate([[True], np.diff(values[order]) > 0, [True]]))
    best = int(cut[right[cut].argmax()])
    ends = np.concatenate([[0.0], values[order], [1.0]])
    return float((ends[best] + ends[best + 1]) / 2)
