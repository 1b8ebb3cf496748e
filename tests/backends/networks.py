"""Nine kinds of network, and images for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

L = keras.layers
SHAPE, CLASSES, IMAGES = (16, 16, 3), 4, 70


def sequential() -> keras.Model:
    """A softmax after pooling, with statistics of batches. No dropout: each engine draws other numbers."""
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            L.Rescaling(1 / 255),
            L.Conv2D(8, 3, activation="relu"),
            L.BatchNormalization(),
            L.Conv2D(8, 3, activation="relu"),
            L.GlobalAveragePooling2D(),
            L.Dense(CLASSES, activation="softmax"),
        ]
    )


def residual() -> keras.Model:
    """A path around a convolution."""
    inputs = keras.Input(SHAPE)
    features = _convolution(L.Rescaling(1 / 255)(inputs))
    features = L.ReLU()(L.Add()([features, _convolution(features)]))
    return keras.Model(inputs, L.Dense(CLASSES)(L.GlobalMaxPooling2D()(features)))


def nested() -> keras.Model:
    """A backbone that is a model."""
    inputs = keras.Input(SHAPE)
    convolutions = [L.Conv2D(8, 3, activation="relu") for _ in range(2)]
    backbone = keras.Sequential([keras.Input(SHAPE), *convolutions], name="backbone")
    features = backbone(L.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, L.Dense(CLASSES, activation="softmax")(L.Flatten()(features)))


def shared() -> keras.Model:
    """A convolution that is called twice."""
    inputs = keras.Input(SHAPE)
    convolution = L.Conv2D(8, 3, padding="same", activation="relu")
    features = convolution(convolution(_convolution(L.Rescaling(1 / 255)(inputs))))
    return keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling2D()(features)))


def two_inputs() -> keras.Model:
    """An image and five numbers."""
    inputs = [keras.Input(SHAPE), keras.Input((5,))]
    features = L.GlobalAveragePooling2D()(_convolution(L.Rescaling(1 / 255)(inputs[0])))
    return keras.Model(inputs, L.Dense(CLASSES)(L.Concatenate()([features, L.Dense(4)(inputs[1])])))


def two_outputs() -> keras.Model:
    """Outputs named `kind` and `other`."""
    inputs = keras.Input(SHAPE)
    features = L.GlobalAveragePooling2D()(_convolution(L.Rescaling(1 / 255)(inputs)))
    heads = [L.Dense(CLASSES, name="kind", activation="softmax"), L.Dense(2, name="other")]
    return keras.Model(inputs, [head(features) for head in heads])


def one_sigmoid() -> keras.Model:
    """Two classes and one unit."""
    inputs = keras.Input(SHAPE)
    features = L.GlobalAveragePooling2D()(_convolution(_convolution(L.Rescaling(1 / 255)(inputs))))
    return keras.Model(inputs, L.Dense(1, activation="sigmoid")(features))


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """Layers that only `call` connects."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = [L.Rescaling(1 / 255), L.Conv2D(8, 3, activation="relu"), L.Conv2D(8, 3, activation="relu")]
        self.pool, self.head = L.GlobalAveragePooling2D(), L.Dense(CLASSES)

    def call(self, inputs: Any) -> Any:
        for step in self.steps:
            inputs = step(inputs)
        return self.head(self.pool(inputs))


def subclassed() -> keras.Model:
    """A built model of that class."""
    model = Subclassed()
    model(np.zeros((1, *SHAPE), "float32"))
    return model


def mobilenet() -> keras.Model:
    """MobileNetV2 with random weights."""
    return keras.applications.MobileNetV2((32, 32, 3), weights=None, classes=CLASSES)


KINDS: dict[str, Callable[[], keras.Model]] = {
    kind.__name__: kind
    for kind in (
        sequential,
        residual,
        nested,
        shared,
        two_inputs,
        two_outputs,
        one_sigmoid,
        subclassed,
        mobilenet,
    )
}


def data_for(kind: str) -> tuple[Any, np.ndarray]:
    """Images and labels that the network takes."""
    generator = np.random.default_rng(0)
    shape = (32, 32, 3) if kind == "mobilenet" else SHAPE
    images = generator.integers(0, 256, (IMAGES, *shape)).astype("float32")
    numbers = generator.normal(size=(IMAGES, 5)).astype("float32")
    labels = generator.integers(0, 2 if kind == "one_sigmoid" else CLASSES, IMAGES)
    return ([images, numbers] if kind == "two_inputs" else images), labels


def _convolution(inputs: Any) -> Any:
    return L.Conv2D(8, 3, padding="same", activation="relu")(inputs)
