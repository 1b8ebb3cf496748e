"""Transfer learning: first the new head, then the whole network, each with its own range test.

python examples/transfer_learning.py FOLDER [--out FOLDER]
python examples/transfer_learning.py --quick    # digits and random weights, no download
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import lrdiag


def main(
    train: Any,
    test: Any,
    class_names: list[str],
    *,
    side: int,
    weights: str | None,
    iterations: int,
    epochs: int,
    out: str,
) -> None:
    """Trains the head, fine-tunes the whole network, and reports on the test images."""
    backbone = keras.applications.MobileNet(input_shape=(side, side, 3), include_top=False, weights=weights, alpha=0.25)
    inputs = keras.Input((side, side, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)
    if weights is None:
        settle(backbone, scaled(next(iter(train))[0]))
    features = backbone(scaled(inputs), training=False)
    scores = keras.layers.Dense(len(class_names))(keras.layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, scores)

    for stage in ("head", "whole network"):
        backbone.trainable = stage == "whole network"
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(), loss=loss, metrics=["accuracy"])
        range_test = lrdiag.find_lr(model, train, end_lr=1.0, iterations=iterations)
        try:
            rate = range_test.suggest() / (10 if backbone.trainable else 1)  # keeps what is learned
        except lrdiag.NoSuggestion as error:  # the loss of a trained network may not fall any further
            print(error)
            rate = 1e-4
        model.optimizer.learning_rate = rate
        print(f"{stage}: learning rate {rate:.2g}")
        history = model.fit(train, validation_data=test, epochs=epochs, verbose=0)

    report = lrdiag.diagnose(model, test, class_names=class_names, history=history, range_test=range_test)
    print(f"{report}, page {report.save(out)}, explained at {report.heatmaps.layer}")


def read(folder: Path, side: int) -> tuple[Any, Any, list[str]]:
    """Reads images from one folder for each class. Every fifth is a test image."""
    whole = keras.utils.image_dataset_from_directory(folder, image_size=(side, side), shuffle=False, batch_size=None)
    files = len(whole.file_paths)
    parts = []
    for tested, size in ((False, files - len(range(0, files, 5))), (True, len(range(0, files, 5)))):
        chosen = whole.enumerate().filter(lambda number, _, tested=tested: (number % 5 == 0) == tested)
        parts.append(chosen.map(lambda _, pair: pair).apply(tf.data.experimental.assert_cardinality(size)))
    train, test = parts
    return train.shuffle(files, seed=0).batch(32), test.batch(32), whole.class_names


def digits() -> tuple[Any, Any, list[str]]:
    """Some digits of scikit-learn, enlarged to 64 × 64 pixels, with three channels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.kron(data.images[:400], np.ones((8, 8)))[..., None].repeat(3, axis=-1) * 15.9
    batches = tf.data.Dataset.from_tensor_slices((images.astype("float32"), data.target[:400])).batch(32)
    return batches.take(10), batches.skip(10), [str(name) for name in data.target_names]


def settle(backbone: keras.Model, images: Any) -> None:
    """Sets the moving averages of batch normalization. Random weights do not match their initial values."""
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    backbone(images, training=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="contains one folder of images for each class")
    parser.add_argument("--quick", action="store_true", help="one epoch on digits, with random weights")
    parser.add_argument("--out", default="lrdiag-report", help="the run folder")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    if options.quick:
        main(*digits(), side=64, weights=None, iterations=40, epochs=1, out=options.out)
    elif options.folder:
        main(*read(options.folder, side=96), side=96, weights="imagenet", iterations=100, epochs=5, out=options.out)
    else:
        parser.error("name a folder of images, or use --quick")
