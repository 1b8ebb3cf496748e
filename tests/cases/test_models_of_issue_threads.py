"""Models of issue threads in other projects. README.md in this folder lists the threads and the outcomes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import lrdiag
from lrdiag.errors import ModelError

NOISE = np.random.default_rng(0)


def with_an_object(places: list[tuple[int, int]], side: int = 32, size: int = 8) -> np.ndarray:
    """Black images with a white square whose upper left corner is at a given place."""
    images = np.zeros((len(places), side, side, 3), "float32")
    for image, (row, column) in zip(images, places, strict=True):
        image[row : row + size, column : column + size] = 1
    return images


def peak(heatmap: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    return int(row), int(column)


def same_shape(images: int, side: int = 16) -> np.ndarray:
    return NOISE.random((images, side, side, 3)).astype("float32")


def test_layers_taken_from_another_model_and_softmax_of_tensorflow() -> None:
    keras.utils.set_random_seed(0)
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    inputs = keras.Input((32, 32, 3))
    x = inputs
    for name in ("block1_conv1", "block1_conv2", "block1_pool", "block2_conv1"):
        x = base.get_layer(name)(x)
    logits = L.Dense(3, name="logits")(L.Flatten()(x))
    by_function = keras.Model(inputs, L.Activation(tf.nn.softmax)(logits))
    images = same_shape(2, 32)
    explainer = lrdiag.GradCAM(by_function)
    assert explainer.layer == "block2_conv1"
    of_logits = lrdiag.GradCAM(keras.Model(inputs, logits)).maps(images, np.array([0, 1]), signed=True)
    np.testing.assert_allclose(explainer.maps(images, np.array([0, 1]), signed=True), of_logits, rtol=1e-4, atol=1e-7)


def test_a_nested_model_with_a_dot_in_its_name() -> None:
    body = keras.Sequential(
        [keras.Input((16, 16, 3)), L.Conv2D(4, 3, activation="relu", name="features")], name="mobilenetv2_1.00_224"
    )
    model = keras.Sequential([keras.Input((16, 16, 3)), body, L.GlobalAveragePooling2D(), L.Dense(2)])
    explainer = lrdiag.GradCAM(model, layer="mobilenetv2_1.00_224/features")
    assert explainer.maps(same_shape(2)).shape == (2, 14, 14)


def test_a_last_convolution_that_returns_a_single_pixel() -> None:
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            L.Conv2D(4, 3, strides=2, activation="relu", name="features"),
            L.Conv2D(4, 7, activation="relu", name="one_pixel"),
            L.Flatten(),
            L.Dense(2, activation="softmax"),
        ]
    )
    explainer = lrdiag.GradCAM(model)
    assert (explainer.layer, explainer.maps(same_shape(2)).shape) == ("features", (2, 7, 7))
    with pytest.raises(ModelError, match="more than one pixel"):
        lrdiag.GradCAM(model, layer="one_pixel")


def detector(activation: str | None) -> keras.Model:
    """Decides whether an image contains a white object, from a single number."""
    convolution = L.Conv2D(1, 1, kernel_initializer="ones", use_bias=False, name="white")
    head = L.Dense(1, activation=activation)
    model = keras.Sequential([keras.Input((32, 32, 3)), convolution, L.AveragePooling2D(4), L.GlobalMaxPooling2D()])
    model.add(head)
    head.set_weights([np.array([[4.0]]), np.array([-2.0])])
    return model


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_both_classes_of_a_single_number(activation: str | None) -> None:
    images, there = with_an_object([(4, 20), (20, 4)]), np.array([1, 1])
    explainer = lrdiag.GradCAM(detector(activation))
    for_object, for_absence = (explainer.maps(images, each, signed=True) for each in (there, 1 - there))
    np.testing.assert_allclose(for_absence, -for_object, atol=1e-6)
    for (row, column), heatmap in zip([(4, 20), (20, 4)], for_object, strict=True):
        scale = 32 / heatmap.shape[0]
        found = [(each + 0.5) * scale for each in peak(heatmap)]
        assert row <= found[0] <= row + 8
        assert column <= found[1] <= column + 8
    assert (explainer.maps(images, 1 - there) == 0).all()  # nothing in the images speaks for the absence of an object


def test_heatmaps_are_enlarged_without_a_shift() -> None:
    keras.utils.set_random_seed(0)
    features = L.Conv2D(1, 8, strides=8, kernel_initializer="ones", activation="relu", name="features")
    head = L.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((32, 32, 3)), features, L.GlobalAveragePooling2D(), head])
    head.set_weights([np.array([[1.0, -1.0]])])
    corners = [(0, 0), (0, 24), (24, 0), (24, 24)]
    maps = lrdiag.GradCAM(model).maps(with_an_object(corners), np.zeros(4, int))
    shown = lrdiag.overlay(np.zeros((4, 32, 32, 3), "uint8"), maps).astype(int).sum(axis=-1)
    for (row, column), picture in zip(corners, shown, strict=True):
        assert picture.max() == picture[row : row + 8, column : column + 8].max() > picture[12:20, 12:20].max()
        rows, columns = np.nonzero(picture == picture.max())
        assert rows.mean() == pytest.approx(row + 3.5, abs=4)
        assert columns.mean() == pytest.approx(column + 3.5, abs=4)


class ActiveDropout(L.Dropout):
    """Monte Carlo dropout, as people write it in Keras 3, where a model overrides `training=True` in a call."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return super().call(inputs, training=True)


