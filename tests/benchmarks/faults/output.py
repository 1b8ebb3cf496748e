"""Faults of the last layer, the loss, the form of the labels and the metrics."""

from __future__ import annotations

import keras
from keras import layers as L
from keras import ops

from .data import animals, cifar, digits, numbers, one_hot, scaled, standardized
from .networks import (
    BINARY,
    FROM_LOGITS,
    ONE_HOT,
    SPARSE,
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


@fault("last-activation", "dead-units not-learning rate-too-high")
def tanh_as_the_last_activation(broken: bool) -> Run:
    data = digits(16)
    model = all_convolutional(data.shape, last="tanh" if broken else "softmax")
    return run(model, data, keras.optimizers.Adam(0.002), ONE_HOT, labels=one_hot, epochs=4)


@fault("last-activation loss-mismatch")
def scores_without_softmax(broken: bool) -> Run:
    data = cifar()
    model = mobilenet(data.shape, last=None if broken else "softmax")
    return run(model, data, keras.optimizers.Adam(0.003), prepare=standardized, epochs=5, batch_size=48)


@fault("last-activation output-units")
def softmax_of_one_unit(broken: bool) -> Run:
    data = animals()
    model = vgg(data.shape, (12, 24), units=1, last="softmax" if broken else "sigmoid")
    return run(model, data, keras.optimizers.RMSprop(0.001), BINARY, epochs=4, batch_size=40)


@fault("last-activation dead-units")
def relu_on_logits(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 24), last="relu" if broken else None)
    return run(model, data, keras.optimizers.Adam(0.002), FROM_LOGITS, prepare=standardized, epochs=6, batch_size=48)


@fault("last-activation wrong-loss")
def sigmoid_of_exclusive_classes(broken: bool) -> Run:
    data = digits()
    model = mlp(data.shape, (96, 48), activation="elu", last="sigmoid" if broken else "softmax")
    return run(model, data, keras.optimizers.Nadam(0.002), epochs=6, batch_size=50)


@fault("softmax-twice")
def softmax_layer_behind_a_softmax(broken: bool) -> Run:
    data = cifar(size=16)
    model = resnet(data.shape, last="softmax")
    if broken:
        model = keras.Sequential([model, L.Activation("softmax")])
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    return run(model, data, optimizer, ONE_HOT, labels=one_hot, prepare=standardized, epochs=5, batch_size=50)


@fault("softmax-twice last-activation")
def sigmoid_before_the_softmax(broken: bool) -> Run:
    data = digits(16, 3)
    model = lenet(data.shape, activation="relu", last="sigmoid" if broken else None)
    model = keras.Sequential([model, L.Softmax()])
    return run(model, data, keras.optimizers.Adamax(0.004), epochs=5, batch_size=40)


@fault("softmax-twice loss-mismatch")
def softmax_in_the_loss_as_well(broken: bool) -> Run:
    data = cifar(size=16)
    inputs = keras.Input(data.shape)
    scores = vit(data.shape, patch=4)(inputs)
    if broken:
        scores = ops.clip(ops.softmax(scores), 1e-6, 1.0)
    model = keras.Model(inputs, scores)
    return run(model, data, keras.optimizers.AdamW(0.002), FROM_LOGITS, prepare=standardized, epochs=6, batch_size=60)


@fault("loss-mismatch softmax-twice")
def probabilities_reshaped_and_from_logits(broken: bool) -> Run:
    data = cifar(size=16)
    model = squeeze_excite(data.shape)
    model = keras.Sequential([model, L.Reshape((10,))])
    loss = keras.losses.CategoricalCrossentropy(from_logits=broken)
    optimizer = keras.optimizers.Adam(0.003)
    return run(model, data, optimizer, loss, labels=one_hot, prepare=standardized, epochs=6, batch_size=60)


@fault("loss-mismatch last-activation")
def one_unit_without_sigmoid(broken: bool) -> Run:
    data = animals()
    model = convnext(data.shape, 24, 2, units=1)
    loss = keras.losses.BinaryCrossentropy(from_logits=not broken)
    metric = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
    return run(model, data, keras.optimizers.AdamW(0.002), loss, prepare=standardized, metrics=[metric], epochs=5)


@fault("wrong-loss", "rate-too-low not-learning")
def absolute_error_of_classes(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, last="softmax", norm={"momentum": 0.9})
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    return run(model, data, optimizer, "mae" if broken else ONE_HOT, labels=one_hot, epochs=5, batch_size=48)


@fault("wrong-loss")
def binary_loss_of_a_softmax(broken: bool) -> Run:
    data = digits(16)
    model = lenet(data.shape, activation="relu", last="softmax")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
    return run(model, data, optimizer, BINARY if broken else ONE_HOT, labels=one_hot, epochs=6, batch_size=50)


