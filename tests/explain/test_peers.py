"""Raw maps equal those of tf-keras-vis on every kind of model that it supports."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.explain.gradcam import GradCAM

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tf_keras_vis.gradcam import Gradcam

L = keras.layers
CLASSES = np.array([0, 3, 1, 4, 2, 2])
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("eager_passes"),
]


def trunk() -> list[Any]:
    return [
        L.Rescaling(1 / 255),
        L.Conv2D(4, 3, padding="same", activation="relu"),
        L.MaxPooling2D(),
        L.Conv2D(6, 3, padding="same"),
        L.BatchNormalization(),
        L.ReLU(name="map"),
    ]


def head(**arguments: Any) -> list[Any]:
    return [L.Flatten(), L.Dense(8, activation="relu"), L.Dense(5, **arguments)]


def stacked(*layers: Any, channels: int = 3) -> keras.Sequential:
    return keras.Sequential([keras.Input((8, 8, channels)), *layers])


def chained(*layers: Any) -> keras.Model:
    inputs = outputs = keras.Input((8, 8, 3))
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def residual() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    left = L.Conv2D(6, 3, padding="same", activation="relu")(inputs / 255.0)
    summed = L.Add(name="map")([left, L.SeparableConv2D(6, 3, padding="same")(left)])
    return keras.Model(inputs, L.Dense(5)(L.GlobalMaxPooling2D()(summed)))


def normalized() -> keras.Model:
    normalization = L.Normalization(mean=[120, 130, 110], variance=[4000, 3000, 5000])
    return chained(normalization, *trunk()[1:], *head(activation="softmax"))


KINDS: dict[str, Callable[[], keras.Model]] = {
    "functional-softmax-layer": lambda: chained(*trunk(), *head(), L.Softmax()),
    "sequential-dense-softmax": lambda: stacked(*trunk(), *head(activation="softmax")),
    "sigmoids": lambda: stacked(*trunk(), *head(activation="sigmoid")),
    "residual": residual,
    "normalization": normalized,
    "augmentation": lambda: stacked(L.RandomFlip(), *trunk(), L.Dropout(0.5), *head()),
    "lambda": lambda: stacked(L.Lambda(lambda x: x / 2), *trunk(), *head(), L.Activation("softmax")),
    "four-channels": lambda: stacked(*trunk(), *head(), channels=4),
}


def logits_of(model: keras.Model) -> keras.Model:
    """The model without its softmax, because tf-keras-vis explains what a model returns."""
    last = model.outputs[0]._keras_history.operation
    before = last._inbound_nodes[-1].input_tensors[0]
    if isinstance(last, L.Softmax | L.Activation):
        return keras.Model(model.inputs, before)
    return keras.Model(model.inputs, keras.ops.matmul(before, last.kernel) + last.bias)


def peer_maps(model: keras.Model, layer: Any, images: Any, score: Any = None) -> np.ndarray:
    """The maps of tf-keras-vis, neither enlarged nor scaled."""

    def of_the_classes(outputs: Any) -> Any:
        return [outputs[place, each] for place, each in enumerate(CLASSES)]

    raw = {"seek_penultimate_conv_layer": False, "expand_cam": False, "normalize_cam": False}
    return np.asarray(Gradcam(model)(score or of_the_classes, images, penultimate_layer=layer, **raw))


def assert_equal(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Maps peak at 0.01 to 1, so 1e-6 compares at least four digits."""
    assert theirs.max() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def images_of(channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(6, 8, 8, channels), dtype="uint8")


@pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)
def test_the_maps_equal_those_of_keras_vis(build: Callable[[], keras.Model]) -> None:
    keras.utils.set_random_seed(5)
    model = build()
    images = images_of(model.input_shape[-1])
    explainer = GradCAM(model)
    assert explainer.layer == "map"
    assert_equal(explainer.maps(images, CLASSES), peer_maps(logits_of(model), "map", images.astype("float32")))


def test_the_maps_of_another_layer_equal_those_of_keras_vis() -> None:
    keras.utils.set_random_seed(5)
    model = stacked(*trunk(), *head())
    first, images = model.layers[1].name, images_of(3)
    ours = GradCAM(model, first).maps(images, CLASSES)
    assert ours.shape == (6, 8, 8)
    assert_equal(ours, peer_maps(logits_of(model), first, images.astype("float32")))


def test_the_maps_of_a_nested_backbone_equal_those_of_keras_vis() -> None:
    keras.utils.set_random_seed(5)
    backbone = chained(*trunk())
    model = chained(backbone, *head(activation="softmax"))
    explainer, images = GradCAM(model), images_of(3)
    assert explainer.layer == f"{backbone.name}/map"
    outputs = backbone.output
    for layer in model.layers[2:]:
        outputs = layer(outputs)
    inlined = keras.Model(backbone.inputs, outputs)
    assert_equal(explainer.maps(images, CLASSES), peer_maps(logits_of(inlined), "map", images.astype("float32")))


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_the_maps_of_a_single_logit_equal_those_of_keras_vis(activation: str | None) -> None:
    keras.utils.set_random_seed(5)
    model = stacked(*trunk(), L.Flatten(), L.Dense(8, activation="relu"), L.Dense(1, activation=activation))
    images, explainer = images_of(3), GradCAM(model)
    for label, sign in ((1, 1), (0, -1)):
        theirs = peer_maps(logits_of(model), "map", images.astype("float32"), lambda logits, sign=sign: sign * logits)
        assert_equal(explainer.maps(images, [label] * 6), theirs)


def test_the_maps_of_each_output_equal_those_of_keras_vis() -> None:
    keras.utils.set_random_seed(5)
    inputs = outputs = keras.Input((8, 8, 3))
    for layer in trunk():
        outputs = layer(outputs)
    pooled = L.Flatten()(outputs)
    model = keras.Model(inputs, [L.Dense(5, name="one")(pooled), L.Dense(5, name="other")(pooled)])
    images = images_of(3)
    for place, name in enumerate(("one", "other")):
        single = keras.Model(inputs, model.outputs[place])
        theirs = peer_maps(single, "map", images.astype("float32"))
        assert_equal(GradCAM(model, output=name).maps(images, CLASSES), theirs)


def test_the_maps_of_an_image_among_several_inputs_equal_those_of_keras_vis() -> None:
    keras.utils.set_random_seed(5)
    image = outputs = keras.Input((8, 8, 3), name="image")
    numbers = keras.Input((2,), name="numbers")
    for layer in trunk():
        outputs = layer(outputs)
    joined = L.Dense(8, activation="relu")(L.Concatenate()([L.Flatten()(outputs), numbers]))
    model = keras.Model([image, numbers], L.Dense(5)(joined))
    images, more = images_of(3), np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    ours = GradCAM(model).maps([images, more], CLASSES)
    assert_equal(ours, peer_maps(model, "map", [images.astype("float32"), more]))


@pytest.mark.parametrize("mixed_precision", ["mixed_float16"], indirect=True)
def test_the_maps_in_half_precision_equal_those_of_keras_vis(mixed_precision: str) -> None:
    """Up to rounding."""
    keras.utils.set_random_seed(5)
    model, images = stacked(*trunk(), *head()), images_of(3)
    ours, theirs = (
        GradCAM(model).maps(images, CLASSES),
        peer_maps(logits_of(model), "map", images.astype("float16")),
    )
    assert np.abs(ours - theirs).max() < 2e-3 * theirs.max()
