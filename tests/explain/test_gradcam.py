"""Grad-CAM against closed forms, and that looking changes nothing."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from lrdiag.explain.gradcam import GradCAM
from lrdiag.records import Heatmaps, LabelledImages, Predictions


def explain(model: keras.Model, test: LabelledImages, **arguments: Any) -> tuple[Predictions, Heatmaps | None]:
    explainer = GradCAM(model, test.images.shape[1:], model.output_shape[-1], **arguments)
    return explainer.predict_and_explain(test)


def feature_maps(model: keras.Model, layer: str, images: np.ndarray) -> np.ndarray:
    tap = keras.Model(model.inputs, model.get_layer(layer).output)
    return keras.ops.convert_to_numpy(tap(images.astype("float32"), training=False)).astype("float64")


@pytest.fixture
def literal() -> tuple[keras.Model, LabelledImages]:
    """Blocks of two by two pixels: their sum and their first pixel, weighted by hand."""
    convolution = keras.layers.Conv2D(2, 2, strides=2, use_bias=False, name="blocks")
    head = keras.layers.Dense(3, use_bias=False)
    model = keras.Sequential([keras.Input((4, 4, 1)), convolution, keras.layers.Flatten(), head])
    convolution.kernel.assign(np.array([[[1, 1], [1, 0]], [[1, 0], [1, 0]]], "float32").reshape(2, 2, 1, 2))
    weights = np.zeros((4, 2, 3), "float32")  # place, channel, class
    weights[:, 0, 0], weights[:, 1, 0] = [1, 2, 3, 2], [-4, -8, 0, -4]
    weights[:, 0, 1], weights[:, 1, 1] = [0, -1, -1, -2], [6, 6, 6, 6]
    head.kernel.assign(weights.reshape(8, 3))
    return model, LabelledImages(np.arange(16, dtype="uint8").reshape(1, 4, 4, 1), np.array([1]))


def test_the_maps_of_fixed_weights_are_these(literal: tuple[keras.Model, LabelledImages]) -> None:
    """Features [[10, 18], [42, 50]] and [[0, 2], [8, 10]], mean gradients (2, -4) and (-1, 6), then ReLU."""
    predictions, heatmaps = explain(*literal)
    np.testing.assert_allclose(predictions.log_probabilities, log_softmax([[216.0, -40.0, 0.0]], axis=1))
    assert heatmaps.layer == "blocks"
    assert heatmaps.indices.tolist() == [0]
    assert heatmaps.predicted.tolist() == [[[20.0, 28.0], [52.0, 60.0]]]
    assert heatmaps.true.tolist() == [[[0.0, 0.0], [6.0, 10.0]]]


def test_before_global_average_pooling_the_weights_are_those_of_the_head(
    logits_net: keras.Model, noise: LabelledImages
) -> None:
    """`alpha_k = W[k, c] / (H W)`."""
    predictions, heatmaps = explain(logits_net, noise)
    wrong = predictions.misclassified
    maps = feature_maps(logits_net, "last_map", noise.images[wrong])
    kernel = logits_net.get_layer("head").kernel.numpy().astype("float64")
    for found, classes in ((heatmaps.predicted, predictions.predicted[wrong]), (heatmaps.true, noise.labels[wrong])):
        expected = np.maximum(np.einsum("nhwk,kn->nhw", maps, kernel[:, classes]) / 16, 0)
        assert expected.max() > 0.01
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_before_a_map_of_logits_the_weights_are_those_of_its_filter(noise: LabelledImages) -> None:
    """As in the article: 1×1 convolution, average over the image, softmax; the logit map itself is not explained."""
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(6, 3, strides=2, padding="same"),
            keras.layers.ReLU(name="features"),
            keras.layers.Conv2D(5, 1, name="logit_map"),
            keras.layers.AveragePooling2D(4),
            keras.layers.Flatten(),
            keras.layers.Softmax(),
        ]
    )
    predictions, heatmaps = explain(model, noise)
    wrong = predictions.misclassified
    kernel = model.get_layer("logit_map").kernel.numpy()[0, 0].astype("float64")
    maps = feature_maps(model, "features", noise.images[wrong])
    expected = np.maximum(np.einsum("nhwk,kn->nhw", maps, kernel[:, predictions.predicted[wrong]]) / 16, 0)
    assert heatmaps.layer == "features"
    np.testing.assert_allclose(heatmaps.predicted, expected, atol=1e-6)


def test_a_softmax_at_the_end_changes_neither_maps_nor_predictions(
    each_head: keras.Model, logits_net: keras.Model, noise: LabelledImages
) -> None:
    expected_predictions, expected = explain(logits_net, noise)
    predictions, heatmaps = explain(each_head, noise)
    np.testing.assert_allclose(
        predictions.log_probabilities, expected_predictions.log_probabilities, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(heatmaps.indices, expected.indices)
    np.testing.assert_allclose(heatmaps.predicted, expected.predicted, atol=1e-6)
    np.testing.assert_allclose(heatmaps.true, expected.true, atol=1e-6)


@pytest.mark.parametrize("each_head", ["softmax-layer", "dense-softmax"], indirect=True)
def test_a_sure_softmax_does_not_blank_the_map(noise: LabelledImages, each_head: keras.Model) -> None:
    """Its gradient is zero where it is one; that of the logit is not."""
    each_head.get_layer("head").kernel.assign(1e4 * each_head.get_layer("head").kernel)
    predictions, heatmaps = explain(each_head, noise)
    assert np.median(predictions.confidence) == 1
    assert (heatmaps.predicted.max(axis=(1, 2)) > 1).all()


def test_the_raw_maps_are_those_of_tf_keras_vis(logits_net: keras.Model, noise: LabelledImages) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.utils.scores import CategoricalScore

        predictions, heatmaps = explain(logits_net, noise)
        wrong = predictions.misclassified
        for maps, classes in ((heatmaps.predicted, predictions.predicted), (heatmaps.true, noise.labels)):
            theirs = Gradcam(keras.Model(logits_net.inputs, logits_net.outputs))(
                CategoricalScore(classes[wrong].tolist()),
                noise.images[wrong].astype("float32"),
                penultimate_layer="last_map",
                seek_penultimate_conv_layer=False,
                expand_cam=False,
                normalize_cam=False,
            )
            np.testing.assert_allclose(maps, theirs, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 256])
def test_the_batch_size_changes_nothing(logits_net: keras.Model, noise: LabelledImages, batch_size: int) -> None:
    expected_predictions, expected = explain(logits_net, noise, batch_size=7)
    predictions, heatmaps = explain(logits_net, noise, batch_size=batch_size)
    np.testing.assert_allclose(predictions.log_probabilities, expected_predictions.log_probabilities, atol=1e-5)
    np.testing.assert_array_equal(heatmaps.indices, expected.indices)
    np.testing.assert_allclose(heatmaps.predicted, expected.predicted, atol=1e-6)
    np.testing.assert_allclose(heatmaps.true, expected.true, atol=1e-6)


def test_a_ragged_last_batch_is_not_traced_again_and_every_image_is_told(
    logits_net: keras.Model, noise: LabelledImages
) -> None:
    explainer, told = GradCAM(logits_net, (8, 8, 3), 5, batch_size=10), []
    for _ in range(2):
        explainer.predict_and_explain(noise, told.append)
    assert told == [10, 10, 3] * 2
    assert explainer._explain.experimental_get_tracing_count() == 1


def test_two_runs_are_equal_bit_for_bit(logits_net: keras.Model, noise: LabelledImages) -> None:
    (first, first_maps), (second, second_maps) = (explain(logits_net, noise) for _ in range(2))
    np.testing.assert_array_equal(first.log_probabilities, second.log_probabilities)
    np.testing.assert_array_equal(first_maps.predicted, second_maps.predicted)
    np.testing.assert_array_equal(first_maps.true, second_maps.true)


def test_only_mistakes_are_explained_in_the_order_of_the_test_set(
    logits_net: keras.Model, noise: LabelledImages
) -> None:
    predictions, heatmaps = explain(logits_net, noise, batch_size=4)
    np.testing.assert_array_equal(heatmaps.indices, predictions.misclassified)
    assert 0 < len(heatmaps.indices) < len(noise)
    assert heatmaps.predicted.shape == heatmaps.true.shape == (len(heatmaps.indices), 4, 4)
    assert heatmaps.predicted.dtype == heatmaps.true.dtype == np.float32
    assert heatmaps.predicted.min() >= 0


def test_where_nothing_is_wrong_there_are_no_maps(logits_net: keras.Model, noise: LabelledImages) -> None:
    predictions, _ = explain(logits_net, noise)
    _, heatmaps = explain(logits_net, LabelledImages(noise.images, predictions.predicted), batch_size=9)
    assert heatmaps.predicted.shape == heatmaps.true.shape == (0, 4, 4)
    assert heatmaps.indices.shape == (0,)


@pytest.mark.parametrize("each_head", ["dense-softmax"], indirect=True)
def test_another_training_is_seen_without_another_explainer(noise: LabelledImages, each_head: keras.Model) -> None:
    explainer = GradCAM(each_head, (8, 8, 3), 5)
    explainer.predict_and_explain(noise)
    each_head.get_layer("head").kernel.assign(-each_head.get_layer("head").kernel)
    predictions, _ = explainer.predict_and_explain(noise)
    expected = each_head.predict(noise.images, verbose=0)
    np.testing.assert_array_equal(predictions.predicted, expected.argmax(axis=1))


def test_every_kind_of_model_is_predicted_and_explained(
    kind: tuple[keras.Model, str | None], noise: LabelledImages
) -> None:
    model, layer = kind
    explainer = GradCAM(model, (8, 8, 3), 5, batch_size=16)
    predictions, heatmaps = explainer.predict_and_explain(noise)
    scores = keras.ops.convert_to_numpy(model(noise.images, training=False)).astype("float64")
    expected = Predictions.from_scores(scores, noise.labels)
    np.testing.assert_allclose(predictions.log_probabilities, expected.log_probabilities, atol=1e-5)
    if layer is None:
        assert heatmaps is None
        assert explainer.layer is None
        assert "needs a convolution" in explainer.unavailable
        assert "Flatten, Dense" in explainer.unavailable
    else:
        assert explainer.unavailable is None
        assert heatmaps.layer == layer
        assert heatmaps.predicted.max() > 0
        assert np.isfinite(heatmaps.true).all()


def test_a_pretrained_backbone_inside_a_model_is_explained_at_its_last_map() -> None:
    backbone = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None)
    inputs = keras.Input((96, 96, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(scaled))
    head = keras.layers.Dense(2, activation="softmax", bias_initializer=keras.initializers.Constant([0.0, 1.0]))
    model = keras.Model(inputs, head(pooled))
    images = np.random.default_rng(0).integers(0, 256, size=(2, 96, 96, 3), dtype="uint8")
    expected = model.predict(images, verbose=0)
    predictions, heatmaps = explain(model, LabelledImages(images, np.zeros(2, dtype="int64")))
    assert heatmaps.layer == "out_relu"
    assert heatmaps.predicted.shape == (2, 3, 3)
    np.testing.assert_allclose(np.exp(predictions.log_probabilities), expected, atol=1e-5)


def snapshot(model: keras.Model) -> dict[str, dict[str, int]]:
    """Which object each attribute of each layer is."""
    layers = [model, *model._flatten_layers(include_self=False)]
    return {layer.path or layer.name: {name: id(value) for name, value in vars(layer).items()} for layer in layers}


def test_looking_leaves_nothing_behind_on_any_layer(
    kind: tuple[keras.Model, str | None], noise: LabelledImages
) -> None:
    model, _ = kind
    expected = model.predict(noise.images, verbose=0)
    before = snapshot(model)
    GradCAM(model, (8, 8, 3), 5).predict_and_explain(noise)
    assert snapshot(model) == before
    np.testing.assert_array_equal(model.predict(noise.images, verbose=0), expected)


def test_a_softmax_is_back_in_its_place(each_head: keras.Model, noise: LabelledImages) -> None:
    expected = each_head.predict(noise.images, verbose=0)
    before = snapshot(each_head)
    explain(each_head, noise)
    assert snapshot(each_head) == before
    np.testing.assert_array_equal(each_head.predict(noise.images, verbose=0), expected)
    np.testing.assert_allclose(each_head(noise.images), expected, atol=1e-6)


@pytest.mark.parametrize("fails_at", [1, 2], ids=["while-looking-for-the-layer", "while-compiling"])
def test_a_model_that_raises_leaves_nothing_behind(subclassed: type[keras.Model], fails_at: int) -> None:
    calls = iter(range(1, 10))

    class Moody(subclassed):
        def call(self, inputs: Any) -> Any:
            outputs = super().call(inputs)
            if model.built_before and next(calls) == fails_at:
                raise ArithmeticError("no")
            return outputs

    model = Moody()
    model.built_before = False
    model(np.zeros((1, 8, 8, 3)))
    model.built_before = True
    before = snapshot(model)
    images = LabelledImages(np.zeros((2, 8, 8, 3), "uint8"), np.zeros(2, "int64"))
    with pytest.raises(Exception, match=r"when calling Moody"):
        GradCAM(model, (8, 8, 3), 5).predict_and_explain(images)
    assert snapshot(model) == before


def test_training_noise_is_off_while_explaining(noise: LabelledImages) -> None:
    inputs = keras.Input((8, 8, 3))
    features = keras.layers.Conv2D(6, 3)(keras.layers.RandomFlip()(inputs))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Dropout(0.9)(features))
    model = keras.Model(inputs, keras.layers.Dense(5)(pooled))
    first, second = (explain(model, noise)[1] for _ in range(2))
    np.testing.assert_array_equal(first.predicted, second.predicted)


@pytest.mark.parametrize("each_head", ["logits", "dense-softmax"], indirect=True)
@pytest.mark.parametrize(
    "columns",
    [
        slice(None),
        slice(2, 3),
    ],
    ids=["every-class", "one-class"],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_scores_that_are_not_numbers_do_not_crash(
    each_head: keras.Model, noise: LabelledImages, columns: slice
) -> None:
    kernel = each_head.get_layer("head").kernel
    broken = kernel.numpy()
    broken[:, columns] = np.nan
    kernel.assign(broken)
    predictions, heatmaps = explain(each_head, noise)
    assert predictions.log_probabilities.shape == (23, 5)
    assert len(heatmaps.predicted) == len(heatmaps.true) == len(heatmaps.indices)
    np.testing.assert_array_equal(heatmaps.indices, predictions.misclassified)


def test_half_precision_gives_nearly_the_same_maps(noise: LabelledImages) -> None:
    """A map in bfloat16 keeps three digits, and comes out as float32."""

    def build(dtype: str) -> keras.Model:
        keras.utils.set_random_seed(5)
        convolution = keras.layers.Conv2D(6, 3, activation="relu", dtype=dtype)
        layers = [keras.layers.Rescaling(1 / 255), convolution, keras.layers.GlobalAveragePooling2D()]
        return keras.Sequential([keras.Input((8, 8, 3)), *layers, keras.layers.Dense(5, dtype="float32")])

    (expected_predictions, expected), (predictions, found) = (
        explain(build(dtype), noise) for dtype in ("float32", "mixed_bfloat16")
    )
    same = np.intersect1d(expected.indices, found.indices)
    same = same[expected_predictions.predicted[same] == predictions.predicted[same]]
    assert len(same) > 10
    maps = [each.true[np.isin(each.indices, same)] for each in (expected, found)]
    assert found.true.dtype == np.float32
    assert np.abs(maps[0] - maps[1]).max() < 0.02 * maps[0].max()
