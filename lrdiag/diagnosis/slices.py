"""Groups of test images on which the model fails more often than on other images of the same classes.

Each group is compared with the error that its classes lead to expect, so that a weak class is not reported again. The
largest of all deviations is compared with its distribution by chance: the mistakes are exchanged at random among the
images of each class. That corrects for the number of groups, however much they overlap.

Clusters are formed without looking at mistakes. What a model sees as similar just before its last layer includes what
lies near the border of two classes, and fails more often for this reason alone. Therefore that part of the features
from which the scores follow is removed first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lrdiag.diagnosis.attributes import Attribute, attributes_of, described
from lrdiag.diagnosis.groups import Group, groups_of
from lrdiag.diagnosis.metadata import Metadata
from lrdiag.formats import short
from lrdiag.intervals import wilson
from lrdiag.record.data_facts import Slice, packed
from lrdiag.record.image_table import ImageTable

MOST_SLICES = 8
"""Most slices that are reported."""
BY_CHANCE = 0.01
"""Probability that the largest deviation of all groups is so large by chance."""
LEAST_EXCESS = 0.05
"""A slice has an error that is higher than expected by this at least."""
LEAST_EXCESS_IN_CLASS = 0.15
"""The same for a part of a class. Classes always have parts that are harder than others."""
LEAST_RATIO = 1.25
"""Its error is at least this times the expected one."""
ABOUT_THE_SAME = 0.9
"""Groups that explain this share of what the best one explains are as good: the first of them is reported."""
FEWEST_WRONG = 5
"""Fewest misclassified images of a slice."""
_CHUNK = 128  # groups
_EXCHANGES, _FEWER_EXCHANGES = 499, 199
_LARGE = 20_000  # images, from which on fewer exchanges are made


def find_slices(test: ImageTable, classes: Sequence[str], metadata: Metadata | None) -> list[Slice]:
    """Returns groups of test images that fail more often than others, the one that explains most first.

    Args:
        test: The test images.
        classes: Name of each class.
        metadata: What is known of each image of the test set, or `None`.
    """
    wrong = test.predictions.predicted != test.labels
    if not wrong.any():
        return []
    attributes = attributes_of(test)
    groups = groups_of(test, attributes, [short(name) for name in classes], wrong, metadata)
    if not groups:
        return []
    return [_slice(each, test, attributes) for each in _Scan(groups, wrong, test.labels).chosen()]


@dataclass(frozen=True)
class _Weak:
    """A group with its error, the error that is expected, and the probability of such a deviation by chance."""

    group: Group
    expected: float
    p_value: float


class _Scan:
    """Compares groups with the error that their classes lead to expect.

    Args:
        groups: The groups.
        wrong: `bool` of shape `(n,)`: which images are misclassified.
        labels: `int64` of shape `(n,)`: their classes.
    """

    def __init__(self, groups: Sequence[Group], wrong: np.ndarray, labels: np.ndarray) -> None:
        self._groups, self._wrong, self._labels = groups, wrong, labels

    def chosen(self) -> list[_Weak]:
        """Returns the groups that deviate by more than chance, each beyond what the earlier ones explain."""
        left = np.ones(len(self._wrong), bool)
        preference = np.array([each.preference for each in self._groups])
        chance, expected = self._by_chance(), self._expected()
        errors, sizes = self._counts(self._wrong), self._counts(np.ones(len(self._wrong)))
        excess = errors / sizes - expected
        least = np.array([LEAST_EXCESS if each.label is None else LEAST_EXCESS_IN_CLASS for each in self._groups])
        large = (errors >= FEWEST_WRONG) & (excess >= least) & (errors / sizes >= LEAST_RATIO * expected)
        found: list[_Weak] = []
        while len(found) < MOST_SLICES:
            deviation = np.where(large & (self._counts(left) > sizes / 2), self._deviations(left), 0)
            preferred = deviation * preference
            best = int(
                (preferred >= ABOUT_THE_SAME * preferred.max()).argmax()
            )  # what is simple to understand is first
            p_value = (1 + int((chance >= deviation[best]).sum())) / (1 + len(chance))
            if p_value > BY_CHANCE:
                break
            found.append(_Weak(self._groups[best], float(expected[best]), p_value))
            left &= ~self._groups[best].rows
        return sorted(found, key=lambda each: each.group.label is not None)

    def _deviations(self, left: np.ndarray) -> np.ndarray:
        """The deviation of each group among the images that are left."""
        rates = _rates(self._labels[left], self._wrong[left], self._labels)
        return _deviation(self._counts(self._wrong & left), self._counts(rates * left), self._counts(left))

    def _expected(self) -> np.ndarray:
        """The error of other images of the same classes. For a class without others, it is that of the class."""
        classes = int(self._labels.max()) + 1
        of_class = np.eye(classes, dtype=np.float32)[self._labels]
        images, wrong = of_class.sum(axis=0), of_class[self._wrong].sum(axis=0)
        expected = []
        for group in self._groups:
            inside, failed = of_class[group.rows].sum(axis=0), of_class[group.rows & self._wrong].sum(axis=0)
            others = images - inside
            rates = np.where(others > 0, (wrong - failed) / np.maximum(others, 1), wrong / np.maximum(images, 1))
            expected.append(inside @ rates / inside.sum())
        return np.array(expected)

    def _by_chance(self) -> np.ndarray:
        """The largest deviation of all groups, after each random exchange of mistakes within the classes."""
        exchanged = _exchanged(self._wrong, self._labels)
        rates = _rates(self._labels, self._wrong, self._labels)
        largest = np.zeros(exchanged.shape[1])
        for members in self._chunks():
            expected, sizes = members @ rates, members.sum(axis=1)
            deviations = _deviation(members @ exchanged, expected[:, np.newaxis], sizes[:, np.newaxis])
            largest = np.maximum(largest, deviations.max(axis=0))
        return largest

    def _counts(self, values: np.ndarray) -> np.ndarray:
        """The sum of the values of each group."""
        return np.concatenate([members @ values.astype(np.float32) for members in self._chunks()])

    def _chunks(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self._groups), _CHUNK):
            yield np.stack([each.rows for each in self._groups[start : start + _CHUNK]]).astype(np.float32)


def _rates(labels: np.ndarray, wrong: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The error of the class of each image in `of`, from other images: `float32` of shape `(n,)`."""
    classes = int(max(labels.max(initial=0), of.max())) + 1
    images, errors = np.bincount(labels, minlength=classes), np.bincount(labels, wrong, minlength=classes)
    return np.asarray((errors / np.maximum(images, 1))[of], np.float32)


