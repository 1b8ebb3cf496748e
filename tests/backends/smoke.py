"""A smoke test of one engine in one process: the commands and the plugins, on the digits, without TensorFlow.

Usage: KERAS_BACKEND=jax python tests/backends/smoke.py
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import blocked  # noqa: F401 – before Keras
import keras
import numpy as np
from sklearn.datasets import load_digits

import lrdiag
from lrdiag.cli.app import main

ENGINE = os.environ["KERAS_BACKEND"]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """A few small images with their labels."""
    loaded = load_digits()
    return loaded.images[:360, ..., np.newaxis].astype("float32"), loaded.target[:360]


def network() -> keras.Model:
    """A compiled network that learns them."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 16),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.BatchNormalization(momentum=0.9),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(lrdiag.SGD(0.01, momentum=0.9), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def check_the_commands() -> None:
    """The main job, the range test alone, and the evaluation of the model that the job saved."""
    small = ["--data", "digits", "--limit-train", "300", "--limit-test", "60", "--quiet"]
    _run("train-and-report", *small, "--epochs", "1", "--batch-size", "32", "--out", "run")
    _run("find-lr", "--data", "digits", "--limit-train", "300", "--batch-size", "32", "--iterations", "60", "--quiet")
    _run("diagnose", "run/model.keras", "--data", "digits", "--out", "diagnosed", "--quiet")
    for folder in ("run", "diagnosed"):
        assert json.loads(Path(folder, "report.json").read_text())["backend"] == ENGINE
        assert Path(folder, "report.html").stat().st_size > 50_000
    _run("report", "run")


def check_the_stages() -> None:
    """Training on smaller images first gives a model for the full size, whose report is that of the saved file."""
    short = ["--limit-train", "300", "--limit-test", "60", "--epochs", "2", "--learning-rate", "0.05", "--quiet"]
    _run("train-and-report", "--data", "digits", "--image-size", "20", *short, "--out", "stages", "--no-open")
    report = json.loads(Path("stages", "report.json").read_text())
    assert [stage["width"] for stage in report["training"]["stages"]] == [16, 20]
    assert "exploding-gradients" not in [finding["code"] for finding in report["findings"]]
    model = keras.models.load_model("stages/model.keras")
    assert model.input_shape == (None, 20, 20, 3)
    _run("diagnose", "stages/model.keras", "--data", "digits", "--out", "again", "--quiet")
    assert json.loads(Path("again", "report.json").read_text())["backend"] == ENGINE


def check_the_plugins() -> None:
    """`find_lr`, a policy of rate and momentum, the report callback, a schedule, and every method of `GradCAM`."""
    keras.utils.set_random_seed(0)
    (images, labels), model = digits(), network()
    test = lrdiag.find_lr(model, images, labels, batch_size=32, iterations=30)
    assert len(test.losses) > 10
    policy = lrdiag.OneCycleLR(max_lr=0.1, momentum=(0.85, 0.95))
    report = lrdiag.ReportCallback("plugin", (images[:60], labels[:60]))
    model.fit(images[60:], labels[60:], batch_size=32, epochs=4, verbose=0, callbacks=[policy, report])
    steps = report.report.diagnosis.training.learning_rate_per_step
    assert np.allclose(steps, [float(policy.curve(step)) for step in range(len(steps))], rtol=1e-6)
    assert report.report.accuracy > 0.5
    schedule = lrdiag.CyclicSchedule(0.001, 0.01, 10)
    model.compile(keras.optimizers.SGD(schedule), loss="sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=64, verbose=0)
    for method in ("gradcam", "hirescam", "gradcam++", "layercam", "scorecam", "saliency", "smoothgrad"):
        maps = lrdiag.GradCAM(model, method=method).maps(images[:4], labels[:4])
        assert np.isfinite(maps).all(), method


def _run(*arguments: str) -> None:
    assert not main(list(arguments), standalone_mode=False), arguments  # the exit code, or nothing


if __name__ == "__main__":
    checks: tuple[Callable[[], None], ...] = (check_the_commands, check_the_stages, check_the_plugins)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for check in checks:
            check()
    assert (ENGINE == "tensorflow") == ("tensorflow" in sys.modules)
    print(f"{ENGINE}: whole")
