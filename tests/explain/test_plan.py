"""Which heatmap belongs to which picture: several inputs, frames, a layer that is called several times."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from lrdiag.errors import ModelError
from lrdiag.explain.gradcam import GradCAM

L = keras.layers
SIZE, SHAPE = 12, (12, 12, 3)
pytestmark = pytest.mark.usefixtures("eager_passes")


def marked(row: int) -> np.ndarray:
    """Dark images with a bright square around that row."""
    images = np.full((5, *SHAPE), 0.01, "float32")
    images[:, row - 1 : row + 2, row - 1 : row + 2] = 1
    return images


FIRST, SECOND = marked(2), marked(9)


def encoder(name: str = "encoder") -> keras.Model:
    """Averages the brightness around each pixel."""
    ones = L.Conv2D(2, 3, padding="same", activation="relu", kernel_initializer="ones", name="features")
    return keras.Sequential([keras.Input(SHAPE), ones, L.GlobalAveragePooling2D()], name=name)


def head() -> L.Dense:
    return L.Dense(2, activation="softmax", kernel_initializer="ones")


def of_two(combine: Any) -> keras.Model:
    first, second = keras.Input(SHAPE, name="first"), keras.Input(SHAPE, name="second")
    return keras.Model([first, second], head()(combine(first, second)))


def peaks(maps: np.ndarray, parts: int) -> list[int]:
    """The row of the peak of each of the maps that lie one below the other."""
    size = maps.shape[1] // parts
    return [int(maps[0, part * size : (part + 1) * size].max(axis=1).argmax()) for part in range(parts)]


def names(explainer: GradCAM) -> list[list[str]]:
    assert explainer.plan is not None
    return [[picture.name for picture in each.pictures] for each in explainer.plan.maps]


class Siamese(keras.Model):
    """A subclassed model of two images."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.last = encoder(), head()

    def call(self, inputs: Any) -> Any:
        return self.last(ops.concatenate([self.encoder(each) for each in inputs], axis=-1))


def shared() -> keras.Model:
    one = encoder()
    return of_two(lambda first, second: L.Concatenate()([one(first), one(second)]))


def separate() -> keras.Model:
    return of_two(lambda first, second: L.Concatenate()([encoder("one")(first), encoder("two")(second)]))


@pytest.mark.parametrize(
    ("build", "method"),
    [(shared, "gradcam"), (separate, "gradcam"), (Siamese, "gradcam"), (separate, "layercam"), (Siamese, "gradcam++")],
)
def test_each_of_two_images_has_its_own_map(build: Any, method: Any) -> None:
    explainer = GradCAM(build(), images=[FIRST, SECOND], method=method)
    maps = explainer.maps([FIRST, SECOND], [1] * 5)
    assert maps.shape == (5, 2 * SIZE, SIZE)
    assert peaks(maps, 2) == [2, 9]
    assert peaks(explainer.maps([SECOND, FIRST], [1] * 5), 2) == [9, 2]


def test_the_pictures_have_the_names_of_their_inputs() -> None:
    assert names(GradCAM(shared())) == [["input 'first'"], ["input 'second'"]]
    one = encoder()
    inputs = {name: keras.Input(SHAPE, name=name) for name in ("now", "before")}
    model = keras.Model(inputs, head()(L.Subtract()([one(inputs["now"]), one(inputs["before"])])))
    explainer = GradCAM(model, images={"now": FIRST, "before": SECOND})
    assert names(explainer) == [["input 'before'"], ["input 'now'"]]
    assert peaks(explainer.maps({"now": FIRST, "before": SECOND}, [1] * 5, signed=True), 2)[1] == 2


def test_images_that_a_layer_combines_have_one_map() -> None:
    model = of_two(lambda first, second: encoder()(L.Add()([first, second])))
    explainer = GradCAM(model)
    assert names(explainer) == [["input 'first'", "input 'second'"]]
    assert explainer.maps([FIRST, SECOND]).shape == (5, SIZE, SIZE)


def test_frames_have_a_map_each_of_more_than_four_evenly_spaced_ones() -> None:
    frames = np.stack([marked(row) for row in range(1, 8)], axis=1)
    inputs = keras.Input(frames.shape[1:])
    model = keras.Model(inputs, head()(L.GlobalAveragePooling1D()(L.TimeDistributed(encoder())(inputs))))
    explainer = GradCAM(model)
    assert names(explainer) == [["frame 1"], ["frame 3"], ["frame 5"], ["frame 7"]]
    assert peaks(explainer.maps(frames, [1] * 5), 4) == [1, 3, 5, 7]


def test_frames_that_a_layer_combines_have_one_map() -> None:
    frames = np.stack([FIRST, SECOND], axis=1)
    inputs = keras.Input(frames.shape[1:])
    features = L.Conv2D(2, 3, name="after")(L.ConvLSTM2D(2, 3)(inputs))
    explainer = GradCAM(keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling2D()(features))))
    assert names(explainer) == [["frame 1", "frame 2"]]
    assert explainer.maps(frames).shape == (5, SIZE - 4, SIZE - 4)


# --- no map -----------------------------------------------------------------------------------------------------------


def bag_of_patches(patches: int = 4) -> keras.Model:
    inputs = keras.Input((patches, *SHAPE))
    each = encoder()(ops.reshape(inputs, (-1, *SHAPE)))
    return keras.Model(inputs, head()(ops.mean(ops.reshape(each, (-1, patches, 2)), axis=1)))


@pytest.mark.parametrize("layer", [None, "features"])
def test_patches_in_the_batch_are_refused(layer: str | None) -> None:
    bags = np.random.default_rng(0).uniform(size=(3, 4, *SHAPE)).astype("float32")
    with pytest.raises(ModelError, match=r"'features', which returns 4 maps for each image: .*patches or frames"):
        GradCAM(bag_of_patches(), layer).maps(bags)


def flipped(image: Any) -> list[Any]:
    return [image, ops.flip(image, axis=2)]


def upside_down(image: Any) -> list[Any]:
    return [image, ops.flip(image, axis=1)]


def crops(image: Any) -> list[Any]:
    return [L.Resizing(SIZE, SIZE)(image[:, :6, :6]), L.Resizing(SIZE, SIZE)(image[:, 6:, 6:])]


@pytest.mark.parametrize("copies", [flipped, upside_down, crops])
def test_parts_and_flipped_copies_of_an_image_are_refused(copies: Any) -> None:
    inputs, one = keras.Input(SHAPE), encoder()
    model = keras.Model(inputs, head()(L.Concatenate()([one(each) for each in copies(inputs)])))
    with pytest.raises(ModelError, match=r"with parts of it|rows and columns are those of the image"):
        GradCAM(model)


def test_copies_of_an_image_at_two_sizes_are_added() -> None:
    ones = L.Conv2D(2, 3, padding="same", kernel_initializer="ones", name="features")
    any_size = keras.Sequential([keras.Input((None, None, 3)), ones, L.GlobalAveragePooling2D()])
    inputs = keras.Input(SHAPE)
    both = L.Concatenate()([any_size(inputs), any_size(L.AveragePooling2D(2)(inputs))])
    maps = GradCAM(keras.Model(inputs, head()(both))).maps(FIRST, [1] * 5)
    assert maps.shape == (5, SIZE, SIZE)
    assert peaks(maps, 1) == [2]
