"""The methods beside Grad-CAM and HiResCAM, against tf-keras-vis on networks that it supports."""

from __future__ import annotations

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
from lrdiag.explain import of_image
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.score_cam import ScoreCam

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
        noise = np.random.default_rng(of_image.SMOOTH_SEED).standard_normal((shape[0], *shape[2:]), np.float32)
        return mean + np.asarray(sigma) * noise[:, None]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_image, "SMOOTH_SAMPLES", 3)
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


def direct(method: str, model: keras.Model, images: Any, classes: np.ndarray, layer: str = "last_map") -> np.ndarray:
    """A minimal call of tf-keras-vis, on a model that it supports."""
    if isinstance(images, np.ndarray):
        images = images.astype("float32")
    score = CategoricalScore(classes.tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method in CAMS:
            settings = {"seek_penultimate_conv_layer": False, "expand_cam": False, "normalize_cam": False}
            maps = np.asarray(CAMS[method](model)(score, images, penultimate_layer=layer, **settings))
        else:
            samples = of_image.SMOOTH_SAMPLES if method == "smoothgrad" else 0
            noise = of_image.SMOOTH_NOISE
            maps = Saliency(model)(score, images, smooth_samples=samples, smooth_noise=noise, normalize_map=False)
    if method == "gradcam++":
        scores = model.predict(images, verbose=0)[np.arange(len(classes)), classes]
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
    once = layers.Identity(name="first")(shared(layers.Rescaling(1 / 255)(inputs)))
    second = layers.Identity(name="second")(shared(ops.stop_gradient(once)))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.Flatten()(layers.Add()([once, second]))))


def test_the_maps_of_a_layer_that_is_called_twice_are_added(images: np.ndarray, labels: np.ndarray) -> None:
    model = seeded(residual)
    for method in CAMS:
        expected = sum(direct(method, model, images, labels, layer) for layer in ("first", "second"))
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
    assert (heatmaps.means is None) == (method in ("scorecam", *OF_THE_IMAGE))
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
    monkeypatch.setattr("lrdiag.explain.score_cam.compiled", lambda function, _: function)
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


def two_inputs_two_outputs() -> keras.Model:
    picture, facts = keras.Input(SHAPE, name="picture"), keras.Input((2,), name="facts")
    features = layers.Conv2D(3, 3, activation="relu", name="features")(layers.Rescaling(1 / 255)(picture))
    joined = layers.Concatenate()([layers.Flatten()(features), facts])
    outputs = {name: layers.Dense(CLASSES, name=name)(joined) for name in ("animal", "colour")}
    return keras.Model({"picture": picture, "facts": facts}, outputs)


@pytest.mark.parametrize("method", ["gradcam++", "layercam", "saliency"])
def test_several_inputs_and_outputs(method: str, images: np.ndarray, labels: np.ndarray) -> None:
    model = seeded(two_inputs_two_outputs)
    inputs = {"picture": images, "facts": np.random.default_rng(2).normal(size=(7, 2))}
    given = [inputs[each.name].astype("float32") for each in model.inputs]
    place = [each.name for each in model.inputs].index("picture")
    found = {}
    for output in ("animal", "colour"):
        found[output] = GradCAM(model, method=method, output=output).maps(inputs, labels)
        one_output = keras.Model(model.inputs, model.get_layer(output).output)
        if method == "saliency":
            expected = Saliency(one_output)(CategoricalScore(labels.tolist()), given, normalize_map=False)[place]
        else:
            expected = direct(method, one_output, given, labels, layer="features")
        np.testing.assert_allclose(found[output], expected, atol=1e-6)
    assert not np.allclose(found["animal"], found["colour"], atol=1e-6)


def siamese() -> keras.Model:
    inputs = [keras.Input(SHAPE, name=name) for name in ("one", "other")]
    shared = layers.Conv2D(3, 3, activation="relu", name="features")
    both = [layers.Flatten()(shared(each / 255.0)) for each in inputs]
    return keras.Model(inputs, layers.Dense(CLASSES, name="head")(layers.Concatenate()(both)))


def of_one_image(model: keras.Model, pair: list[np.ndarray], place: int) -> keras.Model:
    """The siamese model of one of its images, while the other is constant."""
    half = [layers.Rescaling(1 / 255), layers.Conv2D(3, 3, activation="relu", name="last_map"), layers.Flatten()]
    alone = chain(*half, layers.Dense(CLASSES))
    kernel, bias = model.get_layer("head").get_weights()
    kernels = np.split(kernel, 2)
    *weights, _, _ = [*model.get_layer("features").get_weights(), None, None]
    alone.set_weights([*weights, kernels[place], bias])
    constant = keras.Model(alone.inputs, alone.layers[-2].output)(pair[1 - place]).numpy()
    alone.set_weights([*weights, kernels[place], bias + (constant @ kernels[1 - place])[0]])
    return alone


