"""The findings about small faulty and sound programs, on the engine in KERAS_BACKEND. `test_findings.py` runs it.

It prints the code, the severity and the time of each error and warning, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import blocked  # noqa: F401 – before Keras
import keras
import numpy as np
from keras import layers as kl
from sklearn.datasets import load_digits

import lrdiag

OFF = ("weak-class", "over-predicted-class", "no-heatmaps")  # a few images decide on them, or attention has none
Program = dict[str, Any]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images with values from 0 to 1, and their labels."""
    loaded = load_digits()
    return loaded.images[:800, ..., np.newaxis].astype("float32") / 16, loaded.target[:800]


IMAGES, LABELS = digits()


def network(
    *before: kl.Layer,
    activation: str | None = "relu",
    last: str | None = "softmax",
    after: tuple[kl.Layer, ...] = (),
    initializer: str = "he_normal",
) -> keras.Model:
    """A small convolutional network. Its weights do not depend on the engine if the initializer is the default."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *before,
            kl.Conv2D(16, 3, padding="same", activation=activation, kernel_initializer=initializer),
            kl.MaxPooling2D(),
            kl.Conv2D(32, 3, activation=activation, kernel_initializer=initializer),
            kl.Flatten(),
            kl.Dense(32, activation=activation, kernel_initializer=initializer),
            kl.Dense(10, activation=last),
            *after,
        ]
    )
    if initializer == "he_normal":
        generator = np.random.default_rng(0)
        for each in model.trainable_variables:
            if len(each.shape) > 1:
                each.assign(generator.normal(0, (2 / np.prod(each.shape[:-1])) ** 0.5, each.shape))
    return model


def program(
    model: keras.Model | None = None,
    optimizer: Any = None,
    loss: Any = "sparse_categorical_crossentropy",
    metric: Any = "accuracy",
    *,
    x: np.ndarray = IMAGES[:600],
    y: np.ndarray = LABELS[:600],
    validation: np.ndarray = IMAGES[600:],
    seen: np.ndarray = LABELS[600:],
    **arguments: Any,
) -> Program:
    """A program that trains a network, by default one that is sound."""
    model = model or network()
    model.compile(optimizer or keras.optimizers.Adam(0.003), loss, metrics=[metric])
    return {"model": model, "x": x, "y": y, "validation": (validation, seen), **arguments}


def with_nan() -> np.ndarray:
    images = IMAGES[:600].copy()
    images[77, 3, 3] = np.nan
    return images


def with_wrong(labels: np.ndarray, share: float) -> np.ndarray:
    """Labels, some of which are those of another class."""
    generator = np.random.default_rng(0)
    wrong = generator.random(len(labels)) < share
    return np.where(wrong, (labels + generator.integers(1, 10, len(labels))) % 10, labels)


def frozen() -> keras.Model:
    model = network(initializer="glorot_uniform")
    for layer in model.layers[:-1]:
        layer.trainable = False
    return model


def residual() -> keras.Model:
    """A branch that begins at zero, and an operation between layers."""
    inputs = keras.Input((8, 8, 1))
    flow = kl.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    branch = kl.Conv2D(16, 3, padding="same")(flow)
    flow = keras.ops.relu(flow + kl.BatchNormalization(gamma_initializer="zeros", momentum=0.8)(branch))
    return keras.Model(inputs, kl.Dense(10)(kl.Flatten()(kl.MaxPooling2D(2)(flow))))


def rows() -> keras.Model:
    """Reads the rows of an image as words: attention, layer normalization, and a gated unit."""
    inputs = keras.Input((8, 8, 1))
    words = kl.Dense(24)(kl.Reshape((8, 8))(inputs))
    normal = kl.LayerNormalization()(words)
    words = kl.LayerNormalization()(words + kl.MultiHeadAttention(2, 12)(normal, normal))
    hidden = kl.Dense(32, activation="gelu")(kl.Flatten()(words))
    return keras.Model(inputs, kl.Dense(10, activation="softmax")(hidden))


FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ORDER = np.argsort(LABELS[:600], kind="stable")
FAULTY: dict[str, Callable[[], Program]] = {
    "nan-input": lambda: program(x=with_nan()),
    "softmax-twice": lambda: program(network(after=(kl.Softmax(),))),
    "wrong-loss": lambda: program(loss="mse", y=keras.utils.to_categorical(LABELS[:600], 10)),
    "metric-mismatch": lambda: program(
        loss="categorical_crossentropy", metric="binary_accuracy", y=keras.utils.to_categorical(LABELS[:600], 10)
    ),
    "hidden-activation": lambda: program(network(activation=None)),
    "initialization": lambda: program(network(initializer="zeros")),
    "frozen-layers": lambda: program(frozen()),
    "not-shuffled": lambda: program(x=IMAGES[ORDER], y=LABELS[ORDER], shuffle=False),
    "input-mismatch": lambda: program(validation=255 * IMAGES[600:]),
    "inputs-not-scaled": lambda: program(
        network(last=None), keras.optimizers.SGD(0.01), FROM_LOGITS, x=255 * IMAGES[:600], validation=255 * IMAGES[600:]
    ),
    "rate-too-high": lambda: program(optimizer=keras.optimizers.Adam(1.0)),
    "clipped-gradients": lambda: program(optimizer=keras.optimizers.SGD(0.05, clipnorm=1e-5)),
    "training-label-errors": lambda: program(y=with_wrong(LABELS[:600], 0.3), epochs=6),
    "test-label-errors": lambda: program(seen=with_wrong(LABELS[600:], 0.1), epochs=6),
}  # fmt: skip
SOUND: dict[str, Callable[[], Program]] = {
    "plain": program,
    "logits": lambda: program(network(last=None), loss=FROM_LOGITS),
    "pixels with rescaling, augmentation and dropout": lambda: program(
        network(kl.Rescaling(1 / 255), kl.RandomTranslation(0.1, 0.1)), x=255 * IMAGES[:600],
        validation=255 * IMAGES[600:],
    ),
    "residual": lambda: program(residual(), loss=FROM_LOGITS),
    "attention": lambda: program(rows()),
}  # fmt: skip


def findings(made: Program) -> list[list[str]]:
    """Trains a program under `ReportCallback`, and returns its findings."""
    model, x, y, validation = (made.pop(name) for name in ("model", "x", "y", "validation"))
    with tempfile.TemporaryDirectory() as folder:
        callback = lrdiag.ReportCallback(folder, validation, checks=dict.fromkeys(OFF, False))
        model.fit(x, y, **{"batch_size": 32, "epochs": 3, "verbose": 0, **made}, callbacks=[callback])
    found = callback.report.diagnosis.findings
    return sorted([each.code, each.severity, str(each.known)] for each in found if each.severity != "note")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    results = {}
    for name, make in (FAULTY | SOUND).items():
        keras.utils.set_random_seed(0)
        results[name] = findings(make())
    assert (os.environ["KERAS_BACKEND"] == "tensorflow") == ("tensorflow" in sys.modules)
    print(json.dumps({"faulty": list(FAULTY), "findings": results}))
