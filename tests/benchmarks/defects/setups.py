"""Data sets with the networks that are trained on them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as L

from . import data
from .registry import Planted, Scenario

CACHE = Path(tempfile.gettempdir()) / "lrdiag-benchmark-networks"

Loss = keras.losses.SparseCategoricalCrossentropy


def raw(images: np.ndarray) -> np.ndarray:
    return images


def scaled(images: np.ndarray) -> np.ndarray:
    """From 0 to 1."""
    return images.astype("float32") / 255


def centred(images: np.ndarray) -> np.ndarray:
    """From −1 to 1."""
    return images.astype("float32") / 127.5 - 1


def standardized(images: np.ndarray) -> np.ndarray:
    """With a mean of about 0 and a deviation of about 1, for CIFAR-10."""
    return (images.astype("float32") / 255 - 0.47) / 0.25


# --- networks that are not in `faults.networks` -----------------------------------------------------------------------


def fast(shape: tuple[int, ...], units: int) -> keras.Model:
    """lrdiag's own network."""
    from lrdiag.models import build_network
    from lrdiag.record.arrays import LabelledImages

    gradient = np.linspace(0, 255, 2 * np.prod(shape)).reshape(2, *shape).astype("uint8")
    return build_network("fast", LabelledImages(gradient, np.arange(2)), units).model


