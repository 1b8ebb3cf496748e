"""The layers of a model as they run."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from lrdiag.inspection.freshness import is_fresh
from lrdiag.inspection.network import Observer, activation_of, activity_of, penalty_gradient
from lrdiag.record.observed import GIVEN, UNKNOWN, Layer

IMAGES = keras.ops.convert_to_tensor(np.random.default_rng(0).random((4, 8, 8, 3), "float32"))


def layers_of(model: keras.Model) -> dict[str, Layer]:
    return {layer.name: layer for layer in Observer(model).observe(IMAGES, {}).layers}


def sources(model: keras.Model) -> dict[str, list[str]]:
    layers = Observer(model).observe(IMAGES).layers
    names = {GIVEN: "input", UNKNOWN: "?"} | dict(enumerate(layer.name for layer in layers))
    return {layer.name: [names[place] for place in layer.sources] for layer in layers}


def test_the_graph_of_a_functional_model_with_operations_and_a_nested_model() -> None:
    inner = keras.Sequential([keras.Input((8, 8, 3)), kl.Conv2D(4, 3, padding="same", name="conv")], name="inner")
    inputs = keras.Input((8, 8, 3))
    first = inner(inputs)
    second = kl.Conv2D(4, 1, name="skip")(inputs)
    added = keras.ops.relu(first + second)
    model = keras.Model(inputs, kl.Dense(2, name="head")(kl.GlobalAveragePooling2D(name="pool")(added)))
    found = sources(model)
    operation, activation = (next(name for name in found if name.startswith(kind)) for kind in ("add", "relu"))
    assert found["inner/conv"] == ["input"]
    assert found["skip"] == ["input"]
    assert found[operation] == ["inner/conv", "skip"]
    assert found[activation] == [operation]
    assert found["head"] == ["pool"]
    assert layers_of(model)[activation].activation == "relu"


def test_what_a_subclassed_model_computes_between_layers_is_unknown() -> None:
    class Scaled(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = kl.Flatten(name="first"), kl.Dense(2, name="last")

        def call(self, inputs):
            return self.last(2 * self.first(inputs))

    model = Scaled()
    model(IMAGES)
    assert sources(model) == {"first": ["input"], "last": ["?"]}


def test_kernels() -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)), kl.Conv2D(6, (3, 5), name="conv"), kl.DepthwiseConv2D(3, name="depthwise"),
            kl.Flatten(), kl.Dense(5, kernel_initializer="ones", name="dense"), kl.Dropout(0.4, name="dropout"),
            kl.BatchNormalization(momentum=0.9, name="norm"),
        ]
    )  # fmt: skip
    layers = layers_of(model)
    conv, depthwise, dense = (layers[name].kernel for name in ("conv", "depthwise", "dense"))
    assert conv is not None
    assert depthwise is not None
    assert dense is not None
    assert (conv.fan_in, conv.units, conv.window, conv.grouped) == (45, 6, (3, 5), False)
    assert (depthwise.fan_in, depthwise.units, depthwise.grouped) == (9, 6, True)
    assert (dense.deviation, dense.identical_units, dense.rms) == (0.0, True, 1.0)
    assert (layers["dropout"].rate, layers["norm"].momentum, layers["norm"].kernel) == (0.4, 0.9, None)
    assert layers["conv"].fresh is True


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (kl.Dense(2), "linear"), (kl.Dense(2, activation="softmax"), "softmax"), (kl.ReLU(), "relu"),
        (kl.Softmax(), "softmax"), (kl.Activation("tanh"), "tanh"), (kl.Flatten(), None),
        (kl.LeakyReLU(), "leaky_relu"),
    ],
)  # fmt: skip
def test_activations(layer: keras.Layer, name: str | None) -> None:
    assert activation_of(layer) == name


def test_activity() -> None:
    values = np.zeros((3, 2, 4), "float32")
    values[0, 1, 2] = 6.0
    found = activity_of(values, "relu")
    assert (found.silent, found.finite, found.rms) == (0.75, True, pytest.approx(np.sqrt(36 / 24)))
    assert activity_of(np.array([[0.001, 0.5, 0.999, 0.3]]), "sigmoid").saturated == 0.5
    assert activity_of(np.array([[-0.999, 0.0]]), "tanh").saturated == 0.5
    assert not activity_of(np.array([[np.nan, 0.0]])).finite


def test_the_gradient_of_a_penalty() -> None:
    weight = keras.Variable(np.random.default_rng(0).normal(size=(6, 5)).astype("float32"))
    weight.regularizer = keras.regularizers.L2(0.01)
    values = np.asarray(weight)
    assert penalty_gradient(weight, values) == pytest.approx(0.02 * values, rel=1e-2)
    weight.regularizer = None
    assert penalty_gradient(weight, values) is None


def built(layer: keras.Layer, width: int) -> keras.Layer:
    layer.build((None, width))
    return layer


@pytest.mark.parametrize("initializer", ["glorot_uniform", "he_normal", "random_normal", "orthogonal", "zeros"])
def test_a_layer_is_fresh_until_it_is_trained(initializer: str) -> None:
    layer = built(kl.Dense(64, kernel_initializer=initializer), 64)
    assert is_fresh(layer)
    layer.bias.assign(np.full(64, 1e-3))
    assert not is_fresh(layer)
    layer.bias.assign(np.zeros(64))
    layer.kernel.assign(3 * np.asarray(layer.kernel) + 0.1)
    assert not is_fresh(layer)


def test_moving_statistics_tell_a_trained_normalization() -> None:
    layer = built(kl.BatchNormalization(), 8)
    assert is_fresh(layer)
    layer.moving_mean.assign(np.full(8, 0.1))
    assert not is_fresh(layer)
    assert is_fresh(kl.Flatten()) is None
