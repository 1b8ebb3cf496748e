"""The methods of tf-keras-vis, against direct calls of it on networks that it supports."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from lrdiag.backend.graph import parts
from lrdiag.errors import ModelError, SettingsError
from lrdiag.explain import keras_vis as borrowed
from lrdiag.explain.gradcam import GradCAM

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.scores import CategoricalScore

CAMS = {"gradcam++": GradcamPlusPlus, "layercam": Layercam, "scorecam": Scorecam}
OF_THE_IMAGE = ("saliency", "smoothgrad")
METHODS = (*CAMS, *OF_THE_IMAGE)
SHAPE = (8, 8, 3)
CLASSES = 5

Builder = Callable[[], keras.Model]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(7, *SHAPE), dtype="uint8")


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, CLASSES, size=7)


@pytest.fixture(autouse=True)
def no_warning() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(autouse=True, scope="module")
def few_samples_of_one_noise() -> Iterator[None]:
    """Gives tf-keras-vis, which draws from NumPy's global generator, the noise that lrdiag draws."""

    def normal(mean: float, sigma: Any, shape: tuple[int, ...]) -> np.ndarray:
        noise = np.random.default_rng(borrowed.SMOOTH_SEED).standard_normal((shape[0], *shape[2:]), np.float32)
        return mean + np.asarray(sigma) * noise[:, None]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(borrowed, "SMOOTH_SAMPLES", 3)
        patch.setattr(np.random, "normal", normal)
        yield


def trunk(dtype: str = "float32") -> list[Any]:
    return [
        layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[4000.0, 4200.0, 4400.0], dtype=dtype),
        layers.Conv2D(4, 3, padding="same", activation="relu", dtype=dtype),
        layers.MaxPooling2D(dtype=dtype),
        layers.Conv2D(6, 3, padding="same", activation="relu", name="earlier_map", dtype=dtype),
        layers.Conv2D(6, 3, padding="same", activation="relu", name="last_map", dtype=dtype),
        layers.Dropout(0.5, dtype=dtype),
    ]


def head(units: int = CLASSES, activation: str | None = None) -> list[Any]:
    return [layers.Flatten(), layers.Dense(units, activation=activation, name="head")]


def chain(*parts: Any, name: str | None = None) -> keras.Sequential:
    return keras.Sequential([keras.Input(SHAPE), *parts], name=name)


def seeded(build: Callable[..., keras.Model], *arguments: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    return build(*arguments)


def logits_net() -> keras.Model:
    """A flat model that returns logits, as tf-keras-vis needs."""
    return chain(*trunk(), *head())


def nested() -> keras.Model:
    backbone = chain(chain(*trunk(), name="inner"), name="backbone")
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(backbone(inputs))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(CLASSES, name="head")(flat)))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.parts = chain(*trunk(), *head(activation="softmax")).layers

    def call(self, inputs: Any) -> Any:
        for part in self.parts:
            inputs = part(inputs)
        return inputs


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


def direct(
    method: str, model: keras.Model, images: np.ndarray, classes: np.ndarray, layer: str = "last_map"
) -> np.ndarray:
    """A minimal call of tf-keras-vis, on a model that it supports."""
    images, score = images.astype("float32"), CategoricalScore(classes.tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method in CAMS:
            settings = {"seek_penultimate_conv_layer": False, "expand_cam": False, "normalize_cam": False}
            maps = np.asarray(CAMS[method](model)(score, images, penultimate_layer=layer, **settings))
        else:
            samples = borrowed.SMOOTH_SAMPLES if method == "smoothgrad" else 0
            noise = borrowed.SMOOTH_NOISE
            maps = Saliency(model)(score, images, smooth_samples=samples, smooth_noise=noise, normalize_map=False)
    if method == "gradcam++":
        scores = model.predict(images, verbose=0)[np.arange(len(images)), classes]
        maps = maps / np.exp(scores)[:, None, None]
    return np.asarray(maps)


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


def residual() -> keras.Model:
    """One convolution that is called twice, and a connection around its second call."""
    inputs = keras.Input(SHAPE)
    shared = layers.Conv2D(3, 3, padding="same", activation="relu", name="shared")
    once = shared(layers.Rescaling(1 / 255)(inputs))
    second = layers.Identity(name="second")(shared(once))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.Flatten()(layers.Add()([once, second]))))


def test_a_layer_that_is_called_twice_is_explained_at_its_last_call(images: np.ndarray, labels: np.ndarray) -> None:
    model = seeded(residual)
    for method in ("layercam", "scorecam"):
        expected = direct(method, model, images, labels, layer="second")
        found = GradCAM(model, "shared", method=method).maps(images, labels)
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=method)


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


