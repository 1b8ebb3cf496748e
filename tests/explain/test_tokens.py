"""Transformers are explained where the image becomes tokens."""

from __future__ import annotations

import html
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import lrdiag
from lrdiag.errors import ModelError
from lrdiag.explain.gradcam import GradCAM

L = keras.layers
CLASSES, WIDTH = 3, 8
IMAGES = np.random.default_rng(0).uniform(size=(6, 16, 16, 3)).astype("float32")
LABELS = np.arange(6) % CLASSES


# --- architectures ----------------------------------------------------------------------------------------------------


class ClassToken(L.Layer):
    def build(self, shape: tuple[int, ...]) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]))

    def call(self, tokens: Any) -> Any:
        return ops.concatenate([ops.repeat(self.token, ops.shape(tokens)[0], axis=0), tokens], axis=1)


class Position(L.Layer):
    def build(self, shape: tuple[int, ...]) -> None:
        self.added = self.add_weight(shape=(1, *shape[1:]))

    def call(self, tokens: Any) -> Any:
        return tokens + self.added


class Patches(L.Layer):
    def call(self, images: Any) -> Any:
        patches = ops.image.extract_patches(images, 4, padding="valid")
        return ops.reshape(patches, (-1, 16, patches.shape[-1]))


class Windows(L.Layer):
    """Attention inside windows of 2 × 2 tokens, which are folded into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.normalize = L.MultiHeadAttention(2, 4), L.LayerNormalization()

    def call(self, tokens: Any) -> Any:
        side, width = int(tokens.shape[1] ** 0.5), tokens.shape[-1]
        split = ops.reshape(self.normalize(tokens), (-1, side // 2, 2, side // 2, 2, width))
        windows = ops.reshape(ops.transpose(split, (0, 1, 3, 2, 4, 5)), (-1, 4, width))
        mixed = ops.reshape(self.mix(windows, windows), (-1, side // 2, side // 2, 2, 2, width))
        return tokens + ops.reshape(ops.transpose(mixed, (0, 1, 3, 2, 4, 5)), (-1, side * side, width))


class Merging(L.Layer):
    def __init__(self) -> None:
        super().__init__(name="merging")
        self.reduction = L.Dense(2 * WIDTH, name="reduction")

    def call(self, tokens: Any) -> Any:
        side, width = int(tokens.shape[1] ** 0.5), tokens.shape[-1]
        split = ops.reshape(tokens, (-1, side // 2, 2, side // 2, 2, width))
        merged = ops.reshape(ops.transpose(split, (0, 1, 3, 2, 4, 5)), (-1, side // 2, side // 2, 4 * width))
        return ops.reshape(self.reduction(merged), (-1, side * side // 4, 2 * width))


def patches(images: Any) -> Any:
    return L.Reshape((-1, WIDTH))(L.Conv2D(WIDTH, 4, strides=4, name="patches")(images))


def block(tokens: Any, name: str = "attention") -> Any:
    normalized = L.LayerNormalization()(tokens)
    tokens = L.Add()([tokens, L.MultiHeadAttention(2, 4, name=name)(normalized, normalized)])
    return L.Add()([tokens, L.Dense(WIDTH)(L.Dense(16, activation="gelu")(L.LayerNormalization()(tokens)))])


def hybrid(images: Any) -> Any:
    for filters, name in ((4, "early"), (WIDTH, "patches")):
        images = L.Conv2D(filters, 3, strides=2, padding="same", activation="relu", name=name)(images)
    return block(L.Reshape((16, WIDTH))(images))


def compact(images: Any) -> Any:
    maps = L.Conv2D(WIDTH, 3, padding="same", activation="relu")(images)
    return block(Position()(L.Reshape((16, WIDTH), name="tokens")(L.MaxPooling2D(4)(maps))))


def mixer(images: Any) -> Any:
    tokens = L.Dense(WIDTH)(Patches(name="tokens")(images))
    mixed = L.Permute((2, 1))(L.Dense(16, activation="gelu")(L.Permute((2, 1))(L.LayerNormalization()(tokens))))
    return L.LayerNormalization()(L.Add()([tokens, mixed]))


def hierarchical(images: Any) -> Any:
    tokens = L.Reshape((64, WIDTH))(L.Conv2D(WIDTH, 2, strides=2)(images))
    tokens = Merging()(Windows()(tokens))
    after = L.LayerNormalization(name="after_merging")(tokens)
    return Windows()(after)


ARCHITECTURES = {
    "mean": (lambda images: block(Position()(patches(images))), "patches"),
    "class-token": (
        lambda images: block(Position(name="position")(ClassToken(name="class_token")(patches(images))))[:, :1],
        "patches",
    ),
    "extracted-patches": (lambda images: block(L.Dense(WIDTH)(Patches(name="tokens")(images))), "tokens"),
    "hybrid": (hybrid, "patches"),
    "compact": (compact, "tokens"),
    "mixer": (mixer, "tokens"),
    "merged-tokens": (hierarchical, "after_merging"),
}


def transformer(architecture: Any, head: Any = None) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    pooled = L.GlobalAveragePooling1D()(architecture(inputs))
    return keras.Model(inputs, (head or L.Dense(CLASSES))(pooled))


@pytest.mark.parametrize(("architecture", "layer"), ARCHITECTURES.values(), ids=ARCHITECTURES)
@pytest.mark.usefixtures("eager_passes")
def test_the_layer_at_which_the_image_becomes_tokens_is_explained(architecture: Any, layer: str) -> None:
    explainer = GradCAM(transformer(architecture))
    assert explainer.layer == layer
    assert explainer.token_grid == "token grid 4×4"
    assert explainer.maps(IMAGES).shape == (6, 4, 4)


@pytest.mark.usefixtures("eager_passes")
def test_maps_after_tokens_are_explained_as_those_of_a_convolution() -> None:
    """As in MobileViT: tokens become a map again."""
    inputs = keras.Input((16, 16, 3))
    maps = L.Conv2D(4, 3, padding="same", name="last")(L.Reshape((4, 4, WIDTH))(block(patches(inputs))))
    explainer = GradCAM(keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling2D()(maps))))
    assert explainer.layer == "last"
    assert explainer.token_grid is None


@pytest.mark.usefixtures("eager_passes")
def test_tokens_on_a_side_path_are_not_explained() -> None:
    """A non-local block in a convolutional network."""
    inputs = keras.Input((16, 16, 3))
    maps = L.Conv2D(WIDTH, 3, strides=4, padding="same")(inputs)
    tokens = L.Reshape((16, WIDTH))(maps)
    mixed = L.Reshape((4, 4, WIDTH))(L.MultiHeadAttention(2, 4)(tokens, tokens))
    explainer = GradCAM(keras.Model(inputs, L.Dense(CLASSES)(L.Flatten()(L.Add(name="sum")([maps, mixed])))))
    assert explainer.layer == "sum"
    assert explainer.token_grid is None


def keras_hub_models() -> dict[str, Any]:
    models = pytest.importorskip("keras_hub").models
    size = {"image_shape": (32, 32, 3)}
    vit, deit = models.ViTBackbone, models.DeiTBackbone
    swin = {"patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}
    return {
        "vit": lambda: models.ViTImageClassifier(vit((32, 32, 3), (8, 8), 2, 2, 16, 32), CLASSES),
        "deit": lambda: models.DeiTImageClassifier(deit((32, 32, 3), (8, 8), 2, 2, 16, 32), CLASSES),
        "swin": lambda: models.SwinTransformerImageClassifier(
            backbone=models.SwinTransformerBackbone(**size, **swin), num_classes=CLASSES
        ),
        "vgg": lambda: models.VGGImageClassifier(models.VGGBackbone([1, 1], [4, 8], **size), CLASSES),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "layer", "grid", "side"),
    [
        ("vit", "vi_t_backbone/vit_patching_and_embedding/patch_embedding", "token grid 4×4", 4),
        ("deit", "dei_t_backbone/deit_patching_and_embedding/patch_embedding", "token grid 4×4", 4),
        ("swin", "swin_transformer_backbone/stage_1/blocks_0", "token grid 8×8", 8),
        ("vgg", "vgg_backbone/block2_conv1", None, 16),
    ],
)
def test_models_of_keras_hub(name: str, layer: str, grid: str | None, side: int) -> None:
    """In VGG, `head/fc1` is a dense layer in the form of a convolution."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    explainer = GradCAM(keras_hub_models()[name]())
    assert (explainer.layer, explainer.token_grid) == (layer, grid)
    assert explainer.maps(np.random.default_rng(0).uniform(size=(2, 32, 32, 3))).shape == (2, side, side)


