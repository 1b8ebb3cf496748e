"""Every kind of model and of image, against one net whose layers they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from lrdiag.errors import DataError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.record.arrays import LabelledImages

L = keras.layers
SHAPE = (8, 8, 3)
pytestmark = pytest.mark.usefixtures("eager_passes")


# --- the same layers in other models ----------------------------------------------------------------------------------


class Wrapped(keras.Model):
    """Calls layers and models in sequence, as a training script might."""

    def __init__(self, *parts: Any) -> None:
        super().__init__()
        self.parts = list(parts)

    def call(self, inputs: Any) -> Any:
        for part in self.parts:
            inputs = part(inputs)
        return inputs


def stacked(*parts: Any, name: str | None = None, shape: tuple[int | None, ...] = SHAPE) -> keras.Sequential:
    return keras.Sequential([keras.Input(shape), *parts], name=name)


def chained(*parts: Any) -> keras.Model:
    inputs = outputs = keras.Input(SHAPE)
    for part in parts:
        outputs = part(outputs)
    return keras.Model(inputs, outputs)


def named(model: keras.Model, name: str) -> keras.Model:
    model.name = name
    return model


def adapted() -> L.Normalization:
    """Mean 127.5 and deviation 127.5, learned."""
    layer = L.Normalization(axis=None)
    layer.adapt(np.array([[0.0], [255.0]], "float32"))
    return layer


def with_its_input_in_a_list(model: keras.Model) -> keras.Model:
    return keras.Model([model.input], model.output)


Build = Callable[[Any, list[Any], list[Any]], keras.Model]
FLAT_NETS: dict[str, Build] = {
    "functional": lambda scale, trunk, head: chained(scale, *trunk, *head),
    "sequential-built-by-its-first-images": lambda scale, trunk, head: keras.Sequential([scale, *trunk, *head]),
    "subclassed": lambda scale, trunk, head: Wrapped(scale, *trunk, *head),
    "its-input-in-a-list": lambda scale, trunk, head: with_its_input_in_a_list(chained(scale, *trunk, *head)),
    "normalization": lambda scale, trunk, head: stacked(L.Normalization(None, 127.5, 127.5**2), *trunk, *head),
    "adapted-normalization": lambda scale, trunk, head: stacked(adapted(), *trunk, *head),
    "lambda": lambda scale, trunk, head: stacked(L.Lambda(lambda x: x / 127.5 - 1), *trunk, *head),
    "bare-operations": lambda scale, trunk, head: chained(lambda x: x / 127.5 - 1, *trunk, *head, ops.softmax),
    "augmentation": lambda scale, trunk, head: stacked(
        L.RandomFlip(), L.RandomRotation(0.2), L.RandomZoom(0.2), scale, L.GaussianNoise(0.5), *trunk, *head
    ),
    "nested-augmentation": lambda scale, trunk, head: chained(
        stacked(L.RandomFlip(), L.RandomContrast(0.9)), scale, *trunk, L.SpatialDropout2D(0.5), *head
    ),
}
NESTED_NETS: dict[str, Build] = {
    "sequential-in-functional": lambda scale, trunk, head: chained(scale, stacked(*trunk, name="trunk"), *head),
    "functional-in-sequential": lambda scale, trunk, head: stacked(scale, named(chained(*trunk), "trunk"), *head),
    "sequential-in-subclassed": lambda scale, trunk, head: Wrapped(scale, stacked(*trunk, name="trunk"), *head),
    "subclassed-in-sequential": lambda scale, trunk, head: stacked(scale, named(Wrapped(*trunk), "trunk"), *head),
    "two-deep": lambda scale, trunk, head: chained(
        named(chained(scale, stacked(*trunk, name="trunk")), "backbone"), stacked(*head, L.Softmax(), shape=(4, 4, 6))
    ),
}


@pytest.fixture(scope="module")
def shared_layers(logits_net: keras.Model) -> tuple[Any, list[Any], list[Any]]:
    rescaling, *trunk = logits_net.layers[:-2]
    return rescaling, trunk, logits_net.layers[-2:]


@pytest.mark.parametrize("build", FLAT_NETS.values(), ids=FLAT_NETS)
def test_every_kind_of_model_has_the_same_maps(
    build: Build, shared_layers: Any, noise: LabelledImages, signed_maps: np.ndarray
) -> None:
    explainer = GradCAM(build(*shared_layers))
    np.testing.assert_allclose(explainer.maps(noise.images, noise.labels, signed=True), signed_maps, atol=1e-7)
    assert explainer.layer == "last_map"


@pytest.mark.parametrize("build", NESTED_NETS.values(), ids=NESTED_NETS)
def test_nested_models_have_the_same_maps(
    build: Build, shared_layers: Any, noise: LabelledImages, signed_maps: np.ndarray
) -> None:
    explainer = GradCAM(build(*shared_layers))
    np.testing.assert_allclose(explainer.maps(noise.images, noise.labels, signed=True), signed_maps, atol=1e-7)
    assert (explainer.layer or "").removeprefix("backbone/") == "trunk/last_map"


def test_a_model_that_creates_its_layers_when_called_is_explained(noise: LabelledImages) -> None:
    class Late(keras.Model):
        def build(self, shape: Any) -> None:
            self.convolution, self.head = L.Conv2D(4, 3, name="wanted"), L.Dense(5)
            self.convolution.build(shape)
            self.head.build((None, 4))
            super().build(shape)

        def call(self, inputs: Any) -> Any:
            return self.head(ops.mean(self.convolution(inputs), axis=(1, 2)))

    explainer = GradCAM(Late())
    assert explainer.maps(noise.images.astype("float32")).shape == (23, 6, 6)
    assert explainer.layer == "wanted"


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_the_dtype_of_the_images_changes_nothing(
    explainer: GradCAM, noise: LabelledImages, signed_maps: np.ndarray, dtype: str
) -> None:
    """Those of `noise` are `uint8`."""
    maps = explainer.maps(noise.images.astype(dtype), noise.labels, signed=True)
    np.testing.assert_allclose(maps, signed_maps, atol=1e-7)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_a_model_with_another_input_dtype_is_explained(
    shared_layers: Any, noise: LabelledImages, signed_maps: np.ndarray, dtype: str
) -> None:
    scale, trunk, head = shared_layers
    model = keras.Sequential([keras.Input(SHAPE, dtype=dtype), scale, *trunk, *head])
    maps = GradCAM(model).maps(noise.images.astype(dtype), noise.labels, signed=True)
    np.testing.assert_allclose(maps, signed_maps, atol=1e-7)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_may_have_any_number_of_channels(channels: int, feature_maps: Callable, closed_form: Callable) -> None:
    keras.utils.set_random_seed(channels)
    images = np.random.default_rng(0).integers(0, 256, size=(4, 9, 7, channels), dtype="uint8")
    layers = [L.Rescaling(1 / 255), L.Conv2D(6, 3, activation="relu", name="map"), L.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((9, 7, channels)), *layers, L.Dense(5, activation="softmax", name="head")])
    maps = GradCAM(model).maps(images, [0, 1, 2, 4], signed=True)
    weighted = closed_form(feature_maps(model, "map", images), model.get_layer("head").kernel, [0, 1, 2, 4])
    assert maps.shape == (4, 7, 5)
    np.testing.assert_allclose(maps, weighted, atol=1e-7)


@pytest.fixture(scope="module")
def any_size() -> keras.Model:
    keras.utils.set_random_seed(0)
    convolution = L.Conv2D(6, 3, activation="relu", name="map")
    return stacked(
        L.Rescaling(1 / 255), convolution, L.GlobalAveragePooling2D(), L.Dense(5, name="head"), shape=(None, None, 3)
    )


def test_one_explainer_takes_images_of_several_sizes(
    any_size: keras.Model, feature_maps: Callable, closed_form: Callable
) -> None:
    explainer = GradCAM(any_size)
    assert explainer.layer is None, "before the first images"
    generator = np.random.default_rng(0)
    for height, width in ((8, 8), (12, 6), (8, 8)):
        images = generator.integers(0, 256, size=(3, height, width, 3), dtype="uint8")
        maps = explainer.maps(images, [0, 1, 2], signed=True)
        weighted = closed_form(feature_maps(any_size, "map", images), any_size.get_layer("head").kernel, [0, 1, 2])
        assert maps.shape == (3, height - 2, width - 2)
        np.testing.assert_allclose(maps, weighted, atol=1e-7)
    assert explainer.layer == "map"


def test_images_of_two_sizes_in_one_pass_are_refused(any_size: keras.Model) -> None:
    batches = [(np.zeros((2, size, size, 3), "uint8"), [0, 1]) for size in (8, 12)]
    with pytest.raises(DataError, match=r"All images must have one size.*Received: .*\(6, 6\).*\(10, 10\)"):
        GradCAM(any_size).predict_and_explain(batches)


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mixed_precision", "error"),
    [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)],
    indirect=["mixed_precision"],
)
def test_half_precision_gives_nearly_the_same_maps(
    mixed_precision: str, error: float, noise: LabelledImages, signed_maps: np.ndarray, shared_layers: Any
) -> None:
    """They are precise to two or three digits, and `float32`."""
    scale, trunk, head = (
        [type(layer).from_config(layer.get_config() | {"dtype": mixed_precision}) for layer in part]
        for part in ([shared_layers[0]], *shared_layers[1:])
    )
    model = stacked(*scale, *trunk, *head, L.Softmax())
    model.set_weights([weight for part in shared_layers[1:] for layer in part for weight in layer.get_weights()])
    predictions, heatmaps = GradCAM(model).predict_and_explain(noise)
    assert model.get_layer("last_map").compute_dtype == mixed_precision.removeprefix("mixed_")
    assert heatmaps.signed_true.dtype == np.float32
    difference = np.abs(heatmaps.signed_true - signed_maps[heatmaps.indices]).max()
    assert 0 < difference < error * np.abs(signed_maps).max()
    assert np.isfinite(predictions.log_probabilities).all()


# --- several inputs ---------------------------------------------------------------------------------------------------


def image_and_numbers(structure: Callable[[Any, Any], Any]) -> keras.Model:
    keras.utils.set_random_seed(0)
    image, numbers = keras.Input(SHAPE, name="image"), keras.Input((2,), name="numbers")
    features = L.Conv2D(6, 3, activation="relu", name="map")(L.Rescaling(1 / 255)(image))
    joined = L.Concatenate()([L.Dense(3)(numbers), L.GlobalAveragePooling2D()(features)])
    scores = L.Dense(5, activation="softmax", name="head")(joined)
    return keras.Model(structure(image, numbers), scores, name="inner")


class ImageAndNumbers(keras.Model):
    """Takes a dictionary."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def call(self, inputs: Any) -> Any:
        return self.model([inputs["image"], inputs["numbers"]])


