"""Mixed precision: a range test with loss scaling, which skips steps, and heatmaps of a float16 model.

python examples/mixed_precision.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

import argparse

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrdiag


def main(epochs: int, out: str) -> None:
    """Trains in 16 bits. The scores stay in 32 bits, as Keras advises."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_float16")  # use mixed_bfloat16 on a TPU or a CPU
    digits = load_digits()
    images = digits.images[..., None] / 16
    x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.2, random_state=0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(10, dtype="float32"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss=loss, metrics=["accuracy"])  # Keras wraps it in a LossScaleOptimizer

    test = lrdiag.find_lr(model, x, y)
    model.optimizer.inner_optimizer.learning_rate = test.suggest()
    history = model.fit(x, y, validation_split=0.1, epochs=epochs, verbose=0)
    report = lrdiag.diagnose(model, x_test, y_test, history=history, range_test=test)
    print(f"learning rate {test.suggest():.2g}; {report}, page {report.save(out)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two epochs instead of ten")
    parser.add_argument("--out", default="lrdiag-report", help="the run folder")
    options = parser.parse_args()
    main(2 if options.quick else 10, options.out)
