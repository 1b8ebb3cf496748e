"""Data of one's own, divided: which of its parts are read, and what they must hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from lrdiag.data.sampling import split_by_class
from lrdiag.errors import DataError
from lrdiag.record.arrays import NO_IMAGES, Dataset, LabelledImages, SkippedFile

TEST_FRACTION = 0.2

Part = Literal["train", "validation", "test", "whole"]
"""A part of the data; `"whole"` is data that is not divided yet."""

_DIVIDED: tuple[Part, ...] = ("train", "validation", "test")

_NAMES: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def part_named(name: str) -> Part | None:
    """Which part people mean by `name`.

    Example:
        >>> part_named("Val"), part_named("daisy")
        ('validation', None)
    """
    return _NAMES.get(name.strip().lower())


def parts_to_read(present: Collection[Part], source: str, *, test_only: bool) -> list[Part]:
    """Chooses among the parts that are there.

    Example:
        >>> parts_to_read(["test", "train"], "the folder flowers", test_only=False)
        ['train', 'test']

    Args:
        present: The parts that are there.
        source: Where, in words.
        test_only: Whether a trained network is judged, so that nothing is learnt from the data.

    Raises:
        DataError: If the images to judge on, or to learn from, are missing.
    """
    if set(present) == {"whole"}:
        return ["whole"]
    divided = [part for part in _DIVIDED if part in present]
    received = f"Received: {source} with {' and '.join(divided)} only"
    if "test" not in present:
        way_out = (
            "rename validation to test (images for validation are then held out of train)"
            if "validation" in present
            else "leave all images undivided (80 % are then learnt from)"
        )
        raise DataError(
            f"There must be images to judge the network on, called test. Add them, or {way_out}. {received}"
        )
    if test_only:
        return ["test"]
    if "train" not in present:
        raise DataError(
            "There must be images to learn from, called train. Add them, or judge a network that is trained already: "
            f"lrdiag diagnose. {received}"
        )
    return divided


def assemble(
    name: str,
    source: str,
    classes: Sequence[str],
    parts: Mapping[Part, LabelledImages],
    *,
    test_only: bool,
    skipped: Sequence[SkippedFile] = (),
) -> Dataset:
    """Makes a dataset of the parts that were read; what is not divided yet is divided, 80 to 20, each class alike.

    The same images are divided alike in every run, so that runs can be compared.

    Example:
        >>> images = LabelledImages(np.zeros((20, 1, 1, 3), np.uint8), np.arange(20) % 2)
        >>> dataset = assemble("d", "nowhere", ("cat", "dog"), {"whole": images}, test_only=False)
        >>> len(dataset.train), len(dataset.test)
        (16, 4)

    Args:
        name: What the data is called in the report.
        source: Where it came from, in words.
        classes: The name of each class.
        parts: What `parts_to_read` chose.
        test_only: Whether a trained network is judged: what is not divided is all judged on.
        skipped: Files that could not be read.

    Raises:
        DataError: If a part holds no image, a class has none to learn from, or labels and classes do not agree.
    """
    for part, images in parts.items():
        if not len(images):
            raise DataError(f"Each part of the data needs images. Received: none in {part} of {source}{_why(skipped)}")
    divided = dict(parts)
    if "whole" in divided:
        whole = divided.pop("whole")
        divided |= {"test": whole} if test_only else _divide(whole)
        how = "all images, also those that the network may have learnt from" if test_only else "a fifth for the test"
    dataset = Dataset(
        name,
        f"{source}, not divided: {how}" if "whole" in parts else source,
        tuple(classes),
        train=divided.get("train", NO_IMAGES),
        test=divided["test"],
        validation=divided.get("validation", NO_IMAGES),
        skipped=tuple(skipped),
    )
    if not test_only:
        refuse_classes_without_images(dataset.train.labels, classes, source, skipped)
    return dataset


def refuse_classes_without_images(
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    source: str,
    skipped: Sequence[SkippedFile] = (),
    what: str = "images",
) -> None:
    """Refuses a class that cannot be learnt.

    Args:
        labels: What is learnt from, as indices into `classes`.
        classes: The name of each class.
        source: Where the data came from, in words.
        skipped: Files that could not be read.
        what: What a class needs, in words.

    Raises:
        DataError: If there is such a class.
    """
    counts = np.bincount(labels, minlength=len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        others = f" and of {len(absent) - 1:,} more" if len(absent) > 1 else ""
        raise DataError(
            f"Each class needs {what} to learn from. Add some, or remove the class. "
            f"Received: none of class {absent[0]!r}{others} in {source}{_why(skipped)}"
        )


def _divide(whole: LabelledImages) -> dict[Part, LabelledImages]:
    train, test = split_by_class(whole.labels, TEST_FRACTION)
    return {"train": whole.take(train), "test": whole.take(test)}


def _why(skipped: Sequence[SkippedFile]) -> str:
    if not skipped:
        return ""
    return f". Files that could not be read: {len(skipped):,}, the first {skipped[0].file}: {skipped[0].reason}"
