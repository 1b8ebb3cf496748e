"""Rules about validation images that were split off the training images."""

from __future__ import annotations

from math import sqrt

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.formats import percent, plural, short
from lrdiag.intervals import newcombe
from lrdiag.record.image_table import ImageTable

UNLIKELY = 5.0
"""Standard deviations by which the labels of neighbours agree more often than by chance."""
SORTED = 0.5
"""Changes of the class from image to image, relative to random order, below which the images are sorted."""
END = 0.1
"""Share of the images at the end whose classes the finding names."""
_USUAL_SIZE = 100  # validation images, if their number is not known
_MOST_NAMED = 5


def sorted_validation(evidence: Evidence, threshold: float) -> Answer:
    """In no epoch did the validation accuracy come within `threshold` of the test accuracy."""
    facts, training = evidence.facts, given(evidence.training)
    accuracies = [each.val_accuracy for each in training.epochs if each.val_accuracy is not None]
    if not accuracies:
        return NotChecked("no validation accuracy was recorded")
    highest, test = max(accuracies), facts.test
    gap = test.accuracy - highest
    if gap <= threshold:
        return Passed(gap, threshold)
    size = facts.dataset.validation_size or _USUAL_SIZE
    if newcombe((round(test.accuracy * test.size), test.size), (round(highest * size), size))[0] <= 0:
        return NotChecked(f"{plural(test.size, 'test image')} are too few", gap, threshold)
    images = evidence.training_images
    is_sorted = images is not None and in_order(images.labels)
    return Found(
        "The validation images are not like the test images"
        f"{': the training images were sorted by class when they were split' if is_sorted else ''}.",
        f"Accuracy is {percent(test.accuracy)} on {plural(test.size, 'test image')}. On the validation images it was "
        f"{percent(highest)} at most, in {plural(len(accuracies), 'epoch')}."
        f"{_last(images, facts.dataset.classes) if images is not None and is_sorted else ''}",
        "Shuffle images and labels together before a part is split off, as `validation_split` takes the last images: "
        "`order = np.random.permutation(len(x)); x, y = x[order], y[order]`. Or use "
        "`train_test_split(x, y, test_size=0.2, stratify=y)`.",
        gap,
        threshold,
        why="Validation accuracy, and what depends on it (early stopping, the best epoch), says nothing about other "
        "images. If the images were sorted, training lacks the classes that validation has.",
        severity="error" if is_sorted else None,
    )


def in_order(labels: np.ndarray) -> bool:
    """Whether images are sorted by class: the class changes from one image to the next more rarely than by chance.

    Example:
        >>> in_order(np.repeat([2, 0, 1], 20)), in_order(np.tile([2, 0, 1], 20))
        (True, False)
    """
    pairs = len(labels) - 1
    shares = np.bincount(labels) / len(labels)
    share = 1 - float(np.square(shares).sum())
    changes = int((labels[1:] != labels[:-1]).sum())
    expected, deviation = pairs * share, sqrt(max(pairs * share * (1 - share), 1e-12))
    return changes < SORTED * expected and expected - changes > UNLIKELY * deviation


def _last(images: ImageTable, names: list[str]) -> str:
    """The sentence that names the classes at the end of the training images."""
    end = images.labels[-max(1, round(END * len(images))) :]
    found = [f"“{short(names[each])}”" for each in np.unique(end).tolist()]
    listed = ", ".join(found[:_MOST_NAMED]) + (
        f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    )
    return (
        f" The training labels are sorted: of {len(np.unique(images.labels))} classes, the last "
        f"{percent(END)} of the images have {len(found)}: {listed}."
    )
