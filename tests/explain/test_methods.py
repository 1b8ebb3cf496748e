"""The methods beside Grad-CAM and HiResCAM, against tf-keras-vis on networks that it supports."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from fixtures.peer import (
    CLASSES,
    METHODS,
    OF_THE_IMAGE,
    SHAPE,
    Subclassed,
    chain,
    direct,
    head,
    logits_net,
    seeded,
    trunk,
)
from keras import layers, ops

from lrdiag.backend.engine import engine
from lrdiag.backend.graph import parts
from lrdiag.errors import SettingsError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.score_cam import ScoreCam

Builder = Callable[[], keras.Model]


@pytest.fixture(autouse=True)
def no_warning() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def nested() -> keras.Model:
    backbone = chain(chain(*trunk(), name="inner"), name="backbone")
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(backbone(inputs))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(CLASSES, name="head")(flat)))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, *SHAPE), "float32"))
    return model


MODELS: dict[str, Builder] = {
    "dense-softmax": lambda: chain(*trunk(), *head(activation="softmax")),
    "softmax-layer": lambda: chain(*trunk(), *head(), layers.Softmax()),
    "softmax-activation": lambda: chain(*trunk(), *head(), layers.Activation("softmax")),
    "nested": nested,
    "subclassed": subclassed,
}


@pytest.fixture(scope="module")
def expected(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The maps of tf-keras-vis for the flat network of logits, whose weights all of `MODELS` share."""
    model = seeded(logits_net)
    return {method: direct(method, model, images, labels) for method in METHODS}


@dataclass
class Before:
    """A model and its state before it was explained."""

    name: str
    model: keras.Model
    attributes: list[dict[str, Any]]
    probabilities: np.ndarray


def snapshot(model: keras.Model) -> list[dict[str, Any]]:
    """The identity of each attribute of each layer, and the length of each list."""
    return [
        {name: (id(value), len(value) if isinstance(value, list) else 0) for name, value in vars(layer).items()}
        for layer in (model, *(part for _, part in parts(model)))
    ]


@pytest.fixture(scope="module", params=MODELS)
def before(request: pytest.FixtureRequest, images: np.ndarray) -> Before:
    model = MODELS[request.param]()
    model.set_weights(seeded(logits_net).get_weights())
    probabilities = model(images).numpy()
    return Before(request.param, model, snapshot(model), probabilities)


