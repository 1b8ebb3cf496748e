"""Networks of the programs. Each takes the shape of an image and returns a model that is not compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
from keras import layers as L

from .data import Images, scaled
from .registry import Run

SPARSE, ONE_HOT, BINARY = "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"
FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

Shape = tuple[int, ...]


def run(
    model: keras.Model,
    data: Images,
    optimizer: Any = "adam",
    loss: Any = SPARSE,
    *,
    prepare: Callable[[Any], Any] = scaled,
    labels: Callable[[Any], Any] = lambda labels: labels,
    metrics: Iterable[Any] = ("accuracy",),
    compiled: dict[str, Any] | None = None,
    **arguments: Any,
) -> Run:
    """Compiles the model, and prepares training and validation images and labels alike."""
    model.compile(optimizer, loss, metrics=list(metrics), **(compiled or {}))
    return Run(model, prepare(data.x), labels(data.y), prepare(data.x_val), labels(data.y_val), arguments)


def mlp(
    shape: Shape,
    widths: Sequence[int],
    *,
    activation: Any = "relu",
    last: Any = "softmax",
    units: int = 10,
    **kernels: Any,
) -> keras.Model:
    """Dense layers."""
    return keras.Sequential(
        [
            keras.Input(shape),
            L.Flatten(),
            *(L.Dense(width, activation=activation, **kernels) for width in widths),
            L.Dense(units, activation=last),
        ]
    )


def vgg(
    shape: Shape,
    widths: Sequence[int] = (16, 32),
    *,
    activation: Any = "relu",
    last: Any = "softmax",
    units: int = 10,
    norm: dict[str, Any] | None = None,
    before: Sequence[L.Layer] = (),
    after: Sequence[L.Layer] = (),
    head: int = 48,
    **kernels: Any,
) -> keras.Model:
    """Blocks of two convolutions and a pooling layer, and a hidden dense layer."""
    layers: list[L.Layer] = [keras.Input(shape), *before]
    for width in widths:
        for _ in range(2):
            layers += convolution(width, activation=activation, norm=norm, **kernels)
        layers.append(L.MaxPooling2D())
    layers += [L.Flatten(), L.Dense(head, activation=activation, **kernels), *after, L.Dense(units, activation=last)]
    return keras.Sequential(layers)


def convolution(
    width: int, *, activation: Any = "relu", norm: dict[str, Any] | None = None, strides: int = 1, **kernels: Any
) -> list[L.Layer]:
    """A convolution of 3 × 3 pixels, with batch normalization if `norm` holds its arguments."""
    if norm is None:
        return [L.Conv2D(width, 3, strides, padding="same", activation=activation, **kernels)]
    return [
        L.Conv2D(width, 3, strides, padding="same", use_bias=False, **kernels),
        L.BatchNormalization(**norm),
        L.Activation(activation),
    ]


def all_convolutional(
    shape: Shape,
    widths: Sequence[int] = (24, 48),
    *,
    last: Any = "softmax",
    units: int = 10,
    after: Sequence[L.Layer] = (),
    **options: Any,
) -> keras.Model:
    """Convolutions with strides instead of pooling layers, and a global average."""
    layers: list[L.Layer] = [keras.Input(shape)]
    for width in widths:
        layers += [*convolution(width, **options), *convolution(width, strides=2, **options)]
    return keras.Sequential([*layers, L.GlobalAveragePooling2D(), *after, L.Dense(units, activation=last)])


def lenet(
    shape: Shape, *, activation: Any = "tanh", last: Any = "softmax", units: int = 10, **kernels: Any
) -> keras.Model:
    """LeNet-5 with average pooling."""
    return keras.Sequential(
        [
            keras.Input(shape),
            L.Conv2D(6, 5, padding="same", activation=activation, **kernels),
            L.AveragePooling2D(2),
            L.Conv2D(16, 3, padding="same", activation=activation, **kernels),
            L.AveragePooling2D(2),
            L.Flatten(),
            L.Dense(84, activation=activation, **kernels),
            L.Dense(units, activation=last),
        ]
    )


def resnet(
    shape: Shape,
    widths: Sequence[int] = (16, 32),
    *,
    last: Any = None,
    units: int = 10,
    zero: bool = False,
    after: Sequence[L.Layer] = (),
    norm: Callable[..., L.Layer] | None = None,
    **kernels: Any,
) -> keras.Model:
    """Residual blocks, each halving the map. `zero`: each branch begins at zero."""
    norm = norm or (lambda **options: L.BatchNormalization(momentum=0.9, **options))
    inputs = keras.Input(shape)
    flow = L.ReLU()(norm()(L.Conv2D(widths[0], 3, padding="same", use_bias=False, **kernels)(inputs)))
    for width in widths:
        branch = L.Conv2D(width, 3, 2, padding="same", use_bias=False, **kernels)(flow)
        branch = L.ReLU()(norm()(branch))
        branch = L.Conv2D(width, 3, padding="same", use_bias=False, **kernels)(branch)
        branch = norm(**({"gamma_initializer": "zeros"} if zero else {}))(branch)
        flow = L.ReLU()(L.add([L.Conv2D(width, 1, 2, **kernels)(flow), branch]))
    flow = L.GlobalAveragePooling2D()(flow)
    for layer in after:
        flow = layer(flow)
    return keras.Model(inputs, L.Dense(units, activation=last)(flow))


def mobilenet(
    shape: Shape, widths: Sequence[int] = (16, 24, 24), *, last: Any = None, units: int = 10, expansion: int = 3
) -> keras.Model:
    """Inverted residual blocks: depthwise convolutions between linear bottlenecks."""

    def norm(flow: Any, activation: str | None = "relu6") -> Any:
        flow = L.BatchNormalization(momentum=0.9)(flow)
        return L.Activation(activation)(flow) if activation else flow

    inputs = keras.Input(shape)
    flow = norm(L.Conv2D(16, 3, 2, padding="same", use_bias=False)(inputs))
    for width in widths:
        branch = norm(L.Conv2D(flow.shape[-1] * expansion, 1, use_bias=False)(flow))
        branch = norm(L.DepthwiseConv2D(3, padding="same", use_bias=False)(branch))
        branch = norm(L.Conv2D(width, 1, use_bias=False)(branch), None)
        flow = L.add([flow, branch]) if flow.shape[-1] == width else branch
    flow = norm(L.Conv2D(64, 1, use_bias=False)(flow))
    return keras.Model(inputs, L.Dense(units, activation=last)(L.GlobalAveragePooling2D()(flow)))


def convnext(shape: Shape, width: int = 32, blocks: int = 3, *, last: Any = None, units: int = 10) -> keras.Model:
    """ConvNeXt blocks: patches, depthwise convolutions of 7 × 7 pixels, layer normalization and GELU."""
    inputs = keras.Input(shape)
    flow = L.LayerNormalization()(L.Conv2D(width, 4, 4)(inputs))
    for _ in range(blocks):
        branch = L.LayerNormalization()(L.DepthwiseConv2D(7, padding="same")(flow))
        branch = L.Dense(width)(L.Dense(4 * width, activation="gelu")(branch))
        flow = L.add([flow, branch])
    return keras.Model(
        inputs, L.Dense(units, activation=last)(L.LayerNormalization()(L.GlobalAveragePooling2D()(flow)))
    )


class Positions(L.Layer):
    """Adds a learned vector to each token."""

    def build(self, input_shape: Shape) -> None:
        self.positions = self.add_weight(
            shape=input_shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.02)
        )

    def call(self, tokens: Any) -> Any:
        return tokens + self.positions


def vit(
    shape: Shape,
    *,
    patch: int = 4,
    width: int = 32,
    blocks: int = 2,
    last: Any = None,
    units: int = 10,
    dropout: float = 0.0,
) -> keras.Model:
    """A small vision transformer."""
    inputs = keras.Input(shape)
    flow = L.Reshape((-1, width))(L.Conv2D(width, patch, patch)(inputs))
    flow = Positions()(flow)
    for _ in range(blocks):
        seen = L.LayerNormalization()(flow)
        flow = L.add([flow, L.MultiHeadAttention(4, width // 4, dropout=dropout)(seen, seen)])
        seen = L.Dense(2 * width, activation="gelu")(L.LayerNormalization()(flow))
        flow = L.add([flow, L.Dense(width)(L.Dropout(dropout)(seen))])
    flow = L.GlobalAveragePooling1D()(L.LayerNormalization()(flow))
    return keras.Model(inputs, L.Dense(units, activation=last)(flow))


def squeeze_excite(
    shape: Shape, widths: Sequence[int] = (24, 32), *, last: Any = "softmax", units: int = 10
) -> keras.Model:
    """Convolutions whose channels are weighted by a sigmoid behind a narrow layer."""
    inputs = flow = keras.Input(shape)
    for width in widths:
        flow = L.Conv2D(width, 3, 2, padding="same", use_bias=False)(flow)
        flow = L.Activation("swish")(L.BatchNormalization(momentum=0.9)(flow))
        gate = L.GlobalAveragePooling2D(keepdims=True)(flow)
        gate = L.Conv2D(width, 1, activation="sigmoid")(L.Conv2D(max(2, width // 8), 1, activation="relu")(gate))
        flow = L.multiply([flow, gate])
    return keras.Model(inputs, L.Dense(units, activation=last)(L.GlobalAveragePooling2D()(flow)))
