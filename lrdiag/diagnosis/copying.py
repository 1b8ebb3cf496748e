"""Finds copies in and between the test set and the training set, and groups that are in both."""

from __future__ import annotations

from collections import Counter

import numpy as np

from lrdiag.images.copies import Pairs, copied
from lrdiag.record.data_facts import Copies, Copy, CopyKind, Groups, ImageRef, SharedGroups
from lrdiag.record.image_table import ImageTable

_MOST_PAIRS = 1000
_MOST_GROUPS = 100


def find_copies(test: ImageTable, training: ImageTable | None = None, groups: Groups | None = None) -> Copies:
    """Compares all images with each other.

    Args:
        test: The test images.
        training: The training images, or `None`.
        groups: The group of each image, or `None`.
    """
    tables = [table for table in (test, training) if table is not None and len(table)]
    grey = any(table.pictures.shape[-1] != tables[0].pictures.shape[-1] for table in tables)
    pairs = copied([_grey(table.pictures) if grey else table.pictures for table in tables])
    families = _Families(tables, pairs)
    leaks, in_test, in_train = families.leaks(), families.repeats("test"), families.repeats("train")
    leaked = np.array([row for row, _, _ in leaks], np.int64)
    found = [families.copy(*each) for each in (*leaks, *in_test, *in_train)]
    return Copies(
        _chosen(found),
        test_in_train=len(leaks),
        within_test=len(in_test),
        within_train=len(in_train),
        searched=sum(len(table) for table in tables),
        correct=_correct(test, leaked),
        other_labels=sum(not copy.same_label for copy in found),
        tells_near=pairs.tells_near,
        shared_groups=None if groups is None or not groups.train else _shared_groups(groups, test, training),
    )


def _correct(test: ImageTable, rows: np.ndarray) -> int:
    """How many of these test images are predicted correctly."""
    return int((test.predictions.predicted == test.labels)[rows].sum())


def _grey(pictures: np.ndarray) -> np.ndarray:
    """One channel: a set of grey pictures is compared with one of colour pictures."""
    return pictures.mean(axis=3, keepdims=True).round().astype(np.uint8) if pictures.shape[-1] > 1 else pictures


def _chosen(found: list[Copy]) -> list[Copy]:
    """The pairs that are kept: leaks first, then those with different labels, then equal images."""

    def rank(copy: Copy) -> tuple[bool, bool, bool]:
        return (copy.image.part == copy.original.part, copy.same_label, copy.kind != "exact")

    return sorted(found, key=rank)[:_MOST_PAIRS]


class _Families:
    """Images that show the same, directly or through others. Rows are counted through all tables."""

    def __init__(self, tables: list[ImageTable], pairs: Pairs) -> None:
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        self._tables = tables
        self._tests = len(tables[0])
        size = sum(len(table) for table in tables)
        edges = coo_matrix((np.ones(len(pairs.first)), (pairs.first, pairs.second)), (size, size))
        self._family = connected_components(edges, directed=False)[1]
        self._members: dict[int, list[int]] = {}
        for row in np.unique(np.concatenate([pairs.first, pairs.second])).tolist():
            self._members.setdefault(int(self._family[row]), []).append(row)
        self._kinds: dict[tuple[int, int], CopyKind] = {}
        self._of_row: dict[int, CopyKind] = {}
        order = np.argsort(-pairs.agreement, kind="stable")
        for place in order.tolist():
            first, second, kind = int(pairs.first[place]), int(pairs.second[place]), pairs.kinds[place]
            self._kinds[first, second] = kind
            for row in (first, second):
                self._of_row.setdefault(row, kind)

    def leaks(self) -> list[tuple[int, int, CopyKind]]:
        """Each test image with a copy in the training set: its row, the row of the copy, and its kind."""
        found = []
        for members in self._members.values():
            training = [row for row in members if row >= self._tests]
            if training:
                found += [self._nearest(row, training) for row in members if row < self._tests]
        return sorted(found)

    def _nearest(self, row: int, others: list[int]) -> tuple[int, int, CopyKind]:
        direct = [other for other in others if (row, other) in self._kinds]
        if direct:
            other = min(direct, key=lambda each: self._kinds[row, each] != "exact")
            return row, other, self._kinds[row, other]
        return row, others[0], self._of_row[row]

    def repeats(self, part: str) -> list[tuple[int, int, CopyKind]]:
        """Each image of a set that repeats an earlier one of the same set."""
        found = []
        for members in self._members.values():
            own = [row for row in members if (row < self._tests) == (part == "test")]
            found += [(row, own[0], self._kinds.get((own[0], row), self._of_row[row])) for row in own[1:]]
        return sorted(found)

    def copy(self, row: int, original: int, kind: CopyKind) -> Copy:
        labels = [self._label(each) for each in (row, original)]
        return Copy(self._ref(row), self._ref(original), kind, labels[0] == labels[1])

    def _at(self, row: int) -> tuple[ImageTable, int]:
        return (self._tables[0], row) if row < self._tests else (self._tables[1], row - self._tests)

    def _label(self, row: int) -> int:
        table, own = self._at(row)
        return int(table.labels[own])

    def _ref(self, row: int) -> ImageRef:
        table, own = self._at(row)
        return table_ref(table, own)


def table_ref(table: ImageTable, row: int) -> ImageRef:
    """The image of a row."""
    return ImageRef(table.part, int(table.indices[row]), table.file(row))


def _shared_groups(groups: Groups, test: ImageTable, training: ImageTable | None) -> SharedGroups:
    train, own = set(groups.train) - {""}, [groups.test[index] for index in test.indices.tolist()]
    shared = np.array([group in train for group in own], bool)
    sizes = Counter(group for group, is_shared in zip(own, shared, strict=True) if is_shared)
    names = [name for name, _ in sizes.most_common()]
    return SharedGroups(
        names[:_MOST_GROUPS],
        count=len(names),
        groups=len(set(own) - {""}),
        test_images=int(shared.sum()),
        correct=_correct(test, np.flatnonzero(shared)),
        pairs=[] if training is None else _group_pairs(names[:_MOST_GROUPS], own, groups, test, training),
    )


def _group_pairs(
    names: list[str], own: list[str], groups: Groups, test: ImageTable, training: ImageTable
) -> list[Copy]:
    """The first image of each group in both sets."""
    firsts: dict[str, int] = {}
    for row, index in enumerate(training.indices.tolist()):
        firsts.setdefault(groups.train[index], row)
    pairs = []
    for name in names:
        if name in firsts:
            row, other = own.index(name), firsts[name]
            same = int(test.labels[row]) == int(training.labels[other])
            pairs.append(Copy(table_ref(test, row), table_ref(training, other), "group", same))
    return pairs
