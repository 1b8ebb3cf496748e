"""Rules about wrong labels, which the predictions of a trained model show."""

from __future__ import annotations

from math import lgamma, log

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.diagnosis.findings.predictions import FEWEST_IMAGES, chance
from lrdiag.formats import percent, plural
from lrdiag.intervals import mcnemar, newcombe

CERTAIN = 0.001
"""Probability that the best renaming of the classes gains so much by chance."""
LEARNT = 0.5
"""How much of the gain of a renaming the accuracy on training images must confirm."""
NOTHING_OF_IT = 0.25
"""Cohen's kappa on validation images, relative to that on training images, at most, if labels are mixed up. Sound models
that overfit keep half or more."""
_RANGE = 3.0  # standard deviations
_MOST_NAMED = 5


def class_order(evidence: Evidence, threshold: float) -> Answer:
    """Renaming classes raises their accuracy by more than `threshold`: training and validation number them differently."""
    facts, sample = evidence.facts, evidence.train_sample
    confusion = np.asarray(facts.confusion)
    if confusion.sum() < FEWEST_IMAGES:
        return NotChecked(f"{plural(int(confusion.sum()), 'test image')} are too few")
    names = best_names(confusion)
    moved = np.flatnonzero(names != np.arange(len(names)))
    images = int(confusion[moved].sum())
    before, after = int(confusion[moved, moved].sum()), int(confusion[moved, names[moved]].sum())
    gain = (after - before) / images if images else 0.0
    accuracy, renamed = facts.test.accuracy, facts.test.accuracy + (after - before) / facts.test.size
    if gain <= threshold:
        return Passed(gain, threshold)
    if log(max(mcnemar(before, after), 1e-300)) + _log_choices(len(names), len(moved)) > log(CERTAIN):
        return NotChecked(f"{plural(images, 'test image')} are too few", gain, threshold)
    if sample is not None and sample.accuracy < accuracy + LEARNT * (renamed - accuracy):
        return Passed(gain, threshold)  # the model confuses these classes on its training images too
    return Found(
        "Training and validation labels have the classes in another order.",
        f"Accuracy is {percent(accuracy)}. If the predicted classes are renamed, it is {percent(renamed)}: "
        f"{_renamed(names, moved)}.",
        "Give both the same list of class names, such as `class_names=names` of `image_dataset_from_directory`, or "
        f"renumber the validation labels: `y_val = np.array({_numbers(names)})[y_val]`.",
        gain,
        threshold,
        why="The accuracy and the figures of the classes compare predictions with the names of other classes.",
    )


def best_names(confusion: np.ndarray) -> np.ndarray:
    """Returns, for each true class, the predicted class that makes the accuracy highest if each is used once.

    Example:
        >>> best_names(np.array([[1, 8, 0], [9, 0, 1], [0, 1, 7]]))
        array([1, 0, 2])
    """
    own = np.arange(len(confusion))
    if (confusion.argmax(axis=1) == own).all():  # the common case, without the import
        return own
    from scipy.optimize import linear_sum_assignment

    return np.asarray(linear_sum_assignment(-confusion)[1])


def _log_choices(classes: int, moved: int) -> float:
    """Logarithm of the number of ways to move so many classes, at most."""
    return lgamma(classes + 1) - lgamma(classes - moved + 1)


def _renamed(names: np.ndarray, moved: np.ndarray) -> str:
    pairs = [f"images of class {true} are predicted as class {names[true]}" for true in moved[:_MOST_NAMED].tolist()]
    return ", ".join(pairs) + (f", and so on for {len(moved)} classes" if len(moved) > _MOST_NAMED else "")


def _numbers(names: np.ndarray) -> str:
    return str(names.tolist()) if len(names) <= 2 * FEWEST_IMAGES else "numbers"


def wrong_labels(evidence: Evidence) -> Answer:
    """The model has learned its training images, and is no better than chance on the validation images."""
    facts, sample = evidence.facts, given(evidence.train_sample)
    size = facts.test.size
    if size < FEWEST_IMAGES:
        return NotChecked(f"{plural(size, 'test image')} are too few")
    share = _largest_share(evidence)
    learnt = (sample.accuracy_low - share) / (1 - share) if share < 1 else 0.0
    if learnt <= 0:
        return NotChecked("the model has not learned its training images")
    expected, deviation = chance(np.asarray(facts.confusion))
    kappa = (facts.test.accuracy - expected) / (1 - expected)
    if facts.test.accuracy > expected + _RANGE * deviation:
        return Passed(kappa / learnt, NOTHING_OF_IT)
    if kappa + _RANGE * deviation / (1 - expected) > NOTHING_OF_IT * learnt:
        return NotChecked(f"{plural(size, 'test image')} are too few", kappa / learnt, NOTHING_OF_IT)
    return Found(
        "Labels do not belong to their images, in the training or in the validation data.",
        f"{percent(sample.accuracy)} of {plural(sample.size, 'training image')} are classified correctly, and "
        f"{percent(facts.test.accuracy)} of {plural(size, 'validation image')}, which is chance: {percent(expected)} "
        "would be correct if the predictions were assigned at random.",
        "Show a few images with their labels: `for i in range(9): plt.subplot(3, 3, i + 1); plt.imshow(x[i]); "
        "plt.title(y[i])`. Shuffle images and labels together: "
        "`order = np.random.permutation(len(x)); x, y = x[order], y[order]`, and sort files and labels by the same key.",
        kappa / learnt,
        NOTHING_OF_IT,
        why="Nothing that the model learns from such training labels holds for the validation labels.",
    )


def _largest_share(evidence: Evidence) -> float:
    """The accuracy that a model reaches on training images if it names the most frequent class."""
    data = evidence.training_data
    counts = data.labels.counts if data is not None and data.labels.counts else tuple(evidence.facts.dataset.test_counts)
    return max(counts) / sum(counts)


def label_noise(evidence: Evidence, threshold: float) -> Answer:
    """The model agrees with the training labels less often than with those of validation, by more than `threshold`.

    Both are measured in inference mode, so that neither dropout nor augmentation by the model explains it.
    """
    facts, sample = evidence.facts, given(evidence.train_sample)
    gap = facts.test.accuracy - sample.accuracy
    if gap <= threshold:
        return Passed(gap, threshold)
    low, _ = newcombe(_hits(facts.test.accuracy, facts.test.size), _hits(sample.accuracy, sample.size))
    if low <= 0:
        return NotChecked(
            f"{plural(sample.size, 'training image')} and {plural(facts.test.size, 'test image')} are too few",
            gap,
            threshold,
        )
    return Found(
        f"About {100 * gap / facts.test.accuracy:.0f} % of the training labels are wrong.",
        f"In inference mode, the model agrees with the labels of {percent(sample.accuracy)} of "
        f"{plural(sample.size, 'training image')}, but with {percent(facts.test.accuracy)} of those of "
        f"{plural(facts.test.size, 'validation image')}, which it has never seen. This is label noise, unless the "
        "training images were made harder before they reached the model.",
        "Look at the training images whose label the model contradicts: "
        "`wrong = np.flatnonzero(model.predict(x).argmax(axis=1) != y)`. Correct or remove wrong labels.",
        gap,
        threshold,
        why="Wrong labels cost accuracy, most of all in a long training run, which learns them by heart.",
    )


def _hits(share: float, size: int) -> tuple[int, int]:
    return round(share * size), size
