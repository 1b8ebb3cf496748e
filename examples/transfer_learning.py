"""Transfer learning: a frozen backbone and a new head, then the whole net, each with a range test of its own.

python examples/transfer_learning.py FOLDER [--out FOLDER]
python examples/transfer_learning.py --quick    # digits and random weights: nothing is downloaded
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np

import lrdiag

SIDE = 96


def main(train: Any, test: Any, class_names: list[str], weights: str | None, epochs: int, out: str) -> None:
    """Trains the head, fine-tunes the whole, and reports on the test images."""
    backbone = keras.applications.MobileNetV2(
        input_shape=(SIDE, SIDE, 3), include_top=False, weights=weights, alpha=0.35
    )
    backbone.trainable = False
    inputs = keras.Input((SIDE, SIDE, 3))
    features = backbone(keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs), training=False)
    scores = keras.layers.Dense(len(class_names))(keras.layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, scores)

    for stage in ("head", "whole net"):
        backbone.trainable = stage == "whole net"
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(), loss=loss, metrics=["accuracy"])
        range_test = lrdiag.find_lr(model, train, end_lr=1.0, iterations=60)
        rate = range_test.suggest() / (10 if backbone.trainable else 1)  # what it knows already must not be lost
        model.optimizer.learning_rate = rate
        print(f"{stage}: learning rate {rate:.2g}")
        history = model.fit(train, validation_data=test, epochs=epochs, verbose=0)

    report = lrdiag.diagnose(model, test, class_names=class_names, history=history, range_test=range_test)
    print(f"{report}, page {report.save(out)}, explained at {report.heatmaps.layer}")


def read(folder: Path) -> tuple[Any, Any, list[str]]:
    """Divides the photographs of a folder into training and test batches."""
    load = {"image_size": (SIDE, SIDE), "validation_split": 0.2, "seed": 0}
    train = keras.utils.image_dataset_from_directory(folder, subset="training", **load)
    test = keras.utils.image_dataset_from_directory(folder, subset="validation", shuffle=False, **load)
    return train, test, train.class_names


def digits() -> tuple[Any, Any, list[str]]:
    """A few of scikit-learn's digits, enlarged and in colour."""
    import tensorflow as tf
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.kron(data.images[:300], np.ones((12, 12)))[..., None].repeat(3, axis=-1) * 15.9
    batches = tf.data.Dataset.from_tensor_slices((images.astype("float32"), data.target[:300])).batch(20)
    return batches.take(12), batches.skip(12), [str(name) for name in data.target_names]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="holds a folder of images for each class")
    parser.add_argument("--quick", action="store_true", help="one epoch of 240 digits, weights at random")
    parser.add_argument("--out", default="lrdiag-report", help="the run folder")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    if options.quick:
        main(*digits(), weights=None, epochs=1, out=options.out)
    elif options.folder:
        main(*read(options.folder), weights="imagenet", epochs=5, out=options.out)
    else:
        parser.error("name a folder of images, or take --quick")