@pytest.mark.parametrize(
    ("structure", "subclass"),
    [
        (lambda image, numbers: {"image": image, "numbers": numbers}, None),
        (lambda image, numbers: [image, numbers], None),
        (lambda image, numbers: [image, numbers], ImageAndNumbers),
    ],
    ids=["dict", "list", "dict-subclassed"],
)
def test_a_model_may_have_several_inputs(structure: Any, subclass: Any, noise: LabelledImages) -> None:
    inner = image_and_numbers(structure)
    model = subclass(inner) if subclass else inner
    numbers = np.random.default_rng(0).normal(size=(23, 2)).astype("float32")
    arranged = {"image": noise.images, "numbers": numbers} if subclass else structure(noise.images, numbers)
    explainer = GradCAM(model, batch_size=10)
    predictions, heatmaps = explainer.predict_and_explain(arranged, noise.labels)
    assert heatmaps.layer == ("inner/map" if subclass else "map")
    probabilities = keras.ops.convert_to_numpy(model(arranged, training=False))
    np.testing.assert_allclose(np.exp(predictions.log_probabilities), probabilities, atol=1e-6)
    rescaled = L.Rescaling(1 / 255)(noise.images)
    kernel = np.asarray(inner.get_layer("head").kernel)[3:, noise.labels]
    signed = np.einsum("nhwk,kn->nhw", np.asarray(inner.get_layer("map")(rescaled)), kernel) / 36
    np.testing.assert_allclose(heatmaps.signed_true, signed[heatmaps.indices], atol=1e-7)


