"""Which layer is explained."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from lrdiag.errors import ModelError
from lrdiag.explain import layers
from lrdiag.explain.gradcam import GradCAM

CLASSES = 5
L = keras.layers
pytestmark = pytest.mark.usefixtures("eager_passes")


def choose(*layers: Any) -> str | None:
    """The layer that is explained in a net of these layers; a dense head is added if they have none."""
    has_head = isinstance(layers[-1], L.Dense | L.Softmax)
    head = [] if has_head else [L.GlobalAveragePooling2D(), L.Dense(CLASSES)]
    return GradCAM(keras.Sequential([keras.Input((16, 16, 3)), *layers, *head])).layer


# --- by itself --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "after",
    [
        lambda: [L.MaxPooling2D()],
        lambda: [L.AveragePooling2D(2)],
        lambda: [L.Dropout(0.1), L.SpatialDropout2D(0.1)],
        lambda: [L.ZeroPadding2D(), L.Cropping2D()],
        lambda: [L.UpSampling2D()],
        lambda: [L.Identity(), L.RandomFlip()],
        lambda: [L.LayerNormalization()],
        lambda: [L.Conv2D(7, 16)],
        lambda: [L.Conv2D(CLASSES, 1), L.AveragePooling2D(16), L.Flatten(), L.Softmax()],
        lambda: [L.SeparableConv2D(CLASSES, 1), L.GlobalMaxPooling2D(), L.Softmax()],
        lambda: [L.Conv2D(CLASSES, 1), L.BatchNormalization(), L.ReLU(), L.GlobalMaxPooling2D(), L.Softmax()],
        lambda: [L.Dense(CLASSES), L.GlobalAveragePooling2D(), L.Softmax()],
    ],
    ids=[
        "max", "average", "dropout", "padding", "upsampling", "identity", "normalization", "one-pixel", "logit-map",
        "separable-logit-map", "activated-logit-map", "dense-logit-map",
    ],
)  # fmt: skip
def test_layers_that_only_move_or_rescale_a_map_are_skipped(after: Any) -> None:
    assert choose(L.Conv2D(4, 3, padding="same"), L.ReLU(name="wanted"), *after()) == "wanted"


@pytest.mark.parametrize(
    "last",
    [
        lambda: L.Conv2D(6, 3, name="wanted"),
        lambda: L.DepthwiseConv2D(3, name="wanted"),
        lambda: L.SeparableConv2D(6, 3, name="wanted"),
        lambda: L.Conv2DTranspose(6, 3, name="wanted"),
        lambda: L.BatchNormalization(name="wanted"),
        lambda: L.LeakyReLU(name="wanted"),
        lambda: L.Activation("gelu", name="wanted"),
        lambda: L.Lambda(ops.square, name="wanted"),
    ],
)
def test_the_last_feature_map_is_explained_after_its_activation(last: Any) -> None:
    assert choose(L.Conv2D(4, 3), last()) == "wanted"


def test_an_activation_layer_inside_a_convolution_is_explained() -> None:
    """The convolution that holds it is still recognised as a convolution."""
    assert choose(L.Conv2D(4, 3, activation=L.LeakyReLU(name="leaky"), name="only")) == "only/leaky"


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_convolution_with_one_filter_per_class_before_a_dense_head_is_explained(earlier: int) -> None:
    before = [L.Conv2D(8, 3) for _ in range(earlier)]
    last = L.Conv2D(CLASSES, 3, activation="relu", name="wanted")
    assert choose(*before, last, L.Flatten(), L.Dense(CLASSES)) == "wanted"


def test_a_map_of_single_logits_is_recognised() -> None:
    """One logit scores two classes."""
    layers = [L.Conv2D(4, 3, name="wanted"), L.Conv2D(1, 1), L.GlobalAveragePooling2D(), L.Activation("sigmoid")]
    assert GradCAM(keras.Sequential([keras.Input((16, 16, 3)), *layers])).layer == "wanted"


def test_a_map_of_logits_is_explained_if_there_is_no_earlier_map() -> None:
    assert choose(L.Conv2D(CLASSES, 3, name="wanted"), L.GlobalAveragePooling2D(), L.Softmax()) == "wanted"


@pytest.mark.parametrize("add", [lambda x, y: x + y, ops.add, ops.maximum], ids=["+", "ops.add", "ops.maximum"])
def test_a_residual_sum_outside_of_any_layer_is_explained(add: Any) -> None:
    inputs = keras.Input((16, 16, 3))
    features = L.Conv2D(4, 3)(inputs)
    summed = add(features, L.Conv2D(4, 3, padding="same")(features))
    model = keras.Model(inputs, L.Dense(CLASSES)(ops.mean(summed, axis=(1, 2))))
    operation = summed._keras_history.operation
    assert not isinstance(operation, keras.Layer)
    assert GradCAM(model).layer == GradCAM(model, operation.name).layer == operation.name


@pytest.mark.parametrize("base", [L.Layer, keras.Model], ids=["layer", "model"])
def test_a_custom_residual_block_is_explained_after_its_sum(base: type) -> None:
    class Block(base):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.convolution = L.Conv2D(4, 3, padding="same", name="convolution")

        def call(self, inputs: Any) -> Any:
            return ops.relu(inputs + self.convolution(inputs))

    assert choose(L.Conv2D(4, 3), Block(), Block(name="last")) == "last"


def test_a_layer_inside_a_custom_block_is_explained_if_it_is_better() -> None:
    class Block(L.Layer):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.layers = [L.Conv2D(4, 3), L.ReLU(name="wanted"), L.MaxPooling2D()]

        def call(self, inputs: Any) -> Any:
            for layer in self.layers:
                inputs = layer(inputs)
            return inputs

    assert choose(Block(name="block")) == "block/wanted"


def test_the_order_of_layers_is_that_of_execution(subclassed: type[keras.Model]) -> None:
    explainer = GradCAM(subclassed())
    assert explainer.layer is None, "before the first images"
    explainer.maps(np.zeros((1, 8, 8, 3), "float32"))
    assert explainer.layer == "late"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_map_of_large_values_is_explained(policy: str) -> None:
    """Their precision is low, but replacing them changes the scores."""
    keras.config.set_dtype_policy(policy)
    try:
        bias = keras.initializers.Constant(1e9)
        assert choose(L.Conv2D(4, 3, bias_initializer=bias, name="wanted")) == "wanted"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [L.Flatten(), L.Dense(4), L.Dense(CLASSES)],
        lambda: [L.Rescaling(1 / 255), L.RandomFlip(), L.Flatten(), L.Dense(CLASSES)],
        lambda: [L.Conv2D(4, 16), L.Flatten(), L.Dense(CLASSES)],
        lambda: [L.Reshape((256, 3)), L.Conv1D(4, 3), L.GlobalAveragePooling1D(), L.Dense(CLASSES)],
    ],
    ids=["dense", "augmented-dense", "one-pixel", "one-dimensional"],
)
def test_a_network_without_a_map_is_refused_with_its_layers(layers: Any) -> None:
    with pytest.raises(ModelError, match=r"height and a width above 1.*Received: a network of .*Dense"):
        choose(*layers())


def test_a_network_with_a_zero_head_is_refused() -> None:
    with pytest.raises(ModelError, match=r"must depend on a feature map.*Train the network first"):
        choose(L.Conv2D(4, 3), L.Flatten(), L.Dense(CLASSES, kernel_initializer="zeros"))


# --- pretrained architectures -----------------------------------------------------------------------------------------


Apps = keras.applications


def inside(backbone: keras.Model, size: int) -> keras.Model:
    inputs = keras.Input((size, size, 3))
    features = backbone(L.Rescaling(1 / 127.5, offset=-1)(inputs))
    return keras.Model(inputs, L.Dense(2, activation="softmax")(L.GlobalAveragePooling2D()(features)))


@pytest.mark.parametrize(
    ("build", "size", "layer"),
    [
        (Apps.VGG16, 32, r"vgg16/block5_conv3"),
        pytest.param(Apps.ConvNeXtTiny, 64, r"convnext_tiny/add(_\d+)?", marks=pytest.mark.slow),
        pytest.param(Apps.ResNet50V2, 64, r"resnet50v2/post_relu", marks=pytest.mark.slow),
        pytest.param(Apps.DenseNet121, 64, r"densenet121/relu", marks=pytest.mark.slow),
        pytest.param(Apps.EfficientNetV2B0, 64, r"efficientnetv2-b0/top_activation", marks=pytest.mark.slow),
        pytest.param(Apps.Xception, 71, r"xception/block14_sepconv2_act", marks=pytest.mark.slow),
    ],
    ids=["VGG16", "ConvNeXt", "ResNet50V2", "DenseNet121", "EfficientNetV2", "Xception"],
)
def test_a_backbone_inside_a_model_is_explained_at_its_last_map(build: Any, size: int, layer: str) -> None:
    """After the activation, before pooling or a normalization over channels."""
    backbone = build(include_top=False, weights=None, input_shape=(size, size, 3))
    assert re.fullmatch(layer, GradCAM(inside(backbone, size)).layer or "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "layer", "side"),
    [
        ("MobileNetV2", 32, r"block_13_expand_relu", 2),
        ("ResNet50", 32, r"conv4_block6_out", 2),
        ("DenseNet121", 32, r"pool4_conv", 2),
        ("EfficientNetB0", 32, r"block6a_expand_activation", 2),
        ("InceptionV3", 75, r"mixed7", 3),
        ("ConvNeXtTiny", 32, r"add_\d+", 2),
    ],
)
def test_the_last_map_of_several_pixels_is_explained_at_the_smallest_size(
    name: str, size: int, layer: str, side: int
) -> None:
    """Their last maps have a single pixel. `tests/benchmarks/applications.py` lists all models."""
    model = getattr(Apps, name)(weights=None, classes=2, input_shape=(size, size, 3))
    explainer = GradCAM(model)
    assert re.fullmatch(layer, explainer.layer or "")
    assert explainer.maps(np.zeros((1, size, size, 3), "float32")).shape == (1, side, side)


def test_the_map_of_a_backbone_is_weighted_by_the_head() -> None:
    """Transfer learning: `alpha_k = W[k, c] / (H W)`, two classes on a frozen MobileNetV2."""
    backbone = Apps.MobileNetV2(alpha=0.35, include_top=False, weights=None, input_shape=(64, 64, 3), name="mobile")
    backbone.trainable = False
    model = inside(backbone, 64)
    explainer = GradCAM(model)
    assert explainer.layer == "mobile/out_relu"
    images = np.random.default_rng(0).integers(0, 256, size=(3, 64, 64, 3), dtype="uint8")
    features = np.asarray(backbone(images / np.float32(127.5) - 1, training=False))
    maps = explainer.maps(images, [0, 1, 0], signed=True)
    expected = np.einsum("nhwk,kn->nhw", features, np.asarray(model.layers[-1].kernel)[:, [0, 1, 0]]) / 4
    assert maps.shape == (3, 2, 2)
    np.testing.assert_allclose(maps, expected, atol=1e-5 * np.abs(expected).max())


def test_a_whole_architecture_is_explained_before_its_head() -> None:
    assert (
        GradCAM(Apps.MobileNet(alpha=0.25, weights=None, classes=3, input_shape=(64, 64, 3))).layer == "conv_pw_13_relu"
    )


# --- by name ----------------------------------------------------------------------------------------------------------


def trunk(name: str) -> keras.Sequential:
    convolutions = [L.Conv2D(3, 3, name="first"), L.Conv2D(3, 3, name=f"{name}_last")]
    return keras.Sequential([keras.Input((16, 16, 3)), *convolutions, L.MaxPooling2D(name="pool")], name=name)


@pytest.fixture(scope="module")
def two_towers() -> keras.Model:
    """Two parallel nested nets, a layer that is never called, and a layer whose output is not used."""

    class Towers(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = trunk("left"), trunk("right")
            self.unused, self.ignored = L.Conv2D(4, 3, name="unused"), L.Conv2D(4, 3, name="ignored")
            self.pool, self.head = L.GlobalAveragePooling2D(name="global"), L.Dense(CLASSES, name="head")

        def call(self, inputs: Any) -> Any:
            self.ignored(inputs)
            return self.head(self.pool(self.left(inputs) + self.right(inputs)))

    model = Towers()
    model(np.zeros((1, 16, 16, 3)))
    return model


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype("float32")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("left_last", "left/left_last"),
        ("left/left_last", "left/left_last"),
        ("right/first", "right/first"),
        ("left/pool", "left/pool"),
        ("right", "right"),
    ],
    ids=["name", "path", "path-of-a-name-that-is-not-unique", "pooling", "nested-model"],
)
def test_a_layer_is_found_by_its_name_or_its_path(
    two_towers: keras.Model, pictures: np.ndarray, name: str, path: str
) -> None:
    explainer = GradCAM(two_towers, name)
    maps = explainer.maps(pictures, [0, 1], signed=True)
    assert explainer.layer == path
    assert maps.shape == (
        (2, 6, 6) if path in ("left/pool", "right") else (2, 14, 14) if "first" in path else (2, 12, 12)
    )


def test_a_layer_or_a_nested_model_may_be_given_as_an_object(two_towers: keras.Model, pictures: np.ndarray) -> None:
    """A nested model is explained at its output."""
    maps = []
    for layer, path in ((two_towers.left, "left"), (two_towers.left.get_layer("pool"), "left/pool")):
        explainer = GradCAM(two_towers, layer)
        maps.append(explainer.maps(pictures, [0, 1], signed=True))
        assert explainer.layer == path
    np.testing.assert_array_equal(*maps)


def test_a_layer_is_found_by_the_end_of_its_path() -> None:
    outer = keras.Sequential([keras.Input((16, 16, 3)), trunk("inner")], name="outer")
    model = keras.Sequential([keras.Input((16, 16, 3)), outer, L.Flatten(), L.Dense(CLASSES)])
    for name in ("first", "inner/first", "outer/inner/first"):
        assert GradCAM(model, name).layer == "outer/inner/first"


def test_a_whole_path_has_precedence_over_the_end_of_another() -> None:
    model = keras.Sequential([keras.Input((16, 16, 3)), trunk("inner"), L.Conv2D(4, 3, name="first"), L.Flatten()])
    model.add(L.Dense(CLASSES))
    assert GradCAM(model, "first").layer == "first"
    assert GradCAM(model, "inner/first").layer == "inner/first"


def test_a_shared_layer_is_one_layer() -> None:
    """It has several paths, but its name is not ambiguous."""
    shared = L.Conv2D(3, 3, padding="same", name="shared")
    nets = [keras.Sequential([keras.Input((16, 16, 3)), shared], name=name) for name in ("one", "two")]
    model = keras.Sequential([keras.Input((16, 16, 3)), *nets, L.Flatten(), L.Dense(CLASSES)])
    assert GradCAM(model, "shared").layer == GradCAM(model, shared).layer == "one/shared"


SERVING = r"These layers can be explained: left/first, left/left_last, right/first, right/right_last$"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("first", r"must be unique, or a path\. Received: layer='first', left/first or right/first$"),
        ("middle", rf"has no layer 'middle'\. {SERVING}"),
        ("st", rf"has no layer 'st'\. {SERVING}"),
        ("unused", rf"never calls its layer 'unused'\. {SERVING}"),
        (
            "global",
            rf"more than one pixel, or one token for.*\. Received: 'global', which returns \('n', 3\)\. {SERVING}",
        ),
        ("ignored", rf"do not depend on the layer 'ignored'\. {SERVING}"),
    ],
    ids=["ambiguous", "unknown", "end-of-a-name", "never-called", "no-extent", "ignored"],
)
def test_a_layer_that_cannot_be_explained_is_refused_with_those_that_can(
    two_towers: keras.Model, pictures: np.ndarray, name: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        GradCAM(two_towers, name).maps(pictures)


def test_a_layer_of_another_model_is_refused(two_towers: keras.Model, pictures: np.ndarray) -> None:
    with pytest.raises(ModelError, match=rf"has no layer <Conv2D name=first.*>\. {SERVING}"):
        GradCAM(two_towers, trunk("other").layers[0]).maps(pictures)


def test_of_many_layers_the_last_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_LISTED", 2)
    for count, listed in ((2, "conv0, conv1"), (3, "… conv1, conv2")):
        convolutions = [L.Conv2D(2, 1, name=f"conv{place}") for place in range(count)]
        with pytest.raises(ModelError, match=f"can be explained: {listed}$"):
            GradCAM(keras.Sequential([keras.Input((8, 8, 2)), *convolutions, L.Flatten(), L.Dense(3)]), "conv")


def test_a_layer_without_a_gradient_is_refused(pictures: np.ndarray) -> None:
    layers = [L.Conv2D(4, 3, name="cut"), L.Lambda(ops.stop_gradient, name="uncut"), L.Flatten(), L.Dense(CLASSES)]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    assert GradCAM(model, "uncut").maps(pictures).shape == (2, 14, 14)
    with pytest.raises(ModelError, match=r"No gradient flows from the scores to the layer 'cut'"):
        GradCAM(model, "cut").maps(pictures)


def test_a_layer_called_twice_is_explained_at_the_call_that_the_scores_depend_on(pictures: np.ndarray) -> None:
    """One layer is applied to two images, and each has an output."""
    shared, pool = L.Conv2D(4, 3, name="shared"), L.GlobalAveragePooling2D()
    inputs = {side: keras.Input((16, 16, 3), name=side) for side in ("left", "right")}
    outputs = {side: L.Dense(CLASSES, name=f"{side}_head")(pool(shared(tensor))) for side, tensor in inputs.items()}
    model = keras.Model(inputs, outputs)
    images = {"left": pictures, "right": 1 - pictures}
    for side in outputs:
        maps = GradCAM(model, output=side).maps(images, [0, 1], signed=True)
        kernel = np.asarray(model.get_layer(f"{side}_head").kernel)
        expected = np.einsum("nhwk,kn->nhw", np.asarray(shared(images[side])), kernel[:, [0, 1]]) / 196
        np.testing.assert_allclose(maps, expected, atol=1e-7)
