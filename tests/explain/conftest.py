"""What the tests of this room share: small networks, and images of noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.explain.gradcam import GradCAM
from lrdiag.records import Heatmaps, LabelledImages, Predictions

CLASSES = 5
IMAGE_SHAPE = (8, 8, 3)
L = keras.layers


@pytest.fixture(scope="session")
def noise() -> LabelledImages:
    """Twenty-three images, too many labels wrong for any network to be right."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, size=(23, *IMAGE_SHAPE), dtype="uint8")
    return LabelledImages(images, generator.integers(0, CLASSES, size=23))


def trunk() -> list[Any]:
    """Two convolutions; the last feature map, 4×4×6, is that of `last_map`."""
    statistics = {
        "moving_mean_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=0),
        "moving_variance_initializer": keras.initializers.RandomUniform(0.1, 0.5, seed=0),
    }
    return [
        L.Rescaling(1 / 127.5, offset=-1, name="rescaling"),
        L.Conv2D(4, 3, padding="same", activation="relu", name="first"),
        L.MaxPooling2D(),
        L.Conv2D(6, 3, padding="same", name="convolution"),
        L.BatchNormalization(**statistics),
        L.ReLU(name="last_map"),
        L.Dropout(0.5),
    ]


def dense(**arguments: Any) -> L.Dense:
    return L.Dense(CLASSES, name="head", kernel_initializer=keras.initializers.RandomNormal(seed=1), **arguments)


HEADS: dict[str, Callable[[], list[Any]]] = {
    "softmax-layer": lambda: [dense(), L.Softmax()],
    "dense-softmax": lambda: [dense(activation="softmax")],
    "dense-softmax-layer": lambda: [dense(activation=L.Softmax())],
    "log-softmax": lambda: [dense(activation="log_softmax")],
    "sigmoids": lambda: [dense(activation="sigmoid")],
}


def sequential(head: str | None = None) -> keras.Sequential:
    """A convolutional net with the same weights whatever its head."""
    keras.utils.set_random_seed(1)
    layers = HEADS[head]() if head else [dense()]
    return keras.Sequential([keras.Input(IMAGE_SHAPE), *trunk(), L.GlobalAveragePooling2D(), *layers])


@pytest.fixture(params=HEADS)
def each_head(request: pytest.FixtureRequest) -> keras.Sequential:
    """A net of its own for each test."""
    return sequential(request.param)


@pytest.fixture
def own_net() -> keras.Sequential:
    """A net that the test may change."""
    return sequential("dense-softmax")


@pytest.fixture(scope="session")
def logits_net() -> keras.Sequential:
    """A net that no test changes."""
    return sequential()


@pytest.fixture(scope="session")
def explainer(logits_net: keras.Model) -> GradCAM:
    """Explains `logits_net`, compiled once for all tests; the last of three batches of `noise` is smaller."""
    return GradCAM(logits_net, batch_size=10)


@pytest.fixture(scope="session")
def explained(explainer: GradCAM, noise: LabelledImages) -> tuple[Predictions, Heatmaps]:
    """The mistakes of `logits_net`."""
    return explainer.predict_and_explain(noise)


@pytest.fixture(scope="session")
def signed_maps(explainer: GradCAM, noise: LabelledImages) -> np.ndarray:
    """Signed maps of `logits_net` for the true classes, from −0.01 to 0.01 or so."""
    maps = explainer.maps(noise.images, noise.labels, signed=True)
    assert maps.min() < -1e-3
    assert maps.max() > 1e-3
    return maps


class Subclassed(keras.Model):
    """A net that Keras knows nothing about but its `call`; its layers stand in another order than they run."""

    def __init__(self) -> None:
        super().__init__()
        self.head = dense(activation="softmax")
        self.pool = L.GlobalAveragePooling2D()
        self.late = L.Conv2D(6, 3, activation="relu", name="late")
        self.early = L.Conv2D(4, 3, activation="relu", name="early")
        self.scale = L.Rescaling(1 / 255)

    def call(self, inputs: Any) -> Any:
        return self.head(self.pool(self.late(self.early(self.scale(inputs)))))


@pytest.fixture
def subclassed() -> type[keras.Model]:
    return Subclassed


def nested() -> keras.Model:
    """A net inside a net inside a net, with the softmax at the end of the innermost but one."""
    keras.utils.set_random_seed(2)
    inner = keras.Sequential([keras.Input(IMAGE_SHAPE), *trunk()], name="inner")
    head = keras.Sequential([L.GlobalAveragePooling2D(), dense(activation="softmax")], name="outer_head")
    middle = keras.Sequential([inner, head], name="middle")
    inputs = keras.Input(IMAGE_SHAPE)
    return keras.Model(inputs, middle(inputs))


def functional() -> keras.Model:
    """A residual net: the last feature map is a sum."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input(IMAGE_SHAPE)
    scaled = L.Rescaling(1 / 255)(inputs)
    left = L.Conv2D(6, 3, padding="same", activation="relu")(scaled)
    right = L.DepthwiseConv2D(3, padding="same")(left)
    summed = L.Add(name="summed")([left, right])
    return keras.Model(inputs, dense()(L.GlobalMaxPooling2D()(summed)))


KINDS: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "sequential": (sequential, "last_map"),
    "functional": (functional, "summed"),
    "nested": (nested, "middle/inner/last_map"),
    "subclassed": (Subclassed, "late"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[keras.Model, str]:
    """Every kind of model, and the path of the layer to explain."""
    build, layer = KINDS[request.param]
    return build(), layer


@pytest.fixture
def mixed_precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """The policy that the test asks for, for as long as it runs."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="session")
def feature_maps() -> Callable[..., np.ndarray]:
    """The maps that a layer of a flat model returns, in double precision."""

    def tap(model: keras.Model, layer: str, images: np.ndarray) -> np.ndarray:
        tapped = keras.Model(model.inputs, model.get_layer(layer).output)
        return np.asarray(tapped([images.astype("float32")], training=False)).astype("float64")

    return tap


@pytest.fixture(scope="session")
def closed_form() -> Callable[..., np.ndarray]:
    """Signed maps before global pooling and one dense layer: `sum_k W[k, c] A_k / (H W)`."""

    def weighted(maps: np.ndarray, kernel: Any, classes: np.ndarray) -> np.ndarray:
        columns = np.asarray(kernel, "float64")[:, classes]
        return np.einsum("nhwk,kn->nhw", maps, columns) / np.prod(maps.shape[1:3])

    return weighted


@pytest.fixture(scope="session")
def snapshot() -> Callable[[keras.Model], dict[str, dict[str, int]]]:
    """Takes down which object each attribute of each layer and of each bare operation is."""

    def take(model: keras.Model) -> dict[str, dict[str, int]]:
        layers = [model, *model._flatten_layers(include_self=False), *getattr(model, "operations", [])]
        return {
            f"{layer.name} {id(layer)}": {name: id(value) for name, value in vars(layer).items()} for layer in layers
        }

    return take
