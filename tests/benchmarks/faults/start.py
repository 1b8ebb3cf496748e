"""Faults that the first forward and backward pass shows: scale of the inputs, initial weights, gradients."""

from __future__ import annotations

from typing import Any

import keras
from keras import initializers
from keras import layers as L

from .data import animals, caffe, centred, cifar, digits, raw, scaled, standardized
from .networks import (
    BINARY,
    FROM_LOGITS,
    all_convolutional,
    convolution,
    lenet,
    mlp,
    run,
    vgg,
)
from .registry import Run, fault

DIVERGED = "rate-too-high exploding-gradients dead-units initialization unstable-loss training-stopped not-learning"
STUCK = "rate-too-low not-learning too-few-updates"


@fault("inputs-not-scaled", DIVERGED + " saturated-units")
def raw_pixels_into_dense_layers(broken: bool) -> Run:
    data = cifar(size=16)
    model = mlp(data.shape, (128, 64))
    prepare = raw if broken else standardized
    return run(model, data, keras.optimizers.Adam(0.002), prepare=prepare, epochs=6, batch_size=48)


@fault("inputs-not-scaled", DIVERGED)
def sixteen_bits_a_pixel(broken: bool) -> Run:
    data = digits(16)
    model = all_convolutional(data.shape, (12, 24))
    prepare = (lambda x: raw(x) * 257) if broken else scaled
    return run(model, data, keras.optimizers.Adam(0.002), prepare=prepare, epochs=5, batch_size=40)


@fault("inputs-not-scaled saturated-units", DIVERGED + " vanishing-gradients")
def caffe_images_into_tanh(broken: bool) -> Run:
    data = animals()
    model = lenet(data.shape, units=1, last="sigmoid")
    prepare = caffe if broken else centred
    return run(model, data, keras.optimizers.SGD(0.05), BINARY, prepare=prepare, epochs=5, batch_size=40)


@fault("inputs-too-small", STUCK)
def rescaled_in_the_array_and_in_the_model(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 32), before=[L.Rescaling(1 / 255)])
    prepare = scaled if broken else raw
    return run(model, data, keras.optimizers.SGD(0.05, momentum=0.9), prepare=prepare, epochs=6, batch_size=48)


@fault("inputs-too-small", STUCK)
def eight_bits_divided_by_65535(broken: bool) -> Run:
    data = digits(16)
    prepare = (lambda x: raw(x) / 65535) if broken else scaled
    model = lenet(data.shape, activation="relu")
    return run(model, data, keras.optimizers.SGD(0.1), prepare=prepare, epochs=6, batch_size=35)


@fault("initialization", STUCK + " vanishing-gradients disconnected-weights dead-units")
def kernels_of_zeros(broken: bool) -> Run:
    data = digits(16)
    kernel = "zeros" if broken else "glorot_uniform"
    model = lenet(data.shape, kernel_initializer=kernel)
    return run(model, data, keras.optimizers.Adam(0.003), epochs=5, batch_size=40)


@fault("initialization", STUCK + " exploding-gradients")
def kernels_of_one_number(broken: bool) -> Run:
    data = cifar(size=16)
    kernel: Any = initializers.Constant(0.01) if broken else "he_normal"
    model = vgg(data.shape, (16, 24), kernel_initializer=kernel)
    return run(model, data, keras.optimizers.Adam(0.002), prepare=centred, epochs=5, batch_size=48)


@fault("initialization exploding-gradients", DIVERGED)
def deviation_of_one(broken: bool) -> Run:
    data = cifar(size=16)
    kernel: Any = initializers.RandomNormal(stddev=1.0, seed=1) if broken else "he_normal"
    model = vgg(data.shape, (16, 32), kernel_initializer=kernel)
    optimizer = keras.optimizers.SGD(0.005, momentum=0.9)
    return run(model, data, optimizer, prepare=standardized, epochs=5, batch_size=48)


@fault("initialization vanishing-gradients", STUCK + " inputs-too-small")
def deviation_of_a_thousandth(broken: bool) -> Run:
    data = digits()
    kernel: Any = initializers.TruncatedNormal(stddev=0.001, seed=2) if broken else "he_uniform"
    model = mlp(data.shape, (64, 64, 64), kernel_initializer=kernel)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    return run(model, data, optimizer, epochs=6, batch_size=35)


@fault("dead-units initialization", STUCK)
def biases_far_below_zero(broken: bool) -> Run:
    data = cifar(size=16)
    bias: Any = initializers.RandomUniform(-9, -5, seed=3) if broken else "zeros"
    model = mlp(data.shape, (128, 64), bias_initializer=bias)
    return run(model, data, keras.optimizers.SGD(0.02, momentum=0.9), prepare=standardized, epochs=5, batch_size=48)


@fault("dead-units initialization", STUCK)
def negative_images_and_positive_kernels(broken: bool) -> Run:
    data = digits(16)
    kernel: Any = initializers.RandomUniform(0, 0.1, seed=4) if broken else "glorot_uniform"
    prepare = lambda x: scaled(x) - 1  # noqa: E731
    model = all_convolutional(data.shape, (16, 24), kernel_initializer=kernel)
    return run(model, data, keras.optimizers.Adam(0.002), prepare=prepare, epochs=5, batch_size=40)


