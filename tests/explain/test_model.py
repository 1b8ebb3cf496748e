"""Which scores are explained: the logits before a softmax or sigmoid, and one of several outputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.special import expit, log_softmax

from lrdiag.errors import ModelError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.record.arrays import Heatmaps, LabelledImages, Predictions

L = keras.layers
pytestmark = pytest.mark.usefixtures("eager_passes")


@pytest.fixture(autouse=True)
def no_warning() -> Any:
    """Only models with a hidden softmax raise a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def ending_in(head: Callable[[Any], Any], units: int = 5) -> keras.Model:
    """A Functional model whose logits are the input of `head`."""
    inputs = keras.Input((8, 8, 3))
    keras.utils.set_random_seed(1)
    features = L.Conv2D(6, 3, activation="relu", name="features")(inputs / 255.0)
    logits = L.Dense(units, name="logits")(L.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, head(logits))


@pytest.fixture(scope="module")
def maps_of_logits(noise: LabelledImages) -> np.ndarray:
    return GradCAM(ending_in(lambda logits: logits)).maps(noise.images, noise.labels, signed=True)


def test_the_maps_are_those_of_the_logits_for_every_head(
    each_head: keras.Model, explained: tuple[Predictions, Heatmaps], noise: LabelledImages
) -> None:
    predictions, heatmaps = GradCAM(each_head).predict_and_explain(noise)
    expected_predictions, expected = explained
    returned = np.asarray(each_head(noise.images))
    logarithms = returned if returned.max() < 0 else np.log(returned)
    np.testing.assert_allclose(predictions.log_probabilities, logarithms, atol=1e-5)
    np.testing.assert_array_equal(predictions.predicted, expected_predictions.predicted)
    np.testing.assert_array_equal(heatmaps.indices, expected.indices)
    np.testing.assert_allclose(heatmaps.signed_predicted, expected.signed_predicted, atol=1e-7)
    np.testing.assert_allclose(heatmaps.signed_true, expected.signed_true, atol=1e-7)


class OwnSoftmax(L.Layer):
    """A layer of another name."""

    def call(self, inputs: Any) -> Any:
        return tf.nn.softmax(inputs)


@pytest.mark.parametrize(
    "head",
    [
        ops.softmax,
        lambda logits: L.Activation("softmax")(logits),
        lambda logits: ops.reshape(ops.softmax(logits), (-1, 5)),
        lambda logits: L.Flatten()(L.Reshape((5, 1))(L.Softmax()(logits))),
        lambda logits: L.Dropout(0.5)(L.Softmax()(logits)),
        lambda logits: keras.Sequential([keras.Input((5,)), L.Softmax()])(logits),
        ops.log_softmax,
        ops.log_sigmoid,
        lambda logits: L.Lambda(tf.nn.softmax)(logits),
        lambda logits: L.Lambda(lambda z: ops.sigmoid(z))(logits),
        lambda logits: L.Activation(tf.nn.softmax)(logits),
        lambda logits: L.Activation(partial(ops.softmax, axis=-1))(logits),
        lambda logits: L.Activation(lambda z: ops.exp(z) / ops.sum(ops.exp(z), axis=-1, keepdims=True))(logits),
        lambda logits: L.Activation("linear", name="named")(ops.cast(L.Softmax()(logits), "float16")),
        lambda logits: OwnSoftmax()(logits),
    ],
    ids=[
        "ops.softmax", "Activation", "ops.reshape", "Flatten", "Dropout", "nested", "ops.log_softmax",
        "ops.log_sigmoid", "Lambda-tf", "Lambda-sigmoid", "Activation-tf", "partial", "formula", "cast-and-named",
        "custom-layer",
    ],
)  # fmt: skip
def test_a_softmax_or_sigmoid_at_the_end_is_removed(
    head: Callable[[Any], Any], noise: LabelledImages, maps_of_logits: np.ndarray
) -> None:
    maps = GradCAM(ending_in(head)).maps(noise.images, noise.labels, signed=True)
    np.testing.assert_allclose(maps, maps_of_logits, atol=1e-7)
    assert np.abs(maps).max() > 1e-4