def test_the_maps_are_those_of_a_direct_call_on_the_logits(
    before: Before, images: np.ndarray, labels: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    for method in METHODS if before.name == "dense-softmax" else ("layercam", "saliency"):  # of a layer, of the image
        layer = None if method in OF_THE_IMAGE else "last_map"
        found = GradCAM(before.model, layer, method=method).maps(images, labels)
        assert found.dtype == np.float32
        assert found.max() > 1e-4
        np.testing.assert_allclose(found, expected[method], atol=1e-6, err_msg=method)


def test_the_model_is_not_changed(before: Before, images: np.ndarray) -> None:
    assert snapshot(before.model) == before.attributes
    np.testing.assert_array_equal(before.model(images), before.probabilities)


@pytest.mark.parametrize("method", ["layercam", "scorecam"])
def test_one_logit_scores_two_classes(method: str, images: np.ndarray) -> None:
    """`-z` and `z`. Score-CAM takes the softmax of their halves, which is the model's probability."""
    model = seeded(lambda: chain(*trunk(), *head(1, "sigmoid")))
    halves = 0.5 if method == "scorecam" else 1
    reference = chain(*trunk(), *head(1), layers.Lambda(lambda z: halves * ops.concatenate([-z, z], axis=1)))
    reference.set_weights(model.get_weights())
    classes = np.array([0, 1, 0, 1, 0, 1, 0])
    found = GradCAM(model, method=method).maps(images, classes)
    np.testing.assert_allclose(found, direct(method, reference, images, classes), atol=1e-6)


@pytest.fixture(scope="module")
def explainers() -> dict[str, GradCAM]:
    """One explainer for each method, of one model."""
    model = seeded(MODELS["dense-softmax"])
    return {method: GradCAM(model, method=method) for method in METHODS}


def test_batch_and_dtype_of_the_images_change_nothing(
    explainers: dict[str, GradCAM], images: np.ndarray, labels: np.ndarray
) -> None:
    for method in ("gradcam++", "scorecam", "saliency"):
        explainer = explainers[method]
        together = explainer.maps(images, labels)
        alone = explainer.maps(images[[2]].astype("float32"), labels[[2]])
        np.testing.assert_allclose(alone, together[[2]], atol=1e-6, err_msg=method)


def test_two_runs_are_equal_and_use_no_global_generator(
    explainers: dict[str, GradCAM], images: np.ndarray, labels: np.ndarray
) -> None:
    for explainer in explainers.values():
        first = explainer.maps(images, labels)
        np.random.seed(7)  # noqa: NPY002 – the state of the caller
        expected = np.random.random()  # noqa: NPY002
        np.random.seed(7)  # noqa: NPY002
        second = explainer.maps(images, labels)
        assert np.random.random() == expected  # noqa: NPY002
        np.testing.assert_array_equal(first, second)


def test_the_class_and_the_method_change_the_map(
    explainers: dict[str, GradCAM], images: np.ndarray, labels: np.ndarray
) -> None:
    found = {}
    for method, explainer in explainers.items():
        found[method] = explainer.maps(images, labels)
        others = explainer.maps(images, (labels + 1) % CLASSES)
        assert (np.abs(found[method] - others).max(axis=(1, 2)) > 1e-6).all(), method
    for one, other in (("gradcam++", "layercam"), ("layercam", "scorecam"), ("saliency", "smoothgrad")):
        assert not np.allclose(found[one], found[other], atol=1e-6)


def test_the_predicted_class_is_the_default(explainers: dict[str, GradCAM], images: np.ndarray) -> None:
    predicted = explainers["layercam"]._model.predict(images, verbose=0).argmax(axis=1)
    for method, explainer in explainers.items():
        np.testing.assert_array_equal(explainer.maps(images), explainer.maps(images, predicted), err_msg=method)


@pytest.mark.parametrize("method", ["layercam"])
def test_the_layer_changes_the_map(
    explainers: dict[str, GradCAM], method: str, images: np.ndarray, labels: np.ndarray
) -> None:
    assert explainers[method].layer == "last_map"
    other = GradCAM(explainers[method]._model, "earlier_map", method=method)
    assert other.layer == "earlier_map"
    assert not np.allclose(other.maps(images, labels), explainers[method].maps(images, labels), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_only_mistakes_are_explained_for_both_classes(
    explainers: dict[str, GradCAM], method: str, images: np.ndarray
) -> None:
    probabilities = explainers[method]._model.predict(images, verbose=0)
    labels = probabilities.argmax(axis=1)
    wrong = np.array([1, 2, 5])
    labels[wrong] = (labels[wrong] + 1) % CLASSES
    predictions, heatmaps = explainers[method].predict_and_explain(images, labels)
    np.testing.assert_allclose(np.exp(predictions.log_probabilities), probabilities, atol=1e-6)
    np.testing.assert_array_equal(heatmaps.indices, wrong)
    for found, classes in ((heatmaps.predicted, predictions.predicted), (heatmaps.true, labels)):
        expected = explainers[method].maps(images[wrong], classes[wrong])
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert heatmaps.means is None
    assert (heatmaps.method, heatmaps.layer) == (method, "input" if method in OF_THE_IMAGE else "last_map")


def test_without_mistakes_there_are_no_maps(explainers: dict[str, GradCAM], images: np.ndarray) -> None:
    right = explainers["layercam"]._model.predict(images, verbose=0).argmax(axis=1)
    for method, explainer in explainers.items():
        size = SHAPE[:2] if method in OF_THE_IMAGE else (4, 4)
        assert explainer.predict_and_explain(images, right)[1].predicted.shape == (0, *size)


@pytest.mark.parametrize("method", ["layercam", "saliency"])
def test_an_explainer_uses_the_current_weights(
    method: str, images: np.ndarray, labels: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    model = MODELS["dense-softmax"]()
    explainer = GradCAM(model, method=method)
    explainer.maps(images, labels)
    model.set_weights(seeded(logits_net).get_weights())
    np.testing.assert_allclose(explainer.maps(images, labels), expected[method], atol=1e-6)


def test_high_scores_do_not_overflow(images: np.ndarray) -> None:
    model = seeded(MODELS["dense-softmax"])
    model.get_layer("head").bias.assign([200.0, 0, 0, 0, 0])
    maps = GradCAM(model, method="gradcam++").maps(images, np.zeros(len(images), int))
    assert np.isfinite(maps).all()
    assert (maps.max(axis=(1, 2)) > 1e-4).all()
    with np.errstate(all="ignore"):
        unshifted = seeded(logits_net)
        unshifted.get_layer("head").bias.assign([200.0, 0, 0, 0, 0])
        assert not np.isfinite(direct("gradcam++", unshifted, images, np.zeros(len(images), int))).any()


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [3, 3]), (5, [3, 3]), (6, [6]), (13, [12])])
def test_scorecam_masks_at_most_as_many_images_at_once_as_a_batch_has(
    batch_size: int,
    sizes: list[int],
    images: np.ndarray,
    labels: np.ndarray,
    expected: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In groups of one size: the layer has six channels."""
    found: list[int] = []

    def counting(score_cam: ScoreCam, pictures: Any, inputs: Any, maps: Any) -> Any:
        found.append(len(inputs) * maps.shape[-1])
        return masked_scores(score_cam, pictures, inputs, maps)

    masked_scores = ScoreCam._masked_scores
    monkeypatch.setattr(ScoreCam, "_masked_scores", counting)
    monkeypatch.setattr(engine(), "compiled", lambda function, _: function)
    explainer = GradCAM(seeded(logits_net), method="scorecam", batch_size=batch_size)
    np.testing.assert_allclose(explainer.maps(images, labels), expected["scorecam"], atol=1e-6)
    assert found[: len(sizes)] == sizes


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_any_precision_gives_nearly_the_same_maps(
    policy: str, images: np.ndarray, labels: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    model = chain(*trunk(policy), *head(activation="softmax"))
    model.set_weights(seeded(logits_net).get_weights())
    for method in ("gradcam++", "saliency") if policy == "mixed_bfloat16" else ("layercam",):
        found = GradCAM(model, method=method).maps(images, labels)
        assert found.dtype == np.float32
        assert np.abs(found - expected[method]).mean() < 0.01 * expected[method].max(), method


def test_the_global_precision_changes_nothing(
    explainers: dict[str, GradCAM], images: np.ndarray, labels: np.ndarray
) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = GradCAM(explainers["layercam"]._model, method="layercam").maps(images, labels)
        np.testing.assert_array_equal(found, explainers["layercam"].maps(images, labels))
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("method", ["layercam", "saliency"])
def test_a_model_that_raises_is_not_changed(method: str, images: np.ndarray, labels: np.ndarray) -> None:
    class Moody(Subclassed):
        broken = False

        def call(self, inputs: Any) -> Any:
            outputs = super().call(inputs)
            if self.broken and inputs.shape[0] is None:
                raise ArithmeticError("no")
            return outputs

    model = Moody()
    model(images[:1])
    before = snapshot(model)
    Moody.broken = True
    with pytest.raises(ArithmeticError, match="no"):
        GradCAM(model, method=method).maps(images, labels)
    assert snapshot(model) == before


def test_signed_maps_and_layers_are_refused_for_methods_without_them(explainers: dict[str, GradCAM]) -> None:
    for method, explainer in explainers.items():
        with pytest.raises(SettingsError, match=r"gradcam and hirescam have signed maps\. Received: signed=True"):
            explainer.maps(np.zeros((1, *SHAPE)), signed=True)
        if method in OF_THE_IMAGE:
            with pytest.raises(SettingsError, match=rf"'{method}' explains the image itself .* layer='last_map'"):
                GradCAM(explainer._model, "last_map", method=method)


@pytest.mark.parametrize("method", OF_THE_IMAGE)
def test_a_network_without_feature_maps_is_explained_in_the_image(
    method: str, images: np.ndarray, labels: np.ndarray
) -> None:
    model = chain(layers.Rescaling(1 / 255), *head())
    kernel = model.get_layer("head").kernel.numpy().reshape(*SHAPE, CLASSES)
    expected = np.abs(kernel[..., labels] / 255).max(axis=2).transpose(2, 0, 1)
    np.testing.assert_allclose(GradCAM(model, method=method).maps(images, labels), expected, atol=1e-7)