@fault("dead-units rate-too-high", DIVERGED, mild=True)
def units_that_the_rate_kills(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 32))
    optimizer = keras.optimizers.SGD(0.5 if broken else 0.02, momentum=0.9)
    return run(model, data, optimizer, prepare=standardized, epochs=5, batch_size=32)


@fault("saturated-units initialization", STUCK + " vanishing-gradients exploding-gradients")
def tanh_with_wide_kernels(broken: bool) -> Run:
    data = cifar(size=16)
    kernel: Any = initializers.RandomNormal(stddev=1.0, seed=5) if broken else "glorot_normal"
    model = mlp(data.shape, (96, 96, 48), activation="tanh", kernel_initializer=kernel)
    return run(model, data, keras.optimizers.SGD(0.05), prepare=standardized, epochs=6, batch_size=40)


@fault("saturated-units initialization vanishing-gradients", STUCK + " hidden-activation")
def sigmoid_with_biases_of_twelve(broken: bool) -> Run:
    data = digits(16)
    bias: Any = initializers.Constant(12.0) if broken else "zeros"
    model = lenet(data.shape, activation="sigmoid" if broken else "tanh", bias_initializer=bias)
    return run(model, data, keras.optimizers.Adam(0.003), epochs=6, batch_size=40)


@fault("vanishing-gradients hidden-activation", STUCK)
def ten_layers_of_sigmoids(broken: bool) -> Run:
    data = digits()
    model = mlp(data.shape, (48,) * (10 if broken else 2), activation="sigmoid" if broken else "relu")
    return run(model, data, keras.optimizers.Adam(0.002), epochs=6, batch_size=40)


@fault("vanishing-gradients initialization", STUCK)
def deep_tanh_with_small_kernels(broken: bool) -> Run:
    data = cifar(size=16)
    kernel: Any = initializers.RandomNormal(stddev=0.02, seed=6) if broken else "glorot_uniform"
    layers: list[Any] = [keras.Input(data.shape)]
    for place in range(10):
        strides = 2 if place in (0, 4) else 1
        layers += convolution(16, activation="tanh", strides=strides, kernel_initializer=kernel)
    model = keras.Sequential([*layers, L.GlobalAveragePooling2D(), L.Dense(10, activation="softmax")])
    return run(model, data, keras.optimizers.SGD(0.05, momentum=0.9), prepare=standardized, epochs=6, batch_size=48)


@fault("exploding-gradients initialization", DIVERGED)
def twelve_layers_that_double(broken: bool) -> Run:
    data = digits(16)
    kernel = initializers.VarianceScaling(8.0 if broken else 2.0, seed=7)
    model = mlp(data.shape, (64,) * 12, kernel_initializer=kernel)
    return run(model, data, keras.optimizers.SGD(0.01, momentum=0.9), prepare=standardized, epochs=6, batch_size=40)


@fault("exploding-gradients initialization", DIVERGED)
def residual_branches_times_four(broken: bool) -> Run:
    data = cifar(size=16)
    inputs = keras.Input(data.shape)
    flow = L.Conv2D(16, 3, 2, padding="same", activation="relu")(inputs)
    for _ in range(8):
        branch = L.Conv2D(16, 3, padding="same", activation="relu", kernel_initializer="he_normal")(flow)
        branch = L.Conv2D(16, 3, padding="same", kernel_initializer="he_normal")(branch)
        flow = L.add([flow, L.Rescaling(4.0 if broken else 0.2)(branch)])
    model = keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(flow)))
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    return run(model, data, optimizer, FROM_LOGITS, prepare=standardized, epochs=4, batch_size=48)


@fault("strong-augmentation", "not-learning rate-too-low")
def rotated_shifted_and_zoomed_beyond_recognition(broken: bool) -> Run:
    data = digits(16)
    strength = 0.7 if broken else 0.05
    before = [
        L.RandomRotation(strength / 2, fill_mode="constant"),
        L.RandomTranslation(strength, strength, fill_mode="constant"),
        L.RandomZoom((-strength / 2, strength), fill_mode="constant"),
    ]
    model = vgg(data.shape, (12, 24), before=before)
    return run(model, data, keras.optimizers.Adam(0.002), epochs=6, batch_size=40)


@fault("strong-augmentation", "not-learning rate-too-low label-noise")
def noise_stronger_than_the_images(broken: bool) -> Run:
    data = cifar(size=16)
    model = all_convolutional(data.shape, (16, 32))
    model = keras.Sequential([keras.Input(data.shape), L.GaussianNoise(1.0 if broken else 0.02), model])
    return run(model, data, keras.optimizers.Adam(0.002), prepare=scaled, epochs=6, batch_size=48)


@fault("strong-augmentation", mild=True)
def flips_of_digits(broken: bool) -> Run:
    data = digits(16)
    before = [L.RandomFlip("horizontal_and_vertical"), L.RandomRotation(0.5)] if broken else [L.RandomRotation(0.03)]
    model = vgg(data.shape, (12, 24), before=before)
    return run(model, data, keras.optimizers.Adam(0.003), epochs=8, batch_size=40)
