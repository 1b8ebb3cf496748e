"""Faults of the layers: activations, widths, feature maps, frozen weights, dropout, penalties, batch normalization."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers as L
from keras import ops

from .data import animals, centred, cifar, digits, numbers, one_hot, scaled, standardized
from .networks import (
    FROM_LOGITS,
    ONE_HOT,
    all_convolutional,
    convolution,
    lenet,
    mlp,
    resnet,
    run,
    vgg,
)
from .registry import Run, fault


@fault("hidden-activation")
def convolutions_without_activation(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 32), activation=None if broken else "relu")
    return run(model, data, keras.optimizers.Adam(0.001), prepare=centred, epochs=6, batch_size=48)


@fault("hidden-activation", "vanishing-gradients not-learning rate-too-low")
def softmax_as_hidden_activation(broken: bool) -> Run:
    data = digits()
    model = mlp(data.shape, (100, 50), activation="softmax" if broken else "relu")
    return run(model, data, keras.optimizers.Adam(0.002), epochs=6, batch_size=40)


@fault("hidden-activation vanishing-gradients", "not-learning rate-too-low")
def sigmoid_in_every_convolution(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 24, 32), activation="sigmoid" if broken else "relu")
    return run(model, data, keras.optimizers.RMSprop(0.001), prepare=scaled, epochs=6, batch_size=48)


@fault("hidden-activation", "slow-statistics lagging-statistics")
def normalized_but_linear(broken: bool) -> Run:
    data = cifar(size=16)
    model = all_convolutional(data.shape, (16, 32), norm={"momentum": 0.9}, activation=None if broken else "relu")
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    return run(model, data, optimizer, prepare=standardized, epochs=6, batch_size=48)


@fault("bottleneck hidden-activation")
def softmax_of_a_whole_network_inside(broken: bool) -> Run:
    """A classifier of two classes is reused with its head."""
    data = digits(16)
    body = all_convolutional(data.shape, (12, 24), units=2, last="softmax")
    if not broken:
        body = keras.Model(body.inputs, body.layers[-2].output)
    model = keras.Sequential([body, L.Dense(10, activation="softmax")])
    return run(model, data, keras.optimizers.Adam(0.003), epochs=8, batch_size=40)


@fault("bottleneck", "dead-units")
def two_units_before_ten_classes(broken: bool) -> Run:
    data = cifar(size=16)
    model = resnet(data.shape, after=[L.Dense(2 if broken else 48, activation="relu")])
    return run(model, data, keras.optimizers.Adam(0.002), FROM_LOGITS, prepare=standardized, epochs=6, batch_size=48)


@fault("bottleneck", "dead-units")
def three_units_before_a_hundred_classes(broken: bool) -> Run:
    data = numbers()
    model = mlp(data.shape, (128, 3 if broken else 96), activation="tanh", units=100)
    return run(model, data, keras.optimizers.Adam(0.004), epochs=8, batch_size=50)


@fault("bottleneck", "dead-units lagging-statistics", mild=True)
def one_filter_in_the_middle_of_convolutions(broken: bool) -> Run:
    data = cifar(size=16)
    widths = (24, 1, 32) if broken else (24, 24, 32)
    layers: list[Any] = [keras.Input(data.shape)]
    for width in widths:
        layers += convolution(width, norm={"momentum": 0.9})
    model = keras.Sequential([*layers, L.MaxPooling2D(), L.Flatten(), L.Dense(10, activation="softmax")])
    return run(model, data, keras.optimizers.Adam(0.002), epochs=6, batch_size=48)


@fault("lost-resolution")
def seven_strides_on_small_images(broken: bool) -> Run:
    data = cifar()
    layers: list[Any] = [keras.Input(data.shape)]
    for place, width in enumerate((12, 24, 32, 32, 32, 32, 32)):
        layers += convolution(width, norm={"momentum": 0.9}, strides=2 if broken or place in (0, 2) else 1)
    model = keras.Sequential([*layers, L.GlobalAveragePooling2D(), L.Dense(10, activation="softmax")])
    return run(model, data, keras.optimizers.Adam(0.003), prepare=standardized, epochs=5, batch_size=48)


@fault("lost-resolution")
def pooled_to_one_pixel_at_the_start(broken: bool) -> Run:
    data = digits()
    layers: list[Any] = [keras.Input(data.shape)]
    if broken:
        layers.append(L.AveragePooling2D(8))
    layers += [*convolution(16), *convolution(32), L.Flatten(), L.Dense(10, activation="softmax")]
    return run(keras.Sequential(layers), data, keras.optimizers.Adam(0.003), epochs=5, batch_size=40)


@fault("lost-resolution", mild=True)
def pooling_windows_of_four(broken: bool) -> Run:
    data = cifar(size=16)
    pool = 4 if broken else 2
    layers: list[Any] = [keras.Input(data.shape)]
    for width in (16, 32):
        layers += [*convolution(width), L.MaxPooling2D(pool)]
    layers += [*convolution(48), *convolution(48), L.GlobalAveragePooling2D(), L.Dense(10, activation="softmax")]
    return run(keras.Sequential(layers), data, keras.optimizers.Adam(0.002), epochs=6, batch_size=48)


@fault("frozen-layers", "rate-too-low not-learning")
def everything_but_the_head_frozen(broken: bool) -> Run:
    data = cifar(size=16)
    model = resnet(data.shape, (24, 32))
    for layer in model.layers[:-1]:
        layer.trainable = not broken
    return run(model, data, keras.optimizers.Adam(0.003), FROM_LOGITS, prepare=standardized, epochs=5, batch_size=48)


@fault("frozen-layers", "rate-too-low not-learning lagging-statistics slow-statistics", repaired=False)
def application_without_weights_frozen(broken: bool) -> Run:
    data = animals(1200, size=32)
    base = keras.applications.MobileNetV2(
        input_shape=data.shape, alpha=0.35, include_top=False, weights=None, pooling="avg"
    )
    base.trainable = False
    inputs = keras.Input(data.shape)
    model = keras.Model(inputs, L.Dense(2, activation="softmax")(base(inputs, training=False)))
    return run(model, data, keras.optimizers.Adam(0.003), prepare=centred, epochs=4, batch_size=50)


@fault("frozen-layers", mild=True)
def first_convolutions_frozen(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 32), activation="relu")
    for layer in model.layers[:4]:
        layer.trainable = not broken
    return run(model, data, keras.optimizers.RMSprop(0.001), prepare=centred, epochs=6, batch_size=48)


class Detached(L.Layer):
    """Passes values on, and no gradients."""

    def call(self, inputs: Any) -> Any:
        return ops.stop_gradient(inputs)


class Binarized(L.Layer):
    """Whether each value is above zero. It has no gradient."""

    def call(self, inputs: Any) -> Any:
        return ops.cast(ops.sign(inputs), inputs.dtype)


class Unused(keras.Model):
    """Has a second block, which `call` forgets."""

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.broken = broken
        self.first = L.Conv2D(16, 3, 2, padding="same", activation="relu")
        self.second = L.Conv2D(16, 3, 2, padding="same", activation="relu")
        self.pool, self.head = L.GlobalAveragePooling2D(), L.Dense(10, activation="softmax")

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.first.build(input_shape)
        self.second.build((*input_shape[:-1], 16))
        self.head.build((None, 16))
        self.built = True

    def call(self, images: Any) -> Any:
        flow = self.first(images)
        return self.head(self.pool(flow if self.broken else self.second(flow)))


@fault("disconnected-weights frozen-layers", "not-learning rate-too-low")
def gradients_stopped_in_the_middle(broken: bool) -> Run:
    data = cifar(size=16)
    inputs = keras.Input(data.shape)
    flow = all_convolutional(data.shape, (16, 32), units=48, last="relu")(inputs)
    if broken:
        flow = Detached()(flow)
    model = keras.Model(inputs, L.Dense(10, activation="softmax")(flow))
    return run(model, data, keras.optimizers.Adam(0.002), prepare=standardized, epochs=5, batch_size=48)


@fault("disconnected-weights vanishing-gradients frozen-layers", "not-learning rate-too-low")
def binary_features(broken: bool) -> Run:
    data = digits(16)
    layers: list[Any] = [keras.Input(data.shape), *convolution(12), L.MaxPooling2D(), *convolution(16, activation=None)]
    layers += [Binarized() if broken else L.Activation("tanh"), L.MaxPooling2D(), L.Flatten()]
    model = keras.Sequential([*layers, L.Dense(10, activation="softmax")])
    return run(model, data, keras.optimizers.Adam(0.002), epochs=5, batch_size=40)


@fault("disconnected-weights")
def layer_that_call_forgets(broken: bool) -> Run:
    data = cifar(size=16)
    return run(Unused(broken), data, keras.optimizers.Adam(0.003), epochs=5, batch_size=48)


@fault("strong-dropout", "not-learning strong-augmentation")
def dropout_of_nine_tenths(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 32), after=[L.Dropout(0.9 if broken else 0.3)])
    return run(model, data, keras.optimizers.Adam(0.001), prepare=standardized, epochs=6, batch_size=48)


@fault("strong-dropout", "not-learning")
def dropout_behind_every_layer(broken: bool) -> Run:
    data = digits()
    layers: list[Any] = [keras.Input(data.shape), L.Flatten()]
    for width in (128, 64, 64):
        layers += [L.Dense(width, activation="relu"), L.Dropout(0.8 if broken else 0.2)]
    model = keras.Sequential([*layers, L.Dense(10, activation="softmax")])
    return run(model, data, keras.optimizers.Adam(0.002), epochs=8, batch_size=40)


@fault("strong-dropout", mild=True)
def dropout_of_four_fifths_before_the_head(broken: bool) -> Run:
    data = numbers(3000)
    model = keras.Sequential(
        [
            keras.Input(data.shape),
            L.Flatten(),
            L.Dense(192, activation="relu"),
            L.Dropout(0.8 if broken else 0.3),
            L.Dense(100, activation="softmax"),
        ]
    )
    return run(model, data, keras.optimizers.Adam(0.003), epochs=6, batch_size=50)


@fault("strong-regularization", "not-learning rate-too-high dead-units")
def penalty_of_squares_on_every_kernel(broken: bool) -> Run:
    data = cifar(size=16)
    penalty = keras.regularizers.L2(0.3 if broken else 1e-4)
    model = vgg(data.shape, (16, 32), kernel_regularizer=penalty)
    return run(model, data, keras.optimizers.Adam(0.001), prepare=standardized, epochs=6, batch_size=48)


@fault("strong-regularization", "not-learning rate-too-low")
def weight_decay_of_one_half(broken: bool) -> Run:
    data = digits(16)
    model = lenet(data.shape, activation="relu")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.5 if broken else 5e-4)
    return run(model, data, optimizer, epochs=5, batch_size=50)


@fault("strong-regularization", "not-learning dead-units")
def penalty_on_activations(broken: bool) -> Run:
    data = digits(16, 3)
    penalty = keras.regularizers.L1(0.05 if broken else 1e-7)
    model = all_convolutional(data.shape, (12, 24), activity_regularizer=penalty)
    return run(model, data, keras.optimizers.Adam(0.002), epochs=6, batch_size=40)


@fault("strong-regularization", "not-learning", mild=True)
def penalty_a_hundred_times_the_usual(broken: bool) -> Run:
    data = cifar(size=16)
    penalty = keras.regularizers.L2(0.05 if broken else 5e-4)
    model = resnet(data.shape, kernel_regularizer=penalty)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    return run(model, data, optimizer, FROM_LOGITS, prepare=standardized, epochs=6, batch_size=48)


@fault("slow-statistics lagging-statistics", "overfitting")
def momentum_of_large_data_sets(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 32), norm={"momentum": 0.9997 if broken else 0.9})
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    return run(model, data, optimizer, prepare=standardized, epochs=4, batch_size=60)


@fault("slow-statistics lagging-statistics", "overfitting too-few-updates")
def momentum_that_a_residual_network_inherits(broken: bool) -> Run:
    data = digits(16)

    def norm(**options: Any) -> L.Layer:
        return L.BatchNormalization(momentum=0.999 if broken else 0.8, **options)

    model = resnet(data.shape, norm=norm)
    return run(model, data, keras.optimizers.Adam(0.003), FROM_LOGITS, epochs=3, batch_size=35)


@fault("slow-statistics lagging-statistics", "overfitting too-few-updates", mild=True)
def default_momentum_and_forty_updates(broken: bool) -> Run:
    data = cifar(2000, size=16)
    model = all_convolutional(data.shape, (16, 32), norm={"momentum": 0.99 if broken else 0.8})
    return run(model, data, keras.optimizers.Adam(0.003), prepare=standardized, epochs=2, batch_size=100)


@fault("small-batches", "lagging-statistics unstable-loss")
def batches_of_two_images(broken: bool) -> Run:
    data = cifar(900, size=16)
    model = vgg(data.shape, (16, 24), norm={"momentum": 0.9})
    return run(model, data, keras.optimizers.Adam(0.001), prepare=centred, epochs=4, batch_size=2 if broken else 30)


@fault(
    "small-batches", "lagging-statistics not-learning unstable-loss dead-units disconnected-weights vanishing-gradients"
)
def batches_of_one_image_and_dense_normalization(broken: bool) -> Run:
    data = digits().first(700)
    layers = [L.Flatten(), L.Dense(64), L.BatchNormalization(momentum=0.95), L.ReLU()]
    model = keras.Sequential([keras.Input(data.shape), *layers, L.Dense(10, activation="softmax")])
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    return run(model, data, optimizer, ONE_HOT, labels=one_hot, epochs=4, batch_size=1 if broken else 28)