@pytest.mark.parametrize("method", METHODS)
def test_each_of_two_images_is_explained_as_if_the_other_were_constant(method: str, images: np.ndarray) -> None:
    model, pair, label = seeded(siamese), [images[:1], images[1:2]], np.array([2])
    explainer = GradCAM(model, method=method)
    assert explainer.plan is not None
    names = [[picture.name for picture in each.pictures] for each in explainer.plan.maps]
    assert names == [["input 'one'"], ["input 'other'"]]
    found = np.split(explainer.maps(pair, label), 2, axis=1)
    for place in (0,) if method == "smoothgrad" else (0, 1):  # the noise of the second image is another one
        expected = direct(method, of_one_image(model, pair, place), pair[place], label)
        assert expected.max() > 1e-5
        np.testing.assert_allclose(found[place], expected, atol=1e-6)


@pytest.mark.parametrize("method", [*CAMS, "saliency"])
def test_each_frame_is_explained_as_if_the_others_were_constant(method: str, images: np.ndarray) -> None:
    """The scores are the mean of those of the frames."""
    single, frames, label = seeded(logits_net), images[np.newaxis, :2], np.array([2])
    video = keras.Input((2, *SHAPE))
    model = keras.Model(video, layers.GlobalAveragePooling1D()(layers.TimeDistributed(single)(video)))
    found = np.split(GradCAM(model, method=method).maps(frames, label), 2, axis=1)
    kernel, bias = single.get_layer("head").get_weights()
    constants = single.predict(images[1::-1], verbose=0)
    for place, constant in enumerate(constants):
        single.get_layer("head").set_weights([kernel / 2, bias / 2 + constant / 2])
        np.testing.assert_allclose(found[place], direct(method, single, frames[:, place], label), atol=1e-6)


CHANNELS_ELSEWHERE: dict[str, tuple[Callable[[], list[Any]], Callable[[np.ndarray], np.ndarray], int]] = {
    "first": (
        lambda: [
            keras.Input((3, 8, 8)),
            layers.ZeroPadding2D(0, data_format="channels_first"),
            layers.Permute((2, 3, 1)),
        ],
        lambda images: np.moveaxis(images, -1, 1),
        3,
    ),
    "none": (lambda: [keras.Input((8, 8)), layers.Reshape((8, 8, 1))], lambda images: images[..., 0], 1),
}


@pytest.mark.parametrize("method", ["scorecam", *OF_THE_IMAGE])
@pytest.mark.parametrize("channels", CHANNELS_ELSEWHERE)
def test_the_channels_may_come_first_or_be_missing(
    channels: str, method: str, images: np.ndarray, labels: np.ndarray
) -> None:
    before, convert, count = CHANNELS_ELSEWHERE[channels]
    images = images[..., :count]
    parts = [layers.Rescaling(1 / 255), layers.Conv2D(3, 3, activation="relu", name="last_map"), *head()]
    plain = seeded(lambda: keras.Sequential([keras.Input((8, 8, count)), *parts]))
    model = keras.Sequential([*before(), *plain.layers])
    found = GradCAM(model, method=method).maps(convert(images), labels)
    if method == "smoothgrad" and channels == "first":  # another order of the same noise
        assert found.shape == (7, 8, 8)
    else:
        np.testing.assert_allclose(found, direct(method, plain, images, labels), atol=1e-6)


@pytest.mark.parametrize("method", ["scorecam", *OF_THE_IMAGE])
def test_numbers_are_no_image(method: str) -> None:
    model = keras.Sequential([keras.Input((192,)), layers.Reshape(SHAPE), layers.Conv2D(3, 3), *head()])
    with pytest.raises(ModelError, match=rf"'{method}' needs images.*Received: input of shape \('n', 192\)"):
        GradCAM(model, method=method)


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
        with pytest.raises(ModelError, match="No gradient flows from the scores to the image \\(input "):
            GradCAM(model, method=method).maps(images, labels)


class ByType(Subclassed):
    """Scales integers from 0–255 and floats from 0–1, as `tf.image.convert_image_dtype` does."""

    def call(self, inputs: Any) -> Any:
        scale = 1 if "int" in str(inputs.dtype) else 255
        return super().call(ops.cast(inputs, "float32") * scale)


@pytest.mark.parametrize("method", METHODS)
def test_integers_that_the_model_scores_differently_as_floats(
    method: str, images: np.ndarray, labels: np.ndarray
) -> None:
    """Only integers have no gradient. Score-CAM rounds the masked images."""
    explainer = GradCAM(seeded(ByType), method=method)
    of_floats = explainer.maps((images / 255).astype("float32"), labels)
    assert of_floats.max() > 1e-5
    if method in OF_THE_IMAGE:
        with pytest.raises(ModelError, match=rf"'{method}' needs the gradient with .* integers .*type uint8\. \"grad"):
            explainer.maps(images, labels)
    else:
        tolerance = 0.01 if method == "scorecam" else 1e-5
        assert np.abs(explainer.maps(images, labels) - of_floats).max() < tolerance * of_floats.max()


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
