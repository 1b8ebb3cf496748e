"""Trains and evaluates on one device and on several, and writes what was found to a folder.

device_checks.py jax FOLDER                  without a distribution, and on four simulated devices
device_checks.py tensorflow FOLDER           without a strategy, and on two logical devices
device_checks.py process FOLDER PORT NUMBER  one of two JAX processes of two devices each
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

KIND, FOLDER = sys.argv[1], Path(sys.argv[2])
DEVICES = {"jax": 4, "process": 2, "tensorflow": 2}[KIND]
if KIND != "tensorflow":
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
os.environ["KERAS_BACKEND"] = "tensorflow" if KIND == "tensorflow" else "jax"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

if KIND == "process":
    PORT, NUMBER = int(sys.argv[3]), int(sys.argv[4])
    keras.distribution.initialize(f"localhost:{PORT}", num_processes=2, process_id=NUMBER)

import lrdiag  # noqa: E402
from lrdiag.errors import ModelError, SettingsError  # noqa: E402
from lrdiag.rate.curves import Cyclic  # noqa: E402

RNG = np.random.default_rng(0)
X, Y = RNG.uniform(size=(64, 8, 8, 3)).astype("float32"), RNG.integers(0, 3, 64)
UNSEEN = RNG.uniform(size=(50, 8, 8, 3)).astype("float32"), RNG.integers(0, 3, 50)  # 50 is no multiple of 4
BATCH = 16


def net(rate: Any, dropout: float) -> keras.Model:
    """A network whose training does not depend on the number of devices, except for dropout with TensorFlow."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(4, 3),
        keras.layers.BatchNormalization(synchronized=True) if dropout == 0 else keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(dropout, seed=1),
        keras.layers.Dense(3, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile(lrdiag.SGD(rate, momentum=0.9), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Batches(keras.utils.PyDataset):
    """Batches in a fixed order: those of this process."""

    def __init__(self, x: np.ndarray, y: np.ndarray, size: int) -> None:
        super().__init__()
        self._x, self._y, self._size = x, y, size

    def __len__(self) -> int:
        return len(self._x) // self._size

    def __getitem__(self, number: int) -> Any:
        chosen = slice(number * self._size, (number + 1) * self._size)
        return self._x[chosen], self._y[chosen]


def trained(name: str, batches: Batches, scope: Any, dropout: float, *, maps: bool = True) -> None:
    """Makes a range test, and trains with each kind of policy."""
    found: dict[str, Any] = {}

    def fit(rate: Any, *callbacks: keras.callbacks.Callback) -> keras.Model:
        model = net(rate, dropout)
        history = model.fit(batches, epochs=3, shuffle=False, verbose=0, callbacks=list(callbacks))
        found[type(callbacks[0]).__name__ if callbacks else "schedule"] = history.history["loss"]
        return model

    with scope():
        test = lrdiag.find_lr(net(0.1, dropout), batches, iterations=12, end_lr=0.5)
        found["find_lr"] = test.losses
        with lrdiag.LRFinder(end_lr=0.5, iterations=10) as finder:
            fit(lrdiag.CurveSchedule(Cyclic(0.01, 0.1, 6)), finder)
        found["LRFinder"] = finder.result().losses
        fit(0.1, lrdiag.OneCycleLR(0.1))
        report = lrdiag.ReportCallback(FOLDER / name, UNSEEN, batch_size=BATCH)
        model = fit(0.1, lrdiag.CyclicLR(0.01, 0.1, 6, momentum=(0.85, 0.95)), report)
        if maps:
            found |= evaluated(model)
    np.savez(FOLDER / f"{name}.npz", **found)


def evaluated(model: keras.Model) -> dict[str, np.ndarray]:
    """Mistakes and maps, of ragged batches and of fewer images than devices."""
    images, labels = UNSEEN
    explainer = lrdiag.GradCAM(model, batch_size=BATCH)
    predictions, _ = explainer.predict_and_explain(images, labels)
    scorecam = lrdiag.GradCAM(model, method="scorecam", batch_size=BATCH)
    return {
        "mistakes": predictions.misclassified,
        "maps": explainer.maps(images),
        "map": explainer.maps(images[:1]),
        "scorecam": scorecam.maps(images[:5]),
        "of three": lrdiag.diagnose(model, images[:3], labels[:3]).accuracy,
    }


def of_one_process() -> None:
    """On JAX: one device, and then four."""
    trained("one", Batches(X, Y, BATCH), contextlib.nullcontext, dropout=0.1)
    distribution = keras.distribution.DataParallel()
    trained("four", Batches(X, Y, BATCH), distribution.scope, dropout=0.1)
    from lrdiag.backend.engine import engine

    with distribution.scope():
        model = net(0.1, 0.1)
        scores = engine().compiled(lambda images: model(images, training=False), model)(X[:BATCH])
    assert [len(shard.data) for shard in scores.addressable_shards] == [BATCH // DEVICES] * DEVICES


def of_two_processes() -> None:
    """On JAX: one of two processes, with its half of each batch."""
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    halves = np.arange(len(X)).reshape(-1, 2, BATCH // 2)[:, NUMBER].ravel()
    name = f"process {NUMBER}"
    trained(name, Batches(X[halves], Y[halves], BATCH // 2), distribution.scope, dropout=0.1, maps=False)
    with distribution.scope():
        with pytest.raises(ModelError, match="evaluates a model in one process"):
            lrdiag.GradCAM(net(0.1, 0.1)).maps(X)
        with pytest.raises(SettingsError, match="`stop_on`"):
            lrdiag.ReportCallback(FOLDER / name, UNSEEN, stop_on="error")


def of_mirrored() -> None:
    """On TensorFlow: one device, and then two."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * DEVICES)
    trained("one", Batches(X, Y, BATCH), contextlib.nullcontext, dropout=0)
    trained("two", Batches(X, Y, BATCH), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope, dropout=0)


if __name__ == "__main__":
    {"jax": of_one_process, "process": of_two_processes, "tensorflow": of_mirrored}[KIND]()
