"""Batches of inputs and labels from any data that `model.evaluate` accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from os import PathLike
from typing import Any

import keras
import numpy as np
from keras import tree

from lrdiag.backend.arrays import dense, is_ragged
from lrdiag.backend.pipelines import is_dataset, is_infinite, length_of
from lrdiag.data.batches import PreprocessedBatches
from lrdiag.data.endless import no_end, with_end
from lrdiag.data.hugging_face import batches_of
from lrdiag.data.labels import LabelReader, labels_of_output
from lrdiag.errors import DataError
from lrdiag.record.arrays import LabelledImages


@dataclass(frozen=True)
class GivenData:
    """Data to evaluate, as a user gives it.

    Attributes:
        x: Arrays, `LabelledImages`, or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterable of batches `(x, y)` or
            `(x, y, sample_weight)`.
        y: Labels if `x` is arrays, as `LabelReader.read` takes them, or those of each output.
        sample_weight: Weights if `x` is arrays. They are ignored.
        steps: Number of batches to evaluate; `None` for all.
        class_names: Name of each class, for labels that are names.
        output: The output to evaluate if the labels are those of several outputs.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    steps: int | None = None
    class_names: Sequence[str] | None = None
    output: str | int | None = None


class LabelledBatches:
    """Yields batches of inputs with their true classes, `int64` of shape `(n,)`, in one pass.

    The classes are −1 and 1 if the labels are: only the model tells what that means.

    Attributes:
        labels: The true classes of all images if they are known in advance, after the first batch; else `None`.

    Args:
        data: The data.
        batch_size: Number of images in a batch if the data is arrays.

    Raises:
        DataError: With a batch: if images or labels are missing or differ in number, or the data has no end.
    """

    def __init__(self, data: GivenData, batch_size: int) -> None:
        self.labels: np.ndarray | None = None
        self._data, self._reader = data, LabelReader(data.class_names)
        self._has_weights = data.sample_weight is not None
        self._taken = 0
        self._batches = self._of_arrays(batch_size) if _is_arrays(data) else self._of_batches()

    def __iter__(self) -> Iterator[tuple[Any, np.ndarray]]:
        return self

    def __next__(self) -> tuple[Any, np.ndarray]:
        batch = next(self._batches)
        self._taken += 1
        return batch

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the data that a reader needs to interpret the figures. Complete after the last batch."""
        steps = self._data.steps
        notes = {
            "Sample weights are ignored: every image counts equally.": self._has_weights,
            "The labels are soft: the class with the largest value is the true class.": self._reader.are_soft,
            f"The data ended after {self._taken} of {steps} steps.": steps is not None and self._taken < steps,
        }
        return tuple(note for note, applies in notes.items() if applies)

    def _of_arrays(self, batch_size: int) -> Iterator[tuple[Any, np.ndarray]]:
        data = self._data
        if isinstance(data.x, LabelledImages):
            inputs, labels = data.x.images, data.x.labels
        else:
            inputs, labels = _arrays(data.x), self._reader.read(labels_of_output(data.y, data.output))
        self.labels = labels if data.steps is None else labels[: data.steps * batch_size]
        yield from islice(slices((inputs, labels), batch_size), data.steps)

    def _of_batches(self) -> Iterator[tuple[Any, np.ndarray]]:
        x, steps = self._data.x, self._data.steps
        batches = map(self._labelled, islice(_given_batches(x, steps), steps))
        is_empty = True
        for batch in batches if steps is not None or _ends(x) else with_end(batches):
            is_empty = False
            yield batch
        if is_empty:
            raise DataError("There must be at least one image. Received: no batches")

    def _labelled(self, batch: Any) -> tuple[Any, np.ndarray]:
        inputs, labels, *weights = _pair(batch)
        labels = labels_of_output(labels, self._data.output)
        _refuse_single_image(inputs, labels)
        labelled = tree.map_structure(_usable, inputs), self._reader.read(labels)
        _number_of_examples(labelled)
        self._has_weights |= any(each is not None for each in weights)
        return labelled


def labelled_batches(x: Any, y: Any, batch_size: int) -> LabelledBatches:
    """Returns batches of inputs with their true classes; see `LabelledBatches`.

    Args:
        x: `GivenData`, or its `x`.
        y: The labels if `x` is arrays.
        batch_size: Number of images in a batch if `x` is arrays.
    """
    return LabelledBatches(x if isinstance(x, GivenData) else GivenData(x, y), batch_size)


def slices(arrays: Any, batch_size: int) -> Iterator[Any]:
    """Yields slices of `batch_size` examples at most of a nest of arrays.

    Raises:
        DataError: If the arrays differ in length or are empty.
    """
    size = _number_of_examples(arrays)
    if size <= batch_size:
        yield arrays  # a slice of a tensor is a copy
        return
    for start in range(0, size, batch_size):
        yield tree.map_structure(lambda array, begin=start: array[begin : begin + batch_size], arrays)


def starts_alike(data: GivenData) -> bool:
    """Returns whether two passes start with the same batch. Data that isn't in memory is read twice, up to there."""
    if _is_arrays(data) or isinstance(data.x, Sequence):
        return True
    first, second = (tree.flatten(next(LabelledBatches(data, batch_size=1))) for _ in range(2))
    return all(np.array_equal(mine, other, equal_nan=True) for mine, other in zip(first, second, strict=True))