class Subclassed(keras.Model):
    """Convolutions that are called in `call`."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.blocks = [
            layer
            for width in (24, 48, 64)
            for layer in (
                L.Conv2D(width, 3, 2, padding="same", use_bias=False),
                L.BatchNormalization(momentum=0.9),
                L.ReLU(),
            )
        ]
        self.pool, self.head = L.GlobalAveragePooling2D(), L.Dense(units, activation="softmax")

    def call(self, images: Any, training: bool | None = None) -> Any:
        for layer in self.blocks:
            images = layer(images, training=training) if isinstance(layer, L.BatchNormalization) else layer(images)
        return self.head(self.pool(images))


def subclassed(shape: tuple[int, ...], units: int) -> keras.Model:
    model = Subclassed(units)
    model(np.zeros((1, *shape), "float32"))
    return model


def _network(name: str, **options: Any) -> Callable[[tuple[int, ...], int], keras.Model]:
    def build(shape: tuple[int, ...], units: int) -> keras.Model:
        from faults import networks

        return getattr(networks, name)(shape, units=units, **options)

    return build


# --- setups -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """A data set and a network.

    Attributes:
        data: Draws the images with a seed.
        build: Makes the network from the shape of an image and the number of outputs.
        prepare: Prepares the images for the network.
        train: Number of training images.
        test: Number of test images.
        epochs: Number of epochs.
        rate: Learning rate at the start. It falls to 0.
        logits: Whether the network returns logits.
        binary: Whether the network has a single sigmoid.
        sgd: Whether it is trained by descent with momentum; Adam otherwise.
        batch: Images in an update.
        validation: Share of the training images that `fit` uses for validation.
    """

    data: data.DataSet
    build: Callable[[tuple[int, ...], int], keras.Model]
    prepare: Callable[[np.ndarray], np.ndarray]
    train: int
    test: int
    epochs: int
    rate: float = 0.003
    logits: bool = False
    binary: bool = False
    sgd: bool = False
    batch: int = 64
    validation: float = 0.0

    def draw(self, scenario: Scenario) -> data.Data:
        """Returns the images of a scenario before planting."""
        return self.data(scenario.seed).first(scenario.train or self.train, scenario.test or self.test)

    def model(self, planted: Planted) -> keras.Model:
        """Returns a compiled model."""
        images = planted.data
        model = self.build(images.shape, 1 if self.binary else images.classes)
        front = planted.layers()
        if front:
            model = keras.Sequential([keras.Input(images.shape), *front, model])
        steps = -(-len(images.y) // self.batch) * self.epochs
        rate = keras.optimizers.schedules.CosineDecay(self.rate * planted.rate, steps)
        adam, sgd = keras.optimizers.Adam, keras.optimizers.SGD
        optimizer = sgd(rate, momentum=0.9, nesterov=True) if self.sgd else adam(rate)
        loss = "binary_crossentropy" if self.binary else Loss(from_logits=self.logits)
        model.compile(optimizer, loss, metrics=["accuracy"])
        return model

    def fit(self, model: keras.Model, planted: Planted, **arguments: Any) -> dict[str, list[float]]:
        """Trains the model, and returns its history."""
        usual = {"batch_size": self.batch, "epochs": self.epochs, "validation_split": self.validation, "verbose": 0}
        x, y = self.prepare(planted.data.x), planted.data.y
        return model.fit(x, y, **(usual | dict(planted.fit) | arguments)).history

    def trained(self, scenario: Scenario, planted: Planted) -> tuple[keras.Model, dict[str, list[float]]]:
        """Returns a trained model and its history. Scenarios with the same training images share it."""
        model = self.model(planted)
        weights = self._weights(scenario, planted)
        with locked(weights.with_suffix(".lock")):
            if weights.exists():
                model.load_weights(weights)
                return model, json.loads(weights.with_suffix(".json").read_text())
            history = self.fit(model, planted)
            weights.with_suffix(".json").write_text(json.dumps(history))
            model.save_weights(weights)
        return model, history

    def _weights(self, scenario: Scenario, planted: Planted) -> Path:
        """Returns the file of the weights: one for each setup, recipe and training images."""
        special = "" if planted.trains_as_usual else scenario.name
        recipe = f"{self!r} {special}".encode()
        digest = hashlib.sha256(planted.data.x.tobytes() + planted.data.y.tobytes() + recipe).hexdigest()[:16]
        return CACHE / f"{scenario.setup}-{digest}.weights.h5"

    def __repr__(self) -> str:
        """The training recipe, for the name of its weights."""
        recipe = self.epochs, self.rate, self.logits, self.binary, self.sgd, self.batch, self.validation
        return f"{self.prepare.__name__} {recipe}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds the file."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


RESNET = _network("resnet", widths=(16, 32, 64))
VGG = _network("vgg", widths=(12, 24, 32), norm={"momentum": 0.9})
SMALL_VGG = _network("vgg", widths=(16, 32))
SIGMOID = _network("vgg", widths=(12, 24, 32), norm={"momentum": 0.9}, last="sigmoid")
LENET = _network("lenet", last=None)
CONVOLUTIONS = _network("all_convolutional", widths=(16, 32), norm={"momentum": 0.9})

SETUPS: dict[str, Setup] = {
    "cifar": Setup(data.cifar, fast, raw, 10000, 1500, 3, rate=0.3, logits=True, sgd=True, batch=128),
    "cifar-resnet": Setup(data.cifar, RESNET, standardized, 6000, 1500, 6, 0.004, logits=True, validation=0.1),
    "cifar-vgg": Setup(data.cifar, VGG, scaled, 5000, 1000, 6),
    "cifar-subclassed": Setup(data.cifar, subclassed, centred, 6000, 1000, 8, 0.004),
    "cifar-small": Setup(data.small_cifar, CONVOLUTIONS, centred, 8000, 1500, 8, 0.004),
    "grey": Setup(data.grey_cifar, RESNET, scaled, 5000, 1000, 6, 0.004, logits=True),
    "two": Setup(data.animals, SIGMOID, scaled, 4000, 1000, 4, binary=True),
    "five": Setup(data.five, fast, raw, 8000, 1500, 4, rate=0.3, logits=True, sgd=True, batch=128),
    "superclasses": Setup(data.superclasses, RESNET, standardized, 6000, 1500, 6, 0.004, logits=True),
    "digits": Setup(data.digits, SMALL_VGG, scaled, 1400, 397, 12),
    "digits28": Setup(data.large_digits, LENET, centred, 1400, 397, 10, logits=True),
    "hundred": Setup(data.numbers, SMALL_VGG, scaled, 8000, 1500, 8),
}
