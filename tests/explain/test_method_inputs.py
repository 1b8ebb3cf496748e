"""The methods beside Grad-CAM and HiResCAM on several images, other layouts and other data types of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from fixtures.peer import (
    CLASSES,
    METHODS,
    OF_THE_IMAGE,
    SHAPE,
    CategoricalScore,
    Saliency,
    Subclassed,
    chain,
    direct,
    head,
    logits_net,
    seeded,
    trunk,
)
from keras import layers, ops

from lrdiag.errors import ModelError
from lrdiag.explain.gradcam import GradCAM

pytestmark = pytest.mark.usefixtures("eager_passes")


def residual(between: Callable[[Any], Any] = lambda features: features) -> keras.Model:
    """One convolution that is called twice, and a connection around its second call."""
    inputs = keras.Input(SHAPE)
    shared = layers.Conv2D(3, 3, padding="same", activation="relu", name="shared")
    first = layers.Identity(name="first")(shared(layers.Rescaling(1 / 255)(inputs)))
    second = layers.Identity(name="second")(shared(between(first)))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.Flatten()(layers.Add()([first, second]))))


@pytest.mark.parametrize("method", ["layercam", "scorecam"])
def test_the_maps_of_a_layer_that_is_called_twice_are_added(
    method: str, images: np.ndarray, labels: np.ndarray
) -> None:
    """The first call is explained along the paths around the second."""
    model, around = seeded(residual), seeded(residual, ops.stop_gradient)
    expected = direct(method, model, images, labels, "second") + direct(method, around, images, labels, "first")
    np.testing.assert_allclose(GradCAM(model, "shared", method=method).maps(images, labels), expected, atol=1e-6)


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
    constant = keras.Model(alone.inputs[0], alone.layers[-2].output)(pair[1 - place]).numpy()
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


@pytest.mark.parametrize("method", ["layercam", "scorecam", "saliency"])
def test_each_frame_is_explained_as_if_the_others_were_constant(method: str, images: np.ndarray) -> None:
    """The scores are the mean of those of the frames."""
    single, frames, label = seeded(logits_net), images[np.newaxis, :2], np.array([2])
    video = keras.Input((2, *SHAPE))
    model = keras.Model(video, layers.GlobalAveragePooling1D()(layers.TimeDistributed(single)(video)))
    found = np.split(GradCAM(model, method=method).maps(frames, label), 2, axis=1)
    kernel, bias = single.get_layer("head").get_weights()
    constants = np.asarray(single(images[1::-1]))
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
