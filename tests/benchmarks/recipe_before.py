"""Runs a command of lrdiag with the network and the recipe of version 0.1, and all else as it is now.

    python tests/benchmarks/recipe_before.py train-and-report --data cifar10

It is the other side of the ratios in `main_job.py`. The module also has a network such as a user may have.
"""

from __future__ import annotations

import os
import sys
from typing import Any

FEATURE_SCALE = 0.25


def build_fast(x: Any, classes: int, _sample: Any) -> Any:
    """The default network of version 0.1."""
    import keras

    from lrdiag.models.blocks import convolution

    x = convolution(x, "conv1", 32, 4, strides=2)
    x = convolution(x, "conv2", 48, 3, pool_early=True)
    x = convolution(x, "conv3", 96, 3)
    x = convolution(x, "conv4", 96, 3, pool_early=True)
    x = convolution(x, "conv5", 192, 3)
    x = keras.layers.Rescaling(FEATURE_SCALE)(keras.layers.GlobalMaxPooling2D()(x))
    return keras.layers.Dense(classes, name="logits", dtype="float32")(x)


def own_network(image_shape: tuple[int, int, int], classes: int) -> Any:
    """A network of a user, for one size of images."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes),
        ]
    )


def main() -> None:
    """Replaces network, recipe and schedule, then runs the command line."""
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    from lrdiag import recipes
    from lrdiag.backend.start import start_engine
    from lrdiag.cli.app import main as command

    start_engine()
    from lrdiag.models import networks

    recipes._OF_NETWORKS["fast"] = recipes.Recipe(weight_decay=5e-3)
    networks._BUILT_IN["fast"] = build_fast
    command([*sys.argv[1:], "--schedule", "cyclic"])


if __name__ == "__main__":
    main()