def test_scorecam_masks_a_limited_number_of_images_at_once(
    images: np.ndarray, labels: np.ndarray, explainers: dict[str, GradCAM], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = explainers["scorecam"].maps(images, labels)
    at_once: list[int] = []

    class Counting(Scorecam):
        def __call__(self, score: Any, seed_input: Any, **settings: Any) -> Any:
            at_once.append(len(seed_input[0]))
            return super().__call__(score, seed_input, **settings)

    monkeypatch.setattr(borrowed, "Scorecam", Counting)
    for masks, counts in ((3 * 6, [3, 3, 1]), (1, [1] * 7)):
        monkeypatch.setattr(borrowed, "MASKED_BYTES", masks * images[0].size * 4)
        at_once.clear()
        np.testing.assert_allclose(explainers["scorecam"].maps(images, labels), expected, atol=1e-6)
        assert at_once == counts


def test_scorecam_predicts_in_batches_and_prints_nothing(
    images: np.ndarray, labels: np.ndarray, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = GradCAM(seeded(logits_net), method="scorecam", batch_size=5)
    explainer.maps(images, labels)
    (model,) = explainer._engine._models.values()
    sizes: list[int] = []
    monkeypatch.setattr(
        model, "call", lambda arrays, call=model.call, **_: sizes.append(len(arrays[0])) or call(arrays)
    )
    explainer.maps(images[:2], labels[:2])
    assert sizes == [5, 5, 2]  # two images, six channels
    assert capsys.readouterr() == ("", "")


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


def two_inputs_two_outputs() -> keras.Model:
    picture, facts = keras.Input(SHAPE, name="picture"), keras.Input((2,), name="facts")
    features = layers.Conv2D(3, 3, activation="relu", name="features")(layers.Rescaling(1 / 255)(picture))
    joined = layers.Concatenate()([layers.Flatten()(features), facts])
    outputs = {name: layers.Dense(CLASSES, name=name)(joined) for name in ("animal", "colour")}
    return keras.Model({"picture": picture, "facts": facts}, outputs)


@pytest.mark.parametrize("method", ["gradcam++", "layercam"])
def test_several_inputs_and_outputs(method: str, images: np.ndarray, labels: np.ndarray) -> None:
    model = seeded(two_inputs_two_outputs)
    inputs = {"picture": images, "facts": np.random.default_rng(2).normal(size=(7, 2))}
    found = {}
    for output in ("animal", "colour"):
        found[output] = GradCAM(model, method=method, output=output).maps(inputs, labels)
        classes = labels.tolist()
        tape_model = keras.Model(model.inputs, model.get_layer(output).output)
        expected = CAMS[method](tape_model)(
            lambda scores, classes=classes: (
                CategoricalScore(classes)(scores) - ops.stop_gradient(CategoricalScore(classes)(scores))
            ),
            [inputs[name].astype("float32") for name in (each.name for each in model.inputs)],
            penultimate_layer="features",
            expand_cam=False,
            normalize_cam=False,
        )
        np.testing.assert_allclose(found[output], expected, atol=1e-6)
    assert not np.allclose(found["animal"], found["colour"], atol=1e-6)


@pytest.mark.parametrize("method", ["scorecam", *OF_THE_IMAGE])
def test_methods_that_change_the_image_need_one_image(method: str, images: np.ndarray) -> None:
    several = GradCAM(two_inputs_two_outputs(), method=method, output="animal")
    with pytest.raises(ModelError, match=rf"'{method}' needs a model of one input.*'n', 2.*\"hirescam\" explain every"):
        several.maps({"picture": images, "facts": np.zeros((7, 2))})
    flat = keras.Sequential([keras.Input((8, 8)), layers.Reshape((8, 8, 1)), layers.Conv2D(3, 3), *head()])
    with pytest.raises(ModelError, match=r"\('n', 8, 8\)"):
        GradCAM(flat, method=method).maps(images[..., 0])
    padding = layers.ZeroPadding2D(data_format="channels_first")
    turned = keras.Sequential(
        [keras.Input((3, 8, 8)), padding, layers.Permute((2, 3, 1)), layers.Conv2D(3, 3), *head()]
    )
    with pytest.raises(ModelError, match=r"\(n, height, width, channels\)"):
        GradCAM(turned, method=method).maps(np.moveaxis(images, -1, 1))


class Rounding(layers.Layer):
    def call(self, inputs: Any) -> Any:
        return ops.cast(ops.cast(inputs, "int32"), "float32") / 255


def test_a_model_that_rounds_its_images_is_explained_at_a_layer(images: np.ndarray, labels: np.ndarray) -> None:
    model, smooth = (
        seeded(lambda first=first: chain(first, *trunk()[1:], *head()))
        for first in (Rounding(), layers.Rescaling(1 / 255))
    )
    smooth.set_weights(model.get_weights())
    found = GradCAM(model, method="layercam").maps(images, labels)
    np.testing.assert_allclose(found, direct("layercam", smooth, images, labels), atol=1e-6)
    for method in OF_THE_IMAGE:
        with pytest.raises(ModelError, match="No gradient flows from the scores to the image"):
            GradCAM(model, method=method).maps(images, labels)


class ByType(Subclassed):
    """Scales integers from 0–255 and floats from 0–1, as `tf.image.convert_image_dtype` does."""

    def call(self, inputs: Any) -> Any:
        scale = 1 if "int" in str(inputs.dtype) else 255
        return super().call(ops.cast(inputs, "float32") * scale)


@pytest.mark.parametrize("method", ["gradcam++", "saliency"])
def test_integers_are_refused_if_the_model_scores_floats_differently(
    method: str, images: np.ndarray, labels: np.ndarray
) -> None:
    with pytest.raises(
        ModelError,
        match=rf"'{re.escape(method)}' passes images .* as floats.*than as uint8",
    ):
        GradCAM(ByType(), method=method).maps(images, labels)
    assert GradCAM(ByType(), method=method).maps(images / 255, labels).max() > 0


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


def test_tf_keras_vis_is_imported_when_it_is_used(
    explainers: dict[str, GradCAM], images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("tf_keras_vis", "lrdiag.explain.keras_vis"))]:
        monkeypatch.delitem(sys.modules, name)
    model = explainers["layercam"]._model
    GradCAM(model, method="hirescam").maps(images)
    assert "tf_keras_vis" not in sys.modules
    GradCAM(model, method="layercam")
    assert "tf_keras_vis" in sys.modules