def test_dropout_that_stays_active_at_inference() -> None:
    inputs = keras.Input((8, 8, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(16, 3, activation="relu")(inputs))
    model = keras.Model(inputs, L.Dense(2, activation="softmax")(ActiveDropout(0.5)(x)))
    report = lrdiag.diagnose(model, same_shape(32, 8), np.arange(32) % 2)
    assert "random" in " ".join(report.diagnosis.notes)


def test_frames_of_a_video_through_a_shared_network() -> None:
    keras.utils.set_random_seed(0)
    frame = keras.Sequential([keras.Input((16, 16, 3)), L.Conv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D()])
    video = keras.Input((5, 16, 16, 3))
    model = keras.Model(video, L.Dense(2, activation="softmax")(L.LSTM(8)(L.TimeDistributed(frame)(video))))
    videos, labels = NOISE.random((12, 5, 16, 16, 3)).astype("float32"), np.arange(12) % 2
    report = lrdiag.diagnose(model, videos, labels, display=lambda batch: np.uint8(np.asarray(batch)[:, 0] * 255))
    assert report.accuracy == (model.predict(videos, verbose=0).argmax(1) == labels).mean()
    assert report.heatmaps is None or len(report.heatmaps.signed_predicted) == len(report.mistakes)
    assert report.heatmaps is not None or report.diagnosis.heatmaps.unavailable


def test_two_images_of_different_sizes() -> None:
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((20, 28, 1), name="wide"), keras.Input((12, 16, 2), name="deep")]
    pooled = [L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu")(each)) for each in inputs]
    model = keras.Model(inputs, L.Dense(1, activation="sigmoid")(L.Concatenate()(pooled)))
    x = [NOISE.random((16, *each.shape[1:])).astype("float32") for each in inputs]
    labels = np.arange(16) % 2
    report = lrdiag.diagnose(model, x, labels)
    assert report.accuracy == ((model.predict(x, verbose=0)[:, 0] > 0.5) == labels).mean()
    said = " ".join([*report.diagnosis.notes, report.diagnosis.heatmaps.unavailable or ""])
    assert "wide" in said or "deep" in said


def test_a_model_in_mixed_precision() -> None:
    keras.utils.set_random_seed(0)
    policy = "mixed_float16"
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            L.Conv2D(8, 3, activation="relu", dtype=policy),
            L.GlobalAveragePooling2D(dtype=policy),
            L.Dense(3, activation="softmax", dtype=policy),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, labels = same_shape(24), np.arange(24) % 3
    report = lrdiag.diagnose(model, images, labels)
    loss, accuracy = model.evaluate(images, labels, verbose=0)
    assert report.accuracy == pytest.approx(accuracy)
    assert report.diagnosis.test.loss == pytest.approx(loss, abs=5e-3)
    assert report.heatmaps is not None
    assert np.isfinite(report.heatmaps.signed_predicted).all()


def distance(pair: Any) -> Any:
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(pair[0] - pair[1]), axis=1, keepdims=True) + 1e-7)


def test_a_distance_is_not_a_score_of_classes() -> None:
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [keras.Input((8, 8, 3)), L.Conv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(4)]
    )
    inputs = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    model = keras.Model(inputs, L.Lambda(distance)([encoder(each) for each in inputs]))

    def contrastive(true: Any, apart: Any) -> Any:
        return keras.ops.mean(true * apart**2 + (1 - true) * keras.ops.maximum(1 - apart, 0) ** 2)

    model.compile("sgd", contrastive, metrics=["accuracy"])
    x, labels = [same_shape(16, 8) * 5, same_shape(16, 8)], np.arange(16) % 2
    report = lrdiag.diagnose(model, x, labels)
    notes = " ".join(report.diagnosis.notes)
    assert report.diagnosis.calibration.error is None
    assert "not probabilities" in notes


def test_explaining_many_batches_compiles_once() -> None:
    traces = []

    class Counted(L.Layer):
        def call(self, x: Any) -> Any:
            traces.append(1)
            return x

    model = keras.Sequential(
        [keras.Input((8, 8, 3)), Counted(), L.Conv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(2)]
    )
    explainer = lrdiag.GradCAM(model)
    explainer.maps(same_shape(4, 8))
    before = len(traces)
    for size in (1, 3, 4, 2, 4):
        explainer.maps(same_shape(size, 8))
    assert len(traces) == before
