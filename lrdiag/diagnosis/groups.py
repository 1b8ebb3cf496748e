"""Groups of test images that may fail together: by what they look like, where they come from, and what is known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lrdiag.diagnosis.attributes import Attribute, described
from lrdiag.diagnosis.clusters import clusters_of
from lrdiag.diagnosis.metadata import Metadata
from lrdiag.formats import short
from lrdiag.record.image_table import ImageTable

FEWEST = 20
"""Fewest images of a group."""
TAILS = (0.025, 0.05, 0.075, 0.10, 0.15, 0.20)
"""Shares of the images with the lowest and with the highest values of an attribute."""
_TAILS_IN_CLASS = (0.10, 0.20)
_LARGE_CLASS = 200  # images, from which on a class is divided
_CLASSES_DIVIDED = 10
_MOST_VALUES = 50  # of a column
_MOST_IN_CLASSES = 50  # folders and values that each class is divided by
_FEW_NUMBERS = 10  # different numbers of a column that are values, not a range
_TIES = 1.3  # how much larger a group may become because several images have the value of its limit
_GIVEN, _CLUSTER = 1.1, 0.8
CLUSTER = "cluster"


@dataclass(frozen=True)
class Group:
    """Some of the test images.

    Attributes:
        name: What they have in common.
        source: Where the group comes from: an attribute, `"cluster"`, `"folder"`, or a column of the metadata.
        rows: `bool` of shape `(n,)`: which images belong to it.
        label: The class that all of them have, if the group is a part of a class.
        is_given: Whether it is a folder or a value of the metadata.
    """

    name: str
    source: str
    rows: np.ndarray
    label: int | None = None
    is_given: bool = False

    @property
    def preference(self) -> float:
        """How much it is preferred to others that explain the same mistakes: what a reader understands comes first."""
        return _GIVEN if self.is_given else _CLUSTER if self.source == CLUSTER else 1.0


def groups_of(
    test: ImageTable,
    attributes: Sequence[Attribute],
    classes: Sequence[str],
    wrong: np.ndarray,
    metadata: Metadata | None,
) -> list[Group]:
    """Returns all groups, which may overlap.

    Args:
        test: The test images.
        attributes: Their attributes.
        classes: Name of each class.
        wrong: `bool` of shape `(n,)`: which images are misclassified. The classes with the most of them are divided
            too. That tells nothing about which part of a class fails.
        metadata: What is known of each image of the test set, or `None`.
    """
    known = [*_folders(test), *_columns(test, metadata)]
    in_classes = known if len(known) <= _MOST_IN_CLASSES else []
    looks = [group for each in attributes for group in _tails(each, TAILS)]
    divided = [
        group
        for label in np.argsort(-np.bincount(test.labels, wrong), kind="stable")[:_CLASSES_DIVIDED]
        for group in _parts_of_class(int(label), classes[label], test.labels == label, attributes, in_classes)
    ]
    clusters = [
        Group(f"{name} ({described(rows, attributes)})", CLUSTER, rows)
        for name, rows in clusters_of(test, attributes)
        if rows.any()
    ]
    return [each for each in (*known, *looks, *divided, *clusters) if FEWEST <= each.rows.sum() <= _largest(each)]


def _largest(group: Group) -> float:
    """Most images of a group. One that was found in the images is no longer an exception if most belong to it."""
    return len(group.rows) - FEWEST if group.is_given else len(group.rows) / 2


def _tails(attribute: Attribute, shares: Sequence[float], among: np.ndarray | None = None) -> Iterator[Group]:
    """The images with the lowest and with the highest values, in all or among some of the images."""
    among = np.ones(len(attribute.values), bool) if among is None else among
    ordered = np.sort(attribute.values[among])
    for count in (int(share * len(ordered)) for share in shares):
        if count < FEWEST:
            continue
        for words, limit, is_high in ((attribute.low, ordered[count], False), (attribute.high, ordered[-count], True)):
            rows = among & ((attribute.values >= limit) == is_high)
            if rows.sum() <= _TIES * count:
                yield Group(words.format(f"{limit:.3g}"), attribute.name, rows)


def _parts_of_class(
    label: int, name: str, of_class: np.ndarray, attributes: Sequence[Attribute], known: Sequence[Group]
) -> Iterator[Group]:
    if of_class.sum() < _LARGE_CLASS:
        return
    parts = [group for each in attributes for group in _tails(each, _TAILS_IN_CLASS, of_class)]
    for group in (*parts, *known):
        rows = group.rows & of_class
        if not (of_class & ~rows).any():
            continue
        yield Group(f"“{name}”: {group.name}", group.source, rows, label, group.is_given)


def _folders(test: ImageTable) -> Iterator[Group]:
    """The images of each folder. One that contains a whole class deviates from nothing."""
    folders = [re.split(r"[\\/]", file)[:-1] for file in test.files]
    depth = max(map(len, folders), default=0)
    for level in range(depth):
        names = ["/".join(folder[: level + 1]) if len(folder) > level else None for folder in folders]
        yield from _values("folder", names, "files in the folder {}")


def _columns(test: ImageTable, metadata: Metadata | None) -> Iterator[Group]:
    for column, all_values in ({} if metadata is None else metadata.test).items():
        values = [all_values[index] for index in test.indices]
        numbers = {value for value in values if isinstance(value, float)}
        has_text = any(isinstance(value, str) for value in values)
        if has_text or len(numbers) <= _FEW_NUMBERS:
            yield from _values(column, [_as_text(each) for each in values], f"{short(column)} = {{}}")
        else:
            yield from _ranges(column, np.array([np.nan if each is None else each for each in values], float))


def _as_text(value: str | float | None) -> str:
    return "(no value)" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def _values(source: str, values: Sequence[str | None], words: str) -> Iterator[Group]:
    counted = Counter(value for value in values if value is not None)
    column = np.array(values, object)
    for value, count in counted.most_common(_MOST_VALUES):
        if count >= FEWEST:
            yield Group(words.format(short(value)), source, column == value, is_given=True)


def _ranges(source: str, values: np.ndarray) -> Iterator[Group]:
    """The lowest, the highest and the fifths of the numbers of a column."""
    known = np.isfinite(values)
    if known.sum() < FEWEST:
        return
    name = short(source)
    tails = Attribute(source, f"{name} below {{}}", f"{name} {{}} or more", values)
    for group in _tails(tails, (0.05, 0.10, 0.20), known):
        yield Group(group.name, source, group.rows, is_given=True)
    limits = np.quantile(values[known], [0.2, 0.4, 0.6, 0.8])
    for low, high in pairwise(limits):
        yield Group(f"{name} {low:.3g} to below {high:.3g}", source, (values >= low) & (values < high), is_given=True)
    if (~known).sum() >= FEWEST:
        yield Group(f"{name} without a value", source, ~known, is_given=True)