def unpacked(data: Any) -> tuple[Any, Any, Any]:
    """Returns inputs, labels and weights of what `model.fit` takes as `validation_data`.

    Args:
        data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`, also as a list, or data that gives batches.

    Raises:
        DataError: If it is a tuple of another length.
    """
    if isinstance(data, list) and len(data) in (2, 3) and not is_list_of_batches(data):
        data = tuple(data)
    if not isinstance(data, tuple):
        return batches_of(data), None, None
    if len(data) not in (1, 2, 3):
        raise DataError(
            "Validation data must be a dataset, or a tuple (x, y) or (x, y, sample_weight). "
            f"Received: a tuple of {len(data)} parts"
        )
    x, y, sample_weight = (*data, None, None)[:3]
    return batches_of(x), y, sample_weight


def is_list_of_batches(data: Any) -> bool:
    """Returns whether data is a list of batches `(x, y)` or `(x, y, sample_weight)`, not of arrays."""
    return isinstance(data, list) and all(isinstance(part, list | tuple) and len(part) in (2, 3) for part in data)


def number_of_batches(dataset: keras.utils.PyDataset) -> int | None:
    """Returns the number of batches of a `PyDataset`, or `None` if it has no end."""
    try:
        batches: int | None = dataset.num_batches
    except NotImplementedError:  # it defines neither a number nor a length
        return None
    return batches


def labelled_length(data: GivenData) -> int | None:
    """Returns the number of images if the data is arrays, else `None`.

    Raises:
        DataError: If the arrays can't be used, or differ in length.
    """
    if isinstance(data.x, LabelledImages):
        return len(data.x)
    return _number_of_examples(_arrays(data.x)) if _is_arrays(data) else None


def _is_arrays(data: GivenData) -> bool:
    return isinstance(data.x, LabelledImages) or data.y is not None


def _arrays(x: Any) -> Any:
    """Returns the inputs that come with an array of labels: an array or a nest of arrays."""
    if not all(hasattr(part, "shape") for part in tree.flatten(x)):
        raise DataError(
            "Argument `y` is for arrays: images in one array, or one array for each input of the model. A dataset must "
            f"give batches `(x, y)` itself. Received: y together with x of type {type(x).__name__}"
        )
    if isinstance(x, list) and all(_is_image(tuple(part.shape)) for part in x):
        raise _single_images(f"a list of {len(x)} images")
    return tree.map_structure(_usable, x)


def _usable(array: Any) -> Any:
    if is_ragged(array):
        raise DataError(
            "All images must have one size. Resize them before they are batched. Received: a ragged tensor of images"
        )
    return dense(array)


def _pair(batch: Any) -> Sequence[Any]:
    """Returns the batch if it is `(inputs, labels)` or `(inputs, labels, weights)`."""
    if isinstance(batch, Mapping):
        keys = ", ".join(map(repr, batch))
        raise DataError(
            "Batches must be pairs `(images, labels)`. Convert a dictionary with `dataset.map(lambda example: "
            '(example["image"], example["label"]))`, or load TensorFlow Datasets with as_supervised=True. '
            f"Received: a dictionary with the keys {keys}"
        )
    if not isinstance(batch, tuple | list) or len(batch) < 2 or batch[1] is None:
        raise DataError(
            f"Evaluation needs labels. Pass `y`, or batches `(x, y)`. Received: {type(batch).__name__} without labels"
        )
    if len(batch) > 3:
        raise DataError(
            "A batch must be `(x, y)` or `(x, y, sample_weight)`. Put several inputs of a model into one tuple or "
            f"dictionary. Received: {type(batch).__name__} of {len(batch)} parts"
        )
    return batch


def _refuse_single_image(inputs: Any, labels: Any) -> None:
    """Raises if a batch is one image with its label."""
    shape = tuple(getattr(inputs, "shape", ()))
    axes = len(labels.shape) if hasattr(labels, "shape") else int(not isinstance(labels, int | float | str | bytes))
    if axes == 0 or (axes == 1 and _is_image(shape)):
        raise _single_images(f"a single image of shape {shape} with its label")


def _single_images(received: str) -> DataError:
    return DataError(
        "Data must give batches of images. Call `.batch(32)` on a tf.data.Dataset, or pass arrays: "
        f"`np.stack(images), labels`. Received: {received}"
    )


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[-1] in (1, 3)


def _number_of_examples(arrays: Any) -> int:
    sizes = [len(array) for array in tree.flatten(arrays)]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise DataError(
            "There must be at least one image, and one label for each. "
            f"Received: arrays of {' and '.join(map(str, sizes))} examples"
        )
    return sizes[0]


def _given_batches(x: Any, steps: int | None) -> Iterator[Any]:
    is_indexed = isinstance(x, keras.utils.PyDataset)
    batches = number_of_batches(x) if is_indexed else None
    if steps is None and (batches is None if is_indexed else is_infinite(x)):
        raise no_end(f"{type(x).__name__} without end")
    if is_indexed:
        return (x[place] for place in (count() if batches is None else range(batches)))
    if isinstance(x, str | PathLike) or (not isinstance(x, Iterable) and not hasattr(x, "__getitem__")):
        raise DataError(
            "Data must be arrays with their labels, a tf.data.Dataset, a keras.utils.PyDataset or an iterable of "
            "batches. Read a folder of images with keras.utils.image_dataset_from_directory. "
            f"Received: {type(x).__name__}"
        )
    return iter(x)


def _ends(x: Any) -> bool:
    """Whether the data is known to end."""
    if is_dataset(x):
        return length_of(x) is not None
    return isinstance(x, Sequence | keras.utils.PyDataset | PreprocessedBatches)
