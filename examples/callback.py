"""The report as a callback, written when `fit` ends, also after Ctrl-C.

python examples/callback.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

import argparse

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrdiag


def main(epochs: int, out: str) -> None:
    """Trains a small network, evaluates it after every second epoch, and writes the report."""
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = digits.images[..., None] / 16
    x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.2, random_state=0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    report = lrdiag.ReportCallback(out, (x_test, y_test), every=2, name="Digits")
    model.fit(x, y, validation_data=(x_test, y_test), epochs=epochs, verbose=0, callbacks=[report])
    print(f"{report.report}, page {out}/report.html")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four epochs instead of twenty")
    parser.add_argument("--out", default="lrdiag-report", help="the run folder")
    options = parser.parse_args()
    main(4 if options.quick else 20, options.out)
