"""The comparison of heatmaps with those of tf-keras-vis."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.backend.tensorflow_only import without_kernel_gradients
from lrdiag.explain import independent
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.independent import compare_with_keras_vis
from lrdiag.record.facts import IndependentCheck

L = keras.layers
SHAPE = (8, 8, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, size=(20, *SHAPE), dtype="uint8")
CLASSES = np.arange(20) % 2
pytestmark = pytest.mark.usefixtures("eager_passes")


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(independent, "SECONDS", 60.0)


def trunk() -> list[Any]:
    return [keras.Input(SHAPE), L.Rescaling(1 / 255), L.Conv2D(6, 3, activation="relu", name="map"), L.Flatten()]


def net(*head: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([*trunk(), L.Dense(8, activation="relu"), *head])


def compared(model: keras.Model, images: np.ndarray = IMAGES, *, exaggerate: float = 1.0) -> IndependentCheck:
    """Compares the maps of `GradCAM`, of which the last is changed on request."""
    explainer = GradCAM(model)
    maps = explainer.maps(images, CLASSES[: len(images)])
    maps[-1] = maps[-1] ** exaggerate
    return compare_with_keras_vis(
        explainer.predictor.opened, str(explainer.layer), images, maps, CLASSES[: len(images)]
    )


HEADS: dict[str, Callable[[], list[Any]]] = {
    "logits": lambda: [L.Dense(5)],
    "dense-softmax": lambda: [L.Dense(5, activation="softmax")],
    "softmax-layer": lambda: [L.Dense(5), L.Softmax()],
    "sigmoid": lambda: [L.Dense(1, activation="sigmoid")],
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_correct_maps_are_the_same(head: Callable[[], list[Any]]) -> None:
    model = net(*head())
    expected = keras.ops.convert_to_numpy(model(IMAGES))
    check = compared(model)
    assert (check.images, check.same, check.skipped) == (16, 16, None)
    assert check.largest_difference is not None
    assert check.largest_difference < 1e-4
    np.testing.assert_array_equal(model(IMAGES), expected)


def test_a_wrong_map_is_found() -> None:
    check = compared(net(L.Dense(5)), exaggerate=2.0)
    assert (check.images, check.same) == (16, 15)
    assert check.largest_difference is not None
    assert check.largest_difference > 0.01


def test_fewer_images_are_all_compared() -> None:
    assert compared(net(L.Dense(5)), IMAGES[:1]).images == 1
    assert compared(net(L.Dense(5)), IMAGES[:3]).same == 3


def test_no_random_number_is_drawn() -> None:
    """So an evaluation during training does not change the training."""
    model = net(L.Dense(5, activation="softmax"))
    random.seed(0)
    expected = random.random()
    random.seed(0)
    compared(model)
    assert random.random() == expected


@pytest.mark.parametrize(
    ("seconds", "skipped"), [(1e-9, r"^it would take about \d+\.\d s$"), (60.0, "^None$")], ids=["too-long", "in-time"]
)
def test_a_comparison_that_would_take_too_long_is_skipped(
    seconds: float, skipped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(independent, "SECONDS", seconds)
    check = compared(net(L.Dense(5)))
    assert re.search(skipped, str(check.skipped))
    assert check.images == (0 if check.skipped else 16)


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.parts = [L.Rescaling(1 / 255), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(5)]

    def call(self, inputs: Any) -> Any:
        for part in self.parts:
            inputs = part(inputs)
        return inputs


def test_the_graph_of_a_loaded_model_is_used(tmp_path: Path) -> None:
    """Keras builds several graphs when it loads a Sequential model."""
    net(L.Dense(5)).save(tmp_path / "saved.keras")
    loaded = keras.models.load_model(tmp_path / "saved.keras")
    assert compared(loaded).same == 16


def test_an_operation_outside_of_any_layer_is_compared() -> None:
    inputs = keras.Input(SHAPE)
    features = L.Conv2D(4, 3, padding="same")(inputs / 255.0)
    summed = features + L.Conv2D(4, 3, padding="same")(features)
    model = keras.Model(inputs, L.Dense(5)(L.Flatten()(summed)))
    assert compared(model).same == 16


def nested() -> keras.Model:
    return keras.Sequential([keras.Input(SHAPE), keras.Sequential(trunk()), L.Dense(5)])


def called_twice() -> keras.Model:
    inputs = keras.Input(SHAPE)
    shared = L.Conv2D(3, 3, padding="same")
    return keras.Model(inputs, L.Dense(5)(L.Flatten()(shared(shared(inputs / 255.0)))))


def half_precision() -> keras.Model:
    layers = [L.Conv2D(4, 3, dtype="mixed_bfloat16"), L.GlobalAveragePooling2D(), L.Dense(5)]
    return keras.Sequential([keras.Input(SHAPE), L.Rescaling(1 / 255), *layers])


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (Subclassed, "subclassed"),
        (nested, "inside a nested model"),
        (called_twice, "called several times"),
        (half_precision, "half precision"),
    ],
)
def test_unsupported_models_are_skipped_with_the_reason(build: Callable[[], keras.Model], reason: str) -> None:
    check = compared(build())
    assert reason in str(check.skipped)
    assert (check.images, check.same, check.largest_difference) == (0, 0, None)


def test_an_error_of_tf_keras_vis_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ArithmeticError

    monkeypatch.setattr(independent, "_keras_vis", broken)
    assert compared(net(L.Dense(5))).skipped == "tf-keras-vis cannot explain the model (ArithmeticError)"


def test_tf_keras_vis_computes_no_gradient_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor with oneDNN, that gradient ended the process for some shapes."""
    import tensorflow as tf
    from tensorflow.python.ops import gen_nn_ops

    calls: list[str] = []
    original = gen_nn_ops.conv2d_backprop_filter

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append("kernel")
        return original(*arguments, **named)

    monkeypatch.setattr(gen_nn_ops, "conv2d_backprop_filter", counted)
    with tf.GradientTape() as tape:
        kernel = tf.Variable(tf.ones((3, 3, 1, 2)))
        loss = tf.reduce_sum(tf.nn.conv2d(tf.ones((1, 6, 6, 1)), kernel, 1, "SAME"))
    tape.gradient(loss, kernel)
    assert calls == ["kernel"]  # this is the function that TensorFlow calls
    images = tf.ones((1, 6, 6, 1))
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME"))
    with without_kernel_gradients():
        assert tape.gradient(loss, images).shape == (1, 6, 6, 1)
    assert calls == ["kernel"]
