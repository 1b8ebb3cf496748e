"""Grad-CAM against closed forms, and the effect of each argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from lrdiag.errors import SettingsError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.record.arrays import LabelledImages

L = keras.layers
pytestmark = pytest.mark.usefixtures("eager_passes")


@pytest.fixture
def literal() -> tuple[keras.Model, LabelledImages]:
    """Two features of each block of 2×2 pixels, their sum and the first pixel, with fixed weights."""
    convolution = L.Conv2D(2, 2, strides=2, use_bias=False, name="blocks")
    head = L.Dense(3, use_bias=False)
    model = keras.Sequential([keras.Input((4, 4, 1)), convolution, L.Flatten(), head])
    convolution.kernel.assign(np.array([[[1, 1], [1, 0]], [[1, 0], [1, 0]]], "float32").reshape(2, 2, 1, 2))
    weights = np.zeros((4, 2, 3), "float32")  # place, channel, class
    weights[:, 0, 0], weights[:, 1, 0] = [1, 2, 3, 2], [-4, -8, 0, -4]
    weights[:, 0, 1], weights[:, 1, 1] = [0, -1, -1, -2], [6, 6, 6, 6]
    head.kernel.assign(weights.reshape(8, 3))
    return model, LabelledImages(np.arange(16, dtype="uint8").reshape(1, 4, 4, 1), np.array([1]))


def test_the_maps_of_fixed_weights(literal: tuple[keras.Model, LabelledImages]) -> None:
    """Features [[10, 18], [42, 50]] and [[0, 2], [8, 10]], mean gradients (2, -4) and (-1, 6), then ReLU."""
    model, test = literal
    predictions, heatmaps = GradCAM(model).predict_and_explain(test)
    np.testing.assert_allclose(predictions.log_probabilities, log_softmax([[216.0, -40.0, 0.0]], axis=1), atol=1e-12)
    assert (heatmaps.method, heatmaps.layer) == ("gradcam", "blocks")
    assert heatmaps.indices.tolist() == [0]
    assert heatmaps.signed_predicted.tolist() == [[[20.0, 28.0], [52.0, 60.0]]]
    assert heatmaps.signed_true.tolist() == [[[-10.0, -6.0], [6.0, 10.0]]]
    assert heatmaps.true.tolist() == [[[0.0, 0.0], [6.0, 10.0]]]
    assert heatmaps.difference.tolist() == [[[30.0, 34.0], [46.0, 50.0]]]


def test_hirescam_weights_each_position_by_its_own_gradient(literal: tuple[keras.Model, LabelledImages]) -> None:
    """The same features, gradients [[1, 2], [3, 2]] and [[-4, -8], [0, -4]] for class 0, position by position.

    With a dense layer on the flat map, the signed map sums to the logit: 216 and, for class 1, -40.
    """
    model, test = literal
    _, heatmaps = GradCAM(model, method="hirescam").predict_and_explain(test)
    assert heatmaps.method == "hirescam"
    assert heatmaps.signed_predicted.tolist() == [[[10.0, 20.0], [126.0, 60.0]]]
    assert heatmaps.signed_true.tolist() == [[[0.0, -6.0], [6.0, -40.0]]]
    assert (heatmaps.signed_predicted.sum(), heatmaps.signed_true.sum()) == (216, -40)


def test_layercam_weights_each_position_by_its_gradient_where_it_is_positive(
    literal: tuple[keras.Model, LabelledImages],
) -> None:
    model, test = literal
    explainer = GradCAM(model, method="layercam")
    assert explainer.maps(test.images, [0]).tolist() == [[[10.0, 36.0], [126.0, 100.0]]]
    assert explainer.maps(test.images, [1]).tolist() == [[[0.0, 12.0], [48.0, 60.0]]]


def test_gradcam_plus_plus_weights_positive_gradients_of_a_map_unequally(
    literal: tuple[keras.Model, LabelledImages],
) -> None:
    """The features of the first channel sum to 120. The gradients of the second are not positive."""
    model, test = literal
    gradients = np.array([1, 2, 3, 2])
    alphas = 1 / (2 + 120 * gradients)
    expected = (alphas / alphas.sum()) @ gradients * np.array([[10, 18], [42, 50]])
    np.testing.assert_allclose(GradCAM(model, method="gradcam++").maps(test.images, [0]), [expected], rtol=1e-6)


def test_before_global_average_pooling_the_weights_are_those_of_the_head(
    logits_net: keras.Model, noise: LabelledImages, explained: Any, feature_maps: Callable, closed_form: Callable
) -> None:
    """`alpha_k = W[k, c] / (H W)`."""
    predictions, heatmaps = explained
    wrong = predictions.misclassified
    maps, kernel = feature_maps(logits_net, "last_map", noise.images[wrong]), logits_net.get_layer("head").kernel
    for signed, positive, classes in (
        (heatmaps.signed_predicted, heatmaps.predicted, predictions.predicted[wrong]),
        (heatmaps.signed_true, heatmaps.true, noise.labels[wrong]),
    ):
        expected = closed_form(maps, kernel, classes)
        assert expected.max() > 1e-3
        assert expected.min() < -1e-3
        np.testing.assert_allclose(signed, expected, atol=1e-7)
        np.testing.assert_array_equal(positive, np.maximum(signed, 0))


def test_before_global_average_pooling_both_methods_agree(
    logits_net: keras.Model, noise: LabelledImages, signed_maps: np.ndarray
) -> None:
    """There the gradient is the same at every position."""
    maps = GradCAM(logits_net, method="hirescam").maps(noise.images, noise.labels, signed=True)
    np.testing.assert_allclose(maps, signed_maps, atol=1e-7)


def test_before_a_map_of_logits_the_weights_are_those_of_its_filter(
    noise: LabelledImages, feature_maps: Callable, closed_form: Callable
) -> None:
    """1×1 convolution, average over the image, softmax, as in the network `article`."""
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Rescaling(1 / 255),
            L.Conv2D(6, 3, strides=2, padding="same"),
            L.ReLU(name="features"),
            L.Conv2D(5, 1, name="logit_map"),
            L.AveragePooling2D(4),
            L.Flatten(),
            L.Softmax(),
        ]
    )
    explainer = GradCAM(model)
    assert explainer.layer == "features"
    kernel, maps = model.get_layer("logit_map").kernel[0, 0], feature_maps(model, "features", noise.images)
    expected = closed_form(maps, kernel, noise.labels)
    np.testing.assert_allclose(explainer.maps(noise.images, noise.labels, signed=True), expected, atol=1e-7)


def test_at_a_map_of_logits_the_map_is_that_logit(noise: LabelledImages, feature_maps: Callable) -> None:
    """`L_c = relu(A_c) / (H W)`: no other channel contributes."""
    keras.utils.set_random_seed(4)
    layers = [L.Conv2D(6, 3, activation="relu"), L.Conv2D(5, 1, name="logit_map"), L.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Rescaling(1 / 255), *layers, L.Softmax()])
    logits = feature_maps(model, "logit_map", noise.images)
    found = GradCAM(model, "logit_map").maps(noise.images, noise.labels)
    expected = np.maximum(logits[np.arange(23), :, :, noise.labels], 0) / 36
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_the_map_of_a_difference_of_scores_is_the_difference_of_their_maps(
    literal: tuple[keras.Model, LabelledImages],
) -> None:
    """A network whose class 2 scores what class 0 scores above class 1 is explained by their difference."""
    model, test = literal
    head = model.layers[-1]
    head.kernel.assign(np.stack([*head.kernel.numpy().T[:2], head.kernel.numpy() @ [1, -1, 0]], axis=1))
    explainer = GradCAM(model)
    first, second, difference = (explainer.maps(test.images, [each], signed=True) for each in range(3))
    np.testing.assert_array_equal(difference, first - second)
    assert (second < 0).any()


def test_mistakes_are_explained_as_single_images_are(
    explainer: GradCAM, noise: LabelledImages, explained: Any, signed_maps: np.ndarray
) -> None:
    predictions, heatmaps = explained
    wrong = heatmaps.indices
    for_it, against_it = explainer.maps(noise.images, predictions.predicted, signed=True)[wrong], signed_maps[wrong]
    np.testing.assert_allclose(heatmaps.signed_predicted, for_it, atol=1e-7)
    np.testing.assert_allclose(heatmaps.signed_true, against_it, atol=1e-7)
    np.testing.assert_allclose(heatmaps.difference, for_it - against_it, atol=1e-7)
    assert heatmaps.difference.min() < 0 < heatmaps.difference.max()


def test_maps_are_those_of_the_given_classes(
    explainer: GradCAM, logits_net: keras.Model, noise: LabelledImages
) -> None:
    scores = keras.ops.convert_to_numpy(logits_net(noise.images, training=False))
    predicted, first, last = (explainer.maps(noise.images, each) for each in (None, [0] * 23, [4] * 23))
    np.testing.assert_array_equal(predicted, explainer.maps(noise.images, scores.argmax(axis=1)))
    assert np.abs(first - last).max() > 1e-3
    mixed = explainer.maps(noise.images, [0] * 11 + [4] * 12)
    np.testing.assert_array_equal(mixed, np.concatenate([first[:11], last[11:]]))


def test_unsigned_maps_are_the_positive_part_of_signed_maps(
    explainer: GradCAM, noise: LabelledImages, signed_maps: np.ndarray
) -> None:
    positive = np.maximum(signed_maps, 0)
    np.testing.assert_array_equal(explainer.maps(noise.images, noise.labels), positive)
    np.testing.assert_array_equal(explainer.maps(noise.images, noise.labels, signed=False), positive)


def test_another_layer_gives_other_maps(
    logits_net: keras.Model, noise: LabelledImages, signed_maps: np.ndarray
) -> None:
    for name, shape in (("first", (23, 8, 8)), ("convolution", (23, 4, 4))):
        other = GradCAM(logits_net, name)
        maps = other.maps(noise.images, noise.labels, signed=True)
        assert other.layer == name
        assert maps.shape == shape
        assert np.abs(maps[:, :4, :4] - signed_maps).max() > 1e-3


def test_only_mistakes_are_explained_in_the_order_of_the_test_set(noise: LabelledImages, explained: Any) -> None:
    predictions, heatmaps = explained
    np.testing.assert_array_equal(predictions.labels, noise.labels)
    np.testing.assert_array_equal(heatmaps.indices, predictions.misclassified)
    assert 0 < len(heatmaps.indices) < len(noise)
    assert heatmaps.signed_predicted.shape == heatmaps.signed_true.shape == (len(heatmaps.indices), 4, 4)
    assert heatmaps.signed_predicted.dtype == heatmaps.signed_true.dtype == np.float32


def test_without_mistakes_there_are_no_maps(explainer: GradCAM, noise: LabelledImages, explained: Any) -> None:
    predictions, _ = explained
    _, heatmaps = explainer.predict_and_explain(noise.images, predictions.predicted)
    assert heatmaps.predicted.shape == heatmaps.true.shape == heatmaps.difference.shape == (0, 4, 4)
    assert heatmaps.indices.shape == (0,)


def test_an_explainer_uses_the_current_weights(own_net: keras.Model, noise: LabelledImages) -> None:
    explainer = GradCAM(own_net)
    before, _ = explainer.predict_and_explain(noise)
    own_net.get_layer("head").kernel.assign(-own_net.get_layer("head").kernel)
    after, _ = explainer.predict_and_explain(noise)
    np.testing.assert_array_equal(after.predicted, keras.ops.convert_to_numpy(own_net(noise.images)).argmax(axis=1))
    assert (after.predicted != before.predicted).any()


@pytest.mark.parametrize("columns", [slice(None), slice(2, 3)], ids=["every-class", "one-class"])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_scores_that_are_nan_do_not_crash(own_net: keras.Model, noise: LabelledImages, columns: slice) -> None:
    kernel = own_net.get_layer("head").kernel
    broken = kernel.numpy()
    broken[:, columns] = np.nan
    kernel.assign(broken)
    predictions, heatmaps = GradCAM(own_net).predict_and_explain(noise)
    assert predictions.log_probabilities.shape == (23, 5)
    np.testing.assert_array_equal(heatmaps.indices, predictions.misclassified)
    assert len(heatmaps.predicted) == len(heatmaps.true) == len(heatmaps.indices)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "guess"}, r"`method` must be one of .*gradcam.*hirescam.*Received: 'guess'"),
        ({"batch_size": 0}, r"`batch_size` must be a whole number, 1 or more\. Received: 0"),
    ],
)
def test_unknown_settings_are_refused(logits_net: keras.Model, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        GradCAM(logits_net, **arguments)