# --- values -----------------------------------------------------------------------------------------------------------


def test_a_token_is_weighted_by_its_difference_from_the_mean_token() -> None:
    """Of a linear network: `W[:, c] · (token - mean) / n`."""
    model = transformer(lambda images: patches(images))
    explainer = GradCAM(model)
    tokens = np.asarray(keras.Model(model.input, model.get_layer("patches").output)(IMAGES))
    kernel = np.asarray(model.layers[-1].kernel)[:, LABELS]
    expected = np.einsum("nhwk,kn->nhw", tokens - tokens.mean((1, 2), keepdims=True), kernel) / 16
    np.testing.assert_allclose(explainer.maps(IMAGES, LABELS, signed=True), expected, atol=1e-6)
    expected = np.einsum("nhwk,kn->nhw", tokens, kernel) / 16
    hires = GradCAM(model, method="hirescam").maps(IMAGES, LABELS, signed=True)
    np.testing.assert_allclose(hires, expected, atol=1e-6)


class OwnAttention(L.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.value, self.softmax = L.Dense(WIDTH, use_bias=False), L.Softmax()

    def call(self, tokens: Any) -> Any:
        weights = self.softmax(ops.einsum("ntc,nsc->nts", tokens, tokens)[:, np.newaxis])
        return ops.matmul(weights[:, 0], self.value(tokens))


ATTENTION = {
    "keras": lambda tokens: L.MultiHeadAttention(2, 4, use_bias=False)(tokens, tokens),
    "keras-with-dropout": lambda tokens: L.MultiHeadAttention(2, 4, use_bias=False, dropout=0.5)(tokens, tokens),
    "grouped-queries": lambda tokens: L.GroupQueryAttention(4, 2, 1, use_bias=False)(tokens, tokens),
    "own": lambda tokens: OwnAttention()(tokens),
}
NORMALIZATIONS = {
    "layer": lambda: L.LayerNormalization(center=False, gamma_initializer="random_uniform"),
    "layer-without-scale": lambda: L.LayerNormalization(center=False, scale=False),
    "root-mean-square": lambda: L.RMSNormalization(),
}


@pytest.mark.parametrize(
    ("attention", "normalization"),
    [*((name, "layer") for name in ATTENTION), *(("own", name) for name in NORMALIZATIONS if name != "layer")],
)
@pytest.mark.usefixtures("eager_passes")
def test_the_maps_of_a_network_without_biases_add_up_to_the_score(attention: str, normalization: str) -> None:
    """Once attention and normalization are constant, all that is left is linear. The scores stay what they are."""

    def architecture(images: Any) -> Any:
        tokens = L.Reshape((16, WIDTH))(L.Conv2D(WIDTH, 4, strides=4, use_bias=False, name="patches")(images))
        for _ in range(2):
            tokens = L.Add()([tokens, ATTENTION[attention](NORMALIZATIONS[normalization]()(tokens))])
        return NORMALIZATIONS[normalization]()(tokens)

    model = transformer(architecture, L.Dense(CLASSES, use_bias=False))
    explainer = GradCAM(model, method="hirescam")
    scores = keras.ops.convert_to_numpy(model(IMAGES))
    of_classes = np.stack([explainer.maps(IMAGES, np.full(6, each), signed=True) for each in range(CLASSES)], axis=1)
    np.testing.assert_allclose(of_classes.sum(axis=(2, 3)), scores, atol=1e-5)
    predictions, heatmaps = explainer.predict_and_explain(IMAGES, LABELS)
    np.testing.assert_array_equal(predictions.predicted, scores.argmax(axis=1))
    chosen = heatmaps.indices
    np.testing.assert_allclose(heatmaps.signed_true, of_classes[chosen, LABELS[chosen]], atol=1e-6)


def test_explaining_changes_nothing_about_the_model() -> None:
    model = transformer(ARCHITECTURES["class-token"][0])
    before = keras.ops.convert_to_numpy(model(IMAGES))
    explainer = GradCAM(model)
    explainer.maps(IMAGES)
    np.testing.assert_array_equal(model(IMAGES), before)
    with tf.GradientTape() as tape:
        loss = ops.mean(model(IMAGES))
    queries = model.get_layer("attention")._query_dense
    assert np.abs(tape.gradient(loss, queries.kernel.value)).max() > 0, "attention is held constant in the maps alone"


# --- around the maps --------------------------------------------------------------------------------------------------


def test_the_page_says_that_it_shows_a_token_grid() -> None:
    report = lrdiag.diagnose(transformer(ARCHITECTURES["mean"][0]), IMAGES, LABELS)
    facts = report.diagnosis.heatmaps
    assert (facts.method, facts.layer, facts.grid) == ("gradient × token", "patches", "token grid 4×4")
    assert facts.independent is not None
    assert facts.independent.skipped == "tf-keras-vis makes no heatmaps of tokens"
    assert report.heatmaps is not None
    assert report.heatmaps.means is not None
    assert "(gradient × token, token grid 4×4, layer <code>patches</code>)" in html.unescape(
        report.show()._repr_html_()
    )


@pytest.mark.parametrize("method", ["gradcam++", "layercam", "scorecam"])
@pytest.mark.usefixtures("eager_passes")
def test_methods_for_convolutions_refuse_tokens(method: Any) -> None:
    with pytest.raises(ModelError, match=rf"'{re.escape(method)}' explains .* of convolutions.*'patches' becomes"):
        GradCAM(transformer(ARCHITECTURES["mean"][0]), method=method)


@pytest.mark.usefixtures("eager_passes")
def test_inner_tensors_of_attention_are_refused_and_later_tokens_are_not() -> None:
    model = transformer(ARCHITECTURES["class-token"][0])
    with pytest.raises(
        ModelError, match=r"must lie over the image.*'attention/value', which returns \('n', 17, 2, 4\)"
    ):
        GradCAM(model, "attention/value")
    for layer in ("class_token", "position"):
        assert GradCAM(model, layer).maps(IMAGES).shape == (6, 4, 4)


@pytest.mark.usefixtures("eager_passes")
def test_a_transformer_with_a_zero_head_is_refused() -> None:
    model = transformer(ARCHITECTURES["mean"][0], L.Dense(CLASSES, kernel_initializer="zeros"))
    with pytest.raises(ModelError, match="Train the network first"):
        GradCAM(model)