def test_a_softmax_at_the_end_of_a_custom_layer_is_removed(noise: LabelledImages) -> None:
    class Scaled(L.Layer):
        def __init__(self, activation: str) -> None:
            super().__init__()
            self.inner, self.activation = L.Rescaling(2.0), keras.activations.get(activation)

        def call(self, inputs: Any) -> Any:
            return self.activation(self.inner(inputs))

    expected, maps = (
        GradCAM(ending_in(Scaled(activation))).maps(noise.images, noise.labels, signed=True)
        for activation in ("linear", "softmax")
    )
    np.testing.assert_allclose(maps, expected, atol=1e-7)
    assert np.abs(expected).max() > 1e-4


def test_a_saturated_softmax_does_not_blank_the_map(noise: LabelledImages, own_net: keras.Model) -> None:
    """The gradient of a saturated softmax is zero; that of the logit is not."""
    kernel = own_net.get_layer("head").kernel
    kernel.assign(1e6 * kernel)
    predictions, heatmaps = GradCAM(own_net).predict_and_explain(noise)
    assert np.median(predictions.confidence) == 1
    assert (heatmaps.predicted.max(axis=(1, 2)) > 1).all()


@pytest.mark.parametrize("head", [L.Activation("sigmoid"), lambda logit: logit], ids=["sigmoid", "logit"])
def test_a_single_logit_is_evidence_for_the_second_class(
    head: Callable[[Any], Any], noise: LabelledImages, feature_maps: Callable, closed_form: Callable
) -> None:
    model = ending_in(head, units=1)
    images, labels = noise.images, noise.labels % 2
    logits = np.asarray(ending_in(lambda logit: logit, units=1)(images))[:, 0].astype("float64")
    model.get_layer("logits").bias.assign([-logits.mean()])
    logits -= logits.mean()
    assert 5 < (logits > 0).sum() < 18
    explainer = GradCAM(model)
    predictions, heatmaps = explainer.predict_and_explain(images, labels)
    probabilities = np.stack([expit(-logits), expit(logits)], axis=1)
    np.testing.assert_allclose(np.exp(predictions.log_probabilities), probabilities, atol=1e-6)
    np.testing.assert_array_equal(predictions.predicted, logits > 0)
    maps = feature_maps(model, "features", images)
    second = closed_form(maps, model.get_layer("logits").kernel, np.zeros(23, int))
    np.testing.assert_allclose(explainer.maps(images, [1] * 23, signed=True), second, atol=1e-7)
    np.testing.assert_allclose(explainer.maps(images, [0] * 23, signed=True), -second, atol=1e-7)
    sign = np.where(noise.labels[heatmaps.indices] % 2 == 1, 1, -1)[:, None, None]
    np.testing.assert_allclose(heatmaps.signed_true, sign * second[heatmaps.indices], atol=1e-7)
    np.testing.assert_allclose(heatmaps.signed_predicted, -heatmaps.signed_true, atol=1e-7)


def test_sigmoids_predict_what_the_model_predicts(noise: LabelledImages) -> None:
    model = ending_in(ops.sigmoid)
    predictions, _ = GradCAM(model).predict_and_explain(noise)
    np.testing.assert_array_equal(predictions.predicted, keras.ops.convert_to_numpy(model(noise.images)).argmax(axis=1))


def test_a_softmax_of_a_softmax_is_removed_once(noise: LabelledImages) -> None:
    model = ending_in(lambda logits: L.Softmax()(L.Softmax()(logits)))
    explainer = GradCAM(model)
    predictions, _ = explainer.predict_and_explain(noise)
    np.testing.assert_allclose(np.exp(predictions.log_probabilities), model(noise.images), atol=1e-6)
    assert "explain a probability" in explainer.notes[0]


def test_the_logarithm_of_a_softmax_is_kept(noise: LabelledImages) -> None:
    explainer = GradCAM(ending_in(lambda logits: ops.log(L.Softmax()(logits))))
    predictions, _ = explainer.predict_and_explain(noise)
    expected = np.asarray(ending_in(ops.log_softmax)(noise.images))
    np.testing.assert_allclose(predictions.log_probabilities, expected, atol=1e-5)
    assert explainer.notes == ()


