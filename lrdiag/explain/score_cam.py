"""Score-CAM: feature maps weighted by the probability of the class when the image is masked with them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.engine import engine
from lrdiag.data.inputs import slices
from lrdiag.explain.arranging import arranged
from lrdiag.explain.engine import Explanation, with_predicted
from lrdiag.explain.floats import FloatImages, has_floats
from lrdiag.explain.grids import grid_of
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.outputs import activated
from lrdiag.explain.paths import forward_of
from lrdiag.explain.pictures import Picture
from lrdiag.explain.plan import Plan


class ScoreCam:
    """Score-CAM. It uses no gradient, but predicts one more image for each channel of the layer.

    A mask is a feature map that is enlarged to the size of the image and scaled to 0–1. It covers the pictures that the
    map belongs to; other inputs stay as they are.

    Source: Wang et al., "Score-CAM" (2020), with the probabilities of masked images as in the authors' code.

    Args:
        opened: The model.
        plan: The layers whose feature maps are weighted, and the pictures that the maps belong to.
        batch_size: Number of masked images in one pass.

    Raises:
        ModelError: If a picture is no image.
    """

    in_one_pass = False

    def __init__(self, opened: OpenedModel, plan: Plan, batch_size: int) -> None:
        self._opened, self._plan, self._batch_size = opened, plan, batch_size
        self._calls = {call: each.pictures for each in plan.maps for call in each.calls}
        self._grids = [grid_of(layer, opened) for layer in plan.called]
        self._images = FloatImages(opened, [picture for each in plan.maps for picture in each.pictures], "scorecam")
        self._run = engine().compiled(self._scores_and_features, opened.model)
        self._scores_of_masked = {
            pictures: engine().compiled(partial(self._masked_scores, pictures), opened.model)
            for pictures in set(self._calls.values())
        }

    def explain(self, inputs: Any, classes: np.ndarray) -> Explanation:
        """Scores and maps, as `Method.explain` describes."""
        scores, *all_features = map(ops.convert_to_numpy, self._run(inputs))
        classes = with_predicted(classes, scores, np)
        if self._images.score_alike(inputs):
            inputs = self._images.as_floats(inputs)
        of_call = {}
        for (call, pictures), features in zip(
            self._calls.items(), map(ops.convert_to_numpy, all_features), strict=True
        ):
            maps = np.einsum("nhwc,nkc->nkhw", features, self._weights(inputs, features, classes, pictures))
            of_call[call] = maps.reshape(-1, *maps.shape[2:])
        maps = np.maximum(ops.convert_to_numpy(arranged(self._plan, of_call)), 0)
        return Explanation.without_features(scores, maps.reshape(*classes.shape, *maps.shape[1:]))

    def _scores_and_features(self, inputs: Any) -> list[Any]:
        scores, features = forward_of(self._opened, self._plan.layers)(inputs, ops.zeros_like)
        return [scores, *(ops.cast(self._grids[call](features[call]), "float32") for call in self._calls)]

    def _weights(
        self, inputs: Any, features: np.ndarray, classes: np.ndarray, pictures: tuple[Picture, ...]
    ) -> np.ndarray:
        """The probability of each class under each mask, `(n, k, channels)`, `batch_size` masked images at a time."""
        channels = features.shape[-1]
        masks = math.ceil(channels / math.ceil(channels / self._batch_size))
        starts = [min(start, channels - masks) for start in range(0, channels, masks)]  # groups of one size
        weights = []
        for some, maps, of_some in slices((inputs, features, classes), max(1, self._batch_size // masks)):
            found = np.empty((*of_some.shape, channels), np.float32)
            for group in (slice(start, start + masks) for start in starts):
                scores = ops.convert_to_numpy(self._scores_of_masked[pictures](some, maps[..., group]))
                found[..., group] = self._probabilities(scores, of_some)
            weights.append(found)
        return np.concatenate(weights)

    def _probabilities(self, scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """The probabilities of some classes, `(n, k, masks)`, from scores `(n, masks, classes)`."""
        logits = self._opened.logits(scores.reshape(-1, scores.shape[-1]))
        probabilities = activated(logits, "softmax").reshape(scores.shape)
        return np.take_along_axis(probabilities, classes[:, np.newaxis], axis=2).swapaxes(1, 2)

    def _masked_scores(self, pictures: tuple[Picture, ...], inputs: Any, maps: Any) -> Any:
        """The scores of each image under each of its masks, `(n, masks, classes)`.

        Args:
            pictures: The pictures that are masked.
            inputs: The model's input for `n` images.
            maps: The feature maps that the masks are made of, `(n, h, w, masks)`.
        """
        masks = maps.shape[-1]
        arrays = [ops.repeat(array, masks, axis=0) for array in tree.flatten(inputs)]
        for picture in pictures:
            arrays[picture.place] = self._masked(arrays[picture.place], picture, maps)
        scores = self._opened(tree.pack_sequence_as(inputs, arrays))
        return ops.reshape(scores, (-1, masks, scores.shape[-1]))

    def _masked(self, images: Any, picture: Picture, maps: Any) -> Any:
        """The images multiplied by their masks, in their own data type: integers are rounded."""
        shape = images.shape if picture.frame is None else (images.shape[0], *images.shape[2:])
        rows, columns, channels = self._images.axes(shape)
        masks = ops.expand_dims(_masks(maps, (shape[rows], shape[columns])), channels)
        if picture.frame is not None:
            frames = np.arange(images.shape[1]).reshape(-1, *[1] * (len(shape) - 1))
            masks = ops.where(frames == picture.frame, ops.expand_dims(masks, 1), 1.0)
        if has_floats(images):
            return images * ops.cast(masks, images.dtype)
        return ops.cast(ops.round(ops.cast(images, "float32") * masks), images.dtype)


def _masks(maps: Any, size: tuple[int, int]) -> Any:
    """Feature maps, `(n, h, w, masks)`, enlarged and scaled to 0–1, `(n * masks, *size)`."""
    enlarged = _resized(_resized(maps, size[0], axis=1), size[1], axis=2)
    lowest, highest = (extreme(enlarged, axis=(1, 2), keepdims=True) for extreme in (ops.min, ops.max))
    scaled = (enlarged - lowest) / (highest - lowest + keras.config.epsilon())
    return ops.reshape(ops.moveaxis(scaled, -1, 1), (-1, *size))


def _resized(maps: Any, size: int, axis: int) -> Any:
    """Interpolates along an axis so that the first and the last position stay, as `scipy.ndimage.zoom` does."""
    places = np.linspace(0, maps.shape[axis] - 1, size)
    before = np.floor(places).astype(np.int32)
    after = np.minimum(before + 1, maps.shape[axis] - 1)
    shares = (places - before).astype(np.float32).reshape([-1 if each == axis else 1 for each in range(4)])
    shares = ops.convert_to_tensor(shares)
    return (1 - shares) * ops.take(maps, before, axis) + shares * ops.take(maps, after, axis)
