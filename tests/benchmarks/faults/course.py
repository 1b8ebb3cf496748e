"""Faults that the course of the training run shows."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers as L
from keras import ops

from .data import animals, cifar, digits, numbers, one_hot, standardized
from .networks import FROM_LOGITS, ONE_HOT, all_convolutional, lenet, mlp, resnet, run, vgg, vit
from .registry import Run, fault
from .training_data import noisy


@fault("unstable-loss rate-too-high", "training-stopped dead-units not-learning exploding-gradients")
def momentum_of_0_99_and_a_large_rate(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 32), activation="elu")
    optimizer = keras.optimizers.SGD(0.03 if broken else 0.005, momentum=0.99 if broken else 0.9)
    return run(model, data, optimizer, prepare=standardized, epochs=5, batch_size=40)


@fault("unstable-loss rate-too-high", "training-stopped dead-units not-learning")
def batches_of_two_and_a_large_step(broken: bool) -> Run:
    data = digits().first(800)
    optimizer = keras.optimizers.Adam(0.03 if broken else 0.001)
    return run(mlp(data.shape, (64, 64)), data, optimizer, epochs=5, batch_size=2 if broken else 16)


@fault("wrong-loss unstable-loss negative-rate not-learning rate-too-high training-stopped", "dead-units")
def loss_of_the_wrong_sign(broken: bool) -> Run:
    data = digits(16)
    sign = -1.0 if broken else 1.0

    def likelihood(labels: Any, scores: Any) -> Any:
        return sign * keras.losses.sparse_categorical_crossentropy(labels, scores, from_logits=True)

    model = lenet(data.shape, last=None)
    return run(model, data, keras.optimizers.Adam(0.002), likelihood, epochs=4, batch_size=40)


@fault("not-learning disconnected-weights vanishing-gradients rate-too-low")
def loss_with_a_weight_of_zero(broken: bool) -> Run:
    data = cifar(size=16)
    weights = {"loss_weights": [0.0 if broken else 1.0]}
    model = all_convolutional(data.shape, (16, 32))
    return run(model, data, keras.optimizers.Adam(0.002), compiled=weights, epochs=5, batch_size=48)


@fault("not-learning wrong-labels label-noise", "overfitting rate-too-low")
def random_labels(broken: bool) -> Run:
    data = cifar(size=16)
    if broken:
        data = data._replace(y=np.random.default_rng(24).permutation(data.y))
    model = resnet(data.shape)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    return run(model, data, optimizer, FROM_LOGITS, prepare=standardized, epochs=3, batch_size=60)


@fault("past-best-epoch overfitting", "little-data")
def forty_epochs_of_four_hundred_images(broken: bool) -> Run:
    data = cifar(400 if broken else 2400, size=16)
    model = vgg(data.shape, (24, 48))
    return run(
        model, data, keras.optimizers.Adam(0.002), prepare=standardized, epochs=40 if broken else 4, batch_size=32
    )


@fault("past-best-epoch overfitting", "label-noise")
def noise_learnt_by_heart(broken: bool) -> Run:
    data = animals(900)
    data = data._replace(y=noisy(data.y, 0.2, 2)) if broken else data
    model = mlp(data.shape, (256, 128), units=2)
    optimizer = keras.optimizers.Adam(0.001)
    return run(model, data, optimizer, prepare=standardized, epochs=40 if broken else 4, batch_size=32)


@fault("too-few-updates", "slow-statistics lagging-statistics large-batches")
def one_epoch_of_large_batches(broken: bool) -> Run:
    data = digits(16)
    epochs, batch_size = (1, 200) if broken else (6, 40)
    return run(lenet(data.shape), data, keras.optimizers.Adam(0.002), epochs=epochs, batch_size=batch_size)


@fault("too-few-updates rate-too-low")
def two_epochs_of_a_transformer(broken: bool) -> Run:
    data = numbers()
    model = vit(data.shape, patch=4, width=48, blocks=2, units=100)
    optimizer = keras.optimizers.Adam(0.001 if broken else 0.003)
    return run(model, data, optimizer, FROM_LOGITS, epochs=2 if broken else 20, batch_size=80 if broken else 50)


@fault("large-batches", "too-few-updates slow-statistics rate-too-low")
def all_images_in_one_batch(broken: bool) -> Run:
    data = digits()
    model = mlp(data.shape, (64,), activation="relu")
    optimizer = keras.optimizers.Adam(0.003)
    return run(model, data, optimizer, ONE_HOT, labels=one_hot, epochs=6, batch_size=1400 if broken else 35)


@fault("large-batches", "too-few-updates slow-statistics lagging-statistics rate-too-low", mild=True)
def a_third_of_the_images_in_a_batch(broken: bool) -> Run:
    data = cifar(size=16)
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    model = vgg(data.shape, (16, 24))
    return run(model, data, optimizer, prepare=standardized, epochs=6, batch_size=800 if broken else 40)


@fault("overfitting past-best-epoch", "little-data")
def wide_layers_and_few_images(broken: bool) -> Run:
    data = cifar(600 if broken else 3000, size=16)
    model = mlp(data.shape, (512, 256)) if broken else vgg(data.shape, (16, 24), after=[L.Dropout(0.5)])
    optimizer = keras.optimizers.Adam(0.001)
    return run(model, data, optimizer, prepare=standardized, epochs=25 if broken else 5, batch_size=32)


@fault("overfitting past-best-epoch", "little-data")
def convolutions_trained_for_too_long(broken: bool) -> Run:
    data = cifar(1000 if broken else 2400, size=16)
    model = resnet(data.shape, (32, 64))
    optimizer = keras.optimizers.Adam(0.002)
    return run(model, data, optimizer, FROM_LOGITS, prepare=standardized, epochs=15 if broken else 3, batch_size=40)


@fault("training-stopped", "unstable-loss not-learning rate-too-high exploding-gradients")
def logarithm_of_zero_in_a_loss(broken: bool) -> Run:
    data = digits(16)

    def loss(labels: Any, scores: Any) -> Any:
        scores = scores if broken else ops.clip(scores, 1e-7, 1.0)
        return -ops.sum(labels * ops.log(ops.relu(scores - (0.02 if broken else 0.0))), axis=-1)

    model = lenet(data.shape)
    return run(model, data, keras.optimizers.Adam(0.003), loss, labels=one_hot, epochs=4, batch_size=40)


@fault("training-stopped rate-too-high", "unstable-loss not-learning exploding-gradients dead-units")
def rate_of_a_thousand(broken: bool) -> Run:
    data = cifar(size=16)
    model = all_convolutional(data.shape, (16, 24), activation="elu", last=None)
    optimizer = keras.optimizers.SGD(1000.0 if broken else 0.02, momentum=0.9)
    return run(model, data, optimizer, FROM_LOGITS, prepare=standardized, epochs=4, batch_size=48)