def test_a_softmax_inside_the_model_is_kept(noise: LabelledImages) -> None:
    """Such as that of an attention."""

    def build(head: list[Any]) -> keras.Model:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 8, 3))
        features = L.Conv2D(6, 3)(inputs / 255.0)
        attention = L.Softmax(axis=(1, 2))(L.Conv2D(1, 1)(features))
        pooled = L.GlobalAveragePooling2D()(L.Multiply()([features, attention]))
        return keras.Model(inputs, keras.Sequential([L.Dense(5, kernel_initializer="random_normal"), *head])(pooled))

    logits, softmax = build([]), build([L.Softmax()])
    predictions, heatmaps = GradCAM(softmax).predict_and_explain(noise)
    expected = log_softmax(np.asarray(logits(noise.images)), axis=1)
    np.testing.assert_allclose(predictions.log_probabilities, expected, atol=1e-5)
    expected = GradCAM(logits).maps(noise.images, noise.labels, signed=True)[heatmaps.indices]
    np.testing.assert_allclose(heatmaps.signed_true, expected, atol=1e-7)


def test_logits_that_sum_to_one_are_not_taken_as_probabilities() -> None:
    model = keras.Sequential([keras.Input((4, 4, 2)), L.Conv2D(2, 1, use_bias=False), L.GlobalAveragePooling2D()])
    model.layers[0].kernel.assign(np.eye(2)[None, None])
    images = np.broadcast_to(np.array([0.25, 0.75], "float32"), (1, 4, 4, 2))
    predictions, _ = GradCAM(model).predict_and_explain(images, [0])
    np.testing.assert_allclose(predictions.log_probabilities, log_softmax([[0.25, 0.75]], axis=1))


class Hidden(keras.Model):
    """Computes its probabilities outside of any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.dense = L.Conv2D(6, 3), L.Dense(5)

    def call(self, inputs: Any) -> Any:
        return ops.softmax(self.dense(ops.mean(self.convolution(inputs), axis=(1, 2))))


def test_a_softmax_outside_of_any_layer_raises_a_warning(noise: LabelledImages) -> None:
    """Its maps are those of the probability: `p_c (L_c - sum_j p_j L_j)`."""
    model = Hidden()
    images = noise.images / np.float32(255)
    explainer = GradCAM(model)
    with pytest.warns(UserWarning, match=r"probabilities, but none of its layers computes them.*Softmax\(\)"):
        maps = explainer.maps(images, noise.labels, signed=True)
    probabilities = keras.ops.convert_to_numpy(model(images)).astype("float64")
    logits = keras.Sequential([model.convolution, L.GlobalAveragePooling2D(), model.dense])
    of_logits = GradCAM(logits)
    each = np.stack([of_logits.maps(images, [c] * 23, signed=True) for c in range(5)], axis=1)
    rows = np.arange(23)
    mean = np.einsum("nc,nchw->nhw", probabilities, each)
    expected = probabilities[rows, noise.labels, None, None] * (each[rows, noise.labels] - mean)
    np.testing.assert_allclose(maps, expected, atol=1e-7)
    predictions, _ = explainer.predict_and_explain(images, noise.labels)
    np.testing.assert_allclose(np.exp(predictions.log_probabilities), probabilities, atol=1e-6)


# --- several outputs --------------------------------------------------------------------------------------------------


def two_branches(structure: Callable[[Any, Any], Any]) -> keras.Model:
    """Two heads, each with its own convolution."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    shared = L.Conv2D(4, 3, activation="relu", name="shared")(inputs / 255.0)

    def branch(name: str) -> Any:
        features = L.Conv2D(6, 3, name=f"{name}_map")(shared)
        return L.Dense(5, activation="softmax", name=name)(L.GlobalAveragePooling2D()(features))

    return keras.Model(inputs, structure(branch("colour"), branch("shape")))


@pytest.mark.parametrize(
    ("structure", "outputs"),
    [
        (lambda colour, shape: {"colour": colour, "shape": shape}, ("colour", "shape")),
        (lambda colour, shape: {"x": shape, "a": colour}, ("a", "x")),
        (lambda colour, shape: [colour, shape], ("colour", "shape")),
        (lambda colour, shape: [colour, shape], (0, 1)),
        (lambda colour, shape: (shape, colour), (1, 0)),
    ],
    ids=["dict", "other-keys", "list-by-name", "list-by-index", "tuple"],
)
def test_an_output_is_chosen_by_name_or_index(structure: Any, outputs: tuple[Any, Any]) -> None:
    """Each output is explained at its own last feature map."""
    model = two_branches(structure)
    assert GradCAM(model, output=outputs[0]).layer == "colour_map"
    assert GradCAM(model, output=outputs[1]).layer == "shape_map"


