"""The built-in networks: their layers, and that they take raw pixels wherever they are loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from lrdiag.errors import ModelError
from lrdiag.models import Network, build_network
from lrdiag.models.fast import whitening_filters
from lrdiag.record.arrays import LabelledImages

CLASSES = 4


@pytest.fixture(scope="module")
def article(rgb: LabelledImages) -> Network:
    return build_network("article", rgb, CLASSES)


@pytest.fixture(scope="module", params=["article", "fast"])
def own(request: pytest.FixtureRequest, rgb: LabelledImages) -> Network:
    return build_network(request.param, rgb, CLASSES)


def test_the_layers_of_the_article(article: Network) -> None:
    convolutions = [layer for layer in article.model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [(layer.filters, *layer.kernel_size) for layer in convolutions] == [
        (32, 3, 3), (64, 3, 3),
        (32, 1, 1), (64, 3, 3), (128, 3, 3),
        (32, 1, 1), (128, 3, 3), (256, 3, 3),
        (CLASSES, 1, 1),
    ]  # fmt: skip
    assert [layer.output.shape[1:] for layer in article.model.layers if "pooling" in layer.name] == [
        (16, 16, 64), (8, 8, 128), (4, 4, 256), (1, 1, CLASSES),
    ]  # fmt: skip
    kinds = [type(layer).__name__ for layer in article.model.layers[1:]]
    assert kinds[0] == "Normalization"
    assert kinds[1:4] == ["Conv2D", "BatchNormalization", "ReLU"]
    assert kinds[-4:] == ["Conv2D", "AveragePooling2D", "Flatten", "Softmax"]
    assert kinds.count("BatchNormalization") == kinds.count("ReLU") == 8
    assert article.model.get_layer("logit_map").output.shape == (None, 4, 4, CLASSES)


def test_every_kernel_of_the_article_is_penalised_once(article: Network) -> None:
    kernels = [layer.kernel for layer in article.model.layers if isinstance(layer, keras.layers.Conv2D)]
    expected = 1e-4 * sum(float(np.sum(np.square(kernel.numpy()))) for kernel in kernels)
    assert float(sum(article.model.losses)) == pytest.approx(expected, rel=1e-5)


def test_the_number_of_parameters_of_the_article(article: Network) -> None:
    widths = [
        (3, 32, 3), (32, 64, 3),
        (64, 32, 1), (32, 64, 3), (64, 128, 3),
        (128, 32, 1), (32, 128, 3), (128, 256, 3),
    ]  # fmt: skip
    kernels = sum(narrow * wide * size**2 for narrow, wide, size in widths)
    scales = 2 * sum(wide for _, wide, _ in widths)
    head = 256 * CLASSES + CLASSES
    trainable = sum(int(np.prod(variable.shape)) for variable in article.model.trainable_variables)
    assert trainable == kernels + scales + head == 451_876


def test_the_article_ends_in_probabilities(article: Network, rgb: LabelledImages) -> None:
    probabilities = article.model.predict(rgb.images, verbose=0)
    assert probabilities.shape == (24, CLASSES)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert not article.from_logits


def test_the_fast_network_ends_in_logits(rgb: LabelledImages) -> None:
    network = build_network("fast", rgb, CLASSES)
    assert network.from_logits
    assert network.recipe.weight_decay
    assert network.model.output_shape == (None, CLASSES)


def test_the_first_layer_centres_and_scales_each_channel(own: Network, rgb: LabelledImages) -> None:
    normalised = keras.ops.convert_to_numpy(own.model.layers[1](rgb.images.astype("float32")))
    np.testing.assert_allclose(normalised.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(normalised.std(axis=(0, 1, 2)), 1, atol=1e-3)


def test_a_constant_channel_becomes_zero() -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(8, 32, 32, 3), dtype="uint8")
    images[..., 1] = 77
    network = build_network("fast", LabelledImages(images, np.arange(8) % 2), 2)
    normalised = keras.ops.convert_to_numpy(network.model.layers[1](images.astype("float32")))
    assert np.isfinite(normalised).all()
    assert (normalised[..., 1] == 0).all()


def test_integers_and_floats_give_the_same_scores(own: Network, rgb: LabelledImages) -> None:
    np.testing.assert_array_equal(own.model(rgb.images), own.model(rgb.images.astype("float32")))


@pytest.mark.slow
def test_a_saved_network_predicts_the_same_without_lrdiag(rgb: LabelledImages, tmp_path: Path) -> None:
    networks = {name: build_network(name, rgb, CLASSES) for name in ("article", "fast")}
    for name, network in networks.items():
        network.model.save(tmp_path / f"{name}.keras")
    np.save(tmp_path / "images.npy", rgb.images)
    code = (
        "import keras, numpy, sys\n"
        "images = numpy.load('images.npy')\n"
        "for name in ('article', 'fast'):\n"
        "    model = keras.models.load_model(name + '.keras')\n"
        "    numpy.save(name + '.npy', model.predict(images, verbose=0))\n"
        "assert not [name for name in sys.modules if name.startswith('lrdiag')]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    for name, network in networks.items():
        expected = network.model.predict(rgb.images, verbose=0)
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), expected)


@pytest.mark.parametrize(
    ("side", "stride", "last"),
    [(4, 1, 4), (8, 1, 4), (16, 1, 4), (28, 1, 7), (32, 1, 4), (63, 1, 7), (96, 2, 6), (160, 4, 5)],
)
def test_the_last_maps_of_the_fast_network_have_four_pixels_or_more(side: int, stride: int, last: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, side, side, 1), np.uint8)
    model = build_network("fast", LabelledImages(images, np.arange(2)), 2).model
    assert model.get_layer("whitening").strides == (stride, stride)
    assert model.get_layer("conv5_relu").output.shape == (None, last, last, 192)


def test_the_first_convolution_whitens_patches(rgb: LabelledImages) -> None:
    images = np.cumsum(np.random.default_rng(0).normal(size=(200, 12, 12, 3)), axis=2)  # neighbours are correlated
    filters = whitening_filters(images, 2, 24)
    assert filters.shape == (2, 2, 3, 24)
    np.testing.assert_array_equal(filters[..., :12], -filters[..., 12:])
    patches = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))[:, ::2, ::2]
    rows = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12)
    components = rows @ filters[..., :12].reshape(12, 12)
    variances, shift = np.linalg.eigvalsh(np.cov(rows, rowvar=False))[::-1], 1e-2
    np.testing.assert_allclose(np.cov(components, rowvar=False), np.diag(variances / (variances + shift)), atol=1e-4)
    stem = build_network("fast", rgb, CLASSES).model.get_layer("whitening")
    assert not stem.trainable
    assert not stem.trainable_variables


@pytest.mark.parametrize("channels", [1, 4])
def test_images_may_have_another_number_of_channels(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(4, 32, 32, channels), dtype="uint8")
    network = build_network("fast", LabelledImages(images, np.arange(4) % 2), 2)
    assert network.model.output_shape == (None, 2)


@pytest.mark.parametrize("size", [8, 28, 64])
def test_the_article_refuses_images_of_another_size(size: int) -> None:
    images = LabelledImages(np.zeros((4, size, size, 3), "uint8"), np.arange(4) % 2)
    with pytest.raises(ModelError, match="Received"):
        build_network("article", images, 2)