def test_the_other_input_changes_the_predictions(noise: LabelledImages) -> None:
    model = image_and_numbers(lambda image, numbers: [image, numbers])
    explainer = GradCAM(model)
    (small, _), (large, _) = (
        explainer.predict_and_explain([noise.images, np.full((23, 2), number)], noise.labels) for number in (0, 9)
    )
    assert np.abs(small.log_probabilities - large.log_probabilities).max() > 0.1


def test_inputs_may_be_a_dictionary_or_a_list(noise: LabelledImages) -> None:
    model = image_and_numbers(lambda image, numbers: {"image": image, "numbers": numbers})
    explainer, numbers = GradCAM(model), np.ones((23, 2), "float32")
    named = explainer.maps({"image": noise.images, "numbers": numbers}, noise.labels)
    with pytest.warns(UserWarning, match="structure of `inputs`"):
        listed = explainer.maps([noise.images, numbers], noise.labels)
    np.testing.assert_array_equal(named, listed)


def test_an_input_may_be_an_integer_index(noise: LabelledImages) -> None:
    image, place = keras.Input(SHAPE), keras.Input((), dtype="int32")
    features = L.GlobalAveragePooling2D()(L.Conv2D(6, 3, name="map")(image / 255.0))
    model = keras.Model([image, place], L.Dense(5)(L.Concatenate()([features, L.Embedding(2, 3)(place)])))
    explainer = GradCAM(model)
    assert explainer.layer == "map"
    assert explainer.maps([noise.images, np.arange(23, dtype="int32") % 2], noise.labels).shape == (23, 6, 6)


