"""The default network, designed for a laptop.

CIFAR-10, 45,000 training images, 4 epochs of one triangular cycle between the boundaries of a range test of 100 steps,
batch 128, SGD with Nesterov momentum 0.9, horizontal flips: test accuracy 0.801, 0.797 and 0.797 (n=3 seeds, figures of
`tests/benchmarks/main_job.py`), 268–304 s of training on two shared virtual cores, no GPU. Those cycles started and
ended at the onset of the descent; with today's start at a tenth of the peak the accuracy is 0.794 (n=1).
"""

from __future__ import annotations

from typing import Any

import keras

from lrdiag.models.blocks import convolution

WEIGHT_DECAY = 5e-3  # decoupled, per step and unit of learning rate
FEATURE_SCALE = 0.25  # of the maxima over the image: without it the first logits are large and the range test is noisy


def build_fast(classes: int) -> list[Any]:
    """Returns the layers from the normalised image to the logits.

    Args:
        classes: Number of classes.
    """
    return [
        *convolution("conv1", 32, 4, strides=2),
        *convolution("conv2", 48, 3, pool_early=True),
        *convolution("conv3", 96, 3),
        *convolution("conv4", 96, 3, pool_early=True),
        *convolution("conv5", 192, 3),
        keras.layers.GlobalMaxPooling2D(),
        keras.layers.Rescaling(FEATURE_SCALE),
        keras.layers.Dense(classes, name="logits", dtype="float32"),
    ]
