"""Which outputs of a model are grids over the image.

The maps of a convolution are, and so are the tokens of a vision transformer, one for each patch, row by row. The inner
tensors of attention are not, nor is a map that was transposed or reshaped. Their shapes do not tell them apart. So the
image is changed in one part after the other: the place of the largest change in a grid over the image moves in the same
direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.compiler import is_computed
from lrdiag.backend.graph import parts
from lrdiag.backend.tap import Call, all_calls
from lrdiag.errors import ModelError
from lrdiag.explain.pictures import CHANNELS, Picture, pictures_of

if TYPE_CHECKING:
    from lrdiag.explain.model import OpenedModel, Step

PARTS = 3
"""Number of parts along each side that the image is divided into."""
FOLLOWS = 0.5
"""Smallest correlation between a row or column of a grid and the place of the part that changes it most."""
ESTABLISHES = 0.8
"""The same for the first tokens, each of which depends on its own patch alone."""
_MEASURED = 16  # positions along each axis at most
_SPECIAL_TOKENS = 5  # at most, before or after those of the patches: classes, a teacher's class, registers
_RESPONDS = 1e-6  # of the largest change
_DISTINCT = 0.05  # smallest spread of the places that positions respond to, in parts
_MOST = 0.75  # of the rows and columns


@dataclass(frozen=True)
class Grid:
    """How the output of a layer lies over the image.

    Attributes:
        height: Number of rows.
        width: Number of columns.
        channels_first: Whether the output is `(n, channels, height, width)`.
        tokens: Number of tokens in the output, `(n, tokens, channels)`; `None` if it is a map.
        first: Index of the token at the upper left.
    """

    height: int
    width: int
    channels_first: bool = False
    tokens: int | None = None
    first: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def __call__(self, output: Any) -> Any:
        """The output as a tensor of shape `(n, height, width, channels)`.

        Raises:
            ModelError: If the number of tokens is another one.
        """
        if self.tokens is None:
            return ops.moveaxis(output, 1, -1) if self.channels_first else output
        if output.shape[1] not in (self.tokens, None):
            raise ModelError(
                f"All images must have one size, because their tokens are read as a grid of {self.height} × "
                f"{self.width}. Received: {output.shape[1]} tokens instead of {self.tokens}"
            )
        patches = output[:, self.first : self.first + self.height * self.width]
        return ops.reshape(patches, (-1, self.height, self.width, output.shape[-1]))


def channels_first(layer: keras.Operation, opened: OpenedModel) -> bool:
    """Whether the layer's maps are `(n, channels, height, width)`, by its data format or that of layers before it."""
    before = []
    for step in opened.steps:
        if step.layer is layer:
            break
        before.append(step.layer)
    formats = [getattr(each, "data_format", None) for each in (layer, *reversed(before))]
    return bool(next(filter(None, formats), keras.config.image_data_format()) == "channels_first")


def grids_of(opened: OpenedModel) -> dict[Step, Grid]:
    """How the outputs of a model lie over the image; those that do not, or have a single row or column, are left out.

    One image is passed through the model, together with copies that differ in one of `PARTS` × `PARTS` parts.
    """
    one = tree.map_structure(lambda array: array[:1], opened.sample)
    pictures = pictures_of(opened.model, one)
    shape = pictures[0].of(one).shape
    axes = _image_axes(opened, shape)
    if axes is None:  # the model takes no image whose parts could be changed
        return {step: grid for step in opened.steps if (grid := _as_map(opened, step))}
    height, width = (shape[axis] for axis in axes)
    copies = _changed(one, pictures, axes, (height, width))
    batch = tree.map_structure(lambda *arrays: np.concatenate(arrays), one, *copies)
    probe = _Probe(opened, height, width, is_video=pictures[0].frame is not None)
    with all_calls((part for _, part in parts(opened.model)), probe.measure):
        opened.scores(batch)
    return probe.grids


def grid_of(layer: keras.Operation, opened: OpenedModel) -> Grid:
    """Returns how the output of a layer that lies over the image is read."""
    return next(grid for step, grid in opened.grids.items() if step.layer is layer)


