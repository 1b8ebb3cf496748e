"""Range test, cyclic rate and report in your own training script, on the digits of scikit-learn.

python examples/own_training.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import math

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrdiag

BATCH_SIZE = 32


def main(epochs: int, out: str) -> None:
    """Finds the boundaries of the learning rate, trains one cycle between them, and writes the report."""
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = digits.images[..., None] / 16
    x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.2, random_state=0)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.1, random_state=0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss=loss, metrics=["accuracy"])

    test = lrdiag.find_lr(
        model, x, y, batch_size=BATCH_SIZE, repeats=3
    )  # one sweep depends on the order of the batches
    base_lr, max_lr = test.bounds()
    print(f"boundaries {base_lr:.2g} to {max_lr:.2g}, constant rate {test.suggest():.2g}")
    steps = math.ceil(len(x) / BATCH_SIZE) * epochs
    cyclic = lrdiag.CyclicLR(base_lr, max_lr, step_size=(steps - 1) / 2)
    history = model.fit(
        x, y, validation_data=(x_val, y_val), batch_size=BATCH_SIZE, epochs=epochs, callbacks=[cyclic], verbose=0
    )

    report = lrdiag.diagnose(model, x_test, y_test, history=history, range_test=test, name="Digits")
    print(f"test accuracy {report.accuracy:.1%}, page {report.save(out)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two epochs instead of ten")
    parser.add_argument("--out", default="lrdiag-report", help="the run folder")
    options = parser.parse_args()
    main(2 if options.quick else 10, options.out)
