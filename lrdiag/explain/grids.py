"""Which outputs of a model are grids over the image.

The maps of a convolution are, and so are the tokens of a vision transformer, one for each patch, row by row. The inner
tensors of attention are not, nor is a map that was transposed or reshaped. Their shapes do not tell them apart. So the
image is changed in one part after the other: the place of the largest change in a grid over the image moves in the same
direction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.engine import engine
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
_ENOUGH = 0.5  # of the positions: many units of a network may be dead
_DISTINCT = 0.05  # smallest spread of the places that positions respond to, in parts
_MOST = 0.75  # of the rows and columns
_ROUNDING = {"float16": 2e-3, "bfloat16": 2e-2}  # relative to the largest values


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
    axes = image_axes(opened, shape)
    if axes is None:  # the model takes no image whose parts could be changed
        return {step: grid for step in opened.steps if (grid := _as_map(opened, step))}
    height, width = (shape[axis] for axis in axes)
    probe = _Probe(opened)
    for copies in _changed(one, pictures, axes, (height, width)):
        probe.run(tree.map_structure(lambda *arrays: np.concatenate(arrays), one, *copies))
    return _grids(opened, probe, _Image(height, width, is_video=pictures[0].frame is not None))


def grid_of(layer: keras.Operation, opened: OpenedModel) -> Grid:
    """Returns how the output of a layer that lies over the image is read."""
    return next(grid for step, grid in opened.grids.items() if step.layer is layer)


class _Probe:
    """Measures how much each position of each output changes with each part of the image.

    A few copies of the image are passed at once, because Keras keeps what every layer returns.

    Attributes:
        changes: For each step the changes, of shape `(PARTS * PARTS, *positions)`; positions of maps are thinned out.
        seeing_everything: The steps each of whose positions sees most of the map before, as in a dense layer.
    """

    def __init__(self, opened: OpenedModel) -> None:
        self._opened = opened
        self._found: dict[Step, list[np.ndarray]] = defaultdict(list)
        self.seeing_everything: set[Step] = set()

    @property
    def changes(self) -> dict[Step, np.ndarray]:
        return {step: np.concatenate(found) for step, found in self._found.items()}

    def run(self, images: Any) -> None:
        """Passes an image, and copies that differ from it in one part each, through the model."""
        steps = iter(self._opened.steps)

        def measure(call: Call) -> None:
            if not hasattr(call.output, "shape") or not engine().is_computed(call.output):
                return
            step = next(steps, None)
            if step is None or step.layer is not call.layer or call.output.shape[0] != PARTS + 1:
                return
            as_map = _as_map(self._opened, step)
            if as_map or len(step.shape) == 2:
                self._found[step].append(_changes(as_map(call.output) if as_map else call.output))
            if as_map and _sees_everything(call):
                self.seeing_everything.add(step)

        with all_calls((part for _, part in parts(self._opened.model)), measure):
            self._opened.scores(images)


class _Image(NamedTuple):
    height: int
    width: int
    is_video: bool

    def has_aspect_of(self, height: int, width: int) -> bool:
        """Whether as many rows and columns have the aspect of the image, up to one row or column."""
        return abs(height * self.width - width * self.height) < max(self.height, self.width)

    def grids_of_tokens(self, tokens: int) -> Iterator[Grid]:
        """Yields the grids of as many tokens whose cells are patches of the image, about as wide as high.

        There are none in a video, where each frame may be a token.
        """
        for special in range(0 if self.is_video else _SPECIAL_TOKENS + 1):
            patches = tokens - special
            for height in range(2, patches // 2 + 1):
                width = patches // height
                is_coarser = height < self.height and width < self.width
                if height * width == patches and is_coarser and self.has_aspect_of(height, width):
                    for first in sorted({0, special}):
                        yield Grid(height, width, tokens=tokens, first=first)


def _grids(opened: OpenedModel, probe: _Probe, image: _Image) -> dict[Step, Grid]:
    grids: dict[Step, Grid] = {}
    of_tokens: dict[int, Grid] = {}
    size_of_head = None
    for step, changes in probe.changes.items():
        if len(step.shape) == 2:
            grid = _as_tokens(changes, image, of_tokens.get(step.shape[0]))
            if grid:
                grids[step] = of_tokens[step.shape[0]] = grid
        elif grid := _as_map(opened, step):
            size_of_head = grid.size if step in probe.seeing_everything else size_of_head
            correlation = _correlation(changes)
            if correlation is None:  # such as after many convolutions without training, or if the model returns NaN
                correlation = 1.0 if image.has_aspect_of(*grid.size) else 0.0
            if correlation >= FOLLOWS and grid.size != size_of_head:
                grids[step] = grid
    return grids


def _as_tokens(changes: np.ndarray, image: _Image, known: Grid | None) -> Grid | None:
    """The grid that tokens form, if they do.

    Args:
        changes: The changes of the tokens.
        image: The image.
        known: The grid of earlier tokens, as many as these.
    """

    def follows(grid: Grid) -> float:
        patches = changes[:, grid.first : grid.first + grid.height * grid.width]
        return _correlation(patches.reshape(-1, *grid.size)) or 0.0

    found = {grid: follows(grid) for grid in ([known] if known else image.grids_of_tokens(changes.shape[1]))}
    best = max(found, key=lambda grid: found[grid], default=None)
    return best if best and found[best] >= (FOLLOWS if known else ESTABLISHES) else None


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


def image_axes(opened: OpenedModel, shape: tuple[int, ...]) -> tuple[int, int] | None:
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


def _changed(
    inputs: Any, pictures: Sequence[Picture], axes: tuple[int, int], size: tuple[int, ...]
) -> Iterator[list[Any]]:
    """Yields copies of the inputs with one part of all pictures changed, for each row of parts."""
    bounds = [[side * part // PARTS for part in range(PARTS + 1)] for side in size]

    def with_noise_at(row: int, column: int) -> Any:
        part = [slice(None)] * 4
        part[axes[0]] = slice(*bounds[0][row : row + 2])
        part[axes[1]] = slice(*bounds[1][column : column + 2])
        changed = inputs
        for picture in pictures:
            changed = picture.replaced(changed, tuple(part[1 : max(axes) + 1]))
        return changed

    for row in range(PARTS):
        yield [with_noise_at(row, column) for column in range(PARTS)]


def _changes(output: Any) -> np.ndarray:
    """How much each position changes from the first image to each other one; 0 if it does not, up to rounding errors.

    The mean change of all positions is subtracted: a global operation, such as squeeze-and-excitation or attention,
    changes them all.

    Args:
        output: Of shape `(1 + copies, height, width, channels)` or `(1 + copies, tokens, channels)`.
    """
    if len(output.shape) == 4:
        output = output[:, :: max(1, output.shape[1] // _MEASURED), :: max(1, output.shape[2] // _MEASURED)]
    values = ops.convert_to_numpy(ops.cast(output, "float32"))
    with np.errstate(all="ignore"):
        change = values[1:] - values[:1]
        mean = change.mean(axis=tuple(range(1, change.ndim - 1)), keepdims=True)
        rounding = _ROUNDING.get(keras.backend.standardize_dtype(output.dtype), 0.0)
        changed = np.linalg.norm(change, axis=-1) > rounding * np.linalg.norm(values, axis=-1).max()
        return np.asarray(np.where(changed, np.linalg.norm(change - mean, axis=-1), 0.0))


def _correlation(changes: np.ndarray) -> float | None:
    """The correlation between the rows of a grid and the rows of the parts that change them, or of the columns if less.

    Args:
        changes: Of shape `(PARTS * PARTS, height, width)`.

    Returns:
        The correlation, or `None` if most positions never change, or none changes more with one part than with another.
    """
    with np.errstate(all="ignore"):
        total = changes.sum(axis=0)
        responds = total > _RESPONDS * total.max()
        if responds.mean() < _ENOUGH:
            return None
        places = np.repeat(np.arange(PARTS), PARTS), np.tile(np.arange(PARTS), PARTS)
        centres = [np.tensordot(each, changes, axes=1)[responds] / total[responds] for each in places]
        if max(each.std() for each in centres) < _DISTINCT:
            return None
    positions = [each[responds] for each in np.indices(total.shape)]
    return min(_correlated(*pair) for pair in zip(centres, positions, strict=True))


def _correlated(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else 0.0
