"""Test images that are read while a model is evaluated on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from lrdiag.record.arrays import Dataset, LabelledImages


class OpenedTestSet:
    """The images to evaluate a trained model on. They can be iterated over once.

    Example:
        >>> import numpy as np
        >>> from lrdiag.record.arrays import NO_IMAGES
        >>> images = LabelledImages(np.zeros((3, 1, 1, 3), np.uint8), np.arange(3) % 2)
        >>> dataset = Dataset("d", "nowhere", ("cat", "dog"), train=NO_IMAGES, test=images)
        >>> opened = OpenedTestSet(dataset.classes, dataset.source, [images], lambda: dataset)
        >>> [len(part) for part in opened], opened.dataset() is dataset
        ([3], True)

    Attributes:
        classes: Name of each class.
        source: Where the data comes from, in words.

    Args:
        classes: Name of each class.
        source: Where the data comes from, in words.
        parts: The images in order, some at a time.
        dataset: Returns the dataset that they belong to. It is called after the last of them.
    """

    def __init__(
        self, classes: Sequence[str], source: str, parts: Iterable[LabelledImages], dataset: Callable[[], Dataset]
    ) -> None:
        self.classes, self.source = classes, source
        self._parts, self._dataset = iter(parts), dataset

    def __iter__(self) -> Iterator[LabelledImages]:
        return self._parts

    def first(self) -> LabelledImages:
        """Returns the first image. It is still the first of the iteration.

        Raises:
            DataError: If there is none.
        """
        for part in self._parts:
            if len(part):
                self._parts = chain([part], self._parts)
                return part.part(range(1))
        return self.dataset().test.part(range(1))

    def dataset(self) -> Dataset:
        """Reads the images that are left, and returns the dataset.

        Raises:
            DataError: If there are no images.
        """
        for _ in self._parts:
            pass
        return self._dataset()
