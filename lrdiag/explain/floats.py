"""Images as floats, which gradients flow to and which can be masked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.errors import ModelError
from lrdiag.explain.grids import image_axes
from lrdiag.explain.model import SAMPLE, OpenedModel
from lrdiag.explain.pictures import Picture


class FloatImages:
    """Converts the pictures among a model's inputs to floats. Other inputs stay as they are.

    Attributes:
        places: The places of the inputs that hold the pictures.

    Args:
        opened: The model.
        pictures: The pictures.
        method: The method that needs them.

    Raises:
        ModelError: If a picture is no image.
    """

    def __init__(self, opened: OpenedModel, pictures: Sequence[Picture], method: str) -> None:
        self.places = sorted({picture.place for picture in pictures})
        self._opened = opened
        self._score_alike: dict[tuple[str, ...], bool] = {}
        for picture in pictures:
            shape = picture.of(opened.sample).shape
            if image_axes(opened, shape) is None:
                raise ModelError(
                    f"{method!r} needs images, of shape (n, height, width, channels). Received: {picture.name} of "
                    f"shape {('n', *shape[1:])}"
                )

    def axes(self, shape: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
        """The axes of height and width in a picture of this shape, and that of the channels if it has any."""
        rows, columns = image_axes(self._opened, shape) or (1, 2)
        return rows, columns, tuple(axis for axis in range(1, len(shape)) if axis not in (rows, columns))

    def as_floats(self, inputs: Any) -> Any:
        """The inputs as arrays, with `float32` in place of integers in the pictures."""
        arrays = [ops.convert_to_numpy(array) for array in tree.flatten(inputs)]
        for place in self.places:
            if not has_floats(arrays[place]):
                arrays[place] = arrays[place].astype(np.float32)
        return tree.pack_sequence_as(inputs, arrays)

    def score_alike(self, inputs: Any) -> bool:
        """Whether the model scores these images as it scores their values as floats, decided once for a data type."""
        types = self.types(inputs)
        if types not in self._score_alike:
            few = tree.map_structure(lambda array: array[:SAMPLE], inputs)
            as_given, as_floats = (self._opened.scores(each) for each in (few, self.as_floats(few)))
            self._score_alike[types] = np.allclose(as_given, as_floats, rtol=1e-3, atol=1e-3, equal_nan=True)
        return self._score_alike[types]

    def types(self, inputs: Any) -> tuple[str, ...]:
        """The data types of the pictures."""
        arrays = tree.flatten(inputs)
        return tuple(keras.backend.standardize_dtype(arrays[place].dtype) for place in self.places)


def has_floats(array: Any) -> bool:
    """Whether an array or tensor has a data type of floats."""
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(array.dtype)))
