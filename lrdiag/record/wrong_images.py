"""Every misclassified image of a run. report.json describes those with the highest loss; a comparison needs all."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from zipfile import BadZipFile

import numpy as np

from lrdiag.errors import RunFolderError
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import Diagnosis


@dataclass(frozen=True, eq=False)
class WrongImages:
    """The misclassified images of a run, highest loss first.

    Example:
        >>> predictions = Predictions.from_scores(np.array([[2.0, 0], [0, 1], [3, 0]]), np.array([1, 1, 1]))
        >>> WrongImages.of(predictions).index
        array([2, 0])

    Attributes:
        index: `int64` of shape `(m,)`: their places in the test set.
        true: `int64` of shape `(m,)`: their true classes.
        predicted: `int64` of shape `(m,)`: their predicted classes.
    """

    index: np.ndarray
    true: np.ndarray
    predicted: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, predictions: Predictions) -> WrongImages:
        """Those of all predictions."""
        ranked = predictions.ranked_mistakes
        return cls(ranked, predictions.labels[ranked], predictions.predicted[ranked])

    @classmethod
    def listed_in(cls, facts: Diagnosis) -> WrongImages | None:
        """Those that the facts of a run list; `None` if they do not list all."""
        if len(facts.misclassified.items) < facts.misclassified.count:
            return None
        return cls.described_in(facts)

    @classmethod
    def described_in(cls, facts: Diagnosis) -> WrongImages:
        """Those that the facts of a run describe: all, or those with the highest loss."""
        items = facts.misclassified.items
        rows = np.array([(each.index, each.true, each.predicted) for each in items], np.int64).reshape(-1, 3)
        return cls(*rows.T)

    def take(self, chosen: np.ndarray) -> WrongImages:
        """Returns some of them, by a mask or by places."""
        return WrongImages(self.index[chosen], self.true[chosen], self.predicted[chosen])

    def confusion(self, classes: int) -> np.ndarray:
        """How many images of each true class are predicted as each other one, `int64` of shape `(classes, classes)`."""
        pairs = np.bincount(self.true * classes + self.predicted, minlength=classes**2)
        return pairs.reshape(classes, classes)


def to_npz(wrong: WrongImages) -> bytes:
    """Returns the content of mistakes.npz: the three arrays, in 32 bits where they fit."""
    content = BytesIO()
    index, true, predicted = (_smallest(each) for each in (wrong.index, wrong.true, wrong.predicted))
    np.savez_compressed(content, index=index, true=true, predicted=predicted)
    return content.getvalue()


def from_npz(content: bytes, facts: Diagnosis) -> WrongImages:
    """Reads mistakes.npz.

    Args:
        content: The content of the file.
        facts: The facts of the run, which `require_consistent` accepts.

    Raises:
        RunFolderError: If it is broken, or does not agree with the facts.
    """
    count, classes = facts.misclassified.count, len(facts.dataset.classes)
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            # the file may be of someone else: a header can declare more than any memory holds
            index, true, predicted = (_array(arrays, name, count) for name in ("index", "true", "predicted"))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise _broken(str(error)) from error
    for name, values, size in (
        ("index", index, facts.test.size),
        ("true", true, classes),
        ("predicted", predicted, classes),
    ):
        if values.min() < 0 or values.max() >= size:
            raise _broken(f"`{name}` from {values.min()} to {values.max()}, of {size}")
    wrong = WrongImages(index, true, predicted)
    matrix = np.asarray(facts.confusion)
    if len(np.unique(index)) < count or (wrong.confusion(classes) != matrix - np.diag(matrix.diagonal())).any():
        raise _broken("other images than the confusion matrix counts")
    listed = [(each.index, each.true, each.predicted) for each in facts.misclassified.items]
    first = wrong.take(np.arange(len(listed)))
    if list(zip(first.index.tolist(), first.true.tolist(), first.predicted.tolist(), strict=True)) != listed:
        raise _broken("other first images than report.json lists")
    return wrong


def _array(arrays: np.lib.npyio.NpzFile, name: str, count: int) -> np.ndarray:
    if arrays.zip is None:
        raise ValueError("no archive")
    with arrays.zip.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if shape != (count,) or dtype.kind not in "iu":
        raise ValueError(f"`{name}` of shape {shape} and type {dtype}, for {count} mistakes")
    return np.asarray(arrays[name], np.int64)


def _smallest(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32) if values.max(initial=0) < 2**31 else values


def _broken(received: str) -> RunFolderError:
    return RunFolderError(
        "mistakes.npz must have each misclassified image of its run, highest loss first. Copy the whole folder of the "
        f"run, or make the run again. Received: {received}"
    )
