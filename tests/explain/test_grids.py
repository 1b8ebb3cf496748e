"""Which outputs of a model lie over the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from lrdiag.backend.graph import example_input
from lrdiag.errors import ModelError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.grids import Grid
from lrdiag.explain.model import OpenedModel

L = keras.layers
CLASSES = 3
pytestmark = pytest.mark.usefixtures("eager_passes")


def opened(model: keras.Model) -> OpenedModel:
    return OpenedModel(model, example_input(model, 4))


def grids(model: keras.Model) -> dict[str, Grid]:
    return {step.layer.name: grid for step, grid in opened(model).grids.items()}


def network(*layers: Any, shape: tuple[int, ...] = (16, 16, 3)) -> keras.Model:
    """These layers after a convolution named `good`, and a dense head."""
    keras.utils.set_random_seed(0)
    good = L.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="good")
    return keras.Sequential([keras.Input(shape), good, *layers, L.Flatten(), L.Dense(CLASSES)])


def bad_convolution() -> Any:
    return L.Conv2D(4, 3, padding="same", activation="relu", name="bad")


BAD: dict[str, Callable[[], list[Any]]] = {
    "reshaped": lambda: [L.Reshape((32, 4, 4)), bad_convolution()],
    "transposed": lambda: [L.Permute((2, 1, 3)), bad_convolution()],
    "upside-down": lambda: [L.Lambda(lambda maps: ops.flip(maps, axis=1)), bad_convolution()],
    "channels-as-columns": lambda: [L.Permute((1, 3, 2)), bad_convolution()],
    "rolled": lambda: [L.Lambda(lambda maps: ops.roll(maps, 4, axis=2)), bad_convolution()],
    "dense": lambda: [L.GlobalAveragePooling2D(), L.Dense(256), L.Reshape((8, 8, 4)), bad_convolution()],
}


@pytest.mark.parametrize("layers", BAD.values(), ids=BAD)
def test_a_map_whose_axes_are_not_those_of_the_image_is_not_explained(layers: Any) -> None:
    model = network(*layers())
    assert GradCAM(model).layer == "good"
    with pytest.raises(
        ModelError, match=r"must lie over the image: its rows and columns .*Received: 'bad', .*explained: good$"
    ):
        GradCAM(model, "bad")


class SqueezeAndExcite(L.Layer):
    def build(self, shape: tuple[int, ...]) -> None:
        self.gate = L.Dense(shape[-1], activation="sigmoid", name="gate")

    def call(self, maps: Any) -> Any:
        return maps * self.gate(ops.mean(maps, axis=(1, 2), keepdims=True))


GOOD: dict[str, Callable[[], list[Any]]] = {
    "squeeze-and-excite": lambda: [SqueezeAndExcite(name="last")],
    "layer-normalization": lambda: [L.LayerNormalization(axis=(1, 2, 3)), L.Conv2D(4, 1, name="last")],
    "cropped": lambda: [L.Cropping2D(2), L.Conv2D(4, 1, name="last")],
    "enlarged": lambda: [L.UpSampling2D(2), L.Conv2D(4, 3, name="last")],
    "pooled-along-one-axis": lambda: [L.MaxPooling2D((2, 1)), L.Conv2D(4, 1, name="last")],
    "reshaped-and-back": lambda: [L.Reshape((64, 8)), L.Reshape((8, 8, 8)), L.Conv2D(4, 1, name="last")],
    "transposed-twice": lambda: [L.Permute((2, 1, 3)), L.Permute((2, 1, 3)), L.Conv2D(4, 1, name="last")],
}


@pytest.mark.parametrize("layers", GOOD.values(), ids=GOOD)
def test_a_map_over_the_image_is_explained_whatever_is_before_it(layers: Any) -> None:
    assert GradCAM(network(*layers())).layer == "last"


@pytest.mark.parametrize("scale", [0.0, float("nan")], ids=["zeros", "NaN"])
def test_a_map_that_never_changes_is_judged_by_its_shape(scale: float) -> None:
    model = network(L.Rescaling(scale), L.Conv2D(4, 1, name="square"), L.Reshape((4, 16, 4), name="wide"))
    assert {"good", "square"} <= set(grids(model)) - {"wide"} == set(grids(model))


def test_a_dense_layer_in_the_form_of_a_convolution_is_not_explained() -> None:
    """As in VGG: the 7 × 7 kernel of `fc1` sees most of the 8 × 8 map at each of its four positions."""
    head = [L.Conv2D(16, 7, activation="relu", name="fc1"), L.Conv2D(16, 1, activation="relu", name="fc2")]
    assert GradCAM(network(*head)).layer == "good"
    assert GradCAM(network(L.Conv2D(16, 5, name="features"))).layer == "features"


def test_an_input_without_rows_and_columns_is_explained_as_before() -> None:
    layers = [L.Reshape((8, 8, 1)), L.Conv2D(4, 3, name="last"), L.Flatten(), L.Dense(CLASSES)]
    model = keras.Sequential([keras.Input((64,)), *layers])
    assert GradCAM(model).maps(np.zeros((2, 64), "float32")).shape == (2, 6, 6)


# --- tokens -----------------------------------------------------------------------------------------------------------


class Extended(L.Layer):
    """Puts learned tokens before and after the others."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(name="extended")
        self.counts = before, after

    def build(self, shape: tuple[int, ...]) -> None:
        self.added = [self.add_weight(shape=(1, count, shape[-1])) for count in self.counts]

    def call(self, tokens: Any) -> Any:
        before, after = (ops.repeat(each, ops.shape(tokens)[0], axis=0) for each in self.added)
        return ops.concatenate([before, tokens, after], axis=1)


