"""The pictures among the inputs of a model. An input of images is one picture, a video has one for each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops, tree

MOST_PICTURES = 4
"""Number of pictures of one example that are explained; of more, evenly spaced ones are chosen."""
CHANNELS = (1, 3, 4)
"""Numbers of channels of pictures."""


@dataclass(frozen=True)
class Picture:
    """One picture of each example.

    Attributes:
        name: Its name in a sentence: `"input 'before'"` or `"frame 3"`.
        place: The place of its input among the model's inputs, as `keras.tree.flatten` orders them.
        frame: The index of its frame in that input; `None` if the input is one picture.
    """

    name: str
    place: int
    frame: int | None = None

    def of(self, inputs: Any) -> np.ndarray:
        """The pictures of a batch of inputs."""
        array = ops.convert_to_numpy(tree.flatten(inputs)[self.place])
        return np.asarray(array if self.frame is None else array[:, self.frame])

    def replaced(self, inputs: Any, part: tuple[slice, ...] = ()) -> Any:
        """The same inputs with noise in this picture, of the range of its values.

        Args:
            inputs: A batch of inputs.
            part: The part of the picture that is replaced, as indices of height and width; by default all of it.
        """
        arrays = [np.array(ops.convert_to_numpy(array)) for array in tree.flatten(inputs)]
        pixels = arrays[self.place] if self.frame is None else arrays[self.place][:, self.frame]
        pixels[(slice(None), *part)] = _noise_like(pixels)[(slice(None), *part)]
        return tree.pack_sequence_as(inputs, arrays)


def pictures_of(model: keras.Model | None, inputs: Any) -> list[Picture]:
    """Returns every picture among the inputs: images and the frames of videos, or else the first input.

    Example:
        >>> inputs = {"before": np.zeros((1, 8, 8, 3)), "after": np.zeros((1, 8, 8, 3)), "age": np.zeros((1, 1))}
        >>> [picture.name for picture in pictures_of(None, inputs)]
        ["input 'after'", "input 'before'"]

    Args:
        model: The model, for the names of its inputs, or `None`.
        inputs: A batch of its inputs.
    """
    arrays = tree.flatten(inputs)
    images = [place for place, array in enumerate(arrays) if _is_image(array.shape)]
    pictures = []
    for place in images:
        name = f"input {_names(model, inputs)[place]!r}"
        if arrays[place].ndim == 4:
            pictures.append(Picture(name, place))
        else:
            of_input = f" of {name}" if len(images) > 1 else ""
            frames = range(arrays[place].shape[1])
            pictures += [Picture(f"frame {frame + 1}{of_input}", place, frame) for frame in frames]
    return pictures or [Picture("input", 0)]


def evenly_spaced(pictures: Sequence[Picture]) -> list[Picture]:
    """At most `MOST_PICTURES` of the pictures, the first and the last among them."""
    count = min(MOST_PICTURES, len(pictures))
    return [pictures[place] for place in np.linspace(0, len(pictures) - 1, count).round().astype(int)]


def _is_image(shape: tuple[int, ...]) -> bool:
    """Whether the shape is that of images or videos, with the channels first or last."""
    return len(shape) in (4, 5) and (shape[-1] in CHANNELS or shape[-3] in CHANNELS)


def _names(model: keras.Model | None, inputs: Any) -> list[str]:
    arrays = tree.flatten(inputs)
    if isinstance(inputs, dict):
        return [str(path[-1]) for path, _ in tree.flatten_with_path(inputs)]
    symbolic = getattr(model, "inputs", None) or []
    if len(symbolic) == len(arrays):
        return [tensor.name for tensor in symbolic]
    return [str(place + 1) for place in range(len(arrays))]


def _noise_like(pixels: np.ndarray) -> np.ndarray:
    """Noise of the same range; the images differ in brightness too, which an average over an image does not hide."""
    generator = np.random.default_rng(1)  # another seed than that of `example_input`
    low, high = float(pixels.min()), float(pixels.max())
    brightness = generator.uniform(0.1, 1, (len(pixels), *[1] * (pixels.ndim - 1)))
    noise = low + (high - low or 1) * brightness * generator.uniform(size=pixels.shape)
    return np.asarray(noise.astype(pixels.dtype))
