"""Estimates of the accuracy without some of the test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lrdiag.intervals import wilson
from lrdiag.record.data_facts import Copies, Estimate, Suspect
from lrdiag.record.image_table import ImageTable

WITHOUT_LABEL_ERRORS = "suspected label errors"
WITHOUT_COPIES = "copies of training images"


def estimates_of(test: ImageTable, suspects: Sequence[Suspect] | None, copies: Copies | None) -> list[Estimate]:
    """Estimates the accuracy without suspected label errors, and without copies of training images.

    The first estimate is optimistic, because the suspects are chosen with the help of the predictions.

    Args:
        test: The test images.
        suspects: Images whose labels are probably wrong, or `None`.
        copies: Copies in and between the sets, or `None`.

    Returns:
        The estimates. One that leaves out no images, or all, is not given.
    """
    correct = test.predictions.predicted == test.labels
    suspected = np.isin(test.indices, [each.image.index for each in suspects or () if each.image.part == "test"])
    left_out = [(WITHOUT_LABEL_ERRORS, int(suspected.sum()), int(correct[suspected].sum()))]
    if copies is not None:
        left_out.append((WITHOUT_COPIES, copies.test_in_train, copies.correct))
    return [
        _estimate(name, images, int(correct.sum()) - right, len(test) - images)
        for name, images, right in left_out
        if 0 < images < len(test)
    ]


def _estimate(without: str, images: int, right: int, size: int) -> Estimate:
    return Estimate(without, images, right / size, *wilson(right, size))
