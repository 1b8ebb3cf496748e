"""What the tests of this room share: small networks, and images of noise."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.records import LabelledImages

CLASSES = 5
IMAGE_SHAPE = (8, 8, 3)


@pytest.fixture(scope="session")
def noise() -> LabelledImages:
    """Twenty-three images, too many labels wrong for any network to be right."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, size=(23, *IMAGE_SHAPE), dtype="uint8")
    return LabelledImages(images, generator.integers(0, CLASSES, size=23))


def trunk() -> list[Any]:
    """Two convolutions; the last feature map, 4×4×6, is that of `last_map`."""
    return [
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(6, 3, padding="same", name="convolution"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(name="last_map"),
        keras.layers.Dropout(0.5),
    ]


HEADS: dict[str, Any] = {
    "logits": lambda: [keras.layers.Dense(CLASSES, name="head")],
    "softmax-layer": lambda: [keras.layers.Dense(CLASSES, name="head"), keras.layers.Softmax()],
    "softmax-activation": lambda: [keras.layers.Dense(CLASSES, name="head"), keras.layers.Activation("softmax")],
    "dense-softmax": lambda: [keras.layers.Dense(CLASSES, activation="softmax", name="head")],
}


def sequential(head: str = "logits") -> keras.Sequential:
    """A convolutional net with the same weights whatever its head."""
    keras.utils.set_random_seed(1)
    layers = [*trunk(), keras.layers.GlobalAveragePooling2D(), *HEADS[head]()]
    model = keras.Sequential([keras.Input(IMAGE_SHAPE), *layers])
    model.get_layer("head").kernel.assign(3 * model.get_layer("head").kernel)
    return model


@pytest.fixture(params=HEADS)
def each_head(request: pytest.FixtureRequest) -> keras.Sequential:
    return sequential(request.param)


@pytest.fixture(scope="session")
def logits_net() -> keras.Sequential:
    return sequential()


class Subclassed(keras.Model):
    """A net that Keras knows nothing about but its `call`; its layers stand in another order than they run."""

    def __init__(self) -> None:
        super().__init__()
        self.head = keras.layers.Dense(CLASSES, activation="softmax")
        self.late = keras.layers.Conv2D(6, 3, activation="relu", name="late")
        self.early = keras.layers.Conv2D(4, 3, activation="relu", name="early")
        self.scale = keras.layers.Rescaling(1 / 255)
        self.pool = keras.layers.GlobalAveragePooling2D()

    def call(self, inputs: Any) -> Any:
        return self.head(self.pool(self.late(self.early(self.scale(inputs)))))


def nested() -> keras.Model:
    """A net inside a net inside a net, with a softmax at the end of the innermost but one."""
    keras.utils.set_random_seed(2)
    inner = keras.Sequential([keras.Input(IMAGE_SHAPE), *trunk()], name="inner")
    head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), *HEADS["dense-softmax"]()], name="outer_head")
    middle = keras.Sequential([inner, head], name="middle")
    inputs = keras.Input(IMAGE_SHAPE)
    return keras.Model(inputs, middle(inputs))


def functional() -> keras.Model:
    """A residual net: the last feature map is a sum."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input(IMAGE_SHAPE)
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    left = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(scaled)
    right = keras.layers.DepthwiseConv2D(3, padding="same")(left)
    summed = keras.layers.Add(name="summed")([left, right])
    pooled = keras.layers.GlobalMaxPooling2D()(summed)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(pooled))


def dense_only() -> keras.Model:
    return keras.Sequential(
        [keras.Input(IMAGE_SHAPE), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), *HEADS["dense-softmax"]()]
    )


KINDS: dict[str, tuple[Any, str | None]] = {
    "sequential": (sequential, "last_map"),
    "functional": (functional, "summed"),
    "nested": (nested, "last_map"),
    "subclassed": (Subclassed, "late"),
    "dense-only": (dense_only, None),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[keras.Model, str | None]:
    """Every kind of model, and the name of the layer to explain."""
    build, layer = KINDS[request.param]
    return build(), layer


@pytest.fixture
def subclassed() -> type[keras.Model]:
    return Subclassed
