"""Faults of the learning rate, its schedule and the clipping of gradients."""

from __future__ import annotations

import keras
from keras.optimizers import schedules

from .data import animals, centred, cifar, digits, numbers, one_hot, standardized
from .networks import (
    BINARY,
    FROM_LOGITS,
    ONE_HOT,
    all_convolutional,
    convnext,
    lenet,
    mlp,
    mobilenet,
    resnet,
    run,
    squeeze_excite,
    vgg,
    vit,
)
from .registry import Run, fault

DIVERGED = "exploding-gradients dead-units saturated-units unstable-loss training-stopped not-learning"
STUCK = "not-learning too-few-updates"


@fault("negative-rate", "unstable-loss training-stopped not-learning")
def minus_sign_before_the_rate(broken: bool) -> Run:
    data = digits()
    optimizer = keras.optimizers.SGD(-0.02 if broken else 0.02, momentum=0.9)
    return run(mlp(data.shape, (64, 32), activation="elu"), data, optimizer, epochs=5, batch_size=40)


@fault("negative-rate", "unstable-loss training-stopped past-best-epoch not-learning early-decay")
def line_that_crosses_zero(broken: bool) -> Run:
    data = cifar(size=16)
    line = keras.callbacks.LearningRateScheduler(lambda epoch: 0.004 - (0.0015 if broken else 0.0007) * epoch)
    model = all_convolutional(data.shape, (16, 32))
    return run(model, data, keras.optimizers.Adam(0.004), epochs=6, batch_size=48, callbacks=[line])


@fault("rate-too-high", DIVERGED)
def adam_of_five_hundredths(broken: bool) -> Run:
    data = cifar(size=16)
    model = vit(data.shape)
    optimizer = keras.optimizers.AdamW(0.05 if broken else 0.002)
    return run(model, data, optimizer, FROM_LOGITS, prepare=standardized, epochs=6, batch_size=48)


@fault("rate-too-high", DIVERGED)
def descent_of_two(broken: bool) -> Run:
    data = digits(16)
    model = lenet(data.shape, activation="relu")
    return run(model, data, keras.optimizers.SGD(2.0 if broken else 0.1), epochs=6, batch_size=28)


@fault("rate-too-high", DIVERGED)
def rmsprop_of_three_tenths(broken: bool) -> Run:
    data = animals()
    model = all_convolutional(data.shape, (12, 24), units=1, last="sigmoid")
    return run(model, data, keras.optimizers.RMSprop(0.3 if broken else 0.001), BINARY, epochs=5, batch_size=40)


@fault("rate-too-high", DIVERGED + " lagging-statistics slow-statistics")
def rate_of_fifty_with_batch_normalization(broken: bool) -> Run:
    data = cifar(size=16)
    optimizer = keras.optimizers.SGD(50.0 if broken else 0.1, momentum=0.9)
    return run(resnet(data.shape), data, optimizer, FROM_LOGITS, prepare=standardized, epochs=5, batch_size=48)


@fault("rate-too-high", DIVERGED, mild=True)
def adam_of_one_hundredth_and_a_half(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 32))
    optimizer = keras.optimizers.Adam(0.015 if broken else 0.001)
    return run(model, data, optimizer, prepare=standardized, epochs=6, batch_size=48)


@fault("rate-too-low", STUCK)
def adam_of_a_millionth(broken: bool) -> Run:
    data = cifar(size=16)
    model = all_convolutional(data.shape, (16, 32))
    optimizer = keras.optimizers.Adam(2e-6 if broken else 2e-3)
    return run(model, data, optimizer, ONE_HOT, labels=one_hot, prepare=centred, epochs=6, batch_size=48)


@fault("rate-too-low", STUCK)
def adadelta_as_it_comes(broken: bool) -> Run:
    data = digits(16, 3)
    model = vgg(data.shape, (12, 24))
    optimizer = keras.optimizers.Adadelta() if broken else keras.optimizers.Adadelta(1.0)
    return run(model, data, optimizer, epochs=6, batch_size=32)


