"""The training images that are evaluated beside the test set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from keras import tree

from lrdiag.backend.arrays import dense
from lrdiag.data.inputs import GivenData
from lrdiag.explain.batch_size import LARGEST_BATCH
from lrdiag.images.choosing import sample
from lrdiag.inspection.images import GivenImages
from lrdiag.record.arrays import LabelledImages, Predictions
from lrdiag.record.image_table import ImageTable
from lrdiag.record.observed import ImageSet

MOST = 50_000
"""Training images, at most."""
PER_TEST_IMAGE = 5
"""So the pass over the training images takes no more than a few times as long as that over the test set."""
FEWEST, FEWEST_LARGE = 20_000, 2_000
"""Images that are evaluated in any case if there are so many: small ones, and large ones. Copies of test images are
found only among them."""
_VALUES = 2**28  # of small images together
_SEED = 0


@dataclass(frozen=True)
class TrainingImages:
    """Training images with the predictions of the trained model.

    Attributes:
        predictions: The predictions in inference mode.
        table: The table of the images, or `None`.
        reason: Why there is no table; it completes the sentence "not checked: …".
    """

    predictions: Predictions
    table: ImageTable | None
    reason: str | None = None


@dataclass(frozen=True)
class ChosenImages:
    """The training images to evaluate.

    Attributes:
        data: The data to read.
        most: Number of images to read at most.
        indices: The places of these images in the set, ascending; `None` if they are its first.
        size: Number of images in the set; `None` if it is not known.
        files: The files of all images of the set, or empty.
    """

    data: GivenData
    most: int
    indices: np.ndarray | None = None
    size: int | None = None
    files: tuple[str, ...] = ()

    def placed(self, table: ImageTable) -> ImageTable:
        """Returns the table with the places of the images in the whole set."""
        if self.indices is None:
            return replace(table, size=max(table.size, self.size or 0))
        indices = self.indices[table.indices]
        files = tuple(self.files[index] for index in indices) if self.files else ()
        return replace(table, indices=indices, size=self.size or table.size, files=files)


def most_images(test_images: int, image_shape: Sequence[int]) -> int:
    """Returns how many training images of this shape are evaluated at most beside so many test images.

    Example:
        >>> most_images(300, (32, 32, 3)), most_images(300, (224, 224, 3)), most_images(10_000, (224, 224, 3))
        (20000, 2000, 50000)
    """
    fewest = max(FEWEST_LARGE, min(FEWEST, _VALUES // math.prod(image_shape)))
    return min(MOST, max(fewest, PER_TEST_IMAGE * test_images))


def choose(
    given: GivenImages, facts: ImageSet, most: int, *, output: str | int | None, class_names: Any = None
) -> ChosenImages:
    """Chooses training images: a random sample of arrays, or the first images of other data.

    Args:
        given: The training data.
        facts: What is known of it.
        most: Number of images at most.
        output: The output of the model that is evaluated.
        class_names: Name of each class, for labels that are names.
    """
    if isinstance(given.x, LabelledImages):
        inputs, labels, files = given.x.images, given.x.labels, given.x.files
    elif given.y is not None:
        inputs, labels, files = given.x, given.y, ()
    else:
        steps = math.ceil(most / (facts.batch_size or 1))
        data = GivenData(given.x, steps=steps, class_names=class_names, output=output)
        return ChosenImages(data, most, size=facts.size)
    arrays = tree.map_structure(dense, (inputs, labels))
    size = len(tree.flatten(arrays[0])[0])
    indices = sample(_SEED, size, most)
    data = GivenData(_batches(arrays, indices), steps=None, class_names=class_names, output=output)
    return ChosenImages(data, most, indices, size, files)


def _batches(arrays: Any, indices: np.ndarray) -> Iterator[Any]:
    every = len(indices) == len(tree.flatten(arrays[0])[0])  # then slices are enough, which copy nothing
    for start in range(0, len(indices), LARGEST_BATCH):
        rows = slice(start, start + LARGEST_BATCH)
        chosen = rows if every else indices[rows]
        yield tree.map_structure(lambda array, of_batch=chosen: np.asarray(array[of_batch]), arrays)
