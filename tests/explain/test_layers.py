"""Which layer is explained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.errors import ModelError
from lrdiag.explain.layers import choose_layer, softmax_layer, trace

CLASSES = 5
L = keras.layers


def choose(*layers: Any, image_shape: tuple[int, ...] = (16, 16, 3)) -> str:
    model = keras.Sequential([keras.Input(image_shape), *layers])
    return choose_layer(trace(model, image_shape), CLASSES).name


HEAD = (L.GlobalAveragePooling2D, lambda: L.Dense(CLASSES))


@pytest.mark.parametrize(
    "after",
    [
        lambda: [L.MaxPooling2D()],
        lambda: [L.AveragePooling2D(2)],
        lambda: [L.Dropout(0.1), L.SpatialDropout2D(0.1)],
        lambda: [L.ZeroPadding2D(), L.Cropping2D()],
        lambda: [L.UpSampling2D()],
        lambda: [L.Identity(), L.RandomFlip()],
        lambda: [L.LayerNormalization()],
        lambda: [L.Conv2D(7, 16)],
        lambda: [L.Conv2D(CLASSES, 1)],
    ],
    ids=["max", "average", "dropout", "padding", "upsampling", "identity", "normalization", "one-pixel", "logit-map"],
)
def test_what_only_moves_or_rescales_a_map_is_not_explained(after: Any) -> None:
    head = [L.Flatten(), L.Softmax()] if after()[0].__class__ is L.Conv2D else [HEAD[0](), HEAD[1]()]
    assert choose(L.Conv2D(4, 3, padding="same"), L.ReLU(name="wanted"), *after(), *head) == "wanted"


@pytest.mark.parametrize(
    "last",
    [
        lambda: L.Conv2D(6, 3, name="wanted"),
        lambda: L.DepthwiseConv2D(3, name="wanted"),
        lambda: L.SeparableConv2D(6, 3, name="wanted"),
        lambda: L.Conv2DTranspose(6, 3, name="wanted"),
        lambda: L.BatchNormalization(name="wanted"),
        lambda: L.LeakyReLU(name="wanted"),
        lambda: L.Activation("gelu", name="wanted"),
    ],
)
def test_the_last_feature_map_is_explained_after_its_activation(last: Any) -> None:
    assert choose(L.Conv2D(4, 3), last(), *(layer() for layer in HEAD)) == "wanted"


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_convolution_before_a_dense_head_is_no_head_however_many_filters_it_has(earlier: int) -> None:
    before = [L.Conv2D(8, 3) for _ in range(earlier)]
    last = L.Conv2D(CLASSES, 3, activation="relu", name="wanted")
    assert choose(*before, last, L.Flatten(), L.Dense(CLASSES)) == "wanted"


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [L.Flatten(), L.Dense(4), L.Dense(CLASSES)],
        lambda: [L.Rescaling(1 / 255), L.RandomFlip(), L.Flatten(), L.Dense(CLASSES)],
        lambda: [L.Conv2D(4, 16), L.Flatten(), L.Dense(CLASSES)],
        lambda: [L.Reshape((256, 3)), L.Conv1D(4, 3), L.GlobalAveragePooling1D(), L.Dense(CLASSES)],
    ],
    ids=["dense", "augmented-dense", "one-pixel", "one-dimensional"],
)
def test_without_a_map_nothing_is_explained_and_the_reason_names_the_layers(layers: Any) -> None:
    with pytest.raises(ModelError, match=r"height and a width above 1.*Received: a network of .*Dense"):
        choose(*layers())


def test_the_order_is_that_of_execution(subclassed: type[keras.Model]) -> None:
    model = subclassed()
    model(np.zeros((1, 8, 8, 3)))
    steps = trace(model, (8, 8, 3))
    assert [step.layer.name for step in steps][1:3] == ["early", "late"]
    assert [step.shape for step in steps] == [(8, 8, 3), (6, 6, 4), (4, 4, 6), (6,), (5,)]
    assert [step.is_output for step in steps] == [False] * 4 + [True]


def test_a_softmax_that_is_not_the_output_is_left_alone() -> None:
    """As an attention has it."""
    inputs = keras.Input((8, 8, 3))
    features = L.Conv2D(6, 3)(inputs)
    attention = L.Softmax(axis=(1, 2))(L.Conv2D(1, 1)(features))
    pooled = L.GlobalAveragePooling2D()(L.Multiply()([features, attention]))
    model = keras.Model(inputs, L.Dense(CLASSES)(pooled))
    assert softmax_layer(trace(model, (8, 8, 3))) is None


def test_a_sigmoid_is_not_taken_out() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Flatten(), L.Dense(CLASSES, activation="sigmoid")])
    assert softmax_layer(trace(model, (8, 8, 3))) is None


def test_tracing_takes_a_shape_that_is_a_list_and_pixels_that_are_bytes() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.Flatten(), L.Dense(CLASSES)])
    assert [step.shape for step in trace(model, [8, 8, 3])] == [(6, 6, 4), (144,), (5,)]
    assert np.asarray(model(np.zeros((1, 8, 8, 3), "uint8"))).shape == (1, 5)
