"""Two classes and one sigmoid: is a digit even or odd? Few digits are odd, so accuracy alone is misleading.

python examples/binary_sigmoid.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrdiag


def main(epochs: int, out: str) -> None:
    """Trains a network with one output and prints the recall of both classes."""
    keras.utils.set_random_seed(0)
    digits = load_digits()
    odd = digits.target % 2
    kept = np.flatnonzero((odd == 0) | (np.arange(len(odd)) % 5 == 0))  # a fifth of the odd digits
    images = digits.images[kept, ..., None] / 16
    x, x_test, y, y_test = train_test_split(images, odd[kept], test_size=0.3, random_state=0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, validation_split=0.1, epochs=epochs, verbose=0)

    report = lrdiag.diagnose(model, x_test, y_test, class_names=["even", "odd"], history=history)
    for each in report.diagnosis.per_class:
        print(f"{each.name}: recall {each.recall:.1%} of {each.support}")
    print(f"balanced accuracy {report.diagnosis.test.balanced_accuracy:.1%}, page {report.save(out)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three epochs instead of twenty")
    parser.add_argument("--out", default="lrdiag-report", help="the run folder")
    options = parser.parse_args()
    main(3 if options.quick else 20, options.out)