def test_each_output_has_its_own_predictions_and_maps(
    noise: LabelledImages, feature_maps: Callable, closed_form: Callable
) -> None:
    model = two_branches(lambda colour, shape: {"colour": colour, "shape": shape})
    for name, probabilities in model(noise.images).items():
        predictions, heatmaps = GradCAM(model, output=name).predict_and_explain(noise)
        maps, kernel = feature_maps(model, f"{name}_map", noise.images), model.get_layer(name).kernel
        expected = closed_form(maps, kernel, noise.labels)[heatmaps.indices]
        np.testing.assert_allclose(np.exp(predictions.log_probabilities), probabilities, atol=1e-6)
        np.testing.assert_allclose(heatmaps.signed_true, expected, atol=1e-7)


@pytest.mark.parametrize("output", ["colour", "shape"])
def test_heads_with_equal_outputs_are_distinguished(
    output: str, noise: LabelledImages, feature_maps: Callable, closed_form: Callable
) -> None:
    """Only the softmax of the chosen output is removed."""
    model = two_branches(lambda colour, shape: {"colour": colour, "shape": shape})
    for layer in ("", "_map"):
        model.get_layer(f"shape{layer}").set_weights(model.get_layer(f"colour{layer}").get_weights())
    explainer = GradCAM(model, output=output)
    assert explainer.layer == f"{output}_map"
    expected = closed_form(
        feature_maps(model, "shape_map", noise.images), model.get_layer("shape").kernel, noise.labels
    )
    np.testing.assert_allclose(explainer.maps(noise.images, noise.labels, signed=True), expected, atol=1e-7)


@pytest.mark.parametrize("output", ["colour", "shape"])
def test_a_map_of_logits_is_recognised_beside_another_output(output: str) -> None:
    """The layer that runs last belongs to the other output."""
    inputs = keras.Input((8, 8, 3))
    features = L.Conv2D(4, 3, name="shared")(inputs)
    pool = L.GlobalAveragePooling2D
    colour = pool()(L.Conv2D(5, 1, name="colour_logits")(features))
    shape = L.Dense(3)(pool()(L.Conv2D(5, 1, name="shape_map")(L.Conv2D(6, 3)(features))))
    model = keras.Model(inputs, {"colour": L.Softmax()(colour), "shape": shape})
    assert GradCAM(model, output=output).layer == {"colour": "shared", "shape": "shape_map"}[output]


@pytest.mark.parametrize(
    ("structure", "wrong", "names"),
    [
        (lambda colour, shape: {"colour": colour, "shape": shape}, None, "'colour', 'shape'"),
        (lambda colour, shape: {"colour": colour, "shape": shape}, "size", "'colour', 'shape'"),
        (lambda colour, shape: [colour, shape], 2, "0, 1, 'colour', 'shape'"),
        (lambda colour, shape: colour, "shape", "0, 'colour'"),
    ],
    ids=["missing", "unknown", "out-of-range", "of-a-single-output"],
)
def test_a_missing_or_unknown_output_is_refused_with_the_known_ones(structure: Any, wrong: Any, names: str) -> None:
    with pytest.raises(ModelError, match=rf"`output=` must name.* one of {names}\. Received: output={wrong!r}"):
        GradCAM(two_branches(structure), output=wrong)


@pytest.mark.parametrize("structure", [lambda only: only, lambda only: [only], lambda only: {"only": only}])
def test_a_single_output_is_the_default(structure: Any) -> None:
    assert GradCAM(two_branches(lambda colour, shape: structure(colour))).layer == "colour_map"


def test_an_output_without_one_score_per_class_is_refused() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3)])
    with pytest.raises(ModelError, match=r"one score per class.*Received: .*\('n', 6, 6, 4\)"):
        GradCAM(model)
