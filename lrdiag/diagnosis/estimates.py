"""Estimates of the accuracy without some of the test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lrdiag.intervals import wilson
from lrdiag.record.arrays import Predictions
from lrdiag.record.data_facts import Copies, Estimate, Suspect

WITHOUT_LABEL_ERRORS = "suspected label errors"
WITHOUT_COPIES = "copies of training images"
_PROBABLE = 0.5
"""A label with a lower probability of being wrong is more probably right, so its image stays."""


def estimates_of(predictions: Predictions, suspects: Sequence[Suspect] | None, copies: Copies | None) -> list[Estimate]:
    """Estimates the accuracy without suspected label errors, and without copies of training images.

    The first estimate is optimistic, because the suspects are chosen with the help of the predictions. The second is
    not given if there are more copies than `Copies.pairs` lists.

    Args:
        predictions: Predictions for the whole test set, in its order.
        suspects: Images whose labels are probably wrong, or `None`.
        copies: Copies in and between the sets, or `None`.

    Returns:
        The estimates. One that leaves out no images, or all, is not given.
    """
    wrong_labels = {
        each.image.index for each in suspects or () if each.image.part == "test" and each.score >= _PROBABLE
    }
    estimates = [
        _estimate(WITHOUT_LABEL_ERRORS, predictions, wrong_labels),
        _estimate(WITHOUT_COPIES, predictions, _copies_of_training_images(copies)),
    ]
    return [each for each in estimates if each is not None]


def _copies_of_training_images(copies: Copies | None) -> set[int]:
    """The test images that are copies of training images; none if not all are listed."""
    if copies is None:
        return set()
    found = {each.image.index for each in copies.pairs if each.image.part == "test" and each.original.part == "train"}
    return found if len(found) == copies.test_in_train else set()


def _estimate(without: str, predictions: Predictions, images: set[int]) -> Estimate | None:
    kept = np.ones(len(predictions.labels), bool)
    kept[list(images)] = False
    size = int(kept.sum())
    if not 0 < size < len(kept):
        return None
    right = int((predictions.predicted == predictions.labels)[kept].sum())
    return Estimate(without, len(kept) - size, right / size, *wilson(right, size))
