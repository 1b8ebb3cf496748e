"""TensorBoard: learning rate and loss of every step, confusion matrix and heatmaps after every epoch.

python -m pip install tensorboard
python examples/tensorboard_log.py [--quick] [--out FOLDER]
tensorboard --logdir FOLDER/tensorboard
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrdiag


def main(epochs: int, out: Path) -> None:
    """Trains one cycle between given boundaries and logs it."""
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = digits.images[..., None] / 16
    x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.2, random_state=0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss="sparse_categorical_crossentropy")

    cyclic = lrdiag.CyclicLR(0.01, 0.1, step_size=len(x) / 32 * epochs / 2)
    report = lrdiag.ReportCallback(out, (x_test, y_test), every=1, log_dir=out / "tensorboard")
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[cyclic, report])
    print(f"{report.report}, logged in {out / 'tensorboard'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two epochs instead of ten")
    parser.add_argument("--out", type=Path, default=Path("lrdiag-report"), help="the run folder")
    options = parser.parse_args()
    main(2 if options.quick else 10, options.out)
