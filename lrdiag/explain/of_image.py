"""Maps of the image itself: how much the score changes with each pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops, tree

from lrdiag.backend.base import Delta
from lrdiag.backend.engine import engine
from lrdiag.errors import ModelError
from lrdiag.explain.arranging import arranged
from lrdiag.explain.engine import Explanation, scores_of, with_predicted
from lrdiag.explain.floats import FloatImages
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.pictures import Picture
from lrdiag.explain.plan import MapPlan, Plan

SMOOTH_SAMPLES = 20
SMOOTH_NOISE = 0.2  # standard deviation, as a share of the range of values in the image
SMOOTH_SEED = 0
_AT_A_LAYER = '"gradcam" and "hirescam" explain a layer of every model.'


def plan_of_images(pictures: Sequence[Picture]) -> Plan:
    """A plan of one map for each picture, which has no layers. Its calls are the places of the pictures in the list."""
    maps = tuple(MapPlan((picture,), (place,)) for place, picture in enumerate(pictures))
    return Plan((), (), maps, of_tokens=False)


class Saliency:
    """The absolute gradient with respect to the image, in the channel where it is largest.

    Args:
        opened: The model.
        plan: The pictures, see `plan_of_images`.

    Raises:
        ModelError: If a picture is no image.
    """

    in_one_pass = False
    name = "saliency"

    def __init__(self, opened: OpenedModel, plan: Plan) -> None:
        self._opened, self._plan = opened, plan
        self._pictures = [each.pictures[0] for each in plan.maps]
        self._images = FloatImages(opened, self._pictures, self.name)
        self._run = engine().compiled(self._scores_and_sizes, opened.model)

    def explain(self, inputs: Any, classes: np.ndarray) -> Explanation:
        """Scores and maps, as `Method.explain` describes.

        Raises:
            ModelError: If no gradient flows to the images.
        """
        scores, sizes = self._run(self._as_floats(inputs), classes)
        maps = self._maps([ops.convert_to_numpy(each) for each in sizes])
        return Explanation.without_features(np.asarray(ops.convert_to_numpy(scores)), maps)

    def _as_floats(self, inputs: Any) -> Any:
        if not self._images.score_alike(inputs):
            raise ModelError(
                f"{self.name!r} needs the gradient with respect to the image, which integers do not have, and this "
                "model scores them differently as floats. Give floats that it scores correctly. Received: images of "
                f"type {' and '.join(self._images.types(inputs))}. {_AT_A_LAYER}"
            )
        return self._images.as_floats(inputs)

    def _scores_and_sizes(self, inputs: Any, classes: Any) -> tuple[Any, list[Any]]:
        """Scores, and the absolute gradients of each input with pictures, of shape `(n, k, *shape)`."""
        scores, _, gradients = engine().with_gradients(self._forward, inputs, lambda scores: scores_of(scores, classes))
        sizes = []
        for place, of_classes in zip(self._images.places, zip(*gradients, strict=True), strict=True):
            if any(gradient is None for gradient in of_classes):
                raise self._no_gradient(place)
            sizes.append(ops.abs(ops.cast(ops.stack(of_classes, axis=1), "float32")))
        return scores, sizes

    def _forward(self, inputs: Any, delta: Delta) -> tuple[Any, list[Any]]:
        arrays = tree.flatten(inputs)
        images = [arrays[place] for place in self._images.places]
        for place, image in zip(self._images.places, images, strict=True):
            arrays[place] = image + delta(image)
        return self._opened(tree.pack_sequence_as(inputs, arrays)), images

    def _no_gradient(self, place: int) -> ModelError:
        name = next(picture.name for picture in self._pictures if picture.place == place)
        return ModelError(
            f"No gradient flows from the scores to the image ({name}). The model rounds it, casts it to integers, or "
            f"does not use it. {_AT_A_LAYER}"
        )

    def _maps(self, sizes: Sequence[np.ndarray]) -> np.ndarray:
        """Maps `(n, k, h, w)`, from the absolute gradients of each input with pictures."""
        of_call = {}
        for call, picture in enumerate(self._pictures):
            of_input = sizes[self._images.places.index(picture.place)]
            pixels = of_input.reshape(-1, *of_input.shape[2:])
            pixels = pixels if picture.frame is None else pixels[:, picture.frame]
            *_, channels = self._images.axes(pixels.shape)
            of_call[call] = pixels.max(axis=channels)
        maps = np.asarray(ops.convert_to_numpy(arranged(self._plan, of_call)))
        return maps.reshape(*sizes[0].shape[:2], *maps.shape[1:])


class SmoothGrad(Saliency):
    """The mean of the absolute gradients over copies of the image with noise, in the channel where it is largest.

    The noise is the same for every image and run.
    """

    name = "smoothgrad"

    def __init__(self, opened: OpenedModel, plan: Plan) -> None:
        super().__init__(opened, plan)
        self._scores = engine().compiled(opened, opened.model)

    def explain(self, inputs: Any, classes: np.ndarray) -> Explanation:
        """Scores and maps, as `Method.explain` describes.

        Raises:
            ModelError: If no gradient flows to the images.
        """
        scores = np.asarray(ops.convert_to_numpy(self._scores(inputs)))
        classes = with_predicted(classes, scores, np)
        totals: list[Any] = [0] * len(self._images.places)
        for copy in self._copies(self._as_floats(inputs)):
            _, sizes = self._run(copy, classes)
            totals = [total + ops.convert_to_numpy(each) for total, each in zip(totals, sizes, strict=True)]
        return Explanation.without_features(scores, self._maps([total / SMOOTH_SAMPLES for total in totals]))

    def _copies(self, inputs: Any) -> Iterator[Any]:
        """Yields `SMOOTH_SAMPLES` copies of the inputs with noise in the inputs with pictures."""
        generator = np.random.default_rng(SMOOTH_SEED)
        arrays = tree.flatten(inputs)
        images = {place: arrays[place] for place in self._images.places}
        noises = [generator.standard_normal((SMOOTH_SAMPLES, *each.shape[1:]), np.float32) for each in images.values()]
        for of_copy in zip(*noises, strict=True):
            for noise, (place, image) in zip(of_copy, images.items(), strict=True):
                spread = SMOOTH_NOISE * np.ptp(image, axis=tuple(range(1, image.ndim)), keepdims=True)
                arrays[place] = (image + spread * noise).astype(image.dtype)
            yield tree.pack_sequence_as(inputs, arrays)
