"""Rules about single classes and pairs of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed, images_where
from lrdiag.diagnosis.pairs import worst_pair
from lrdiag.formats import count, percent, plural, short
from lrdiag.intervals import SIGNIFICANCE, at_most, mcnemar, wilson

FEWEST_OF_CLASS = 10
"""Fewest test images for a statement about a class."""
WEAK_BY_CHANCE = 0.01
"""Probability that the weakest of all classes is so weak by chance."""
FEWEST_PREDICTED = 20
"""Fewest images predicted as a class for it to be called over-predicted."""


@dataclass(frozen=True)
class Candidate:
    """A class whose measured value may exceed the threshold; `clear` if chance does not explain it."""

    index: int
    value: float
    clear: bool


def decisive(candidates: Sequence[Candidate], threshold: float) -> Candidate | None:
    """The candidate that decides a rule: the largest value, but a clear one above the threshold comes first."""
    return max(candidates, key=lambda each: (each.clear and each.value > threshold, each.value), default=None)


def weak_class(evidence: Evidence, threshold: float) -> Answer:
    """The recall of one class is far below the accuracy: by more than `threshold`."""
    facts = evidence.facts
    accuracy = facts.test.accuracy
    known = [index for index, each in enumerate(facts.per_class) if each.support >= FEWEST_OF_CLASS]
    candidates = []
    for index in known:
        right, support = facts.confusion[index][index], facts.per_class[index].support
        clear = at_most(right, support, accuracy) < WEAK_BY_CHANCE / len(known)
        candidates.append(Candidate(index, accuracy - right / support, clear))
    worst = decisive(candidates, threshold)
    if worst is None:
        return NotChecked(f"no class has {FEWEST_OF_CLASS} test images")
    if worst.value <= threshold:
        return Passed(worst.value, threshold)
    weak = facts.per_class[worst.index]
    if not worst.clear:
        return NotChecked(f"{plural(weak.support, 'image')} of a class are too few", worst.value, threshold)
    return Found(
        f"“{short(weak.name)}” is the weakest class.",
        f"{percent(weak.recall)} of its {count(weak.support)} images are classified correctly, compared with "
        f"{percent(accuracy)} of all images.",
        "Look at its misclassified images in the report. Add training images of this class, or check their labels.",
        worst.value,
        threshold,
        images_where(evidence, lambda wrong: wrong.true == worst.index),
        why="The accuracy of all images hides a class on which the model often fails.",
    )


def over_predicted_class(evidence: Evidence, threshold: float) -> Answer:
    """One class is predicted far more often than it occurs: more than `threshold` times as often."""
    facts = evidence.facts
    confusion = np.asarray(facts.confusion)
    named, support, right = confusion.sum(axis=0), confusion.sum(axis=1), np.diag(confusion)
    candidates = []
    for index in np.flatnonzero(named >= FEWEST_PREDICTED):
        missed, wrong = int(support[index] - right[index]), int(named[index] - right[index])
        clear = wrong > missed and mcnemar(missed, wrong) < SIGNIFICANCE / len(confusion)
        candidates.append(Candidate(int(index), float(named[index] / max(1, support[index])), clear))
    worst = decisive(candidates, threshold)
    if worst is None:
        return NotChecked(f"no class is predicted for {FEWEST_PREDICTED} images")
    if worst.value <= threshold:
        return Passed(worst.value, threshold)
    images, of_class = int(named[worst.index]), int(support[worst.index])
    if not worst.clear:
        return NotChecked(f"{plural(images, 'image')} are too few", worst.value, threshold)
    return Found(
        f"“{short(facts.dataset.classes[worst.index])}” is predicted too often.",
        f"It is predicted for {plural(images, 'image')}, but only {count(of_class)} "
        f"{'belongs' if of_class == 1 else 'belong'} to it: its precision is "
        f"{percent(facts.per_class[worst.index].precision)}.",
        "Check for training images with this label that show other classes, and whether the class is overrepresented "
        "or has a high weight in training.",
        worst.value,
        threshold,
        images_where(evidence, lambda wrong: wrong.predicted == worst.index),
        why="A prediction of this class is often wrong.",
    )


def confused_pair(evidence: Evidence, threshold: float) -> Answer:
    """Many images of one class are predicted as one other class: a share of more than `threshold`."""
    facts = evidence.facts
    if len(facts.dataset.classes) == 2:
        return NotChecked("there are only two classes, so every mistake belongs to a confused pair")
    worst = worst_pair(facts)
    if worst is None:
        if max(facts.dataset.test_counts) < FEWEST_OF_CLASS:
            return NotChecked(f"no class has {FEWEST_OF_CLASS} test images")
        return Passed(None, threshold)
    if worst.share <= threshold:
        return Passed(worst.share, threshold)
    support = sum(facts.confusion[worst.true])
    if support < FEWEST_OF_CLASS or wilson(worst.count, support)[0] <= threshold:
        return NotChecked(f"{plural(support, 'image')} of a class are too few", worst.share, threshold)
    names = facts.dataset.classes
    return Found(
        f"“{short(names[worst.true])}” is often predicted as “{short(names[worst.predicted])}”.",
        f"{count(worst.count)} of {plural(support, 'image')}, {percent(worst.share)} of the class.",
        "Compare their heatmaps in the report: they show whether the model looks at the object or at the background.",
        worst.share,
        threshold,
        images_where(evidence, lambda wrong: (wrong.true == worst.true) & (wrong.predicted == worst.predicted)),
        why="One confusion accounts for a large part of the mistakes of a class.",
    )
