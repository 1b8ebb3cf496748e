"""Turns stored labels, numbers or names, into indices of classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lrdiag.data.sources.npz import MAX_CLASSES
from lrdiag.errors import DataError
from lrdiag.formats import printable


@dataclass(frozen=True)
class ClassLabels:
    """The classes of stored labels.

    Example:
        >>> labels = ClassLabels(("cat", "dog"))
        >>> labels.index("dog", "row 1"), labels.index(0, "row 2")
        (1, 0)

    Attributes:
        names: Name of each class.
    """

    names: Sequence[str]

    @classmethod
    def of(cls, labels: Iterable[int | str]) -> ClassLabels:
        """Returns the classes that labels imply: numbers from 0 to the highest, or names, sorted.

        Example:
            >>> ClassLabels.of([2, 0]).names, ClassLabels.of(["dog", "cat", "dog"]).names
            (['0', '1', '2'], ['cat', 'dog'])

        Args:
            labels: Different labels, or all.

        Raises:
            DataError: If a number is too high, or numbers and names occur together.
        """
        found = set(labels)
        numbers = [label for label in found if isinstance(label, int)]
        if numbers and len(numbers) < len(found):
            raise DataError("Labels must be all numbers or all names. Received: both. Write them in one form")
        if not numbers:
            return cls(sorted(map(str, found)))
        if max(numbers) >= MAX_CLASSES:
            raise DataError(
                f"Labels must be the numbers of classes, counted from 0. Received: {max(numbers)}. Number the classes"
            )
        return cls([str(number) for number in range(max(numbers) + 1)])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def index(self, label: int | str, where: str) -> int:
        """Returns the index of the class of a label.

        Args:
            label: A name, or a number from 0.
            where: The place of the label, in words.

        Raises:
            DataError: If there is no such class.
        """
        place = label if isinstance(label, int) else self._places.get(label, -1)
        if not 0 <= place < len(self.names):
            shown = ", ".join(map(printable, self.names[:5]))
            more = f" and {len(self.names) - 5:,} more" if len(self.names) > 5 else ""
            raise DataError(
                f"A label must be the name of a class or its number, from 0 to {len(self.names) - 1}. The classes are "
                f"{shown}{more}. Received: {label!r:.80} in {where}. Correct the label, or name all classes"
            )
        return place
