"""How many images go through a model at once, so that a pass takes about the memory of `model.predict`.

The memory is estimated from the shapes of what the layers return. Measuring it during the pass would be too late: Linux
gives a process more memory than there is, and ends it when it uses it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import tree

from lrdiag.backend.device import has_gpu
from lrdiag.explain.model import OpenedModel

LARGEST_BATCH = 512
_PREDICT_BATCH = 32  # the default of `model.predict`
# Bytes that a batch of more images than `model.predict` has may take. TensorFlow alone takes 600 MiB of main memory.
_FREE = 2**28
_FREE_ON_GPU = 2**31
_BYTES = 4  # of a float32 number
# Times the largest output of a layer, because inputs, outputs and copies exist together, and memory is freed late. The
# first batch took 3.4 times on MobileNetV2 at 160 pixels, 4.3 on a residual network and 2.9 on `fast` at 32 (on a CPU).
_AT_ONCE = 4
_CHANNELS = 64  # of the largest output, at the size of the image, in a model that doesn't show its layers


def images_at_once(opened: OpenedModel, inputs: Any, layers: Sequence[keras.Operation] | None = None) -> int:
    """Returns the number of images of a batch: a power of 2, 512 at most.

    A batch takes no more memory than 32 images do in `model.predict`, or 256 MiB (2 GiB on a GPU) if that is more.

    Args:
        opened: The model.
        inputs: Inputs of one image or more, a nest of arrays.
        layers: The layers whose gradient is computed, for which everything after the first of them is kept. If it is
            empty, that of the image, for which everything is kept. `None` if only scores are computed.
    """
    sizes = [_BYTES * step.rows * math.prod(step.shape) if step.is_new else 0 for step in opened.steps]
    inference: int = _AT_ONCE * max([_unseen(opened, inputs), *sizes])
    gradient = 0
    if layers is not None:
        first = min((place for place, step in enumerate(opened.steps) if step.layer in layers), default=0)
        gradient = 2 * sum(sizes[first:])
    allowed = max(_FREE_ON_GPU if has_gpu() else _FREE, _PREDICT_BATCH * inference)
    return min(LARGEST_BATCH, _power_of_2(allowed // max(inference, gradient)))


def _unseen(opened: OpenedModel, inputs: Any) -> int:
    """Bytes of the largest output in a model none of whose layers returns a map, such as a SavedModel; else 1."""
    if any(len(step.shape) > 1 for step in opened.steps):
        return 1
    pixels: int = max(math.prod(array.shape[1:3]) for array in tree.flatten(inputs))
    return _BYTES * _CHANNELS * pixels


def _power_of_2(number: int) -> int:
    return 1 << max(0, number.bit_length() - 1)
