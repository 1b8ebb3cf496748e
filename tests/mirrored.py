"""Trains on two logical devices and writes the results to `results.json` in the given folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import lrdiag
from lrdiag.training.recorder import StepRecorder

RNG = np.random.default_rng(0)
INPUTS, LABELS = RNG.uniform(size=(64, 8, 8, 3)).astype("float32"), RNG.integers(0, 3, 64)
SCHEDULE = keras.optimizers.schedules.CosineDecay(0.1, 20)


def net(rate: Any, strategy: tf.distribute.Strategy, dropout: float = 0.1) -> keras.Model:
    """A model whose training doesn't depend on the number of devices, except for dropout."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.Conv2D(4, 3, activation="relu"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dropout(dropout, seed=1),
                keras.layers.Dense(3, activation="softmax"),
            ]
        )
        model.compile(lrdiag.SGD(rate, momentum=0.9), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback) -> list[float]:
    """Returns the losses of three epochs of four steps."""
    history = model.fit(
        INPUTS, LABELS, batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=list(callbacks)
    ).history
    return list(history["loss"])


def sweep(model: keras.Model) -> list[float]:
    """Returns the losses of a range test on batches in a fixed order."""
    batches = tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).batch(16)
    return lrdiag.find_lr(model, batches, iterations=20, end_lr=0.5).losses


def main(folder: Path) -> None:
    """Runs all training runs."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    both = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    results: dict[str, Any] = {}

    def trained(rate: Any, before: Callable[[keras.Model], Any]) -> list[Any]:
        model = net(rate, both)
        before(model)
        return [fit(model), [keras.ops.convert_to_numpy(each).tolist() for each in model.variables]]

    for name, rate in (("number", 0.1), ("schedule", SCHEDULE)):
        results[f"swept {name}"] = trained(rate, sweep)
        results[f"bare {name}"] = trained(rate, lambda model: None)

    results["sweep"], results["sweep on one device"] = (
        sweep(net(0.1, strategy, dropout=0)) for strategy in (both, tf.distribute.get_strategy())
    )

    model, recorder = net(0.5, both), StepRecorder()
    cyclic = lrdiag.CyclicLR(0.01, 0.1, 6, momentum=(0.85, 0.95))
    report = lrdiag.ReportCallback(folder / "report", (INPUTS, LABELS))
    results["history"] = fit(model, cyclic, recorder, report)
    results |= {"rates": recorder.learning_rates, "momentums": recorder.momentums, "losses": recorder.losses}
    results["trained rate"] = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    training = json.loads((folder / "report/report.json").read_text())["training"]
    results["reported epochs"], results["reported optimizer"] = len(training["epochs"]), training["optimizer"]
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
