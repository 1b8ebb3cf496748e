"""Rules about activations inside the model, its width, and its resolution."""

from __future__ import annotations

import dataclasses

import pytest
from fixtures.diagnoses import finding, result
from fixtures.observed import conv, dense, plain, scores, seen

from lrdiag.record.observed import Layer

BATCH_NORM = plain("BatchNormalization", momentum=0.9)
RELU = plain("ReLU", "relu")
POOL = plain("MaxPooling2D", shape=(4, 4, 16))
FLATTEN = plain("Flatten")
GLOBAL = plain("GlobalAveragePooling2D")
ADD = plain("Add", sources=(0, 1))
LAST = dense(10, "softmax")
PATCHES = dataclasses.replace(conv(64, window=4), shape=(2, 2, 64))


def attention(units: int) -> Layer:
    return plain("EinsumDense", "linear", (units,), parent="MultiHeadAttention", kernel=dense(units).kernel)


@pytest.mark.parametrize(
    ("layers", "title"),
    [
        ([conv(16), POOL, conv(32), FLATTEN, dense(64), LAST], "3 of 3 hidden layers have no activation."),
        (
            [conv(16), BATCH_NORM, conv(32), FLATTEN, dense(64, "relu"), LAST],
            "2 of 3 hidden layers have no activation.",
        ),
        ([FLATTEN, dense(128), plain("Dropout", rate=0.2), LAST], "The hidden layer has no activation."),
        ([FLATTEN, dense(8), dense(64), LAST], "2 of 2 hidden layers have no activation."),
        ([conv(16), plain("Activation", "linear"), conv(16), GLOBAL, LAST], "2 of 2 hidden layers have no activation."),
    ],
)
def test_hidden_layers_without_an_activation(layers: list[Layer], title: str) -> None:
    found = finding(seen(*layers), "hidden-activation")
    assert (found.title, found.severity) == (title, "error")
    assert 'activation="relu")`' in found.advice


@pytest.mark.parametrize(
    "layers",
    [
        [conv(16), BATCH_NORM, RELU, POOL, conv(32), BATCH_NORM, RELU, GLOBAL, LAST],
        [FLATTEN, LAST],  # softmax regression
        [conv(16, "relu"), FLATTEN, dense(64), LAST],  # an embedding: one of two layers
        [conv(96, "relu"), conv(24), BATCH_NORM, conv(144, "relu"), conv(32), conv(144, "relu"), GLOBAL, LAST],
        [conv(16, "relu"), conv(16, kind="DepthwiseConv2D", grouped=True), conv(32, window=1), RELU, GLOBAL, LAST],
        [conv(16), conv(16), ADD, RELU, GLOBAL, LAST],  # residual
        [PATCHES, plain("Reshape", shape=(4, 64)), dense(64, "gelu"), GLOBAL, LAST],
        [PATCHES, plain("Reshape", shape=(4, 64)), attention(64), attention(64), dense(64), GLOBAL, LAST],
        [
            plain("MyDense", "linear", (64,), kernel=dense(64).kernel),
            dense(32, "relu"),
            LAST,
        ],  # what it does is unknown
        [conv(16), plain("Lambda"), conv(16), plain("Lambda"), GLOBAL, LAST],
    ],
)
def test_layers_that_need_no_activation(layers: list[Layer]) -> None:
    assert result(seen(*layers), "hidden-activation").status == "passed"


def test_a_softmax_inside() -> None:
    found = finding(seen(conv(16, "softmax"), POOL, FLATTEN, LAST), "hidden-activation")
    assert found.title == "A hidden layer ends in a softmax."
    two = seen(FLATTEN, dense(32), plain("Activation", "softmax"), dense(32, "softmax"), LAST)
    assert finding(two, "hidden-activation").title == "2 hidden layers end in a softmax."
    gate = [FLATTEN, dense(32, "softmax"), plain("Multiply", sources=(0, 1)), LAST]
    into_attention = [FLATTEN, plain("Softmax", "softmax", parent="SelfAttention"), dense(8, "relu"), LAST]
    for sound in (gate, into_attention):
        assert result(seen(*sound), "hidden-activation").status == "passed"


def test_sigmoids_in_a_row() -> None:
    sigmoid = [dense(64), plain("Activation", "sigmoid")]
    found = finding(seen(conv(16, "sigmoid"), POOL, FLATTEN, *sigmoid, *sigmoid, LAST), "hidden-activation")
    assert (found.title, found.severity) == ("3 hidden layers in a row end in a sigmoid.", "warning")
    two = [FLATTEN, *sigmoid, *sigmoid, dense(1, "sigmoid")]
    normalized = [FLATTEN, *sigmoid, BATCH_NORM, *sigmoid, BATCH_NORM, *sigmoid, LAST]
    interrupted = [FLATTEN, *sigmoid, *sigmoid, dense(64, "relu"), *sigmoid, LAST]
    tanh = [FLATTEN, *[dense(64, "tanh")] * 4, LAST]
    for sound in (two, normalized, interrupted, tanh):
        assert result(seen(*sound), "hidden-activation").status == "passed"


@pytest.mark.parametrize(
    ("layers", "title"),
    [
        ([conv(16, "relu"), conv(1, "relu"), conv(32, "relu"), GLOBAL, LAST], "A bottleneck of 1 channel inside"),
        ([FLATTEN, dense(64, "relu"), dense(3, "relu"), LAST], "A bottleneck of 3 units inside the network: dense."),
        ([conv(16, "relu"), conv(1, "relu"), FLATTEN, dense(64, "relu"), LAST], "A bottleneck of 1 channel inside"),
    ],
)
def test_a_bottleneck(layers: list[Layer], title: str) -> None:
    found = finding(seen(*layers), "bottleneck")
    assert found.title.startswith(title)
    assert found.threshold == 4


@pytest.mark.parametrize(
    ("layers", "classes"),
    [
        ([FLATTEN, dense(64, "relu"), dense(4, "relu"), LAST], 10),
        ([FLATTEN, dense(64, "relu"), dense(1, "relu"), dense(2, "softmax")], 2),
        ([conv(3), conv(32, "relu"), GLOBAL, LAST], 10),  # of the three channels of an image
        ([conv(32, "relu"), conv(1, "relu", 1), FLATTEN, dense(64, "relu"), LAST], 10),  # 64 places
        ([conv(32, "relu"), conv(1, "sigmoid", 7), plain("Multiply", sources=(0, 1)), GLOBAL, LAST], 10),  # a gate
    ],
)
def test_no_bottleneck(layers: list[Layer], classes: int) -> None:
    assert result(seen(*layers, scores=scores(classes)), "bottleneck").status == "passed"


def test_a_window_on_one_pixel() -> None:
    pixel = plain("MaxPooling2D", shape=(1, 1, 16))
    found = finding(seen(conv(16, "relu"), pixel, conv(32, "relu"), FLATTEN, LAST), "lost-resolution")
    assert found.title == "Pooling and strides shrink the feature map to 1x1 pixels before 1 convolution."
    assert found.severity == "warning"
    deep = seen(*[conv(16, "relu")] * 8, pixel, conv(32, "relu"), FLATTEN, LAST)
    assert finding(deep, "lost-resolution").severity == "note"
    small_window = seen(conv(16, "relu"), pixel, conv(32, "relu", 1), FLATTEN, LAST)
    two_pixels = seen(conv(16, "relu"), plain("MaxPooling2D", shape=(1, 2, 16)), conv(32, "relu"), FLATTEN, LAST)
    for sound in (small_window, two_pixels):
        assert result(sound, "lost-resolution").status == "passed"