def _exchanged(wrong: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which images are wrong after random exchanges within each class: `float32` of shape `(n, exchanges)`."""
    generator = np.random.default_rng(0)
    count = _EXCHANGES if len(wrong) <= _LARGE else _FEWER_EXCHANGES
    exchanged = np.empty((len(wrong), count), np.float32)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        columns = np.repeat(wrong[rows, np.newaxis], count, axis=1)
        exchanged[rows] = generator.permuted(columns, axis=0)
    return exchanged


def _deviation(wrong: np.ndarray, expected: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Twice the logarithm of the likelihood ratio of the observed error to the expected one; 0 if it is not higher."""
    right, expected_right = sizes - wrong, sizes - expected
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(wrong > 0, wrong * np.log(wrong / expected), 0) + np.where(
            right > 0, right * np.log(right / expected_right), 0
        )
    return np.where(wrong > expected, np.nan_to_num(2 * ratio), 0)


def _slice(weak: _Weak, test: ImageTable, attributes: Sequence[Attribute]) -> Slice:
    rows, wrong = weak.group.rows, test.predictions.predicted != test.labels
    size, errors = int(rows.sum()), int((rows & wrong).sum())
    low, high = wilson(errors, size)
    return Slice(
        name=weak.group.name,
        source=weak.group.source,
        size=size,
        wrong=errors,
        error_low=low,
        error_high=high,
        rest_size=len(test) - size,
        rest_wrong=int(wrong.sum()) - errors,
        expected=weak.expected,
        label=weak.group.label,
        is_given=weak.group.is_given,
        p_value=weak.p_value,
        looks=described(rows, attributes),
        members=packed(test.indices[rows], test.size),
    )