@fault("wrong-loss")
def hinge_of_probabilities(broken: bool) -> Run:
    data = digits()
    model = mlp(data.shape, (64,), activation="tanh")
    loss = "hinge" if broken else ONE_HOT
    return run(model, data, keras.optimizers.RMSprop(0.001), loss, labels=one_hot, epochs=8, batch_size=35)


@fault("wrong-loss last-activation label-form output-units", "not-learning", mild=True)
def regression_of_the_class_number(broken: bool) -> Run:
    data = animals(size=16)
    model = all_convolutional(data.shape, (16, 32), units=1, last="relu" if broken else "sigmoid")
    return run(model, data, keras.optimizers.Adam(0.001), "mean_squared_error" if broken else BINARY, epochs=5)


@fault("output-units")
def head_of_a_thousand_classes(broken: bool) -> Run:
    data = cifar(size=16)
    model = resnet(data.shape, units=1000 if broken else 10, last="softmax")
    return run(model, data, keras.optimizers.Adam(0.003), prepare=standardized, epochs=5, batch_size=60)


@fault("output-units label-form wrong-loss refused last-activation")
def one_sigmoid_unit_for_three_classes(broken: bool) -> Run:
    data = digits(16)
    x, y, x_val, y_val = data
    data = data._replace(x=x[y < 3], y=y[y < 3], x_val=x_val[y_val < 3], y_val=y_val[y_val < 3])
    model = lenet(data.shape, units=1 if broken else 3, last="sigmoid" if broken else "softmax")
    return run(model, data, keras.optimizers.Adam(0.003), BINARY if broken else SPARSE, epochs=6, batch_size=20)


@fault("output-units label-form refused")
def classes_counted_from_one(broken: bool) -> Run:
    data = digits()
    model = mlp(data.shape, (80,))
    return run(model, data, keras.optimizers.Adam(0.003), labels=lambda y: y + broken, epochs=5)


@fault("label-form wrong-loss output-units", "not-learning")
def class_numbers_against_ten_scores(broken: bool) -> Run:
    data = digits(16)
    model = all_convolutional(data.shape, (16, 32))
    labels = (lambda y: y[:, None].astype("float32")) if broken else one_hot
    loss = "mean_squared_error" if broken else ONE_HOT
    return run(model, data, keras.optimizers.Adam(0.002), loss, labels=labels, epochs=5, batch_size=50)


@fault("label-form single-class", "not-learning")
def labels_divided_with_the_pixels(broken: bool) -> Run:
    data = cifar(size=16)
    optimizer = keras.optimizers.Adam(0.003)
    made = run(squeeze_excite(data.shape), data, optimizer, prepare=standardized, epochs=5, batch_size=60)
    return made._replace(y=data.y / 255) if broken else made


@fault("label-form", "rate-too-low not-learning too-few-updates")
def one_hot_labels_divided_by_255(broken: bool) -> Run:
    data = digits(16, 3)
    model = vgg(data.shape, (8, 16))
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    made = run(model, data, optimizer, ONE_HOT, labels=one_hot, epochs=5, batch_size=40)
    return made._replace(y=made.y / 255) if broken else made


@fault("metric-mismatch")
def top_five_called_accuracy(broken: bool) -> Run:
    data = cifar(size=16)
    metric = keras.metrics.SparseTopKCategoricalAccuracy(5 if broken else 1, "accuracy")
    model = all_convolutional(data.shape)
    return run(model, data, keras.optimizers.Adam(0.002), metrics=[metric], epochs=5, batch_size=60)


@fault("metric-mismatch")
def equality_of_probabilities(broken: bool) -> Run:
    data = digits()
    metric = keras.metrics.Accuracy() if broken else "accuracy"
    model = mlp(data.shape, (64, 64), activation="gelu")
    return run(model, data, keras.optimizers.AdamW(0.003), ONE_HOT, labels=one_hot, metrics=[metric], epochs=5)


@fault("metric-mismatch")
def threshold_of_logits(broken: bool) -> Run:
    data = animals()
    metric = keras.metrics.BinaryAccuracy("accuracy", threshold=3.0 if broken else 0.0)
    model = resnet(data.shape, (12, 24), units=1)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return run(model, data, keras.optimizers.Adam(0.001), loss, metrics=[metric], epochs=4, batch_size=50)


@fault("dropout-on-scores", "strong-dropout last-activation")
def dropout_of_probabilities(broken: bool) -> Run:
    data = numbers()
    model = mlp(data.shape, (128,), units=100)
    if broken:
        model = keras.Sequential([model, L.Dropout(0.3)])
    return run(model, data, keras.optimizers.Adam(0.003), epochs=6, batch_size=50)


@fault("dropout-on-scores", "strong-dropout")
def dropout_before_the_softmax_layer(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 24), last=None)
    layers = [L.Dropout(0.5)] if broken else []
    model = keras.Sequential([model, *layers, L.Softmax()])
    return run(model, data, keras.optimizers.Adam(0.002), prepare=scaled, epochs=6, batch_size=48)