@pytest.mark.parametrize(
    ("before", "after", "shape", "size"),
    [
        (0, 0, (16, 16), (4, 4)),
        (1, 0, (16, 16), (4, 4)),
        (2, 0, (16, 16), (4, 4)),
        (5, 0, (16, 16), (4, 4)),
        (0, 1, (16, 16), (4, 4)),
        (1, 0, (16, 24), (4, 6)),
        (0, 0, (24, 16), (6, 4)),
        (0, 0, (18, 17), (4, 4)),
    ],
)
def test_tokens_are_read_row_by_row_without_special_ones(
    before: int, after: int, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    inputs = keras.Input((*shape, 3))
    tokens = Extended(before, after)(L.Reshape((-1, 8))(L.Conv2D(8, 4, strides=4, name="patches")(inputs)))
    model = keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling1D()(tokens)))
    count = before + size[0] * size[1] + after
    grid = grids(model)["extended"]
    assert grid == Grid(*size, tokens=count, first=before)
    images = np.random.default_rng(0).uniform(size=(2, *shape, 3)).astype("float32")
    patches, extended = (
        keras.ops.convert_to_numpy(keras.Model(inputs, model.get_layer(each).output)(images))
        for each in ("patches", "extended")
    )
    np.testing.assert_array_equal(grid(extended), patches)
    with pytest.raises(ModelError, match=rf"one size.*grid of {size[0]} × {size[1]}.*Received: {count + 1} tokens"):
        grid(np.zeros((1, count + 1, 8)))


@pytest.mark.parametrize(
    "tokens",
    [
        lambda maps: L.Reshape((16, 8))(L.Permute((2, 1, 3))(maps)),
        lambda maps: L.Permute((2, 1))(L.Dense(16)(L.Permute((2, 1))(L.Reshape((16, 8))(maps)))),
        lambda maps: L.Reshape((16, 8))(L.Dense(128)(L.Flatten()(maps))),
    ],
    ids=["column by column", "mixed", "dense"],
)
def test_tokens_in_another_order_are_not_a_grid(tokens: Any) -> None:
    inputs = keras.Input((16, 16, 3))
    after = L.Dense(4, name="after")(tokens(L.Conv2D(8, 4, strides=4, name="patches")(inputs)))
    model = keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling1D()(after)))
    assert "after" not in grids(model)
    assert GradCAM(model).layer == "patches"


def test_pixels_and_frames_are_not_tokens() -> None:
    pixels = keras.Sequential([keras.Input((8, 8, 3)), L.Reshape((64, 3)), L.GlobalAveragePooling1D(), L.Dense(2)])
    video = keras.Sequential([keras.Input((4, 8, 8, 3)), L.Reshape((4, 192)), L.GlobalAveragePooling1D(), L.Dense(2)])
    for model in (pixels, video):
        assert not grids(model)
