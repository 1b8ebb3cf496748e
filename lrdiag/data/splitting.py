"""The parts of a user's data: which are read, and what they must contain."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from lrdiag.data.sampling import split_by_class
from lrdiag.errors import DataError
from lrdiag.record.arrays import NO_IMAGES, Dataset, LabelledImages, SkippedFile

TEST_FRACTION = 0.2

Part = Literal["train", "validation", "test", "whole"]
"""A part of the data. `"whole"` is data that is not divided yet."""

_DIVIDED: tuple[Part, ...] = ("train", "validation", "test")

_NAMES: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
}
_WORDS_ADDED = "set|data|dataset|images?|imgs?|pictures?|photos?|files?|samples?|split|seg|folder|dir"
_PART = re.compile(rf"({'|'.join(_NAMES)})(?:{_WORDS_ADDED})?")
_ADDED = re.compile(rf"(?:{_WORDS_ADDED})|\d+")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")


def part_named(name: str) -> Part | None:
    """Returns the part that is commonly called `name`, or `None`.

    Example:
        >>> part_named("Val"), part_named("training_set"), part_named("daisy")
        ('validation', 'train', None)
    """
    found = part_in(name)
    return found[0] if found and not found[1] else None


def part_in(name: str) -> tuple[Part, str] | None:
    """Returns the part that a name contains and the rest of the name, or `None` if it contains none or two.

    Words that only say that something is data, such as "set" and "images", are not part of the rest.

    Example:
        >>> part_in("cats_train"), part_in("TestSet"), part_in("terrain")
        (('train', 'cats'), ('test', ''), None)
    """
    words = [word.lower() for word in _WORD.findall(name)]
    parts = [found[1] for word in words if (found := _PART.fullmatch(word))]
    if len(parts) != 1:
        return None
    rest = (word for word in words if not _PART.fullmatch(word) and not _ADDED.fullmatch(word))
    return _NAMES[parts[0]], " ".join(rest)


def parts_to_read(present: Collection[Part], source: str, *, test_only: bool) -> list[Part]:
    """Chooses the parts to read.

    Example:
        >>> parts_to_read(["test", "train"], "the folder flowers", test_only=False)
        ['train', 'test']

    Args:
        present: The parts that exist.
        source: Where the data is, in words.
        test_only: Whether to read test images only.

    Raises:
        DataError: If the test images or the training images are missing.
    """
    if set(present) == {"whole"}:
        return ["whole"]
    divided = [part for part in _DIVIDED if part in present]
    received = f"Received: {source} with {' and '.join(divided)} only"
    if "test" not in present:
        way_out = (
            "rename validation to test (validation images are then held out of train)"
            if "validation" in present
            else "leave all images undivided (80 % are then used for training)"
        )
        raise DataError(f"The data must contain test images, called test. Add them, or {way_out}. {received}")
    if test_only:
        return ["test"]
    if "train" not in present:
        raise DataError(
            "The data must contain training images, called train. Add them, or evaluate a trained model: "
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
    notes: Sequence[str] = (),
    sixteen_bit_max: int | None = None,
) -> Dataset:
    """Builds a dataset from the parts that were read.

    Undivided data is divided into 80 % training and 20 % test images of each class, in the same way in each run, so
    runs can be compared.

    Example:
        >>> images = LabelledImages(np.zeros((20, 1, 1, 3), np.uint8), np.arange(20) % 2)
        >>> dataset = assemble("d", "nowhere", ("cat", "dog"), {"whole": images}, test_only=False)
        >>> len(dataset.train), len(dataset.test)
        (16, 4)

    Args:
        name: Name of the data in the report.
        source: Where the data is, in words.
        classes: Name of each class.
        parts: The parts that `parts_to_read` chose.
        test_only: Whether to use undivided data as test images.
        skipped: Files that could not be read.
        notes: Sentences on how the images were read.
        sixteen_bit_max: As in `Dataset`.

    Raises:
        DataError: If a part has no images, a class has no training images, or labels and classes don't match.
    """
    for part, images in parts.items():
        if not len(images):
            raise DataError(
                f"Each part of the data must contain images. Received: none in {part} of {source}{_why(skipped)}"
            )
    divided = dict(parts)
    if "whole" in divided:
        whole = divided.pop("whole")
        divided |= {"test": whole} if test_only else _divide(whole)
    dataset = Dataset(
        name,
        source_of(source, parts, test_only=test_only),
        tuple(classes),
        train=divided.get("train", NO_IMAGES),
        test=divided["test"],
        validation=divided.get("validation", NO_IMAGES),
        skipped=tuple(skipped),
        notes=tuple(notes),
        sixteen_bit_max=sixteen_bit_max,
    )
    if not test_only:
        require_images_of_each_class(dataset.train.labels, classes, source, skipped)
    return dataset


def source_of(source: str, parts: Collection[Part], *, test_only: bool) -> str:
    """Returns where the images of a dataset come from, in words.

    Example:
        >>> source_of("the folder flowers", ["whole"], test_only=False)
        'the folder flowers, not divided: a fifth for the test'

    Args:
        source: Where the data is, in words.
        parts: The parts that `parts_to_read` chose.
        test_only: Whether undivided data is used as test images.
    """
    if "whole" not in parts:
        return source
    how = "all images, also those that the model may be trained on" if test_only else "a fifth for the test"
    return f"{source}, not divided: {how}"


def require_images_of_each_class(
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    source: str,
    skipped: Sequence[SkippedFile] = (),
    what: str = "images",
) -> None:
    """Raises if a class has no training images.

    Args:
        labels: Labels of the training images, as indices into `classes`.
        classes: Name of each class.
        source: Where the data is, in words.
        skipped: Files that could not be read.
        what: What a class needs, in words.

    Raises:
        DataError: If a class has no training images. The message names it.
    """
    counts = np.bincount(labels, minlength=len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        others = f" and of {len(absent) - 1:,} more" if len(absent) > 1 else ""
        raise DataError(
            f"Each class needs {what} to train on. Add some, or remove the class. "
            f"Received: none of class {absent[0]!r}{others} in {source}{_why(skipped)}"
        )


def _divide(whole: LabelledImages) -> dict[Part, LabelledImages]:
    train, test = split_by_class(whole.labels, TEST_FRACTION)
    return {"train": whole.take(train), "test": whole.take(test)}


def _why(skipped: Sequence[SkippedFile]) -> str:
    if not skipped:
        return ""
    return f". Files that could not be read: {len(skipped):,}, the first {skipped[0].file}: {skipped[0].reason}"
