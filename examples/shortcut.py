"""A shortcut: a mark in the images of one class, which the network learns instead of the object.

python examples/shortcut.py [--data-dir FOLDER] [--quick] [--out FOLDER]

FOLDER contains cifar-10-batches-py/. Without it, and with --quick, the images are the digits of scikit-learn.
"""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

import lrdiag

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def main(folder: str, out: str) -> lrdiag.Report:
    """Puts a bright square on nearly all images of one class, and prints what the report says about it."""
    keras.utils.set_random_seed(0)
    images, labels, names, count = read(folder)
    marked = (labels == 8) & (np.random.default_rng(0).random(len(labels)) < 0.95)
    side = images.shape[1] // 6 + 1
    images[marked, -1 - side : -1, 1 : 1 + side] = 1.0

    training = images[:count], labels[:count]
    model, history = train(*training)
    report = lrdiag.diagnose(
        model, images[count:], labels[count:], class_names=names, history=history, train_data=training
    )
    for each in report.findings:
        print(f"{each.code}: {each.title} {each.evidence}")
    print(f"{report}, page {report.save(out)}")
    return report


def read(folder: str) -> tuple[np.ndarray, np.ndarray, list[str], int]:
    """Returns images from 0 to 1, their labels, the names of the classes, and the number of training images."""
    if not folder:
        digits = load_digits()
        return digits.images[..., None] / 16, digits.target, [str(name) for name in digits.target_names], 1400
    batches = Path(folder) / "cifar-10-batches-py"
    parts = [pickle.loads((batches / name).read_bytes(), encoding="bytes") for name in ("data_batch_1", "test_batch")]
    pixels = np.concatenate([part[b"data"] for part in parts])[:12_000]
    labels = np.concatenate([part[b"labels"] for part in parts])[:12_000]
    return np.float32(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)) / 255, labels, CIFAR10, 10_000


def train(x: np.ndarray, y: np.ndarray) -> tuple[keras.Model, keras.callbacks.History]:
    """Trains a small network."""
    layers = [keras.Input(x.shape[1:])]
    for width in (32, 64, 128):
        layers += [keras.layers.Conv2D(width, 3, strides=1 if width == 32 else 2, padding="same", use_bias=False)]
        layers += [keras.layers.BatchNormalization(momentum=0.9), keras.layers.ReLU()]
    model = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = keras.optimizers.schedules.CosineDecay(0.003, decay_steps=5 * len(x) // 64)
    model.compile(keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    return model, model.fit(x, y, batch_size=64, epochs=5, verbose=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=os.environ.get("LRDIAG_DATA_DIR", ""), help="the folder of CIFAR-10")
    parser.add_argument("--quick", action="store_true", help="digits instead of CIFAR-10")
    parser.add_argument("--out", default="lrdiag-report", help="the run folder")
    options = parser.parse_args()
    main("" if options.quick else options.data_dir, options.out)