@fault("rate-too-low", STUCK + " slow-statistics lagging-statistics")
def descent_of_a_hundred_thousandth(broken: bool) -> Run:
    data = animals()
    model = squeeze_excite(data.shape, units=2)
    return run(
        model, data, keras.optimizers.SGD(1e-5 if broken else 0.1), prepare=standardized, epochs=5, batch_size=40
    )


@fault("rate-too-low", STUCK, mild=True)
def descent_of_a_thousandth(broken: bool) -> Run:
    data = numbers()
    model = mlp(data.shape, (128,), units=100)
    optimizer = keras.optimizers.SGD(0.001 if broken else 0.2)
    return run(model, data, optimizer, epochs=6, batch_size=50)


@fault("clipped-gradients", STUCK + " rate-too-low")
def norm_clipped_to_a_ten_thousandth(broken: bool) -> Run:
    data = cifar(size=16)
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9, global_clipnorm=1e-4 if broken else 5.0)
    return run(vgg(data.shape, (16, 32)), data, optimizer, prepare=standardized, epochs=6, batch_size=48)


@fault("clipped-gradients", STUCK + " rate-too-low")
def values_clipped_to_a_millionth(broken: bool) -> Run:
    data = digits()
    optimizer = keras.optimizers.SGD(0.1, nesterov=True, momentum=0.9, clipvalue=1e-6 if broken else 0.5)
    return run(mlp(data.shape, (64,), activation="tanh"), data, optimizer, epochs=6, batch_size=40)


@fault("clipped-gradients", STUCK + " rate-too-low", mild=True)
def norm_of_each_kernel_clipped_to_a_hundredth(broken: bool) -> Run:
    data = digits(16)
    optimizer = keras.optimizers.SGD(0.05, clipnorm=0.01 if broken else 1.0)
    return run(lenet(data.shape, activation="relu"), data, optimizer, epochs=6, batch_size=40)


@fault("early-decay", STUCK + " rate-too-low")
def halved_every_four_steps(broken: bool) -> Run:
    data = cifar(size=16)
    rate = schedules.ExponentialDecay(0.05, 4 if broken else 100, 0.5)
    model = vgg(data.shape, (16, 32))
    return run(model, data, keras.optimizers.SGD(rate, momentum=0.9), prepare=standardized, epochs=6, batch_size=48)


@fault("early-decay", STUCK + " rate-too-low")
def cosine_over_epochs_instead_of_steps(broken: bool) -> Run:
    data = digits(16)
    rate = schedules.CosineDecay(0.002, 8 if broken else 8 * 35)
    model = all_convolutional(data.shape, (12, 24))
    return run(model, data, keras.optimizers.Adam(rate), epochs=8, batch_size=40)


@fault("early-decay", STUCK + " rate-too-low")
def plateau_without_patience(broken: bool) -> Run:
    data = cifar(size=16)
    options = {"min_delta": 0.5, "factor": 1e-3} if broken else {"min_delta": 1e-4, "factor": 0.5}
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1, **options)
    model = convnext(data.shape, 24, 2)
    optimizer = keras.optimizers.Adam(0.001)
    return run(model, data, optimizer, FROM_LOGITS, prepare=standardized, epochs=8, batch_size=48, callbacks=[plateau])


@fault("early-decay", STUCK + " rate-too-low", mild=True)
def steps_down_after_half_an_epoch(broken: bool) -> Run:
    data = cifar(size=16)
    boundaries = [25, 50, 75] if broken else [150, 200, 250]
    rate = schedules.PiecewiseConstantDecay(boundaries, [0.05, 0.005, 0.0005, 0.00005])
    model = mobilenet(data.shape)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    return run(model, data, optimizer, FROM_LOGITS, prepare=standardized, epochs=6, batch_size=48)