# --- channels first ---------------------------------------------------------------------------------------------------


def test_channels_first_maps_are_the_same(noise: LabelledImages) -> None:
    """Separable convolutions support channels first on a CPU."""

    def build(data_format: str) -> keras.Model:
        last = data_format == "channels_last"
        arranged = [] if last else [L.Permute((3, 1, 2))]
        layers = [
            L.SeparableConv2D(4, 3, data_format=data_format),
            L.SeparableConv2D(6, 3, data_format=data_format),
            L.BatchNormalization(axis=-1 if last else 1),
            L.ReLU(name="map"),
            L.AveragePooling2D((2, 1), data_format=data_format, name="pool"),
            L.Flatten(data_format=data_format),
            L.Dense(5),
        ]
        return stacked(L.Rescaling(1 / 255), *arranged, *layers, shape=(8, 10, 3))

    images = np.random.default_rng(0).integers(0, 256, size=(4, 8, 10, 3), dtype="uint8")
    last, first = build("channels_last"), build("channels_first")
    first.set_weights(last.get_weights())
    for layer, method, shape in ((None, "gradcam", (4, 4, 6)), ("pool", "hirescam", (4, 2, 6))):
        (one, expected), (other, maps) = (
            (explainer.layer, explainer.maps(images, [0, 1, 2, 3], signed=True))
            for explainer in (GradCAM(model, layer, method=method) for model in (last, first))
        )
        assert one == other == (layer or "map")
        assert maps.shape == shape
        np.testing.assert_allclose(maps, expected, atol=1e-7)


def test_the_data_format_defaults_to_that_of_keras() -> None:
    keras.config.set_image_data_format("channels_first")
    try:
        convolution = L.SeparableConv2D(6, 3)
        model = stacked(convolution, L.GlobalAveragePooling2D(), L.Dense(5), shape=(3, 8, 9))
        explainer = GradCAM(model)
        assert explainer.maps(np.zeros((2, 3, 8, 9), "float32")).shape == (2, 6, 7)
    finally:
        keras.config.set_image_data_format("channels_last")