class _Probe:
    """Measures the steps of a model while it runs.

    Attributes:
        grids: The grids found so far.
    """

    def __init__(self, opened: OpenedModel, height: int, width: int, *, is_video: bool) -> None:
        self._opened, self._height, self._width, self._is_video = opened, height, width, is_video
        self._steps = iter(opened.steps)
        self._readings: dict[int, Grid] = {}
        self._size_of_head: tuple[int, int] | None = None
        self.grids: dict[Step, Grid] = {}

    def measure(self, call: Call) -> None:
        """Measures the output of a call."""
        if not hasattr(call.output, "shape") or not is_computed(call.output):
            return
        step = next(self._steps, None)
        if step is None or step.layer is not call.layer or call.output.shape[0] != PARTS**2 + 1:
            return
        grid = self._as_tokens(call.output) if len(step.shape) == 2 else self._as_map(step, call)
        if grid:
            self.grids[step] = grid

    def _as_map(self, step: Step, call: Call) -> Grid | None:
        grid = _as_map(self._opened, step)
        if grid and _sees_everything(call):
            self._size_of_head = grid.size
        if grid is None or grid.size == self._size_of_head:
            return None
        correlation = _correlation(grid(call.output))
        if correlation is None:  # such as after many convolutions without training, or if the model returns NaN
            return grid if self._has_same_aspect(*grid.size) else None
        return grid if correlation >= FOLLOWS else None

    def _as_tokens(self, output: Any) -> Grid | None:
        """The grid that the tokens form, if they do. It is the same for all outputs of as many tokens."""
        count = output.shape[1]
        known = self._readings.get(count)
        found = {grid: _correlation(grid(output)) or 0.0 for grid in ([known] if known else self._possible(count))}
        best = max(found, key=lambda grid: found[grid], default=None)
        if best is None or found[best] < (FOLLOWS if known else ESTABLISHES):
            return None
        self._readings[count] = best
        return best

    def _possible(self, tokens: int) -> Iterator[Grid]:
        """Yields the grids of as many tokens whose cells are patches of the image, about as wide as high.

        There are none in a video, where each frame may be a token.
        """
        for special in range(0 if self._is_video else _SPECIAL_TOKENS + 1):
            patches = tokens - special
            for height in range(2, patches // 2 + 1):
                width = patches // height
                is_coarser = height < self._height and width < self._width
                if height * width == patches and is_coarser and self._has_same_aspect(height, width):
                    for first in sorted({0, special}):
                        yield Grid(height, width, tokens=tokens, first=first)

    def _has_same_aspect(self, height: int, width: int) -> bool:
        """Whether as many rows and columns have the aspect of the image, up to one row or column."""
        return abs(height * self._width - width * self._height) < max(self._height, self._width)


def _as_map(opened: OpenedModel, step: Step) -> Grid | None:
    if len(step.shape) != 3 or step.rows != 1:
        return None
    first = channels_first(step.layer, opened)
    height, width = step.shape[1:] if first else step.shape[:2]
    return Grid(height, width, first) if min(height, width) > 1 else None


def _sees_everything(call: Call) -> bool:
    """Whether each position of a convolution sees most of its input, as in a dense layer that is one: VGG's `fc1`."""
    if not isinstance(call.layer, keras.layers.Conv2D) or call.layer.padding != "valid":
        return False
    shape = call.input.shape[2:] if call.layer.data_format == "channels_first" else call.input.shape[1:3]
    return all(kernel > _MOST * side for kernel, side in zip(call.layer.kernel_size, shape, strict=True))


def _image_axes(opened: OpenedModel, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """The axes of height and width in an input of this shape; `None` if it is no image."""
    if len(shape) == 3:
        return 1, 2
    if len(shape) != 4:
        return None
    if shape[3] in CHANNELS:
        return 1, 2
    formats = (getattr(step.layer, "data_format", None) for step in opened.steps)
    first = next(filter(None, formats), keras.config.image_data_format()) == "channels_first"
    return (2, 3) if first or shape[1] in (1, 3) else (1, 2)


def _changed(inputs: Any, pictures: Sequence[Picture], axes: tuple[int, int], size: tuple[int, ...]) -> Iterator[Any]:
    """Yields the inputs with one part of all pictures changed, the parts row by row."""
    bounds = [[side * part // PARTS for part in range(PARTS + 1)] for side in size]
    for row in range(PARTS):
        for column in range(PARTS):
            part = [slice(None)] * 4
            part[axes[0]] = slice(*bounds[0][row : row + 2])
            part[axes[1]] = slice(*bounds[1][column : column + 2])
            changed = inputs
            for picture in pictures:
                changed = picture.replaced(changed, tuple(part[1 : max(axes) + 1]))
            yield changed


def _correlation(grid: Any) -> float | None:
    """The correlation between the rows of a grid and the rows of the parts that change them, or of the columns if less.

    The mean change of all positions is subtracted: a global operation, such as squeeze-and-excitation or attention,
    changes them all.

    Args:
        grid: Of shape `(n, height, width, channels)`: of the image, and of its copies that are changed in one part.

    Returns:
        The correlation, or `None` if no position changes more with one part than with another.
    """
    stride = [max(1, side // _MEASURED) for side in grid.shape[1:3]]
    values = ops.convert_to_numpy(ops.cast(grid[:, :: stride[0], :: stride[1]], "float32"))
    with np.errstate(all="ignore"):
        change = values[1:] - values[:1]
        sizes = np.linalg.norm(change - change.mean(axis=(1, 2), keepdims=True), axis=-1)
        total = sizes.sum(axis=0)
        responds = total > max(_RESPONDS * total.max(), _rounding(grid) * np.linalg.norm(values, axis=-1).max())
        if responds.sum() < 4:
            return None
        places = np.repeat(np.arange(PARTS), PARTS), np.tile(np.arange(PARTS), PARTS)
        centres = [np.tensordot(each, sizes, axes=1)[responds] / total[responds] for each in places]
        if max(each.std() for each in centres) < _DISTINCT:
            return None
    positions = [each[responds] for each in np.indices(total.shape)]
    return min(_correlated(*pair) for pair in zip(centres, positions, strict=True))


def _correlated(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else 0.0


def _rounding(tensor: Any) -> float:
    """Relative size of rounding errors."""
    return {"float16": 2e-3, "bfloat16": 2e-2}.get(keras.backend.standardize_dtype(tensor.dtype), 0.0)
